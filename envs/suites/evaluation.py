"""Scores of a policy in every task of a suite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.suites.env import SuiteEnv

__all__ = ["SuiteScores", "evaluate"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SuiteScores:
    """Results of E episodes in each of K tasks.

    Attributes:
        returns: sums of rewards, ``(K, E)``.
        success: whether the task was solved when the episode ended (TD-MPC2's rule), NaN where it doesn't say.
        solved_ever: whether it was solved at any step (Meta-World's own rule), likewise, ``(K, E)``.
        normalised: success where there is one, else return / 1000, ``(K, E)``: TD-MPC2's multi-task score.
    """

    returns: Tensor
    success: Tensor
    solved_ever: Tensor

    @property
    def normalised(self) -> Tensor:
        return torch.where(self.success.isnan(), self.returns / 1000.0, self.success)

    def extras(self) -> dict[str, list[list[float]]]:
        """What a record keeps beside the returns, each by task and episode."""
        named = {"score": self.normalised, "success": self.success, "solved_ever": self.solved_ever}
        return {name: values.tolist() for name, values in named.items()}


@torch.no_grad()
def evaluate(
    env: SuiteEnv,
    policy: Callable[[Tensor, Tensor], Tensor],
    *,
    episodes: int,
    report: Callable[[int, int], None] | None = None,
) -> SuiteScores:
    """Plays episodes 0 .. episodes - 1 of the environment's seed in every task; worlds rest once they are through.

    The starts are the same whatever the number of worlds.

    Args:
        env: the worlds; those of a task share its episodes.
        policy: observations ``(N, D)`` and task indices ``(N,)`` to actions ``(N, A)``; N is always all worlds.
        episodes: of each task; a multiple of the worlds of a task.
        report: called after every step with the steps done and the steps there are.
    """
    if episodes < 1 or episodes % env.envs_per_task:
        raise UsageError(f"episodes={episodes}: must be a positive multiple of envs_per_task ({env.envs_per_task})")
    rounds = episodes // env.envs_per_task
    lengths = torch.tensor(env.suite.episode_lengths, device=env.device)[env.task]
    total = int(lengths.max()) * rounds
    returns = torch.zeros(rounds, env.num_envs, device=env.device)
    ever = torch.zeros_like(returns)
    last = torch.full_like(returns, torch.nan)
    row = torch.arange(env.num_envs, device=env.device)
    nth = torch.zeros_like(row)
    obs = env.reset(first=0)
    for step in range(total):
        active = nth < rounds
        if not bool(active.any()):
            break
        moment = env.step(policy(obs, env.task), active)
        place = nth.clamp(max=rounds - 1)
        returns[place, row] += torch.where(active, moment.reward, torch.zeros_like(moment.reward))
        ever[place, row] = torch.where(active, torch.maximum(ever[place, row], moment.success), ever[place, row])
        ends = moment.done & active
        last[place, row] = torch.where(ends, moment.success, last[place, row])
        nth = nth + ends
        obs = moment.obs
        if report is not None:
            report(step + 1, total)
    scores = (
        x.view(rounds, len(env.suite.tasks), env.envs_per_task).permute(1, 0, 2).flatten(1)
        for x in (returns, last, ever)
    )
    found, success, solved = scores
    return SuiteScores(returns=found, success=success, solved_ever=torch.where(success.isnan(), success, solved))
