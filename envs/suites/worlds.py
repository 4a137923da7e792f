"""One world of one task: seeded resets, repeated actions, flat observations. NumPy only, so workers start quickly."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.suites.catalogue import ACTION_REPEAT, SuiteTask

__all__ = ["World", "episode_seed", "make_world", "require"]

_PACKAGES = {"dm_control": "dm_control", "custom": "dm_control", "meta_world": "metaworld"}


class World(Protocol):
    """A single environment."""

    def reset(self, seed: int) -> np.ndarray:
        """Begins the episode that a seed (32 bits) stands for. Returns the observation, float32 ``(d,)``."""
        ...

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, float]:
        """Applies an action ``(a,)`` for two control steps.

        Returns:
            Observation, float32 ``(d,)``; rewards of the two added up; and whether the task counts as solved now,
            0 or 1, NaN where it doesn't say.
        """
        ...


def require(tasks: Sequence[SuiteTask]) -> None:
    """Checks that the packages behind tasks are installed.

    Raises:
        UsageError: one is missing.
    """
    for task in tasks:
        package = _PACKAGES[task.family]
        if importlib.util.find_spec(package) is None:
            remedy = "pip install 'pwm-bench[suites]'"
            if package == "dm_control" and sys.version_info >= (3, 13):
                remedy = "use Python 3.12, since a dependency of it, labmaze, has no wheel for newer ones"
            raise UsageError(f"task '{task.name}' needs {package}: {remedy}")


def make_world(task: SuiteTask) -> World:
    """Builds the world of a task; see `require`."""
    require([task])
    return _MetaWorld(task.name) if task.family == "meta_world" else _DmControl(task)


def episode_seed(seed: int, task: str, episode: int) -> int:
    """The 32 bits that fix an episode: they depend on nothing else, so neither do its start and its goal.

    Args:
        seed: the user's.
        task: name of the task.
        episode: number of the episode among those of the task.
    """
    return int(np.random.SeedSequence([seed, zlib.crc32(task.encode()), episode]).generate_state(1)[0])


class _DmControl:
    """A task of dm_control, or one of `pwm_bench.envs.suites.custom` on its models."""

    def __init__(self, task: SuiteTask) -> None:
        with _undrawn():
            if task.family == "custom":
                from pwm_bench.envs.suites.custom import CUSTOM

                self._env = CUSTOM[task.name](np.random.RandomState(0))
            else:
                from dm_control import suite

                domain, name = task.name.split("-", 1)
                domain = {"cup": "ball_in_cup"}.get(domain, domain)
                options = {"random": np.random.RandomState(0), "time_limit": float("inf")}
                self._env = suite.load(domain, name.replace("-", "_"), task_kwargs=options)

    def reset(self, seed: int) -> np.ndarray:
        self._env.task.random.seed(seed)
        return _flat(self._env.reset().observation)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, float]:
        action = np.clip(action, -1.0, 1.0).astype(np.float64)
        reward = 0.0
        for _ in range(ACTION_REPEAT):
            moment = self._env.step(action)
            reward += float(moment.reward)
        return _flat(moment.observation), reward, float("nan")


class _MetaWorld:
    """A task of Meta-World with its goal in the observation, drawn anew at every reset.

    As in TD-MPC2, the first observation is the one before a step with a zero action that begins every episode.
    """

    def __init__(self, name: str) -> None:
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE

        key = f"{name.removeprefix('mw-')}-v3-goal-observable"
        build: Any = ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE[key]
        self._env = build(seed=0)
        self._env._freeze_rand_vec = False
        self._env.seeded_rand_vec = True  # goals from the world's own generator, not from NumPy's global one

    def reset(self, seed: int) -> np.ndarray:
        self._env.seed(seed)
        obs, _ = self._env.reset()
        self._env.step(np.zeros(4, np.float32))
        return obs.astype(np.float32)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, float]:
        action = np.clip(action, -1.0, 1.0).astype(np.float32)
        reward = 0.0
        for _ in range(ACTION_REPEAT):
            obs, part, _, _, info = self._env.step(action)
            reward += float(part)
        return obs.astype(np.float32), reward, float(info["success"])


@contextlib.contextmanager
def _undrawn() -> Iterator[None]:
    """While dm_control is imported and its models are compiled: it need not look for a display, nor warn of its own
    deprecated MJCF. MuJoCo comes first, so that its renderer finds one all the same."""
    import mujoco  # noqa: F401
    from absl import logging

    verbosity, unset = logging.get_verbosity(), "MUJOCO_GL" not in os.environ
    logging.set_verbosity(logging.ERROR)
    if unset:
        os.environ["MUJOCO_GL"] = "disabled"
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if unset:
            del os.environ["MUJOCO_GL"]


def _flat(observation: dict[str, Any]) -> np.ndarray:
    return np.concatenate([np.ravel(value) for value in observation.values()]).astype(np.float32)
