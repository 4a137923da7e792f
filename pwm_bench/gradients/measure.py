"""One comparison in one simulator: estimates, reference, and everything that is measured about them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

import envs
from envs.simulator import State
from pwm_bench.gradients import estimators, reference
from pwm_bench.gradients.controls import ClosedLoop, Control, OpenLoop
from pwm_bench.gradients.jacobians import along_rollout, growth_exponents, latent_jacobians, simulator_jacobians
from pwm_bench.gradients.landscape import Landscape, Problem
from pwm_bench.gradients.learned import LearnedWorld, TrainedModel, load_run
from pwm_bench.gradients.metrics import Measured, compare, gains, over_states, relative_error
from pwm_bench.gradients.moments import Estimate
from pwm_bench.gradients.simulated import SimulatedWorld
from pwm_bench.gradients.smoothness import directional_smoothness, improvement, prediction_errors, unit_directions
from pwm_bench.gradients.spec import Comparison, ModelRun
from pwm_bench.gradients.starts import train_model, visited_states
from pwm_bench.gradients.values import ValueFunction, ValueTraining, critic_of_run, fit_value

__all__ = ["Measurement", "Row", "Tell"]

Row = dict[str, Any]
Tell = Callable[[str, int, int], None]
"""Told the phase, and how much of it is done out of how much."""
Estimates = dict[int, Estimate]

_JACOBIAN_STATES = 16
_JACOBIAN_ROWS = 200_000  # vector-Jacobian products in a latent space; fewer states where it is large
_LINES = 3  # random directions along which smoothness is measured
_EVALUATION_SAMPLES = 8  # shared by all estimators, so that differences between them are precise
_PROBE_HORIZON = 16  # beyond it differences of a stiff simulator say little about the gradient's implementation


@dataclass
class Measurement:
    """A comparison under way in one simulator.

    Args:
        spec: the comparison.
        simulator: the truth.
        start: start states of an earlier simulator, or None to gather them here.
        value: of an earlier simulator, where features mean the same in this one, or None to find it here.
        tell: told of progress.
    """

    spec: Comparison
    simulator: str
    start: State | None = None
    value: ValueFunction | None = None
    tell: Tell = lambda phase, done, total: None
    rows: list[Row] = field(default_factory=list)
    clocks: dict[str, float] = field(default_factory=dict)
    estimates: dict[str, Estimates] = field(default_factory=dict)
    model: TrainedModel | None = None

    def run(self) -> None:
        """Measures everything; the results are in `rows`, `estimates` and `clocks`."""
        spec = self.spec
        with self._phase("set up"):
            env = self._env(spec.worlds)
            dtype = getattr(torch, spec.precision)
            if self.start is None:
                self.start = visited_states(env, spec.states, seed=spec.seed)
            self.start = State(*(x.to(env.device, dtype) for x in (self.start.qpos, self.start.qvel)))
        self._get_model()
        with self._phase("compile"):
            env.simulator.compile(gradient=env.simulator.differentiable)
        trained = None if self.model is None else self.model.to(dtype, env.device)
        control: Control
        if spec.loop == "open":
            control = OpenLoop(max(spec.horizons), env.action_dim, spec.action_scale)
        else:
            seen = env.task.observation(self.start, self.start.qpos.new_zeros(spec.states, env.action_dim))
            control = ClosedLoop(seen if trained is None else trained.encode(seen), spec.hidden, env.action_dim)
        theta = control.nominal(spec.states, spec.seed, dtype, env.device)
        self._get_value(control, theta)
        # An action sequence reads no features, but a value does.
        encoder = None if trained is None or (spec.loop == "open" and self.value is None) else trained.encode
        self.world = SimulatedWorld(
            env.task, env.simulator, encoder=encoder, termination=spec.termination, value=self.value
        )
        self.problem = Problem(
            start=self.start,
            control=control,
            theta=theta,
            horizons=spec.horizons,
            action_dim=env.action_dim,
            noise=spec.noise,
            discount=spec.discount,
            seed=spec.seed,
        )
        self._estimate(env)
        truth = self._refer()
        self._compare(truth)
        self._check_implementation()
        self._smoothness(truth)
        self._stretching()
        self._improve()

    def _env(self, worlds: int, dtype: torch.dtype | None = None):
        spec = self.spec
        return envs.make(
            spec.task,
            self.simulator,
            num_envs=worlds,
            device=spec.device,
            dtype=dtype or getattr(torch, spec.precision),
            seed=spec.seed,
            **spec.simulator_options,
        )

    def _get_model(self) -> None:
        source = self.spec.model
        if isinstance(source, ModelRun):
            self.model = load_run(source.path, task=self.spec.task, member=source.member)
        elif source is not None:
            with self._phase("train world model", source.updates) as advance:
                self.model = train_model(source, self._env(source.num_envs, torch.float32), advance)
        if self.model is not None:
            for name, value in self.model.description.get("losses", {}).items():
                self._row("model", 0, Measured(name, value))

    def _get_value(self, control: Control, theta: torch.Tensor) -> None:
        """V at the end of a horizon, in the precision of the comparison; the same for simulator and model."""
        spec = self.spec
        if spec.bootstrap is None:
            return
        if self.value is None and isinstance(spec.bootstrap, ValueTraining):
            training = spec.bootstrap
            trained = None if self.model is None else self.model.to(theta.dtype, theta.device)
            with self._phase("fit value", training.rounds) as advance:
                self.value = fit_value(
                    training,
                    self._env(training.num_envs, torch.float32),
                    control,
                    theta,
                    encoder=None if trained is None else trained.encode,
                    noise=spec.noise,
                    discount=spec.discount,
                    termination=spec.termination,
                    progress=advance,
                )
        elif self.value is None:
            assert isinstance(spec.model, ModelRun)
            assert self.model is not None
            self.value = critic_of_run(
                spec.model.path, self.model, task=spec.task, member=spec.model.member, discount=spec.discount
            )
        self.value = self.value.to(theta.dtype, theta.device)
        explained = self.value.description.get("explained_variance", math.nan)
        self._row("value", 0, Measured("explained_variance", explained))

    def _learned(self, detach: bool) -> LearnedWorld:
        assert self.model is not None
        return LearnedWorld(
            self.model,
            self.world.task,
            rows=self.spec.worlds,
            detach_policy=detach,
            value=self.value,
            dtype=self.problem.theta.dtype,
            device=self.spec.device,
        )

    def _landscapes(self) -> dict[str, Landscape]:
        """What the first-order estimators that were asked for differentiate."""
        found: dict[str, Landscape] = {}
        for name in self.spec.estimators:
            if name in ("analytic", "mixed"):
                found["analytic"] = self.world
            elif name in ("model", "model_detached"):
                found[name] = self._learned(name == "model_detached")
        return found

    def _estimate(self, env: envs.api.DifferentiableEnv) -> None:
        spec, problem = self.spec, self.problem
        wanted = set(spec.estimators) | ({"analytic", "score"} if "mixed" in spec.estimators else set())
        total = spec.states * spec.samples
        first_total = total if spec.noise > 0.0 else spec.states
        for name, landscape in self._landscapes().items():
            with self._phase(f"estimate: {name}", first_total) as advance:
                self.estimates[name] = estimators.first_order(landscape, problem, spec.samples, progress=advance)
        if "score" in wanted:
            with self._phase("estimate: score", total) as advance:
                self.estimates["score"] = estimators.score(self.world, problem, spec.samples, progress=advance)
        if "smoothed" in wanted:
            deviation = spec.noise if spec.loop == "open" else spec.parameter_noise
            with self._phase("estimate: smoothed", total) as advance:
                self.estimates["smoothed"] = estimators.smoothed(
                    self.world, problem, spec.samples, deviation=deviation, progress=advance
                )
        if "mixed" in wanted:
            both: Estimates = {}
            for h in spec.horizons:
                both[h], alpha = estimators.mixed(self.estimates["analytic"][h], self.estimates["score"][h])
                self._row("mixed", h, over_states("alpha", alpha, seed=spec.seed))
            self.estimates["mixed"] = both
        self.estimates = {n: self.estimates[n] for n in estimators.ESTIMATORS if n in wanted}

    def _refer(self) -> Estimates:
        spec, problem = self.spec, self.problem
        if spec.noise == 0.0:
            size = sum(6 * problem.control.size(h) for h in spec.horizons)
            with self._phase("reference: finite differences", spec.states * size) as advance:
                return reference.finite_differences(self.world, problem, progress=advance)
        guess = None
        if "analytic" in self.estimates:
            guess = {h: estimate.mean for h, estimate in self.estimates["analytic"].items()}
        with self._phase("reference: smoothed", spec.states * spec.reference_samples) as advance:
            found = reference.smoothed_reference(
                self.world, problem, spec.reference_samples, guess=guess, progress=advance
            )
        for h, estimate in found.items():
            self._row("reference", h, relative_error(estimate, shared=problem.control.shared, seed=spec.seed))
        return found

    def _compare(self, truth: Estimates) -> None:
        with self._phase("compare"):
            for name, estimates in (*self.estimates.items(), ("reference", truth)):
                for h, estimate in estimates.items():
                    against = None if name == "reference" else truth[h]
                    shared = self.problem.control.shared
                    for measured in compare(estimate, against, shared=shared, seed=self.spec.seed):
                        self._row(name, h, measured)

    def _check_implementation(self) -> None:
        """First-order gradients against differences of what they differentiate, without noise."""
        horizons = tuple(h for h in self.spec.horizons if h <= _PROBE_HORIZON)
        landscapes = {n: x for n, x in self._landscapes().items() if n != "model_detached"}  # that one is no gradient
        if not horizons:
            return
        quiet = reference.at_horizons(self.problem, horizons)
        with self._phase("check implementation", len(landscapes)) as advance:
            for name, landscape in landscapes.items():
                found = estimators.first_order(landscape, quiet, 1)
                errors = reference.slope_error(landscape, quiet, {h: e.mean for h, e in found.items()})
                for h, error in errors.items():
                    median = over_states("self_error", error.median().unsqueeze(0))
                    self._row(name, h, median)
                advance(1)

    def _smoothness(self, truth: Estimates) -> None:
        spec, problem = self.spec, self.problem
        worlds: dict[str, Landscape] = {"truth": self.world}
        if self.model is not None:
            worlds["model"] = self._learned(False)
        towards = {}
        for h, estimate in truth.items():
            mean = torch.where(torch.isfinite(estimate.mean), estimate.mean, 0.0)
            towards[h] = (mean / mean.norm(dim=1, keepdim=True).clamp(min=1e-300)).unsqueeze(0)
        with self._phase("smoothness", 2 * len(worlds)) as advance:
            for name, landscape in worlds.items():
                for kind, directions in (("random", unit_directions(problem, _LINES)), ("gradient", towards)):
                    lipschitz, curvature = directional_smoothness(landscape, problem, directions)
                    for h in spec.horizons:
                        self._row(name, h, over_states(f"lipschitz_{kind}", lipschitz[h], seed=spec.seed))
                        self._row(name, h, over_states(f"curvature_{kind}", curvature[h], seed=spec.seed))
                    advance(1)

    def _stretching(self) -> None:
        """Jacobians along noiseless rollouts, and the model's predictions of these."""
        spec, states = self.spec, min(self.spec.states, self.world.rows)
        longest = max(spec.horizons)
        with self._phase("jacobians and predictions"):
            path, actions, seen = along_rollout(self.world, self.problem, states)
            alive = self._alive_before(seen)
            if self.world.differentiable:
                few = min(states, _JACOBIAN_STATES)
                at = State(*(x[:-1, :few].flatten(0, 1) for x in (path.qpos, path.qvel)))
                found = simulator_jacobians(self.world, at, actions[:, :few].flatten(0, 1))
                self._growth("truth", found.unflatten(0, (longest, few)), alive[:, :few])
            if self.model is None:
                return
            model = self._learned(False)
            rewards = self.world.task.reward(seen[:-1].flatten(0, 1), actions.flatten(0, 1)).unflatten(
                0, actions.shape[:2]
            )
            for metric, values in prediction_errors(model, self.problem, seen, actions, rewards).items():
                for h, error in values.items():
                    error = torch.where(alive[h - 1], error, torch.nan)
                    self._row("model", h, over_states(metric, error, seed=spec.seed))
            size = model.trained.model.latent_dim
            few = max(1, min(states, _JACOBIAN_STATES, _JACOBIAN_ROWS // (size * longest)))
            latents, _ = model.predict(seen[0, :few], actions[:, :few])
            jacobians = latent_jacobians(model, latents[:-1].flatten(0, 1), actions[:, :few].flatten(0, 1))
            self._growth("model", jacobians.unflatten(0, (longest, few)), alive[:, :few])

    def _alive_before(self, seen: torch.Tensor) -> torch.Tensor:
        """Whether a rollout had not terminated before step t, bool ``(H, N)``; what follows no episode would see.

        Args:
            seen: observations o_0 .. o_H, shape ``(H + 1, N, observation_dim)``.
        """
        ended = self.world.task.terminated(seen[:-1].flatten(0, 1)).unflatten(0, (seen.shape[0] - 1, seen.shape[1]))
        ended[0] = False  # rollouts begin within an episode
        return (ended.cumsum(0) == 0) | (not self.spec.termination)

    def _growth(self, name: str, jacobians: torch.Tensor, alive: torch.Tensor) -> None:
        norms, exponents = growth_exponents(jacobians, self.spec.horizons)
        for h in self.spec.horizons:
            for metric, values in (("jacobian_norm", norms[h]), ("growth_exponent", exponents[h])):
                values = torch.where(alive[h - 1], values, torch.nan)
                self._row(name, h, over_states(metric, values, seed=self.spec.seed))

    def _improve(self) -> None:
        spec = self.spec
        samples = max(2, min(_EVALUATION_SAMPLES, spec.samples)) if spec.noise > 0.0 else 1
        work = len(spec.steps) * len(spec.horizons) * (len(self.estimates) + 1) * spec.states * samples
        with self._phase("realised improvement", work) as advance:
            by_step = [
                improvement(self.world, self.problem, self.estimates, step=step, samples=samples, progress=advance)
                for step in spec.steps
            ]
        for h in spec.horizons:
            found = [{name: gain[h][name].unsqueeze(0) for name in self.estimates} for gain in by_step]
            for step, values in zip(spec.steps, found, strict=True):
                self._gains(h, "improvement", values, at=step)
            every = {name: torch.cat([values[name] for values in found]) for name in self.estimates}
            self._gains(h, "line_search", every)

    def _gains(self, horizon: int, metric: str, values: dict[str, torch.Tensor], at: float = math.nan) -> None:
        for name, numbers in gains(metric, values, seed=self.spec.seed).items():
            for measured in numbers:
                self._row(name, horizon, measured, at=at)

    def _row(self, estimator: str, horizon: int, measured: Measured, at: float = math.nan) -> None:
        self.rows.append(
            {"estimator": estimator, "simulator": self.simulator, "horizon": horizon, "at": at} | measured._asdict()
        )

    @contextmanager
    def _phase(self, name: str, total: int = 1) -> Iterator[Callable[[int], None]]:
        done = 0

        def advance(amount: int) -> None:
            nonlocal done
            done += amount
            self.tell(name, done, total)

        self.tell(name, 0, total)
        began = time.perf_counter()
        try:
            yield advance
        finally:
            self.clocks[name] = self.clocks.get(name, 0.0) + time.perf_counter() - began
        self.tell(name, total, total)
