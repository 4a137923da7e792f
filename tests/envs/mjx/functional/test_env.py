"""The functional environment against the torch one."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import torch
from jax import numpy as jnp

from pwm_bench import envs
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.mjx.functional import make_functional
from pwm_bench.envs.tasks import load_task

WORLDS, STEPS = 3, 8


def torch_rollout(task, actions, seed):
    """Return, its gradient, and all steps of the torch environment."""
    env = envs.make(task, "mjx", num_envs=WORLDS, dtype=torch.float64, seed=seed)
    start = env.state
    leaf = torch.from_numpy(actions).requires_grad_()
    steps = [env.step(action) for action in leaf]
    total = sum(step.reward.sum() for step in steps)
    total.backward()
    return start, total.item(), leaf.grad.numpy(), steps


@pytest.mark.slow  # compiling takes from half a minute to minutes
@pytest.mark.parametrize(("task", "tolerance"), [("cartpole", 1e-12), ("hopper", 1e-9), ("ant", 1e-9)])
def test_return_and_gradient_of_eight_steps_are_the_torch_environments(task, tolerance):
    actions = np.random.default_rng(0).uniform(-0.9, 0.9, (STEPS, WORLDS, load_task(task).action_dim))
    start, total, gradient, steps = torch_rollout(task, actions, seed=2)
    with jax.enable_x64(True):
        env = make_functional(task)

        def rollout(qpos, qvel, key, actions):
            def advance(state, action):
                state = env.step(state, action)
                return state, (state.reward, state.obs, state.done)

            _, (reward, obs, done) = jax.lax.scan(advance, env.begin(qpos, qvel, key), actions)
            return reward.sum(), (obs, done)

        graded = jax.vmap(jax.value_and_grad(rollout, argnums=3, has_aux=True), in_axes=(0, 0, 0, 1), out_axes=(0, 1))
        keys = jax.random.split(jax.random.key(0), WORLDS)
        (returns, (obs, done)), mine = jax.jit(graded)(start.qpos.numpy(), start.qvel.numpy(), keys, actions)
        assert abs(float(returns.sum()) - total) <= 1e-10 * abs(total)
        assert np.allclose(obs[:, -1], steps[-1].final_obs.detach().numpy(), rtol=1e-9, atol=1e-9)
        assert np.array_equal(done.sum(1), sum(step.done.double() for step in steps).numpy())
        assert np.linalg.norm(np.asarray(mine) - gradient) <= tolerance * np.linalg.norm(gradient)


@pytest.mark.slow
def test_episodes_end_and_begin_anew():
    env = make_functional("cartpole", episode_length=3, auto_reset=True)
    plain = make_functional("cartpole", episode_length=3)
    state = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(1), 2))
    alone = jax.tree.map(lambda x: x[1], state)
    step, step_alone = jax.jit(jax.vmap(env.step)), jax.jit(plain.step)
    action = jnp.full((2, 1), 0.5)
    for number in range(1, 8):
        state = step(state, action)
        assert state.info["steps"].tolist() == [number % 3] * 2
        assert state.done.tolist() == [float(number % 3 == 0)] * 2
        assert np.array_equal(state.info["truncated"], state.done == 1.0)
        assert not state.info["terminated"].any()
        assert np.array_equal((state.info["final_obs"] != state.obs).any(1), state.done == 1.0)
        if number <= 3:
            alone = step_alone(alone, action[1])
            assert np.allclose(alone.obs, state.info["final_obs"][1], atol=1e-5)
    assert not np.array_equal(state.obs[0], state.obs[1])


def test_a_reset_is_of_the_tasks_distribution():
    env = make_functional("hopper")
    begin = jax.jit(jax.vmap(env.reset))
    state = begin(jax.random.split(jax.random.key(0), 500))
    assert state.qpos.shape == (500, 6)
    assert state.obs.dtype == jnp.float32
    assert np.abs(state.qpos).max() <= 0.05
    assert np.allclose(np.asarray(state.qpos).std(0), 0.05 / np.sqrt(3.0), rtol=0.1)
    assert np.array_equal(state.obs, np.concatenate((state.qpos[:, 1:], state.qvel), axis=1))
    assert np.array_equal(begin(jax.random.split(jax.random.key(0), 500)).qpos, state.qpos)
    assert not np.array_equal(begin(jax.random.split(jax.random.key(1), 500)).qpos, state.qpos)


def test_bad_input_is_named():
    with pytest.raises(UsageError, match="unknown task 'hoper': did you mean 'hopper'"):
        make_functional("hoper")
    with pytest.raises(UsageError, match="episode_length=0: must be a whole number, at least 1"):
        make_functional("cartpole", episode_length=0)
    with pytest.raises(UsageError, match="functional environment 'substep': did you mean 'substeps'"):
        make_functional("cartpole", substep=2)
    with pytest.raises(UsageError, match="iterations=1: must be at least 2"):
        make_functional("cartpole", iterations=1)
    env = make_functional("cartpole")
    with (
        jax.enable_x64(True),
        pytest.raises(UsageError, match="jax_enable_x64=True: the environment was made in float32"),
    ):
        env.reset(jax.random.key(0))
