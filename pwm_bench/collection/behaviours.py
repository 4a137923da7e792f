"""Who acts while data is collected: random actions, scripted experts with noise, or a policy of the user's.

What an actor does in an episode depends on the seed, the task and the episode's number alone, so a collection that was
cut off goes on as if it had not been.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.suites import Suite, SuiteTask
from pwm_bench.envs.suites.experts import expert

__all__ = ["BatchPolicy", "Behaviour", "Noise", "load_policy", "make_behaviours"]

_SMOOTHNESS = 0.9  # correlation of successive actions of the smooth random policy
BatchPolicy = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Zero-padded observations ``(N, D)`` and task indices ``(N,)`` to actions ``(N, A)``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Noise:
    """How episodes differ in what is added to the policy.

    A share of the episodes, evenly spread, has random actions alone. The j-th of the others has the noise of level
    ``levels[j % len(levels)]``.
    """

    levels: tuple[float, ...] = (0.0,)
    """Standard deviations of Gaussian noise on each action component."""
    random_share: float = 0.0
    """Fraction of the episodes, in [0, 1)."""

    def __post_init__(self) -> None:
        if not self.levels or min(self.levels) < 0.0:
            raise UsageError(f"--noise {self.levels}: one or more standard deviations, none negative")
        if not 0.0 <= self.random_share < 1.0:
            raise UsageError(
                f"--random-share {self.random_share}: must be at least 0 and below 1; --policy random has nothing else"
            )

    def random(self, episode: int) -> bool:
        """Whether an episode has random actions."""
        return self.random_before(episode + 1) > self.random_before(episode)

    def turn(self, episode: int) -> int:
        """How many episodes before this one have the policy's actions."""
        return episode - self.random_before(episode)

    def random_before(self, episode: int) -> int:
        """How many episodes before this one have random actions."""
        return int(episode * self.random_share + 1e-9)


class Behaviour(Protocol):
    """Acts in one episode of one task."""

    source: int
    """Stored with the episode: index of the noise level, plus that of the training stage times the number of levels;
    -1 for random actions."""

    def act(self, obs: np.ndarray, proposal: np.ndarray | None) -> np.ndarray:
        """Chooses an action ``(a,)``.

        Args:
            obs: the task's own observation ``(d,)``.
            proposal: what the batch policy chose ``(a,)``, where there is one.
        """
        ...


class _Random:
    """Uniform actions in [-1, 1]; in every other such episode correlated in time, which gets further."""

    def __init__(self, task: SuiteTask, turn: int, generator: np.random.Generator) -> None:
        self.source = -1
        self._generator = generator
        self._smooth = bool(turn % 2)
        self._dim = task.action_dim
        self._state = generator.standard_normal(task.action_dim)

    def act(self, obs: np.ndarray, proposal: np.ndarray | None) -> np.ndarray:
        if not self._smooth:
            return self._generator.uniform(-1.0, 1.0, self._dim)
        fresh = self._generator.standard_normal(self._dim)
        self._state = _SMOOTHNESS * self._state + np.sqrt(1.0 - _SMOOTHNESS**2) * fresh
        return np.clip(self._state, -1.0, 1.0)


class _Noisy:
    """A policy with Gaussian noise on its actions."""

    def __init__(
        self,
        episode: int,
        noise: Noise,
        generator: np.random.Generator,
        policies: Sequence[Callable[[np.ndarray], np.ndarray]],
    ) -> None:
        turn = noise.turn(episode)
        level, stage = turn % len(noise.levels), turn // len(noise.levels) % max(len(policies), 1)
        self.source = stage * len(noise.levels) + level
        self._level = noise.levels[level]
        self._generator = generator
        self._policy = policies[stage] if policies else None

    def act(self, obs: np.ndarray, proposal: np.ndarray | None) -> np.ndarray:
        action = proposal if self._policy is None else self._policy(obs)
        assert action is not None
        return np.clip(action + self._level * self._generator.standard_normal(len(action)), -1.0, 1.0)


def make_behaviours(
    policy: str | BatchPolicy,
    suite: Suite,
    *,
    seed: int,
    noise: Noise,
    trained: Mapping[str, Sequence[Callable[[np.ndarray], np.ndarray]]] | None = None,
) -> tuple[Callable[[int, int], Behaviour], BatchPolicy | None]:
    """Prepares who acts.

    Args:
        policy: ``"random"``; ``"expert"``: Meta-World's scripted ones; ``"auto"``: experts where there are any, trained
            policies where they are given, random elsewhere; what `load_policy` takes; or a batch policy.
        suite: the tasks.
        seed: of all noise.
        noise: added to experts and policies, and how often random actions replace them.
        trained: by task name, policies of several stages of training, which take turns.

    Returns:
        A function from task index and episode number to a `Behaviour`, and the batch policy where there is one.

    Raises:
        UsageError: no such policy, or a task without an expert.
    """
    batch: BatchPolicy | None = None
    if not isinstance(policy, str):
        batch = policy
    elif policy not in ("random", "expert", "auto"):
        batch = load_policy(policy, suite)
    policies: dict[int, Sequence[Callable[[np.ndarray], np.ndarray]]] = {}
    for index, info in enumerate(suite.tasks):
        if policy == "auto" and trained and info.name in trained:
            policies[index] = trained[info.name]
        elif policy == "expert" or (policy == "auto" and info.family == "meta_world"):
            policies[index] = [expert(info)]

    def behaviour(task: int, episode: int) -> Behaviour:
        info = suite.tasks[task]
        generator = np.random.default_rng([seed, zlib.crc32(info.name.encode()), episode, 1])
        if task not in policies and batch is None:
            return _Random(info, episode, generator)
        if noise.random(episode):
            return _Random(info, noise.random_before(episode), generator)
        return _Noisy(episode, noise, generator, policies.get(task, ()))

    return behaviour, batch


def load_policy(name: str, suite: Suite) -> BatchPolicy:
    """A policy from Python.

    Args:
        name: ``module:function``, where ``function(suite)`` returns a `BatchPolicy`.
        suite: the tasks.

    Raises:
        UsageError: it can't be imported.
    """
    module, _, attribute = name.partition(":")
    if not attribute:
        raise UsageError(
            f"--policy {name}: must be random, expert, auto, the run directory of an extraction, or a Python "
            "function as module:function"
        )
    try:
        build = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"--policy {name}: can't be imported ({error})") from None
    return build(suite)
