"""Gymnasium's own environment checker on every task and simulator, one world at a time."""

from __future__ import annotations

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

from pwm_bench import envs
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.gym_env import GymEnv
from pwm_bench.envs.vector_env import environment_id

QUICK = [
    pytest.param(task, simulator, marks=[pytest.mark.slow] if simulator == "mjx" and task != "cartpole" else [])
    for task in envs.tasks()
    for simulator in envs.simulators()
]


@pytest.mark.parametrize(("task", "simulator"), QUICK)
def test_gymnasiums_checker_finds_nothing_wrong(task: str, simulator: str) -> None:
    env = gymnasium.make(f"pwm_bench.envs.vector_env:{environment_id(task, simulator)}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(env.unwrapped, skip_render_check=True)
    env.close()
    remarks = [str(w.message) for w in caught if "A Box observation space" not in str(w.message)]  # it is unbounded
    assert not remarks


def test_an_episode_ends_with_its_own_last_observation() -> None:
    env = GymEnv("cartpole", "mujoco_c", episode_length=3)
    env.reset(seed=0)
    truncations, last = [], None
    for _ in range(3):
        last, reward, terminated, truncated, info = env.step(np.array([0.5]))
        assert isinstance(reward, float)
        assert not terminated
        assert info == {}
        truncations.append(truncated)
    assert truncations == [False, False, True]
    again, _ = env.reset(seed=0)
    free = GymEnv("cartpole", "mujoco_c", episode_length=100)
    first, _ = free.reset(seed=0)
    assert np.array_equal(first, again)
    for _ in range(3):
        obs = free.step(np.array([0.5]))[0]
    assert np.array_equal(obs, last)  # not the first observation of the next episode


def test_a_step_needs_an_episode() -> None:
    """Gymnasium's wrapper refuses only the first such step; after an end, the next episode would go on unseen."""
    env = GymEnv("cartpole", "mujoco_c", episode_length=2)
    with pytest.raises(ResetNeeded, match=r"no episode has begun: call reset\(\) before step\(\)"):
        env.step(np.zeros(1))
    env.reset(seed=0)
    env.step(np.zeros(1))
    assert env.step(np.zeros(1))[3]
    with pytest.raises(ResetNeeded, match=r"the episode has ended \(truncated\): call reset"):
        env.step(np.zeros(1))
    env.reset()
    env.step(np.zeros(1))


def test_bad_actions_are_named() -> None:
    env = GymEnv("hopper", "mujoco_c")
    env.reset(seed=0)
    with pytest.raises(UsageError, match=r"shape \(1, 3\): must be \(3,\)"):
        env.step(np.zeros((1, 3)))
    with pytest.raises(UsageError, match="actions are not finite"):
        env.step(np.array([0.0, np.inf, 0.0]))


def test_it_draws_what_it_simulates() -> None:
    env = gymnasium.make("pwm_bench.envs.gym_env:pwm_bench/Hopper-mujoco_c-v0", render_mode="rgb_array")
    env.reset(seed=0)
    before = env.render()
    for _ in range(20):
        env.step(np.ones(3, np.float32))
    after = env.render()
    assert before.shape == after.shape == (480, 640, 3)
    assert before.dtype == np.uint8
    assert env.metadata["render_fps"] == 60
    blue = (before[..., 2].astype(int) - before[..., 0] > 40).mean()  # the torso's colour, on a grey ground
    assert 0.002 < blue < 0.2
    assert (before != after).any(axis=2).mean() > 0.002
    env.close()
    env.close()
