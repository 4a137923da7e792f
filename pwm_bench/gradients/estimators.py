"""Estimators of the gradient of the expected return: through dynamics, by likelihood ratio, by smoothing, and mixed.

With K samples of the noise e (or w) and f_H, F_H as in `pwm_bench.gradients.landscape`:

    first order   1/K sum_k  d f_H(theta; e_k) / d theta                                    `first_order`
    score         1/K sum_k  sum_t  d log pi_theta(a_t | o_t) / d theta  (G_t - b_t)           `score`
    smoothed      1/K sum_k  [f_H(theta + s w_k) - f_H(theta - s w_k)] / (2 s)  w_k         `smoothed`
    mixed         alpha first order + (1 - alpha) score,  alpha by inverse variance          `mixed`

"First order" through a simulator is the analytic (pathwise, reparameterised) gradient; through a world model it is
what PWM uses. Samples run along the axis of worlds; the horizons share rollouts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import torch
from torch import Tensor

from pwm_bench.envs import random
from pwm_bench.envs.errors import UsageError
from pwm_bench.gradients.landscape import Landscape, Problem, batches, exploration, horizon_returns, partial_returns
from pwm_bench.gradients.moments import Estimate, Moments

__all__ = ["Progress", "first_order", "mixed", "mixture_weight", "paired_slopes", "score", "smoothed"]

Progress = Callable[[int], None]
"""Told the rollouts just finished."""
Samples: TypeAlias = "Iterator[tuple[Tensor, dict[int, Tensor]]]"
"""Batches of samples: the start state of each, int64 ``(N,)``, and their gradients for each horizon, ``(N, D)``."""

_SAMPLES, _DIRECTIONS = 1, 2  # streams: exploration noise; smoothing directions (and their noise, the next one)


def first_order(
    landscape: Landscape, problem: Problem, samples: int, *, stream: int = _SAMPLES, progress: Progress | None = None
) -> dict[int, Estimate]:
    """Differentiates every sample's return; one forward pass, one backward pass for each horizon.

    Args:
        landscape: differentiable.
        problem: where. Without noise one sample is taken, whatever ``samples``.
        samples: K for each start state.
        stream: of the noise; the same for estimators that are to see the same samples.
        progress: told of finished rollouts.

    Returns:
        an estimate for each horizon.
    """
    moments = _moments(problem)
    for index, gradients in _first_order_samples(landscape, problem, samples, stream):
        for horizon, gradient in gradients.items():
            moments[horizon].add(index, gradient)
        _tell(progress, len(index))
    return {horizon: m.estimate(exact=problem.noise == 0.0) for horizon, m in moments.items()}


def _first_order_samples(landscape: Landscape, problem: Problem, samples: int, stream: int) -> Samples:
    _check_samples(samples)
    per_state = samples if problem.noise > 0.0 else 1
    for rows, valid in batches(problem.states * per_state, landscape.rows, problem.theta.device):
        index = rows // per_state
        noise = problem.noise * exploration(problem, index, rows % per_state, stream, problem.longest)
        theta = problem.theta[index].detach().requires_grad_()
        rollout = landscape.rollout(problem.starts(index), problem.control, theta, noise)
        values = horizon_returns(rollout, problem.discount, problem.horizons)
        gradients = {}
        for horizon, value in zip(problem.horizons, values, strict=True):
            gradient = torch.zeros_like(theta)
            if value.requires_grad:
                keep = horizon != problem.longest
                (found,) = torch.autograd.grad(value.sum(), theta, retain_graph=keep, allow_unused=True)
                gradient = gradient if found is None else found
            gradient = torch.where(torch.isfinite(value).unsqueeze(1), gradient, torch.nan)
            gradients[horizon] = gradient[:valid, : problem.control.size(horizon)]
        yield index[:valid], gradients


def score(
    landscape: Landscape, problem: Problem, samples: int, *, stream: int = _SAMPLES, progress: Progress | None = None
) -> dict[int, Estimate]:
    """Likelihood-ratio gradient with reward-to-go and a leave-one-out baseline; needs no gradient of the dynamics.

    The policy is Gaussian before clipping, which counts as part of the dynamics, so the estimate is unbiased. G_t is
    the discounted reward from t to H - 1, with the value at the end if there is one; b_t is its mean over the other
    samples of the same start state in the batch.

    Source: Williams, "Simple statistical gradient-following algorithms", 1992; the baseline as in Kool, van Hoof and
    Welling, "Buy 4 REINFORCE samples, get a baseline for free!", 2019.

    Raises:
        UsageError: without noise there is no likelihood.
    """
    moments = _moments(problem)
    for index, gradients in _score_samples(landscape, problem, samples, stream):
        for horizon, gradient in gradients.items():
            moments[horizon].add(index, gradient)
        _tell(progress, len(index))
    return {horizon: m.estimate() for horizon, m in moments.items()}


def _score_samples(landscape: Landscape, problem: Problem, samples: int, stream: int) -> Samples:
    _check_samples(samples)
    if problem.noise == 0.0:
        raise UsageError("noise=0: the score estimator needs exploration noise; give noise > 0 or leave it out")
    for rows, valid in batches(problem.states * samples, landscape.rows, problem.theta.device):
        index = rows // samples
        unit = exploration(problem, index, rows % samples, stream, problem.longest)
        start, theta = problem.starts(index), problem.theta[index].detach()
        with torch.no_grad():
            rollout = landscape.rollout(start, problem.control, theta, problem.noise * unit)
            values = horizon_returns(rollout, problem.discount, problem.horizons)
        theta.requires_grad_()
        slope = unit.transpose(0, 1) / problem.noise  # d log pi / d mu
        sums = partial_returns(rollout.rewards, problem.discount)
        before = torch.cat((torch.zeros_like(sums[:1]), sums[:-1]))
        features = rollout.features.nan_to_num(0.0, 0.0, 0.0).transpose(0, 1)  # steps beyond a horizon weigh 0, not NaN
        # Sum over t of mu_t(theta) . slope_t A_t has the estimator as its gradient, row by row.
        weight = (problem.control.means(theta, features) * slope).sum(2)
        usable = torch.arange(rows.shape[0], device=rows.device) < valid
        gradients = {}
        for horizon, value in zip(problem.horizons, values, strict=True):
            to_go = value - before[:horizon]
            sound = torch.isfinite(to_go).all(0)
            advantage = _leave_one_out(to_go, index, sound & usable).transpose(0, 1)
            (gradient,) = torch.autograd.grad(
                (weight[:, :horizon] * advantage).sum(), theta, retain_graph=horizon != problem.longest
            )
            gradient = torch.where(sound.unsqueeze(1), gradient, torch.nan)
            gradients[horizon] = gradient[:valid, : problem.control.size(horizon)]
        yield index[:valid], gradients


def smoothed(
    landscape: Landscape,
    problem: Problem,
    samples: int,
    *,
    deviation: float,
    stream: int = _DIRECTIONS,
    variate: Mapping[int, Tensor] | None = None,
    progress: Progress | None = None,
) -> dict[int, Estimate]:
    """Antithetic evolution strategies: differences of returns along random directions of the parameters.

    In open loop the directions replace the exploration noise: with ``deviation`` equal to it, this estimates the same
    gradient as the others, clipping included. In closed loop both ends of a pair see the same exploration noise, and
    the gradient is that of the return smoothed over parameters as well.

    Args:
        landscape: where; need not be differentiable.
        problem: at which point.
        samples: rollouts for each start state; an odd one is left out.
        deviation: s.
        stream: of the directions.
        variate: a guess g of the gradient for each horizon, shape ``(S, D)``, that must not depend on these
            directions. Each sample becomes ``([f+ - f-] / (2 s) - g . w) w + g``: the same mean, since E[w w'] = 1, and
            a smaller variance the better the guess.
        progress: told of finished rollouts.

    Source: Salimans et al., "Evolution strategies as a scalable alternative to reinforcement learning", 2017; mirrored
    sampling as in Brockhoff et al., 2010.
    """
    moments = _moments(problem)
    for index, directions, slopes in paired_slopes(
        landscape, problem, samples, deviation=deviation, stream=stream, progress=progress
    ):
        for n, horizon in enumerate(problem.horizons):
            w, slope = directions[:, : problem.control.size(horizon)], slopes[n].unsqueeze(1)
            if variate is None:
                gradient = slope * w
            else:
                guess = variate[horizon][index]
                gradient = (slope - (guess * w).sum(1, keepdim=True)) * w + guess
            moments[horizon].add(index, gradient)
    return {horizon: m.estimate(rollouts=2) for horizon, m in moments.items()}


def paired_slopes(
    landscape: Landscape,
    problem: Problem,
    samples: int,
    *,
    deviation: float,
    stream: int,
    progress: Progress | None = None,
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Rolls mirrored pairs out, a batch at a time.

    Yields:
        start states of the pairs, int64 ``(N,)``; directions w, ``(N, D)``; ``(f+ - f-) / (2 s)`` for each horizon,
        ``(len(horizons), N)``.
    """
    _check_samples(samples)
    pairs = samples // 2
    if not pairs:
        raise UsageError(f"samples={samples}: the smoothed estimator takes pairs; give at least 2")
    if not deviation > 0.0:
        raise UsageError(f"deviation={deviation}: smoothing needs a positive deviation")
    half = landscape.rows // 2
    if not half:
        raise UsageError("the smoothed estimator needs at least 2 worlds at a time")
    for rows, valid in batches(problem.states * pairs, half, problem.theta.device):
        index, pair = rows // pairs, rows % pairs
        directions = _directions(problem, index, pair, stream)
        # With an odd number of worlds the last one idles.
        double = torch.cat((torch.arange(half), torch.arange(half), torch.zeros(landscape.rows % 2, dtype=torch.int64)))
        double = double.to(index.device)
        sign = torch.ones_like(double, dtype=directions.dtype)
        sign[half:] = -1.0
        theta = problem.theta[index][double] + deviation * sign.unsqueeze(1) * directions[double]
        if problem.control.shared and problem.noise > 0.0:
            noise = problem.noise * exploration(problem, index, pair, stream + 1, problem.longest)[:, double]
        else:
            noise = theta.new_zeros(problem.longest, landscape.rows, problem.action_dim)
        with torch.no_grad():
            rollout = landscape.rollout(problem.starts(index[double]), problem.control, theta, noise)
            values = torch.stack(horizon_returns(rollout, problem.discount, problem.horizons))
        slopes = (values[:, :half] - values[:, half : 2 * half]) / (2.0 * deviation)
        _tell(progress, 2 * valid)
        yield index[:valid], directions[:valid], slopes[:, :valid]


def mixture_weight(first: Estimate, zeroth: Estimate) -> Tensor:
    """How much a first-order estimate counts beside a zeroth-order one, state by state.

    ``alpha = V0 / (V0 + V1)`` for the variances V of the two means, which would give the least variance if these were
    independent. Where the first-order estimate has samples that are not finite, alpha is 0.

    Source: Suh et al., "Do differentiable simulators give better policy gradients?", ICML 2022, section 5, without
    their bound on the bias.

    Returns:
        alpha, shape ``(S,)``.
    """
    v1, v0 = first.noise, zeroth.noise
    broken = (first.rejected > 0) | ~torch.isfinite(first.mean).all(1) | ~torch.isfinite(v1)
    return torch.where(broken, 0.0, torch.where(v0 + v1 > 0.0, v0 / (v0 + v1), 1.0))


def mixed(
    landscape: Landscape,
    problem: Problem,
    samples: int,
    weights: Mapping[int, Tensor],
    *,
    stream: int = _SAMPLES,
    progress: Progress | None = None,
) -> dict[int, Estimate]:
    """Mixes each sample's first-order gradient with its score gradient.

    So the variance is that of the mixture, in which the two are correlated, since they see the same noise; that alpha
    was chosen by the same samples is not in it. The result has alpha times the bias of the first-order estimate, which
    no variance shows.

    Args:
        landscape: differentiable.
        problem: where.
        samples: K for each start state.
        weights: alpha for each horizon, shape ``(S,)``, see `mixture_weight`.
        stream: of the noise.
        progress: told of finished rollouts.
    """
    moments = _moments(problem)
    both = (take(landscape, problem, samples, stream) for take in (_first_order_samples, _score_samples))
    for (index, first), (_, zeroth) in zip(*both, strict=True):
        for horizon, weight in weights.items():
            alpha = weight[index].unsqueeze(1)
            blend = alpha * first[horizon] + (1.0 - alpha) * zeroth[horizon]
            moments[horizon].add(index, torch.where(alpha > 0.0, blend, zeroth[horizon]))
        _tell(progress, 2 * len(index))
    return {horizon: m.estimate() for horizon, m in moments.items()}


def _directions(problem: Problem, index: Tensor, sample: Tensor, stream: int) -> Tensor:
    """Standard normal directions w, shape ``(N, D)``; in open loop those of a shorter horizon begin a longer one's."""
    if not problem.control.shared:
        return exploration(problem, index, sample, stream, problem.longest).transpose(0, 1).flatten(1)
    key = random.fold(random.seed_keys((problem.seed,), index.device), stream)
    keys = random.fold(random.fold(key, index), sample)
    return random.normal(keys, problem.theta.shape[1], problem.theta.dtype)


def _leave_one_out(values: Tensor, index: Tensor, counts: Tensor) -> Tensor:
    """Subtracts from ``(T, N)`` the mean of the other rows with the same index; rows that do not count become 0."""
    kept = torch.where(counts, values, 0.0)
    first = int(index[0])
    groups = int(index[-1]) - first + 1
    local = index - first
    number = kept.new_zeros(groups).index_add_(0, local, counts.to(kept.dtype))[local]
    total = kept.new_zeros(kept.shape[0], groups).index_add_(1, local, kept)[:, local]
    baseline = (total - kept) / (number - 1.0).clamp(min=1.0)
    return torch.where(counts, kept - baseline, 0.0)


def _moments(problem: Problem) -> dict[int, Moments]:
    control = problem.control
    return {h: Moments(problem.states, control.size(h), problem.theta) for h in problem.horizons}


def _check_samples(samples: int) -> None:
    if samples < 1:
        raise UsageError(f"samples={samples}: must be at least 1")


def _tell(progress: Progress | None, rollouts: int) -> None:
    if progress is not None:
        progress(rollouts)
