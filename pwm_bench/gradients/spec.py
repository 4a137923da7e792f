"""What a comparison is: everything that determines its numbers, with a content hash as its name."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import envs
from envs.errors import UsageError, unknown
from pwm_bench import configs
from pwm_bench.gradients.estimators import ESTIMATORS
from pwm_bench.gradients.starts import ModelTraining
from pwm_bench.gradients.values import ValueTraining
from pwm_bench.store.checkpoint_files import STATE
from pwm_bench.store.spec import Spec

__all__ = ["DEFAULT_HORIZONS", "Comparison", "ModelRun"]

DEFAULT_HORIZONS = (2, 4, 8, 16, 32, 64)
_MODEL = ("model", "model_detached")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRun:
    """The world model of a PWM run."""

    path: str
    """Run directory."""
    member: int = 0
    """Which of its seeds, by position."""

    @property
    def digest(self) -> str:
        """SHA-256 of the weights in the run's checkpoint, which change while the run goes on; empty where none can be
        read, which `gradients.learned.load_run` explains."""
        try:
            return str(json.loads((Path(self.path) / "checkpoint" / STATE).read_bytes())["tensors"]["sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def as_input(self) -> dict[str, str]:
        """An input of a spec; see `pwm_bench.store.spec.Spec`."""
        return {"path": self.path, "digest": self.digest}


@dataclass(frozen=True, kw_only=True)
class Comparison(Spec):
    """Estimators of one gradient at the same states, in one simulator or several.

    Raises:
        UsageError: an unknown name, an impossible value, or an estimator that the simulators can't serve.
    """

    kind: ClassVar[str] = "compare-gradients"
    task: str
    """One of `envs.tasks`."""
    simulators: tuple[str, ...] = ("warp",)
    """Each is the truth in turn, at the same start states; those come from the first."""
    estimators: tuple[str, ...] = ("analytic", "score", "smoothed", "mixed")
    """Of `pwm_bench.gradients.estimators.ESTIMATORS`."""
    loop: str = "open"
    """``"open"``: gradients by an action sequence for each start state. ``"closed"``: by the weights of a policy."""
    horizons: tuple[int, ...] = DEFAULT_HORIZONS
    """Control steps."""
    states: int = 64
    """Start states."""
    samples: int = 256
    """Rollouts for each start state and stochastic estimator."""
    reference_samples: int = 1024
    """Rollouts for each start state that the reference takes; without noise it is finite differences instead."""
    noise: float = 0.2
    """Deviation of the exploration noise on actions; 0 makes the objective deterministic."""
    parameter_noise: float = 0.02
    """Closed loop: deviation of the parameters in the ``smoothed`` estimator."""
    action_scale: float = 0.5
    """Open loop: nominal actions are uniform in +- this."""
    hidden: tuple[int, ...] = (16,)
    """Closed loop: hidden layers of the policy, which sees latents where there is a world model, else observations."""
    discount: float = 0.99
    """gamma."""
    termination: bool = True
    """Rewards after a termination count as zero, as in training."""
    steps: tuple[float, ...] = (0.001, 0.003, 0.01, 0.03, 0.1)
    """Step lengths per parameter at which realised improvement is measured."""
    model: ModelRun | ModelTraining | None = None
    """World model for the estimators that need one; a trained one is trained in each simulator on its own."""
    bootstrap: ValueTraining | Literal["critic"] | None = None
    """Value of where a horizon's last step leads, added to the return of simulator and model alike: a network fitted
    for this comparison, or the critic of the PWM run that ``model`` names; nothing by default."""
    simulator_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of `envs.make`, for all simulators."""
    seed: int = 0
    """Of start states, parameters and all samples."""
    precision: str = "float64"
    """Of simulators, models and sums."""
    worlds: int = 512
    """Rollouts advanced together, at least ``states``: fewer need less memory. The score function's baseline is an
    average within them."""
    device: str = "cpu"
    """Torch device."""
    study: str = "single"
    """The folder that it is filed under."""

    def __post_init__(self) -> None:
        for name in ("simulators", "estimators", "horizons", "hidden", "steps"):
            value = getattr(self, name)
            if isinstance(value, str) or not isinstance(value, Sequence):
                value = (value,)
            object.__setattr__(self, name, tuple(value))
        self._check_names()
        self._check_numbers()
        needs_model = [e for e in self.estimators if e in _MODEL]
        if needs_model and self.model is None:
            raise UsageError(
                f"estimator '{needs_model[0]}' needs a world model: name a PWM run with --model, or train a small one "
                "with --train-model"
            )
        if "model_detached" in self.estimators and self.loop == "open":
            raise UsageError(
                "estimator 'model_detached': an action sequence has no policy path to cut; use --loop closed or 'model'"
            )
        self._check_bootstrap()
        if self.noise == 0.0:
            for name in ("score", "smoothed", "mixed"):
                if name in self.estimators:
                    raise UsageError(f"noise=0: estimator '{name}' needs noise; leave it out or give noise > 0")

    def _check_bootstrap(self) -> None:
        if self.bootstrap is None or isinstance(self.bootstrap, ValueTraining):
            return
        if self.bootstrap != "critic":
            raise unknown("bootstrap", str(self.bootstrap), ("critic", "fitted"))
        if not isinstance(self.model, ModelRun):
            raise UsageError("bootstrap=critic: takes the critic of a PWM run; name one with --model, or fit a value")

    def _check_names(self) -> None:
        if self.task not in envs.tasks():
            raise unknown("task", self.task, envs.tasks())
        if not self.simulators or not self.estimators:
            raise UsageError("simulators and estimators: name at least one of each")
        for simulator in self.simulators:
            if simulator not in envs.simulators():
                raise unknown("simulator", simulator, envs.simulators())
            for name in ("analytic", "mixed"):
                if name in self.estimators and not envs.capabilities(simulator).gradient:
                    raise UsageError(
                        f"estimator '{name}' needs the simulator's gradient, which '{simulator}' does not give: leave "
                        "one of them out"
                    )
        for estimator in self.estimators:
            if estimator not in ESTIMATORS:
                raise unknown("estimator", estimator, ESTIMATORS)
        if self.loop not in ("open", "closed"):
            raise unknown("loop", self.loop, ("open", "closed"))
        if self.precision not in ("float32", "float64"):
            raise unknown("precision", self.precision, ("float32", "float64"))

    def _check_numbers(self) -> None:
        if not self.horizons or any(isinstance(h, bool) or not isinstance(h, int) or h < 1 for h in self.horizons):
            raise UsageError(f"horizons={list(self.horizons)}: must be whole numbers of at least 1")
        object.__setattr__(self, "horizons", tuple(sorted(set(self.horizons))))
        for name, least in (("states", 1), ("samples", 1), ("reference_samples", 2), ("worlds", 2), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise UsageError(f"{name}={value}: must be a whole number of at least {least}")
        if self.worlds < self.states:
            raise UsageError(
                f"worlds={self.worlds}: must be at least states={self.states}; fewer states need less memory"
            )
        if "smoothed" in self.estimators and self.samples < 2:
            raise UsageError(f"samples={self.samples}: the smoothed estimator takes pairs; give at least 2")
        for name in ("noise", "action_scale"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name}={getattr(self, name)}: must be finite and not negative")
        for name, value in [("parameter_noise", self.parameter_noise), *(("steps", step) for step in self.steps)]:
            if not 0.0 < value < math.inf:
                raise UsageError(f"{name}={value}: must be positive and finite")
        if not 0.0 < self.discount <= 1.0:
            raise UsageError(f"discount={self.discount}: must be in (0, 1]")

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        values = configs.to_json(self)
        if isinstance(self.model, ModelRun):
            values |= {"model": {"member": self.model.member}, "inputs": {"model": self.model.as_input()}}
        return values

    def replace(self, **changes: Any) -> Comparison:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    @property
    def label(self) -> str:
        """What a person calls it."""
        value = " · with value" if self.bootstrap else ""
        return f"{self.task} · {' '.join(self.simulators)} · {self.loop} loop{value}"
