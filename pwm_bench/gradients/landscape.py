"""The return as a function of parameters, in a simulator or in a model: what all gradient estimators look at.

For a start state s_0, parameters theta and exploration noise e,

    f_H(theta; s_0, e) = sum_{t<H} gamma^t r_t,     a_t = clip(mu_theta(t, o_t) + sigma e_t, -1, 1),
    F_H(theta; s_0)    = E_e f_H(theta; s_0, e),    e_t ~ N(0, I).

to which a value gamma^H V of where the H steps led may be added (`pwm_bench.gradients.values`). Estimators estimate
dF_H/dtheta. One rollout of the longest horizon serves all shorter ones: f_h is its partial sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from pwm_bench.envs import random
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.simulator import State
from pwm_bench.gradients.controls import Control

__all__ = ["Batch", "Landscape", "Problem", "Rollout", "batches", "exploration", "horizon_returns", "partial_returns",
           "returns"]  # fmt: skip


class Rollout(NamedTuple):
    """H steps in N rows.

    Attributes:
        step_rewards: r_0 .. r_{H-1}, each ``(N,)``, zero after an episode's end; NaN from where a row left the finite
            world. They are apart so that the backward pass of a short horizon never enters the steps beyond it.
        features: what the policy saw, shape ``(H, N, F)``.
        beyond: V of what the first h steps led to, ``(N,)``, as a function of h; None where nothing follows a horizon.
    """

    step_rewards: Sequence[Tensor]
    features: Tensor
    beyond: Callable[[int], Tensor] | None = None

    @property
    def rewards(self) -> Tensor:
        """All rewards, shape ``(H, N)``."""
        return torch.stack(tuple(self.step_rewards))


class Landscape(Protocol):
    """Rolls parameters out from start states, a fixed number of rows at a time."""

    name: str
    rows: int
    """Rows of one `rollout`."""
    device: torch.device
    dtype: torch.dtype

    def rollout(self, start: State, control: Control, theta: Tensor, noise: Tensor) -> Rollout:
        """Rolls out.

        Args:
            start: s_0 of every row, shapes ``(rows, nq)`` and ``(rows, nv)``.
            control: meaning of the parameters.
            theta: shape ``(rows, D)``; gradients flow to it if the landscape is differentiable.
            noise: sigma e_t, shape ``(H, rows, A)``.
        """
        ...


@dataclass(frozen=True, slots=True)
class Problem:
    """The point at which gradients are taken.

    Attributes:
        start: S start states.
        control: meaning of the parameters.
        theta: parameters, one row a start state, shape ``(S, D)``.
        horizons: ascending.
        action_dim: A.
        noise: sigma, deviation of the exploration noise; 0 for a deterministic objective.
        discount: gamma.
        seed: of all random numbers.
    """

    start: State
    control: Control
    theta: Tensor
    horizons: tuple[int, ...]
    action_dim: int
    noise: float = 0.0
    discount: float = 0.99
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.horizons or min(self.horizons) < 1:
            raise UsageError(f"horizons={list(self.horizons)}: must be whole numbers of at least 1")
        if list(self.horizons) != sorted(set(self.horizons)):
            raise UsageError(f"horizons={list(self.horizons)}: must ascend")
        if not 0.0 <= self.noise < float("inf"):
            raise UsageError(f"noise={self.noise}: must be finite and not negative")

    @property
    def states(self) -> int:
        """S."""
        return self.theta.shape[0]

    @property
    def longest(self) -> int:
        """The longest horizon."""
        return self.horizons[-1]

    def starts(self, index: Tensor) -> State:
        """Start states of rows that belong to the states ``index``."""
        return State(self.start.qpos[index], self.start.qvel[index])


class Batch(NamedTuple):
    """Rows that are rolled out together, padded to a fixed number by repeating the last.

    Attributes:
        rows: which rows, int64 ``(size,)``.
        valid: how many of them count.
    """

    rows: Tensor
    valid: int


def batches(total: int, size: int, device: torch.device) -> Iterator[Batch]:
    """Splits ``range(total)`` into batches of exactly ``size`` rows."""
    for first in range(0, total, size):
        valid = min(size, total - first)
        yield Batch(torch.arange(first, first + size, device=device).clamp(max=total - 1), valid)


def exploration(problem: Problem, index: Tensor, sample: Tensor, stream: int, horizon: int) -> Tensor:
    """Standard normal e_t of rows, a function of state, sample and stream alone. Shape ``(H, N, A)``.

    Args:
        problem: gives the seed.
        index: state of each row.
        sample: number of the row's sample.
        stream: keeps uses apart that must be independent.
        horizon: H; a longer horizon begins with the same numbers as a shorter one.
    """
    key = random.fold(random.seed_keys((problem.seed,), index.device), stream)
    keys = random.fold(random.fold(key, index), sample)
    steps = random.fold(keys.unsqueeze(0), torch.arange(horizon, device=index.device).unsqueeze(1))
    return random.normal(steps, problem.action_dim, problem.theta.dtype)


def partial_returns(rewards: Tensor, discount: float) -> Tensor:
    """Discounted partial sums: ``(H, N)`` rewards to f_1 .. f_H, shape ``(H, N)``."""
    weights = discount ** torch.arange(rewards.shape[0], dtype=rewards.dtype, device=rewards.device)
    return torch.cumsum(weights.unsqueeze(1) * rewards, dim=0)


def horizon_returns(rollout: Rollout, discount: float, horizons: Sequence[int]) -> list[Tensor]:
    """f_h of every row for each horizon, with the value at its end if there is one; shapes ``(N,)``.

    Each depends on its own steps alone: zero times the derivative of a later step that is not finite would be NaN.
    """
    sums = [partial_returns(torch.stack(tuple(rollout.step_rewards[:h])), discount)[-1] for h in horizons]
    if rollout.beyond is None:
        return sums
    return [total + discount**h * rollout.beyond(h) for total, h in zip(sums, horizons, strict=True)]


@torch.no_grad()
def returns(
    landscape: Landscape,
    problem: Problem,
    theta: Tensor,
    index: Tensor,
    noise: Tensor | None = None,
    *,
    horizons: Sequence[int] | None = None,
) -> Tensor:
    """Returns of any number of rows, without gradient.

    Args:
        landscape: where.
        problem: start states, control and discount.
        theta: parameters, shape ``(N, D)``.
        index: start state of each row, int64 ``(N,)``.
        noise: sigma e_t, shape ``(H, N, A)``; none by default.
        horizons: those wanted, ascending; the problem's by default.

    Returns:
        f_h for each horizon, shape ``(len(horizons), N)``.
    """
    horizons = problem.horizons if horizons is None else tuple(horizons)
    longest, found = horizons[-1], []
    silence = theta.new_zeros(longest, landscape.rows, problem.action_dim) if noise is None else None
    for rows, valid in batches(theta.shape[0], landscape.rows, theta.device):
        own = silence if silence is not None else noise[:longest, rows]  # type: ignore[index]
        rollout = landscape.rollout(problem.starts(index[rows]), problem.control, theta[rows], own)
        found.append(torch.stack(horizon_returns(rollout, problem.discount, horizons))[:, :valid])
    return torch.cat(found, dim=1)
