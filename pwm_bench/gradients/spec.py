"""What a comparison is: everything that determines its numbers, with a content hash as its name."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pwm_bench import configs, envs
from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.gradients.model_inputs import MODEL, check_models
from pwm_bench.gradients.offered import ESTIMATORS, with_prerequisites
from pwm_bench.gradients.seeds import SEED
from pwm_bench.gradients.values import ValueTraining
from pwm_bench.learning.checks import check_share, check_widths
from pwm_bench.store.inputs import Input, Pending
from pwm_bench.store.spec import Spec, plain_options

__all__ = ["DEFAULT_HORIZONS", "POLICY", "Comparison"]

DEFAULT_HORIZONS = (2, 4, 8, 16, 32, 64)
POLICY = "policy"
"""The input that is the policies of a run, of whatever algorithm: start states and actions are theirs."""


@dataclass(frozen=True, kw_only=True)
class Comparison(Spec):
    """Estimators of one gradient at the same states, in one simulator or several.

    Raises:
        UsageError: an unknown name, an impossible value, or an estimator that the simulators can't serve.
    """

    kind: ClassVar[str] = "compare-gradients"
    task: str
    """One of `pwm_bench.envs.tasks`."""
    simulators: tuple[str, ...] = ("warp",)
    """Each is the truth in turn, at the same start states; those come from the first."""
    estimators: tuple[str, ...] = ("analytic", "score", "smoothed", "mixed")
    """Names of `pwm_bench.gradients.offered.ESTIMATORS`, or ``module:attribute``."""
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
    """Open loop: nominal actions are uniform in +- this, unless a policy takes them."""
    hidden: tuple[int, ...] = (16,)
    """Closed loop: hidden layers of the policy, which sees latents where there is a world model, else observations."""
    discount: float = 0.99
    """gamma."""
    termination: bool = True
    """Rewards after a termination count as zero, as in training."""
    steps: tuple[float, ...] = (0.001, 0.003, 0.01, 0.03, 0.1)
    """Step lengths per parameter at which realised improvement is measured."""
    member: int = 0
    """Which seed of the PWM run that is the input ``model``, by position."""
    policy_member: int = field(default=0, metadata=configs.LATER)
    """Which seed of the run whose policies are the input ``policy``, by position."""
    bootstrap: ValueTraining | Literal["critic"] | None = None
    """Value of where a horizon's last step leads, added to the return of simulator and model alike: a network fitted
    for this comparison, or the critic of the PWM run that is the input ``model``; nothing by default."""
    simulator_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of `pwm_bench.envs.make`, for all simulators."""
    seed: int = 0
    """Seed of start states, parameters and all samples."""
    precision: str = "float64"
    """Arithmetic of simulators, models and sums."""
    worlds: int = 512
    """Rollouts advanced together, at least ``states``: fewer need less memory. The score function's baseline is an
    average within them."""
    device: str = "cpu"
    """Torch device."""
    inputs: Mapping[str, Input | Pending] = field(default_factory=dict)
    """The world model, if one is needed: ``model`` (that of a PWM run), or one for each simulator, see
    `pwm_bench.gradients.model_inputs.model_input`. And ``policy``, the file of policies that a run has left, if
    gradients are to be taken where a trained policy goes (open loop)."""
    setting: Mapping[str, Any] = field(default_factory=dict)
    """What distinguishes it from the other comparisons of its study; it changes no numbers."""
    study: str = "single"
    """The folder that it is filed under."""

    def __post_init__(self) -> None:
        for name in ("simulators", "estimators", "horizons", "hidden", "steps"):
            value = getattr(self, name)
            if isinstance(value, str) or not isinstance(value, Sequence):
                value = (value,)
            object.__setattr__(self, name, tuple(value))
        object.__setattr__(self, "simulator_options", plain_options(self.simulator_options))
        self.check_place(self.device)
        self._check_names()
        self._check_numbers()
        self._check_inputs()
        self._check_estimators()
        self._check_bootstrap()

    def _check_estimators(self) -> None:
        for name, one in with_prerequisites(self.estimators).items():
            if self.loop not in one.loops:
                raise UsageError(
                    f"estimator '{name}' has no meaning in the {self.loop} loop: use --loop {one.loops[0]}, or leave "
                    "it out"
                )
            if "model" in one.needs and not self.models:
                raise UsageError(
                    f"estimator '{name}' needs a world model: name a PWM run with --model, or train a small one with "
                    "--train-model"
                )
            if "noise" in one.needs and self.noise == 0.0:
                raise UsageError(f"noise=0: estimator '{name}' needs noise; leave it out or give noise > 0")
            if self.samples < one.least_samples:
                raise UsageError(f"samples={self.samples}: estimator '{name}' needs at least {one.least_samples}")
            for simulator in self.simulators:
                if "gradient" in one.needs and not envs.capabilities(simulator).gradient:
                    raise UsageError(
                        f"estimator '{name}' needs the simulator's gradient, which '{simulator}' does not give: leave "
                        "one of them out"
                    )

    def _check_inputs(self) -> None:
        check_models(self.models, self.simulators, others=(POLICY,))
        if POLICY in self.inputs and self.loop == "closed":
            raise UsageError(
                "loop=closed: where a trained policy goes, gradients are by its actions, not by its weights; use the "
                "open loop, or leave the policy out"
            )
        if self.policy_member and POLICY not in self.inputs:
            raise UsageError(f"policy_member={self.policy_member}: names a seed of a run; give its policies as well")

    def _check_bootstrap(self) -> None:
        if self.bootstrap is None or isinstance(self.bootstrap, ValueTraining):
            return
        if self.bootstrap == "fitted":
            raise UsageError("bootstrap=fitted: give a ValueTraining, which says how it is fitted")
        if self.bootstrap != "critic":
            raise unknown("bootstrap", str(self.bootstrap), ("critic", "fitted"))
        if MODEL not in self.inputs:
            raise UsageError("bootstrap=critic: takes the critic of a PWM run; name one with --model, or fit a value")

    def _check_names(self) -> None:
        envs.TASKS.check(self.task)
        if not self.simulators or not self.estimators:
            raise UsageError("simulators and estimators: name at least one of each")
        if len(set(self.simulators)) != len(self.simulators):
            raise UsageError(f"simulators={list(self.simulators)}: must differ from each other")
        for simulator in self.simulators:
            envs.SIMULATORS.check(simulator)
        ESTIMATORS.check(*self.estimators)
        if self.loop not in ("open", "closed"):
            raise unknown("loop", self.loop, ("open", "closed"))
        if self.precision not in ("float32", "float64"):
            raise unknown("precision", self.precision, ("float32", "float64"))

    def _check_numbers(self) -> None:
        if not self.horizons or any(isinstance(h, bool) or not isinstance(h, int) or h < 1 for h in self.horizons):
            raise UsageError(f"horizons={list(self.horizons)}: must be whole numbers of at least 1")
        object.__setattr__(self, "horizons", tuple(sorted(set(self.horizons))))
        for name, least in (("states", 1), ("samples", 1), ("reference_samples", 2), ("worlds", 2), ("seed", 0),
                            ("member", 0), ("policy_member", 0)):  # fmt: skip
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise UsageError(f"{name}={value}: must be a whole number of at least {least}")
        if self.worlds < self.states:
            raise UsageError(
                f"worlds={self.worlds}: must be at least states={self.states}; fewer states need less memory"
            )
        for name in ("noise", "action_scale"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name}={getattr(self, name)}: must be finite and not negative")
        if not self.steps:
            raise UsageError("steps=[]: give at least one step length")
        for name, value in [("parameter_noise", self.parameter_noise), *(("steps", step) for step in self.steps)]:
            if not 0.0 < value < math.inf:
                raise UsageError(f"{name}={value}: must be positive and finite")
        check_share("discount", self.discount)
        check_widths("hidden", self.hidden)
        if self.noise == 0.0 and self.precision == "float32":
            raise UsageError(
                "precision=float32: without noise the reference is finite differences, which need float64; give "
                "precision float64, or noise > 0"
            )
        if self.noise > 0.0 and self.loop == "open" and self.reference_samples < 4:
            raise UsageError(
                f"reference_samples={self.reference_samples}: must be at least 4 in the open loop, two mirrored pairs"
            )

    @property
    def computing_simulators(self) -> tuple[str, ...]:
        """All of them."""
        return self.simulators

    @property
    def models(self) -> Mapping[str, Input | Pending]:
        """The inputs that are world models."""
        return {name: one for name, one in self.inputs.items() if name != POLICY}

    @property
    def own_models(self) -> bool:
        """Whether each simulator has a world model of its own."""
        return bool(self.models) and MODEL not in self.models

    def check_reads(self, reads: Mapping[str, Spec]) -> None:
        """Refuses runs of another task, or without the seed that this comparison is of."""
        for name, spec in reads.items():
            task, seeds = getattr(spec, "task", self.task), getattr(spec, "seeds", None)
            if task != self.task:
                raise UsageError(f"{name}: is left by a run of task '{task}', not '{self.task}'; give one of that task")
            if seeds is None:
                continue
            member = self.policy_member if name == POLICY else self.member
            said = self.setting.get(SEED, seeds[member] if member < len(seeds) else None)
            if member >= len(seeds) or seeds[member] != said:
                raise UsageError(
                    f"{name}: member {member} was to have seed {said}, and the run that leaves it has the seeds "
                    f"{', '.join(map(str, seeds))}; leave --seeds out"
                )

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        return configs.to_json(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Comparison:
        """The spec that `to_dict` described.

        Raises:
            UsageError: unknown or missing fields, or impossible values.
        """
        return configs.from_json(cls, values)

    def replace(self, **changes: Any) -> Comparison:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    @property
    def label(self) -> str:
        """What a person calls it."""
        where = " · where a policy goes" if POLICY in self.inputs else ""
        value = " · with value" if self.bootstrap else ""
        return f"{self.task} · {' '.join(self.simulators)} · {self.loop} loop{where}{value}"
