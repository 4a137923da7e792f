"""One comparison in one simulator: estimates, reference, and everything that is measured about them, in pieces."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any

import torch

from pwm_bench.envs.simulator import State
from pwm_bench.gradients import estimators, reference
from pwm_bench.gradients.jacobians import along_rollout, growth_exponents, latent_jacobians, simulator_jacobians
from pwm_bench.gradients.keeping import Ledger
from pwm_bench.gradients.landscape import Landscape
from pwm_bench.gradients.metrics import Measured, compare, gains, over_states, relative_error
from pwm_bench.gradients.moments import Estimate
from pwm_bench.gradients.offered import ESTIMATORS, Estimates, with_prerequisites
from pwm_bench.gradients.scene import Scene
from pwm_bench.gradients.smoothness import directional_smoothness, improvement, prediction_errors, unit_directions
from pwm_bench.gradients.spec import Comparison
from pwm_bench.gradients.starts import Act

__all__ = ["Measurement"]

_JACOBIAN_STATES = 16
_JACOBIAN_ROWS = 200_000  # vector-Jacobian products in a latent space; fewer states where it is large
_LINES = 3  # random directions along which smoothness is measured
_EVALUATION_SAMPLES = 8  # shared by all estimators, so that differences between them are precise
_PROBE_HORIZON = 16  # beyond it differences of a stiff simulator say little about the gradient's implementation


class Measurement(Scene):
    """A comparison under way in one simulator.

    Args:
        spec: the comparison.
        simulator: the truth.
        device: where.
        ledger: takes the rows.
        first: the measurement in the first simulator; None if this is it.
        act: see `Scene`.

    Attributes:
        estimators: those asked for, and those that they start from.
        estimates: estimator -> horizon -> what was estimated so far.
        truth: horizon -> the reference, once it is there.

    Raises:
        UsageError: see `Scene`.
    """

    def __init__(
        self,
        spec: Comparison,
        simulator: str,
        device: torch.device,
        ledger: Ledger,
        first: Measurement | None = None,
        act: Act | None = None,
    ) -> None:
        super().__init__(spec, simulator, device, first, act)
        self.ledger = ledger
        self.estimators = with_prerequisites(spec.estimators)
        self.estimates: dict[str, Estimates] = {}
        self.truth: Estimates = {}

    def pieces(self) -> dict[str, Callable[[], None]]:
        """What there is to do, by name, in order."""
        spec = self.spec
        found: dict[str, Callable[[], None]] = {"start states": self._begin}
        if spec.bootstrap is not None:
            found["value at the end"] = self._find_value
        for name in self.estimators:
            found[f"estimate: {name}"] = partial(self._estimate, name)
        found["reference"] = self._refer
        found["compare"] = self._compare
        if self._probed:
            found["check implementation"] = self._check_implementation
        for name in ("truth", *(["model"] if spec.models else [])):
            found[f"smoothness: {name}"] = partial(self._smoothness, name)
        found["jacobians and predictions"] = self._stretching
        found["realised improvement"] = self._improve
        return found

    def state_dict(self) -> dict[str, Any]:
        """What was found so far, besides rows."""
        estimates = {name: _packed(by_horizon) for name, by_horizon in self.estimates.items()}
        return {**super().state_dict(), "estimates": estimates, "truth": _packed(self.truth)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        super().load_state_dict(state)
        self.estimates = {name: self._unpacked(estimates) for name, estimates in state["estimates"].items()}
        self.truth = self._unpacked(state["truth"])

    def _unpacked(self, state: Mapping[int, Mapping[str, torch.Tensor]]) -> Estimates:
        return {h: Estimate(**tensors).to(self.device) for h, tensors in state.items()}

    def _begin(self) -> None:
        if self.model is not None:
            for name, value in self.model.description.get("losses", {}).items():
                self._row("model", 0, Measured(name, math.nan if value is None else value))
        self.start = self.find_start()

    def _find_value(self) -> None:
        value = self.find_value(self.ledger.progress)
        explained = value.description.get("explained_variance", math.nan)
        self._row("value", 0, Measured("explained_variance", explained))
        self.value = value

    def _estimate(self, name: str) -> None:
        one = self.estimators[name]

        def note(horizon: int, metric: str, values: torch.Tensor) -> None:
            self._row(name, horizon, over_states(metric, values, seed=self.spec.seed))

        progress = self.ledger.progress(one.rollouts(self.spec))
        self.estimates[name] = one.estimate(self, self.estimates, progress, note)

    @property
    def ordered(self) -> dict[str, Estimates]:
        """The estimates in the order of `offered.ESTIMATORS`."""
        names = dict.fromkeys((*ESTIMATORS, *self.estimates))
        return {name: self.estimates[name] for name in names if name in self.estimates}

    def _refer(self) -> None:
        spec, problem = self.spec, self.problem
        if spec.noise == 0.0:
            size = sum(6 * problem.control.size(h) for h in spec.horizons)
            progress = self.ledger.progress(spec.states * size)
            self.truth = reference.finite_differences(self.world, problem, progress=progress)
            return
        exact = [name for name, one in self.estimators.items() if one.differentiates(self) is self.world]
        guess = {h: estimate.mean for h, estimate in self.estimates[exact[0]].items()} if exact else None
        progress = self.ledger.progress(spec.states * spec.reference_samples)
        found = reference.smoothed_reference(
            self.world, problem, spec.reference_samples, guess=guess, progress=progress
        )
        for h, estimate in found.items():
            self._row("reference", h, relative_error(estimate, shared=problem.control.shared, seed=spec.seed))
        self.truth = found

    def _compare(self) -> None:
        for name, estimates in (*self.ordered.items(), ("reference", self.truth)):
            for h, estimate in estimates.items():
                against = None if name == "reference" else self.truth[h]
                shared = self.problem.control.shared
                for measured in compare(estimate, against, shared=shared, seed=self.spec.seed):
                    self._row(name, h, measured)

    @cached_property
    def _probed(self) -> tuple[int, ...]:
        """Horizons at which the implementation is checked."""
        return tuple(h for h in self.spec.horizons if h <= _PROBE_HORIZON)

    def _check_implementation(self) -> None:
        """First-order gradients against differences of what they differentiate, without noise."""
        given = {name: one.differentiates(self) for name, one in self.estimators.items()}
        exact = {name: landscape for name, landscape in given.items() if landscape is not None}
        quiet = reference.at_horizons(self.problem, self._probed)
        advance = self.ledger.progress(len(exact))
        for name, landscape in exact.items():
            found = estimators.first_order(landscape, quiet, 1)
            errors = reference.slope_error(landscape, quiet, {h: e.mean for h, e in found.items()})
            for h, error in errors.items():
                median = over_states("self_error", error.quantile(0.5).unsqueeze(0))
                self._row(name, h, median)
            advance(1)

    def _smoothness(self, name: str) -> None:
        spec, problem = self.spec, self.problem
        landscape: Landscape = self.world if name == "truth" else self.learned(False)
        towards = {}
        for h, estimate in self.truth.items():
            towards[h] = (estimate.mean / estimate.mean.norm(dim=1, keepdim=True)).unsqueeze(0)
        advance = self.ledger.progress(2)
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
        path, actions, seen = along_rollout(self.world, self.problem, states)
        alive = self._alive_before(seen)
        if self.world.differentiable:
            few = min(states, _JACOBIAN_STATES)
            at = State(*(x[:-1, :few].flatten(0, 1) for x in (path.qpos, path.qvel)))
            found = simulator_jacobians(self.world, at, actions[:, :few].flatten(0, 1))
            self._growth("truth", found.unflatten(0, (longest, few)), alive[:, :few])
        if self.model is None:
            return
        model = self.learned(False)
        rewards = self.world.task.reward(seen[:-1].flatten(0, 1), actions.flatten(0, 1)).unflatten(0, actions.shape[:2])
        for metric, values in prediction_errors(model, self.problem, seen, actions, rewards, alive).items():
            for h, error in values.items():
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
        ended = self.world.terminated(seen[:-1].flatten(0, 1)).unflatten(0, (seen.shape[0] - 1, seen.shape[1]))
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
        estimates, advance = self.ordered, self.ledger.progress(work)
        by_step = [
            improvement(self.world, self.problem, estimates, step=step, samples=samples, progress=advance)
            for step in spec.steps
        ]
        for h in spec.horizons:
            found = [{name: gain[h][name].unsqueeze(0) for name in estimates} for gain in by_step]
            for step, values in zip(spec.steps, found, strict=True):
                self._gains(h, "improvement", values, at=step)
            every = {name: torch.cat([values[name] for values in found]) for name in estimates}
            self._gains(h, "line_search", every)

    def _gains(self, horizon: int, metric: str, values: dict[str, torch.Tensor], at: float = math.nan) -> None:
        for name, numbers in gains(metric, values, seed=self.spec.seed).items():
            for measured in numbers:
                self._row(name, horizon, measured, at=at)

    def _row(self, estimator: str, horizon: int, measured: Measured, at: float = math.nan) -> None:
        metric, value, low, high, state = measured
        self.ledger.add(
            estimator, metric, value, low, high, simulator=self.simulator, horizon=horizon, state=state, at=at
        )


def _packed(estimates: Estimates) -> dict[int, dict[str, torch.Tensor]]:
    return {h: estimate.state_dict() for h, estimate in estimates.items()}
