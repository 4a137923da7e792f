"""The gymnasium adapter: registration, spaces, autoreset, seeding, errors."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from pwm_bench import envs
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.vector_env import GymVectorEnv, environment_id


@pytest.fixture(scope="module")
def vector_env() -> GymVectorEnv:
    return GymVectorEnv("hopper", "warp", num_envs=3, episode_length=5)


def test_it_is_registered_and_made_by_name() -> None:
    env = gymnasium.make_vec("pwm_bench.envs.vector_env:pwm_bench/Cartpole-warp-v0", num_envs=2)
    obs, _ = env.reset(seed=1)
    assert obs.shape == (2, 5)
    assert env.single_action_space.shape == (1,)
    obs, reward, terminated, truncated, info = env.step(env.action_space.sample())
    assert env.observation_space.contains(obs)
    assert reward.shape == terminated.shape == truncated.shape == (2,)
    assert info == {}


@pytest.mark.parametrize("task", envs.tasks())
def test_every_task_keeps_to_its_spaces(task: str) -> None:
    env = gymnasium.make_vec(f"pwm_bench.envs.vector_env:{environment_id(task, 'warp')}", num_envs=2)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert env.action_space.shape == (2, *env.single_action_space.shape)
    env.action_space.seed(0)
    obs, info = env.reset(seed=3)
    assert env.observation_space.contains(obs)
    assert info == {}
    for _ in range(3):
        obs, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        assert env.observation_space.contains(obs)
        assert reward.dtype == np.float64
        assert terminated.dtype == truncated.dtype == np.bool_
    env.close()


def test_all_combinations_are_registered() -> None:
    for task in envs.tasks():
        for simulator in envs.simulators():
            spec = gymnasium.registry[environment_id(task, simulator)]
            assert spec.kwargs == {"task": task, "simulator": simulator}


def test_what_it_returns_is_the_users(vector_env: GymVectorEnv) -> None:
    """The reward is a function of the observation: a shared buffer would let users change it."""
    vector_env.reset(seed=0)
    plain = [vector_env.step(np.zeros((3, 3)))[1] for _ in range(2)]
    obs, _ = vector_env.reset(seed=0)
    rewards = []
    for _ in range(2):
        obs[:] = 1e3
        obs, reward, *_ = vector_env.step(np.zeros((3, 3)))
        rewards.append(reward)
    assert np.array_equal(plain, rewards)


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


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (np.zeros(3), r"shape \(3,\): must be \(3, 3\)"),
        (np.zeros((3, 3), np.int64), "of type int64: must be floating-point"),
        (np.zeros((3, 3), bool), "of type bool"),
        ([[0.0, "a", 0.0]] * 3, "of type <U"),
        ([[0.0], [0.0, 1.0], [0.0]], r"rows of different lengths: must have shape \(3, 3\)"),
        (torch.zeros((3, 3), device="meta"), "are on meta: the gymnasium adapter takes NumPy arrays"),
        (np.array([[0.0] * 3, [0.0, np.nan, 0.0], [np.inf, 0.0, 0.0]]), r"of worlds \[1, 2\] are not finite"),
    ],
)
def test_bad_actions_are_named(vector_env: GymVectorEnv, actions: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        vector_env.step(actions)


def test_tensors_are_taken_too(vector_env: GymVectorEnv) -> None:
    vector_env.reset(seed=0)
    expected = vector_env.step(np.full((3, 3), 0.5))[0]
    vector_env.reset(seed=0)
    assert np.array_equal(vector_env.step(torch.full((3, 3), 0.5, requires_grad=True))[0], expected)


def test_one_picture_a_world() -> None:
    env = gymnasium.make_vec(
        "pwm_bench.envs.vector_env:pwm_bench/Cartpole-mujoco_c-v0", num_envs=2, render_mode="rgb_array"
    )
    env.reset(seed=0)
    first, second = env.render()
    assert first.shape == second.shape == (480, 640, 3)
    assert not np.array_equal(first, second)
    env.close()


def test_what_a_reset_would_ignore_is_refused() -> None:
    """Gymnasium's own vector environments reset a subset of their worlds by such a mask."""
    env = GymVectorEnv("cartpole", "mujoco_c", num_envs=2)
    with pytest.raises(UsageError, match="options: reset_mask would be ignored"):
        env.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(UsageError, match=r"seed=\[1, 2\]: must be one whole number"):
        env.reset(seed=[1, 2])
    env.reset(seed=3, options={})
