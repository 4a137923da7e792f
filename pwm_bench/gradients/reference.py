"""What estimates are measured against: finite differences, MuJoCo's Jacobians, a large-sample smoothed gradient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import mujoco
import numpy as np
import torch
from torch import Tensor

from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.simulator import State
from pwm_bench.gradients.estimators import Progress, paired_slopes, score, smoothed
from pwm_bench.gradients.landscape import Landscape, Problem, batches, returns
from pwm_bench.gradients.moments import Estimate

__all__ = ["at_horizons", "finite_differences", "slope_error", "smoothed_reference", "transition_jacobians"]

STEPS = (1e-4, 1e-5, 1e-6)
"""Step lengths of central differences; several, so that one that straddles a kink shows."""
_REFERENCE, _PILOT, _PROBE = 11, 21, 31  # streams of random numbers, apart from the estimators'
_PILOT_SAMPLES = 64


def finite_differences(
    landscape: Landscape, problem: Problem, *, steps: tuple[float, ...] = STEPS, progress: Progress | None = None
) -> dict[int, Estimate]:
    """Central differences of the return without noise, parameter by parameter.

    Of neighbouring step lengths, each parameter takes the two whose values agree best, and of these the shorter, so the
    choice does not look at any estimate.

    Args:
        landscape: any; in float64, or the differences are worth little.
        problem: where; its noise is not used.
        steps: step lengths, descending, at least two.
        progress: told of finished rollouts.

    Returns:
        for each horizon the gradient, with variance 0 and count 1.
    """
    result = {}
    for horizon in problem.horizons:
        size = problem.control.size(horizon)
        gradient = problem.theta.new_empty(problem.states * size)
        for rows, valid in batches(problem.states * size, landscape.rows, problem.theta.device):
            slopes = [_central(landscape, problem, rows // size, rows % size, step, horizon) for step in steps]
            found = torch.stack(slopes)
            best = (found[1:] - found[:-1]).abs().nan_to_num(torch.inf).argmin(0, keepdim=True) + 1
            gradient[rows[:valid]] = found.gather(0, best)[0, :valid]
            if progress is not None:
                progress(2 * len(steps) * valid)
        mean = gradient.unflatten(0, (problem.states, size))
        finite = torch.isfinite(mean).all(1).to(mean.dtype)
        result[horizon] = Estimate(mean, torch.zeros_like(mean), finite, 1.0 - finite)
    return result


def _central(
    landscape: Landscape, problem: Problem, index: Tensor, parameter: Tensor, step: float, horizon: int
) -> Tensor:
    """Central differences of rows' returns, each by one parameter, shape ``(N,)``."""
    values = []
    for sign in (1.0, -1.0):
        theta = problem.theta[index].clone()
        theta[torch.arange(index.shape[0], device=index.device), parameter] += sign * step
        values.append(returns(landscape, problem, theta, index, horizons=(horizon,))[0])
    return (values[0] - values[1]) / (2.0 * step)


def slope_error(
    landscape: Landscape,
    problem: Problem,
    gradients: Mapping[int, Tensor],
    *,
    directions: int = 2,
    steps: tuple[float, ...] = STEPS,
) -> dict[int, Tensor]:
    """How far a first-order gradient is from central differences of the very function it differentiates.

    A check of the implementation, cheap enough for every study: slopes along random directions without noise.

    Args:
        landscape: the one the gradient was taken of.
        problem: where.
        gradients: without noise, for each horizon, shape ``(S, D)``.
        directions: random directions for each state.
        steps: step lengths; the difference nearest to the gradient's slope counts, since one that straddles the onset
            of a contact is wrong itself.

    Returns:
        for each horizon the largest error over directions relative to the largest slope, shape ``(S,)``.
    """
    states, device = problem.states, problem.theta.device
    index = torch.arange(states, device=device).repeat_interleave(directions)
    generator = torch.Generator().manual_seed(problem.seed + _PROBE)
    unit = torch.randn(index.shape[0], problem.theta.shape[1], generator=generator, dtype=torch.float64)
    unit = unit.to(device, problem.theta.dtype)
    theta = problem.theta[index]
    differences = torch.stack(
        [
            (
                returns(landscape, problem, theta + e * unit, index)
                - returns(landscape, problem, theta - e * unit, index)
            )
            / (2.0 * e)
            for e in steps
        ]
    )
    errors = {}
    for n, horizon in enumerate(problem.horizons):
        size = problem.control.size(horizon)
        slope = (gradients[horizon][index] * unit[:, :size]).sum(1)
        found = differences[:, n]
        nearest = (found - slope).abs().argmin(0, keepdim=True)
        numeric = found.gather(0, nearest)[0].unflatten(0, (states, directions))
        gap = (slope.unflatten(0, (states, directions)) - numeric).abs().amax(1)
        scale = numeric.abs().amax(1)
        errors[horizon] = torch.where((gap == 0.0) & (scale == 0.0), 0.0, gap / scale)
    return errors


