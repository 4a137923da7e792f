"""Checks of a gradient estimator on a problem whose gradient is known."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from torch import Tensor

from pwm_bench.gradients.landscape import Problem
from pwm_bench.gradients.offered import Estimates, Estimator, with_prerequisites
from pwm_bench.gradients.scene import Scene
from pwm_bench.gradients.simulated import SimulatedWorld
from pwm_bench.gradients.spec import Comparison
from pwm_bench.testing.quadratic import point_mass, quadratic_answer, quadratic_problem

__all__ = ["check_estimator"]


class _Quadratic:
    """A point mass with quadratic reward, as the scene of a comparison."""

    def __init__(self, spec: Comparison, world: SimulatedWorld, problem: Problem) -> None:
        self.spec, self.world, self.problem = spec, world, problem

    def learned(self, detach: bool) -> SimulatedWorld:
        """A perfect world model."""
        return self.world


def check_estimator(estimator: str, *, samples: int = 4000, deviations: float = 4.5) -> None:
    """Checks an estimator's mean, variance and counts on a linear-quadratic problem, whose gradient is known.

    Args:
        estimator: its name.
        samples: K at each of three start states.
        deviations: how many standard errors a component may be off.

    Raises:
        AssertionError: it does not conform.
        UsageError: there is no such estimator.
    """
    for noise in (0.1, 0.0):
        found = _estimated(estimator, samples, noise)
        if found is None:
            continue
        problem, estimates = found
        assert set(estimates) == set(problem.horizons), (
            f"{estimator}: estimates for the horizons {sorted(estimates)}, not {list(problem.horizons)}"
        )
        for horizon, estimate in estimates.items():
            truth, _ = quadratic_answer(problem, horizon)
            for name, tensor in (("mean", estimate.mean), ("variance", estimate.variance)):
                assert tensor.shape == truth.shape, (
                    f"{estimator}: {name} is {tuple(tensor.shape)}, not {tuple(truth.shape)}"
                )
            assert (estimate.count > 0).all() and not estimate.rejected.any(), f"{estimator}: samples were rejected"  # noqa: PT018
            error = (estimate.mean - truth).abs()
            allowed = deviations * estimate.standard_error + 1e-9 * truth.abs().max()
            worst = (error / allowed).max()
            assert worst < 1.0, (
                f"{estimator}: at horizon {horizon} (noise {noise}) a component is {deviations * worst:.1f} standard "
                f"errors from the gradient; {deviations} are allowed"
            )


def _estimated(name: str, samples: int, noise: float) -> tuple[Problem, Estimates] | None:
    """The problem and the estimates; None where the estimator needs noise and there is none."""
    known = with_prerequisites((name,))
    if noise == 0.0 and any("noise" in one.needs for one in known.values()):
        return None
    problem = replace(quadratic_problem(), noise=noise)
    world = point_mass(2000)
    spec = Comparison(
        task="cartpole",  # any: the scene has another
        estimators=("analytic",),
        states=problem.states,
        samples=samples,
        noise=noise,
        horizons=problem.horizons,
        discount=problem.discount,
    )
    scene = cast(Scene, _Quadratic(spec, world, problem))
    found: dict[str, Estimates] = {}
    for other, one in known.items():
        _check_declaration(other, one)
        told: list[int] = []
        found[other] = one.estimate(scene, found, told.append, _note)
        due = one.rollouts(spec)
        assert sum(told) <= due, f"{other}: announces {due} rollouts and tells of {sum(told)}"
    return problem, found[name]


def _check_declaration(name: str, one: Estimator) -> None:
    unknown = one.needs - {"gradient", "model", "noise"}
    assert not unknown, f"{name}: needs {sorted(unknown)}, which a comparison does not have"
    assert set(one.loops) <= {"open", "closed"} and one.loops, f"{name}: loops={one.loops} must be of open, closed"  # noqa: PT018


def _note(horizon: int, metric: str, values: Tensor) -> None:
    assert values.dim() == 1, f"{metric}: must have a value for each start state"
