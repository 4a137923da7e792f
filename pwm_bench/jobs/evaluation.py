"""Evaluation: the deterministic policy on worlds of its own, never the training return."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from pwm_bench import envs
from pwm_bench.envs.api import DifferentiableEnv
from pwm_bench.envs.cores import usable_cores
from pwm_bench.envs.suites import SuiteScores
from pwm_bench.envs.suites.single import SuiteTaskEnv
from pwm_bench.runs.job import EvaluationResult

__all__ = ["Evaluator", "Played", "PlayedInSuite", "drawn_seeds", "make_env", "make_suite_env"]

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


class PlayedInSuite(Protocol):
    """The same of members that act in a task of a suite."""

    @property
    def task(self) -> str:
        """A name of `pwm_bench.envs.suites.names`."""
        ...

    @property
    def workers(self) -> int | None:
        """Processes that run the worlds, 0 for none; one a processor by default."""
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


def make_suite_env(spec: PlayedInSuite, device: torch.device, *, seeds: Sequence[int], worlds: int) -> SuiteTaskEnv:
    """A spec's worlds of a task of a suite, as `make_env` makes those of ours.

    Raises:
        UsageError: an unknown task, or a package that is missing.
    """
    workers = usable_cores() if spec.workers is None else spec.workers
    return SuiteTaskEnv(spec.task, num_envs=len(seeds) * worlds, seeds=seeds, num_workers=workers, device=device)


def drawn_seeds(seeds: Sequence[int], draw: int = 0) -> list[int]:
    """Seeds of one of the many sets of evaluation worlds that training seeds have, the one of evaluations in training
    by default; none is a training seed."""
    return [(1 + draw) * _SEED_OFFSET + seed for seed in seeds]


class Evaluator:
    """Plays the first full episode of each of a fixed set of worlds.

    Every evaluation starts from the same states, which depend on the members' seeds alone. So scores along a run, and
    of different algorithms, differ by the policy and not by the draw of the starts.

    Args:
        env: the worlds, all at the beginning of an episode; see `drawn_seeds` for their seeds.
        members: P; each has the same number of worlds, E.
    """

    def __init__(self, env: DifferentiableEnv | SuiteTaskEnv, *, members: int) -> None:
        self.env = env
        self.members = members
        self.episodes = env.num_envs // members
        self._start = _clone(env.state_dict())

    def compile(self) -> None:
        """Compiles the simulator, where there is one."""
        if self.env.simulator is not None:
            self.env.simulator.compile(gradient=False)

    @property
    def compile_seconds(self) -> float:
        """Time that it has spent compiling so far [s]."""
        return 0.0 if self.env.simulator is None else self.env.simulator.compile_seconds

    def close(self) -> None:
        """Ends the processes of a suite's worlds."""
        if isinstance(self.env, SuiteTaskEnv):
            self.env.close()

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
        success = torch.full_like(returns, torch.nan)
        solved = success
        moves = False
        for count in range(1, env.episode_length + 1):
            velocity = task.forward_velocity(obs)
            action = act(obs.view(self.members, self.episodes, -1)).reshape(env.num_envs, -1)
            step = env.step(action)
            returns += torch.where(active, step.reward, 0.0)
            if velocity is not None:
                moves = True
                distance += torch.where(active, velocity, 0.0)
            if isinstance(env, SuiteTaskEnv):
                success = torch.where(active, env.success.to(returns), success)
                solved = torch.fmax(solved, success)
            lengths += active
            invalid |= active & step.invalid
            active &= ~step.done
            obs = step.obs
            if count % _CHECK_EVERY == 0:
                if stop():
                    return None
                if not bool(active.any()):
                    break
        extras = {"forward_velocity": self._rows(distance / lengths)} if moves else {}
        if isinstance(env, SuiteTaskEnv):
            found, ended, ever = (values.view(self.members, self.episodes) for values in (returns, success, solved))
            extras |= SuiteScores(returns=found, success=ended, solved_ever=ever).extras()
        return EvaluationResult(
            returns=self._rows(returns),
            lengths=self._rows(lengths),
            invalid=invalid.view(self.members, -1).sum(1).tolist(),
            extras=extras,
        )

    def _rows(self, values: Tensor) -> list[list[Any]]:
        return values.view(self.members, self.episodes).tolist()


def _clone(state: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _clone(value) if isinstance(value, dict) else value.clone() if isinstance(value, Tensor) else value
        for key, value in state.items()
    }
