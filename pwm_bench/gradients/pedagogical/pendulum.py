"""The chaotic double pendulum: how noisy the policy gradient is at long horizons, in the simulator and in world models.

World models are trained on losses over 3 and 16 steps, several seeds each. At the same start states, with the same
weights of the policy and the same exploration noise, gradients of the undiscounted return are taken through both:

    open loop     by an action sequence for each start state: all see exactly the same actions
    closed loop   by the weights of a random policy on the latent, with the latent held constant, as published. A policy
                  on model k's latent acts on E_k(o_t) in the simulator, so each model has a truth of its own.

With m the mean and V the variance over n samples at a start state (``at`` is the deviation of the noise):

    variance             V, mean over parameters, states and seeds (the released definition)
    esnr                 (|m|^2 - tr V / n) over tr V, sums over states, mean over seeds: one sample's signal to noise
    esnr_parameterwise   m^2 / (V + 1e-9), mean over parameters, states and seeds (the released definition)
    cosine               between the means through model and simulator, mean over states and seeds; not where the
                         latter is zero, as at H = 1, since the first reward does not depend on an action
    nonfinite            share of samples that were not finite

Intervals are 95 % percentile bootstrap over model seeds and start states, both resampled. Estimators are named
``open/truth``, ``open/model_h3``, ``closed/truth_h3`` (acting on the latents of those models), ``closed/model_h3``.

Nothing is added to any curve. The released script that redraws the published figure adds
5 max(ESNR) |log H - max log H| to the true simulator's ESNR, and to no other.

Source: Georgiev et al., "PWM: Policy Learning with Multi-Task World Models", 2024, figure on sensitivity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch

from pwm_bench import envs
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.simulator import State
from pwm_bench.gradients.controls import ClosedLoop, Control, OpenLoop
from pwm_bench.gradients.estimators import first_order
from pwm_bench.gradients.keeping import Advance, ProblemSpec, Work
from pwm_bench.gradients.landscape import Landscape, Problem
from pwm_bench.gradients.learned import LearnedWorld
from pwm_bench.gradients.moments import Estimate
from pwm_bench.gradients.pedagogical.population import train_population
from pwm_bench.gradients.simulated import SimulatedWorld
from pwm_bench.gradients.starts import visited_states
from pwm_bench.learning.checks import check_at_least, check_choice, check_positive, check_widths
from pwm_bench.statistics.bootstrap import percentile_interval
from pwm_bench.store.files import finite_or_none
from pwm_bench.world_model.config import WorldModelConfig
from pwm_bench.world_model.trained import TrainedModel

__all__ = ["PendulumSpec", "PendulumWork", "signal_and_noise", "two_way_interval"]

TASK = "double_pendulum"
_RESAMPLES = 1000
_WORLDS_PER_SEED = 32
Estimates = dict[int, Estimate]


@dataclass(frozen=True, kw_only=True)
class PendulumSpec(ProblemSpec):
    """The study's settings.

    Raises:
        UsageError: an impossible number.
    """

    kind: ClassVar[str] = "double-pendulum"
    horizons: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 40, 50)
    """Control steps of the return."""
    loops: tuple[str, ...] = ("closed", "open")
    """What the gradient is taken by."""
    model_horizons: tuple[int, ...] = (3, 16)
    """Steps of the world models' training loss."""
    model_seeds: int = 4
    """World models of each kind."""
    env_steps: int = 20_000
    """Steps of random experience each seed's models are trained on."""
    updates: int = 800
    """Gradient steps of each model."""
    width: int = 64
    """Latents and hidden units."""
    batch_size: int = 32
    """Sequences in a gradient step."""
    states: int = 4
    """Start states, visited by random actions."""
    samples: int = 64
    """Rollouts for each start state."""
    noises: tuple[float, ...] = (0.02, 0.2)
    """Deviations of the exploration noise; TD-MPC2's untrained policy, which was published, has about 0.02."""
    hidden: tuple[int, ...] = (16,)
    """Hidden layers of the policy."""
    simulator: str = "warp"
    """The truth."""

    study: str = "gradients-double-pendulum"
    """The folder that it is filed under."""

    @property
    def computing_simulators(self) -> tuple[str, ...]:
        """The names of the simulators that compute."""
        return (self.simulator,)

    def __post_init__(self) -> None:
        ProblemSpec.__post_init__(self)
        for name in ("horizons", "loops", "model_horizons", "noises", "hidden"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.horizons or any(h < 1 for h in self.horizons):
            raise UsageError(f"horizons={list(self.horizons)}: must be whole numbers of at least 1")
        object.__setattr__(self, "horizons", tuple(sorted(set(self.horizons))))
        for name, least in (("model_seeds", 1), ("updates", 1), ("states", 1), ("samples", 2), ("batch_size", 1)):
            check_at_least(name, getattr(self, name), least)
        for loop in self.loops:
            check_choice("loop", loop, ("closed", "open"))
        for h in self.model_horizons:
            check_at_least("model_horizons", h, 1)
        for noise in self.noises:
            check_positive("noises", noise)
        if not self.noises or not self.loops or not self.model_horizons:
            raise UsageError("noises, loops and model_horizons: name at least one of each")
        envs.check_gradient_of(self.simulator, "the double pendulum")
        check_widths("hidden", self.hidden)
        if self.env_steps // _WORLDS_PER_SEED < max(self.model_horizons):
            raise UsageError(
                f"env_steps={self.env_steps}: {_WORLDS_PER_SEED} worlds need at least {max(self.model_horizons)} steps "
                "each"
            )
        self.config()

    def config(self) -> WorldModelConfig:
        """The world models' settings but for the horizon; rewards and observations are scaled as PWM does on a CPU."""
        w = (self.width,)
        return WorldModelConfig(
            latent_dim=self.width, encoder_hidden=w, dynamics_hidden=w, reward_hidden=w, batch_size=self.batch_size,
            learning_rate=7e-4, dynamics_coef=20.0, temporal_weight=0.9, normalize_observations=True,
            reward_normalisation="scale",
        )  # fmt: skip


def signal_and_noise(estimate: Estimate) -> dict[str, np.ndarray]:
    """Numbers of each start state: |m|^2 - tr V / n, tr V, mean V, and mean m^2 / (V + 1e-9)."""
    noise = estimate.variance.sum(1)
    found = {
        "signal": estimate.mean.square().sum(1) - noise / estimate.count,
        "noise": noise,
        "variance": estimate.variance.mean(1),
        "esnr_parameterwise": (estimate.mean.square() / (estimate.variance + 1e-9)).mean(1),
        "nonfinite": estimate.rejected / (estimate.count + estimate.rejected),
    }
    return {name: x.double().cpu().numpy() for name, x in found.items()}


def two_way_interval(arrays: list[np.ndarray], *, ratio: bool, seed: int) -> tuple[float, float, float]:
    """Mean over seeds of a mean over states, or of a ratio of two sums over states, with a bootstrap over both.

    Args:
        arrays: one ``(P, S)``, or numerator and denominator.
        ratio: which.
        seed: of the resamples.

    Returns:
        value, low, high; no interval where there is one seed and one state. An axis of length 1 is not resampled.
    """

    def statistic(parts: list[np.ndarray]) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            inner = parts[0].sum(-1) / parts[1].sum(-1) if ratio else parts[0].mean(-1)
        return inner.mean(-1)

    value = float(statistic(arrays))
    members, states = arrays[0].shape
    if members * states < 2 or not np.isfinite(value):
        return value, float("nan"), float("nan")
    generator = np.random.default_rng(seed)
    p = generator.integers(members, size=(_RESAMPLES, members, 1))
    s = generator.integers(states, size=(_RESAMPLES, 1, states))
    low, high = percentile_interval(statistic([x[p, s] for x in arrays]), 0.95)
    return value, float(low), float(high)


class PendulumWork(Work):
    """The study: models, and the gradients of each loop and noise.

    Args:
        spec: which.
        device: where.
    """

    def __init__(self, spec: PendulumSpec, device: torch.device) -> None:
        super().__init__()
        self.spec, self.device = spec, device
        self.rows = spec.states * spec.samples
        self.env = self._env(self.rows, torch.float64)
        self.start: State | None = None
        self.models: dict[int, list[TrainedModel]] = {}
        self.pieces = {"start states": self._begin, "train world models": self._train}
        for loop in spec.loops:
            for noise in spec.noises:
                measure = self._open if loop == "open" else self._closed
                self.pieces[f"gradients: {loop} loop, noise {noise:g}"] = partial(measure, noise)

    def compile(self) -> None:
        """Compiles the simulator."""
        self.env.simulator.compile(gradient=True)

    @property
    def compile_seconds(self) -> float:
        """Time that it has spent compiling so far [s]."""
        return self.env.simulator.compile_seconds

    def details(self) -> dict[str, Any]:
        """The world models."""
        found = {
            f"model_h{h}": [{"seed": seed, **m.description} for seed, m in zip(self._seeds, models, strict=True)]
            for h, models in self.models.items()
        }
        return {"models": finite_or_none(found)}

    def found(self) -> dict[str, Any]:
        """Start states and models."""
        start = None if self.start is None else [self.start.qpos, self.start.qvel]
        return {"start": start, "models": {h: [m.state_dict() for m in models] for h, models in self.models.items()}}

    def find(self, state: Mapping[str, Any]) -> None:
        """Takes back what `found` gave."""
        if state["start"] is not None:
            self.start = State(*(x.to(self.device) for x in state["start"]))
        self.models = {
            h: [TrainedModel.from_state(one).to(torch.float32, self.device) for one in models]
            for h, models in state["models"].items()
        }

    @property
    def _seeds(self) -> tuple[int, ...]:
        return tuple(range(self.spec.seed, self.spec.seed + self.spec.model_seeds))

    def _begin(self) -> None:
        self.start = visited_states(self.env, self.spec.states, seed=self.spec.seed)

    def _train(self) -> None:
        spec = self.spec
        self.models = dict(train_population(
            self._env(_WORLDS_PER_SEED * spec.model_seeds, torch.float32), spec.config(), spec.model_horizons,
            self._seeds, env_steps=spec.env_steps, updates=spec.updates,
            progress=self.ledger.progress(spec.updates * len(spec.model_horizons)),
        ))  # fmt: skip

    def _env(self, worlds: int, dtype: torch.dtype) -> envs.api.DifferentiableEnv:
        spec = self.spec
        return envs.make(TASK, spec.simulator, num_envs=worlds, device=str(self.device), dtype=dtype, seed=spec.seed)

    def _open(self, noise: float) -> None:
        advance = self.ledger.progress(self.rows * (1 + len(self.models) * self.spec.model_seeds))
        control = OpenLoop(max(self.spec.horizons), self.env.action_dim)
        truth = [self._estimate(self._world(None), control, noise, advance)]
        self._measure("open/truth", noise, truth)
        for h, models in self.models.items():
            found = [self._estimate(self._learned(model), control, noise, advance) for model in models]
            self._measure(f"open/model_h{h}", noise, found, truth * len(found))

    def _closed(self, noise: float) -> None:
        assert self.start is not None
        blank = self.start.qpos.new_zeros(self.spec.states, self.env.action_dim)
        seen = self.env.task.observation(self.start, blank)
        advance = self.ledger.progress(self.rows * 2 * len(self.models) * self.spec.model_seeds)
        for h, models in self.models.items():
            truth, found = [], []
            for model in models:
                exact = model.to(torch.float64, self.device)
                control = ClosedLoop(exact.encode(seen), self.spec.hidden, self.env.action_dim)
                truth.append(self._estimate(self._world(exact), control, noise, advance))
                found.append(self._estimate(self._learned(model, detach=True), control, noise, advance))
            self._measure(f"closed/truth_h{h}", noise, truth)
            self._measure(f"closed/model_h{h}", noise, found, truth)

    def _world(self, model: TrainedModel | None) -> SimulatedWorld:
        encoder = None if model is None else lambda observation: model.encode(observation).detach()
        return SimulatedWorld(self.env.task, self.env.simulator, encoder=encoder)

    def _learned(self, model: TrainedModel, *, detach: bool = False) -> LearnedWorld:
        return LearnedWorld(
            model, self.env.task, rows=self.rows, detach_policy=detach, dtype=torch.float64, device=self.device
        )

    def _estimate(self, landscape: Landscape, control: Control, noise: float, advance: Advance) -> Estimates:
        spec = self.spec
        assert self.start is not None
        problem = Problem(
            start=self.start,
            control=control,
            theta=control.nominal(spec.states, spec.seed, torch.float64, self.env.device),
            horizons=spec.horizons,
            action_dim=self.env.action_dim,
            noise=noise,
            discount=1.0,
            seed=spec.seed,
        )
        return first_order(
            landscape, problem, spec.samples, progress=lambda _: self.ledger.tell(self.ledger.piece, 0, 0)
        )

    def _measure(
        self, name: str, noise: float, estimates: list[Estimates], truth: list[Estimates] | None = None
    ) -> None:
        for h in self.spec.horizons:
            numbers = [signal_and_noise(e[h]) for e in estimates]
            table = {metric: np.stack([n[metric] for n in numbers]) for metric in numbers[0]}
            for metric in ("variance", "esnr_parameterwise", "nonfinite"):
                self._row(name, metric, h, noise, [table[metric]])
            if table["noise"].any():
                self._row(name, "esnr", h, noise, [table["signal"], table["noise"]], ratio=True)
            if truth is not None and any(bool(t[h].mean.any()) for t in truth):
                pairs = zip(estimates, truth, strict=True)
                both = [torch.cosine_similarity(a[h].mean, b[h].mean, dim=1).cpu().numpy() for a, b in pairs]
                self._row(name, "cosine", h, noise, [np.stack(both)])

    def _row(
        self, name: str, metric: str, horizon: int, noise: float, arrays: list[np.ndarray], *, ratio: bool = False
    ) -> None:
        value, low, high = two_way_interval(arrays, ratio=ratio, seed=self.spec.seed)
        self.ledger.add(name, metric, value, low, high, simulator=self.spec.simulator, horizon=horizon, at=noise)
