"""The gymnasium adapter: registration, spaces, autoreset, seeding, errors."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from envs.errors import UsageError
from envs.vector_env import GymVectorEnv


@pytest.fixture(scope="module")
def vector_env() -> GymVectorEnv:
    return GymVectorEnv("hopper", "warp", num_envs=3, episode_length=5)


def test_it_is_registered_and_made_by_name() -> None:
    env = gymnasium.make_vec("envs.vector_env:pwm_bench/Cartpole-warp-v0", num_envs=2)
    obs, _ = env.reset(seed=1)
    assert obs.shape == (2, 5)
    assert env.single_action_space.shape == (1,)
    obs, reward, terminated, truncated, info = env.step(env.action_space.sample())
    assert env.observation_space.contains(obs)
    assert reward.shape == terminated.shape == truncated.shape == (2,)
    assert info == {}


def test_episodes_end_and_restart_in_one_step(vector_env: GymVectorEnv) -> None:
    vector_env.reset(seed=0)
    for n in range(5):
        obs, _, _, truncated, info = vector_env.step(np.zeros((3, 3)))
        assert truncated.all() == (n == 4)
    assert info["_final_obs"].all()
    assert not np.array_equal(info["final_obs"], obs)


def test_seed_determines_the_resets(vector_env: GymVectorEnv) -> None:
    first, _ = vector_env.reset(seed=5)
    other, _ = vector_env.reset(seed=6)
    again, _ = vector_env.reset(seed=5)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_bad_actions_are_named(vector_env: GymVectorEnv) -> None:
    with pytest.raises(UsageError, match=r"shape \(3,\)"):
        vector_env.step(np.zeros(3))
    actions = np.zeros((3, 3))
    actions[1, 0] = np.nan
    with pytest.raises(UsageError, match=r"worlds \[1\]"):
        vector_env.step(actions)
