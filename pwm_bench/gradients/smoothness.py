"""How smooth a return is, how well a model predicts it, and what a step along an estimate gains.

Lengths of steps in parameter space are given per parameter: a step of r moves theta by r sqrt(D) in all.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pwm_bench.gradients.estimators import Progress
from pwm_bench.gradients.landscape import Landscape, Problem, exploration, partial_returns, returns
from pwm_bench.gradients.learned import LearnedWorld
from pwm_bench.gradients.moments import Estimate

__all__ = ["directional_smoothness", "improvement", "prediction_errors", "unit_directions"]

_EVALUATION, _LINES = 41, 51  # streams of random numbers
_POINTS = 17


def directional_smoothness(
    landscape: Landscape,
    problem: Problem,
    directions: Mapping[int, Tensor],
    *,
    radius: float = 0.1,
    points: int = _POINTS,
) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
    """Local Lipschitz constant and curvature of the noiseless return along lines through theta.

    On ``points`` equidistant offsets within +-radius: the largest slope between neighbours, and the largest second
    difference. Both are lower bounds of the true suprema on the line.

    Args:
        landscape: simulator or model.
        problem: where.
        directions: for each horizon, shape ``(K, S, D_h)``, of length 1; zero or not finite where there is none.
        radius: half the line's length per parameter.
        points: odd.

    Returns:
        for each horizon the Lipschitz constant and the curvature, averaged over the K directions, shape ``(S,)``; NaN
        where there is no direction.
    """
    lipschitz, curvature = {}, {}
    states, device, dtype = problem.states, problem.theta.device, problem.theta.dtype
    offsets = torch.linspace(-1.0, 1.0, points, dtype=dtype, device=device)
    for horizon, units in directions.items():
        number, _, size = units.shape
        there = torch.isfinite(units).all(2) & units.any(2)
        units = torch.where(there.unsqueeze(2), units, 0.0)
        reach = radius * size**0.5
        # rows: direction, state, point
        moved = problem.theta.view(1, states, 1, -1).repeat(number, 1, points, 1)
        moved[..., :size] += reach * offsets.view(1, 1, -1, 1) * units.unsqueeze(2)
        index = torch.arange(states, device=device).view(1, states, 1).expand(number, states, points).flatten()
        values = returns(landscape, problem, moved.flatten(0, 2), index, horizons=(horizon,))[0]
        values = values.view(number, states, points)
        spacing = 2.0 * reach / (points - 1)
        values = torch.where(there.unsqueeze(2), values, torch.nan)
        lipschitz[horizon] = (values.diff(dim=2).abs().amax(2) / spacing).mean(0)
        curvature[horizon] = (values.diff(n=2, dim=2).abs().amax(2) / spacing**2).mean(0)
    return lipschitz, curvature


def unit_directions(problem: Problem, number: int) -> dict[int, Tensor]:
    """Random directions of length 1 for each horizon, shape ``(number, S, D_h)``."""
    generator = torch.Generator().manual_seed(problem.seed + _LINES)
    size = problem.theta.shape[1]
    drawn = torch.randn(number, problem.states, size, generator=generator, dtype=torch.float64)
    drawn = drawn.to(problem.theta.device, problem.theta.dtype)
    found = {}
    for horizon in problem.horizons:
        part = drawn[..., : problem.control.size(horizon)]
        found[horizon] = part / part.norm(dim=2, keepdim=True)
    return found


def prediction_errors(
    model: LearnedWorld, problem: Problem, observations: Tensor, actions: Tensor, rewards: Tensor, alive: Tensor
) -> dict[str, dict[int, Tensor]]:
    """Errors of a model's open-loop predictions after k steps, in units of how much the truth varies.

    Steps after an episode's end, and states that are not finite, are in no error and in no unit.

    Args:
        model: the world model.
        problem: gives horizons k and the discount.
        observations: true o_0 .. o_H, shape ``(H + 1, N, observation_dim)``.
        actions: shape ``(H, N, A)``.
        rewards: true r_0 .. r_{H-1}, shape ``(H, N)``.
        alive: whether the episode had not ended before step t, bool ``(H, N)``.

    Returns:
        metric -> horizon -> ``(N,)``: ``latent_error`` |z_k - E(o_k)| over the root mean square distance of the E(o)
        from their mean; ``reward_error`` |R_{k-1} - r_{k-1}| over the deviation of r; ``return_error`` likewise of the
        discounted sum of k rewards; with a value at the end of a horizon also ``value_error`` |V(z_k) - V(E(o_k))| over
        the deviation of V(E(o)). NaN where the episode has ended, or where the truth does not vary.
    """
    latents, predicted = model.predict(observations[0], actions)
    truth = model.trained.encode(observations.flatten(0, 1)).unflatten(0, observations.shape[:2])
    counted = torch.cat((torch.ones_like(alive[:1]), alive)) & torch.isfinite(truth).all(-1)  # o_0 .. o_H
    seen = truth[counted]
    spread = _unit((seen - seen.mean(0)).square().sum(-1).mean().sqrt())
    reward_unit = _deviation(rewards[alive])
    true_returns, model_returns = (partial_returns(r, problem.discount) for r in (rewards, predicted))
    found: dict[str, dict[int, Tensor]] = {"latent_error": {}, "reward_error": {}, "return_error": {}}
    values = None if model.value is None else model.value(truth.flatten(0, 1)).unflatten(0, truth.shape[:2])
    if values is not None:
        found["value_error"] = {}
    for k in problem.horizons:
        of_k = {
            "latent_error": (latents[k] - truth[k]).norm(dim=1) / spread,
            "reward_error": (predicted[k - 1] - rewards[k - 1]).abs() / reward_unit,
            "return_error": (model_returns[k - 1] - true_returns[k - 1]).abs()
            / _deviation(true_returns[k - 1][alive[k - 1]]),
        }
        if values is not None and model.value is not None:
            of_k["value_error"] = (model.value(latents[k]) - values[k]).abs() / _deviation(values[counted])
        for metric, error in of_k.items():
            found[metric][k] = torch.where(alive[k - 1], error, torch.nan)
    return found


def _deviation(values: Tensor) -> Tensor:
    """Standard deviation of the finite ones of ``(N,)`` as a unit."""
    values = values[torch.isfinite(values)]
    return _unit(values.std() if len(values) > 1 else values.new_tensor(0.0))


def _unit(spread: Tensor) -> Tensor:
    """A spread to divide by; NaN where nothing varies."""
    return torch.where(spread > 1e-12, spread, torch.nan)


def improvement(
    landscape: Landscape,
    problem: Problem,
    estimates: Mapping[str, Mapping[int, Estimate]],
    *,
    step: float,
    samples: int,
    progress: Progress | None = None,
) -> dict[int, dict[str, Tensor]]:
    """True change of the expected return after a step of given length along each estimate's direction.

    In open loop every start state steps along its own estimate, in closed loop all step along their mean. All
    estimators see the same exploration noise, before and after the step, and none saw it before.

    Args:
        landscape: the truth.
        problem: where.
        estimates: name -> horizon -> estimate.
        step: length per parameter.
        samples: noise samples for each state; 1 where there is no noise.
        progress: told of finished rollouts.

    Returns:
        horizon -> name -> change of return for each start state, shape ``(S,)``; NaN where the estimate is not finite
        or zero.
    """
    states, device = problem.states, problem.theta.device
    samples = samples if problem.noise > 0.0 else 1
    names = list(estimates)
    found: dict[int, dict[str, Tensor]] = {}
    for horizon in problem.horizons:
        size = problem.control.size(horizon)
        moved = [problem.theta]
        for name in names:
            mean = estimates[name][horizon].mean
            if problem.control.shared:
                finite = torch.isfinite(mean).all(1)
                mean = mean[finite].mean(0, keepdim=True).expand(states, -1)
            theta = problem.theta.clone()
            theta[:, :size] += step * size**0.5 * mean / mean.norm(dim=1, keepdim=True)
            moved.append(theta)
        # rows: variant, state, sample
        variants = len(moved)
        theta = torch.stack(moved).repeat_interleave(samples, dim=1).flatten(0, 1)
        index = torch.arange(states, device=device).repeat_interleave(samples).repeat(variants)
        sample = torch.arange(samples, device=device).repeat(states * variants)
        noise = None
        if problem.noise > 0.0:
            noise = problem.noise * exploration(problem, index, sample, _EVALUATION, horizon)
        usable = torch.isfinite(theta).all(1)
        values = returns(
            landscape, problem, torch.where(usable.unsqueeze(1), theta, 0.0), index, noise, horizons=(horizon,)
        )[0]
        values = torch.where(usable, values, torch.nan).view(variants, states, samples).mean(2)
        found[horizon] = {name: values[n + 1] - values[0] for n, name in enumerate(names)}
        if progress is not None:
            progress(theta.shape[0])
    return found
