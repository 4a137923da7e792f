"""Evaluating a population of experts in the real tasks, each in its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pwm_bench.envs import suites
from pwm_bench.runs.job import EvaluationResult

if TYPE_CHECKING:
    from pwm_bench.envs.suites import SuiteEnv

__all__ = ["SuiteEvaluator"]

_SEED = 20_000  # of evaluation episodes; datasets are collected from small seeds


class SuiteEvaluator:
    """Plays the same episodes with every seed's experts, the tasks spread over worker processes.

    Args:
        tasks: of the suites.
        seeds: experts of each task; member ``k * seeds + s`` is the s-th of task k.
        episodes: E, per expert.
        workers: processes; one a processor by default, 0 for none.
        device: where the policies live.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        *,
        seeds: int,
        episodes: int,
        workers: int | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self._seeds, self._episodes = seeds, episodes
        self._env: SuiteEnv = suites.make(
            list(tasks), envs_per_task=episodes, num_workers=workers, seed=_SEED, device=device
        )

    def __call__(
        self, act: Callable[[Tensor], Tensor], *, report: Callable[[int, int], None] | None = None
    ) -> EvaluationResult:
        """Evaluates a population.

        Args:
            act: observations ``(P, E, D)`` to actions ``(P, E, A)``; components beyond the suite's are dropped.
            report: called after every step with the steps done and the steps there are, for each seed anew; what it
                raises abandons the evaluation.
        """
        env, count = self._env, len(self._env.suite.tasks)
        scores = []
        for seed in range(self._seeds):

            def policy(obs: Tensor, _task: Tensor, seed: int = seed) -> Tensor:
                rows = obs.view(count, 1, self._episodes, -1).expand(-1, self._seeds, -1, -1).flatten(0, 1)
                action = act(rows).view(count, self._seeds, self._episodes, -1)[:, seed]
                return action.flatten(0, 1)[:, : env.suite.action_dim].float()

            scores.append(suites.evaluate(env, policy, episodes=self._episodes, report=report))
        gathered = suites.SuiteScores(
            **{
                name: torch.stack([getattr(score, name) for score in scores], dim=1).flatten(0, 1)
                for name in ("returns", "success", "solved_ever")
            }
        )
        lengths = [[length] * self._episodes for length in env.suite.episode_lengths for _ in range(self._seeds)]
        return EvaluationResult(
            returns=gathered.returns.tolist(),
            lengths=lengths,
            invalid=[0] * (count * self._seeds),
            extras=gathered.extras(),
        )

    def close(self) -> None:
        """Ends the workers."""
        self._env.close()
