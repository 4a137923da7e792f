"""Evaluation: the deterministic policy on worlds of its own, never the training return."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from pwm_bench import envs
from pwm_bench.envs.api import DifferentiableEnv
from pwm_bench.runs.job import EvaluationResult

__all__ = ["Evaluator", "Played", "drawn_seeds", "make_env"]

_SEED_OFFSET = 2**32  # training seeds lie below 2^31, so evaluation worlds are never training worlds
_CHECK_EVERY = 16  # control steps between asking whether all episodes have ended, which waits for a GPU


class Played(Protocol):
    """The part of a spec that says where members act."""

    @property
    def task(self) -> str:
        """A name of `pwm_bench.envs.tasks`."""
        ...

    @property
    def simulator(self) -> str:
        """A name of `pwm_bench.envs.simulators`."""
        ...

    @property
    def simulator_options(self) -> Mapping[str, Any]:
        """Options of `pwm_bench.envs.make` beyond the task's own."""
        ...

    @property
    def seeds(self) -> tuple[int, ...]:
        """One a member."""
        ...

    @property
    def evaluation_episodes(self) -> int:
        """Episodes per member in an evaluation."""
        ...


def make_env(spec: Played, device: torch.device, *, seeds: Sequence[int], worlds: int) -> DifferentiableEnv:
    """A spec's environment with one member a seed and ``worlds`` worlds per member.

    Raises:
        UsageError: an option that the simulator does not have, or that it refuses.
    """
    return envs.make(
        spec.task,
        spec.simulator,
        num_envs=len(seeds) * worlds,
        device=device,
        seed=seeds,
        **spec.simulator_options,
    )


def drawn_seeds(seeds: Sequence[int], draw: int) -> list[int]:
    """Seeds of one of the many sets of evaluation worlds that training seeds have; none is a training seed."""
    return [(1 + draw) * _SEED_OFFSET + seed for seed in seeds]


class Evaluator:
    """Plays the first full episode of each of a fixed set of worlds.

    Every evaluation starts from the same states, which depend on the members' seeds alone. So scores along a run, and
    of different algorithms, differ by the policy and not by the draw of the starts.

    Args:
        spec: task, simulator, seeds and number of episodes.
        device: where the worlds live.
        draw: which of the many sets of worlds that a seed has; those of evaluations during training are the 0th.
    """

    def __init__(self, spec: Played, device: torch.device, *, draw: int = 0) -> None:
        self.members = len(spec.seeds)
        self.episodes = spec.evaluation_episodes
        self.env = make_env(spec, device, seeds=drawn_seeds(spec.seeds, draw), worlds=self.episodes)
        self._start = _clone(self.env.state_dict())

    @torch.no_grad()
    def __call__(
        self, act: Callable[[Tensor], Tensor], *, stop: Callable[[], bool] = lambda: False
    ) -> EvaluationResult | None:
        """Evaluates a policy.

        Args:
            act: observations ``(P, E, observation_dim)`` to actions ``(P, E, action_dim)``.
            stop: asked now and then; if true the evaluation is abandoned.

        Returns:
            The result, or None if it was abandoned.
        """
        env, task = self.env, self.env.task
        env.load_state_dict(_clone(self._start))
        obs = env.detach()
        active = torch.ones(env.num_envs, dtype=torch.bool, device=env.device)
        invalid = torch.zeros_like(active)
        returns = torch.zeros(env.num_envs, dtype=torch.float64, device=env.device)
        distance = torch.zeros_like(returns)
        lengths = torch.zeros(env.num_envs, dtype=torch.int64, device=env.device)
        moves = False
        for count in range(1, env.episode_length + 1):
            velocity = task.forward_velocity(obs)
            action = act(obs.view(self.members, self.episodes, -1)).reshape(env.num_envs, -1)
            step = env.step(action)
            returns += torch.where(active, step.reward, 0.0)
            if velocity is not None:
                moves = True
                distance += torch.where(active, velocity, 0.0)
            lengths += active
            invalid |= active & step.invalid
            active &= ~step.done
            obs = step.obs
            if count % _CHECK_EVERY == 0:
                if stop():
                    return None
                if not bool(active.any()):
                    break
        return EvaluationResult(
            returns=self._rows(returns),
            lengths=self._rows(lengths),
            invalid=invalid.view(self.members, -1).sum(1).tolist(),
            extras={"forward_velocity": self._rows(distance / lengths)} if moves else {},
        )

    def _rows(self, values: Tensor) -> list[list[Any]]:
        return values.view(self.members, self.episodes).tolist()


def _clone(state: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _clone(value) if isinstance(value, dict) else value.clone() if isinstance(value, Tensor) else value
        for key, value in state.items()
    }