def smoothed_reference(
    landscape: Landscape,
    problem: Problem,
    samples: int,
    *,
    guess: Mapping[int, Tensor] | None = None,
    progress: Progress | None = None,
) -> dict[int, Estimate]:
    """The gradient of the expected return by many samples of its own, unbiased, with its standard error.

    In open loop mirrored smoothing of the actions, in closed loop the score function; neither differentiates the
    dynamics. In open loop a guess may serve as a control variate: it is scaled by the slope of a regression on pilot
    samples that are used for nothing else, so even a wrong guess leaves the mean right.

    Args:
        landscape: the truth.
        problem: where; needs noise.
        samples: rollouts for each start state.
        guess: gradients that do not depend on these samples, e.g. analytic ones, for each horizon ``(S, D)``.
        progress: told of finished rollouts.
    """
    if problem.control.shared:
        return score(landscape, problem, samples, stream=_REFERENCE, progress=progress)
    variate = None if guess is None else _scaled(landscape, problem, guess)
    return smoothed(
        landscape,
        problem,
        samples,
        deviation=problem.noise,
        stream=_REFERENCE,
        variate=variate,
        progress=progress,
    )


def _scaled(landscape: Landscape, problem: Problem, guess: Mapping[int, Tensor]) -> dict[int, Tensor]:
    """Guesses times the regression slope of returns on them, state by state; zero where a guess is of no use."""
    horizons = problem.horizons
    clean = {h: torch.where(torch.isfinite(g).all(1, keepdim=True), g, 0.0) for h, g in guess.items()}
    dots = problem.theta.new_zeros(len(horizons), problem.states)
    squares = torch.zeros_like(dots)
    for index, directions, slopes in paired_slopes(
        landscape, problem, _PILOT_SAMPLES, deviation=problem.noise, stream=_PILOT
    ):
        for n, horizon in enumerate(horizons):
            x = (clean[horizon][index] * directions[:, : problem.control.size(horizon)]).sum(1)
            y = torch.where(torch.isfinite(slopes[n]), slopes[n], 0.0)
            dots[n].index_add_(0, index, x * y)
            squares[n].index_add_(0, index, x * x)
    slope = torch.where(squares > 0.0, dots / squares, 0.0).clamp(0.0, 1.0)
    return {h: slope[n].unsqueeze(1) * clean[h] for n, h in enumerate(horizons)}


def at_horizons(problem: Problem, horizons: tuple[int, ...]) -> Problem:
    """The same problem without noise and at other horizons, none of them beyond its longest."""
    return replace(problem, noise=0.0, horizons=horizons)


def transition_jacobians(
    model: mujoco.MjModel, state: State, ctrl: Tensor, *, substeps: int, step: float = 1e-6
) -> tuple[Tensor, Tensor]:
    """Jacobians of one control step by MuJoCo's own centred differences, `mujoco.mjd_transitionFD`.

    Args:
        model: with the timestep of a substep.
        state: states, shapes ``(N, nq)`` and ``(N, nv)``.
        ctrl: shape ``(N, nu)``, held for all substeps.
        substeps: substeps whose Jacobians are chained.
        step: length of the differences.

    Returns:
        d x' / d x, shape ``(N, 2 nv, 2 nv)``, in tangent coordinates (positions' increments, then velocities), and
        d x' / d ctrl, shape ``(N, 2 nv, nu)``. Float64.

    Raises:
        UsageError: the model has actuators with state.
    """
    if model.na:
        raise UsageError("the model has actuators with activation states: its state is more than (qpos, qvel)")
    size, data = 2 * model.nv, mujoco.MjData(model)
    qpos, qvel, control = (x.detach().cpu().double().numpy() for x in (state.qpos, state.qvel, ctrl))
    a, b = np.zeros((size, size)), np.zeros((size, model.nu))
    by_state, by_ctrl = [], []
    for n in range(qpos.shape[0]):  # an oracle for tests and checks: MuJoCo offers it one state at a time
        mujoco.mj_resetData(model, data)
        data.qpos[:], data.qvel[:], data.ctrl[:] = qpos[n], qvel[n], control[n]
        total, forced = np.eye(size), np.zeros((size, model.nu))
        for _ in range(substeps):
            mujoco.mjd_transitionFD(model, data, step, True, a, b, None, None)
            total, forced = a @ total, a @ forced + b
            mujoco.mj_step(model, data)
        by_state.append(total)
        by_ctrl.append(forced)
    return torch.from_numpy(np.stack(by_state)), torch.from_numpy(np.stack(by_ctrl))
