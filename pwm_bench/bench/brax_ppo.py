"""Brax's PPO, a functional one in JAX, on our hopper in `mjx.step` as MuJoCo ships it."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Sequence
from typing import Any

from pwm_bench.envs import capabilities
from pwm_bench.envs.mjx.runtime import jax
from pwm_bench.envs.tasks import load_task

__all__ = ["brax_ppo", "hopper_reward"]

_TASK = "hopper"
_UPDATES = 3  # the first of which compiles


def brax_ppo(recipe: Any, worlds: int) -> float:
    """Environment steps per processor second of an update of Brax's PPO, compiled before.

    Args:
        recipe: configuration of our PPO, whose batches, epochs and networks it takes.
        worlds: number of environments.
    """
    from brax.training.agents.ppo import networks, train

    if not hasattr(jax, "device_put_replicated"):  # Brax 0.14 calls it, and JAX 0.10 has dropped it
        jax.device_put_replicated = _on_each
    steps = worlds * recipe.horizon
    clock: list[float] = []
    train.train(
        _environment(),
        num_timesteps=_UPDATES * steps,
        num_evals=_UPDATES + 1,
        episode_length=load_task(_TASK).episode_length,
        num_envs=worlds,
        unroll_length=recipe.horizon,
        batch_size=worlds // recipe.minibatches,
        num_minibatches=recipe.minibatches,
        num_updates_per_batch=recipe.epochs,
        network_factory=functools.partial(
            networks.make_ppo_networks,
            policy_hidden_layer_sizes=recipe.hidden_actor,
            value_hidden_layer_sizes=recipe.hidden_critic,
        ),
        normalize_observations=True,
        run_evals=False,
        progress_fn=lambda *_: clock.append(time.process_time()),
    )
    return steps / min(after - before for before, after in itertools.pairwise(clock[-_UPDATES:]))


def _on_each(x: Any, devices: Sequence[Any]) -> Any:
    """A copy of a tree for each device, along a new first axis."""
    return jax.tree.map(lambda leaf: jax.numpy.stack([leaf] * len(devices)), x)


def hopper_reward(observation: Any, action: Any) -> Any:
    """The reward of `pwm_bench.envs.tasks.hopper.Hopper` in one world, in JAX."""
    height, pitch, forward = observation[0], observation[1], observation[5]
    d = jax.numpy.clip(height + 0.3, -1.0, 0.3)
    upright = 1.0 - (pitch / 0.524) ** 2
    return forward + jax.numpy.where(d < 0.0, -200.0 * d**2, d) + upright - 0.1 * (action**2).sum()


def _environment() -> Any:
    """The hopper as an environment of Brax: the same model, timestep, observation, reward and termination."""
    from brax.envs.base import Env, State
    from mujoco import mjx

    jnp = jax.numpy
    task = load_task(_TASK)
    native = task.model().__copy__()
    substeps = task.substeps_for(capabilities("mjx"))
    native.opt.timestep = task.control_dt / substeps
    model = mjx.put_model(native)

    class Hopper(Env):  # type: ignore[misc]
        observation_size = task.observation_dim
        action_size = task.action_dim
        backend = "mjx"

        def reset(self, rng: Any) -> Any:
            noise = jax.random.uniform(rng, (12,), minval=-0.05, maxval=0.05)
            data = mjx.make_data(model).replace(qpos=noise[:6], qvel=noise[6:])
            zero = jnp.zeros(())
            return State(data, self._observation(data), zero, zero)

        def step(self, state: Any, action: Any) -> Any:
            action = jnp.clip(action, -1.0, 1.0)
            data = state.pipeline_state.replace(ctrl=action)
            data = jax.lax.fori_loop(0, substeps, lambda _, d: mjx.step(model, d), data)
            observation = self._observation(data)
            done = jnp.where(observation[0] < -0.45, 1.0, 0.0)
            return state.replace(
                pipeline_state=data, obs=observation, reward=hopper_reward(observation, action), done=done
            )

        def _observation(self, data: Any) -> Any:
            return jnp.concatenate((data.qpos[1:], data.qvel))

    return Hopper()
