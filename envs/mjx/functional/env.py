"""An environment as two pure functions of one world."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import torch
from jax import Array
from jax import numpy as jnp
from torch import Tensor

from pwm_bench.envs.api import LARGEST_STATE
from pwm_bench.envs.errors import UsageError, check_count, unknown
from pwm_bench.envs.mjx import capabilities
from pwm_bench.envs.mjx.control_step import ControlStep
from pwm_bench.envs.mjx.functional.from_torch import to_jax
from pwm_bench.envs.mjx.prepare import prepare
from pwm_bench.envs.simulator import State, control_range
from pwm_bench.envs.tasks import load_task
from pwm_bench.envs.tasks.base import Task
from pwm_bench.envs.tasks.stiffness import on_ground

__all__ = ["EnvState", "FunctionalEnv", "make_functional"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class EnvState:
    """One world between two control steps; mapped, every array has the worlds as its first axis.

    Attributes:
        qpos: position ``(nq,)`` [m, rad, unit quaternions w x y z].
        qvel: velocity ``(nv,)`` [m/s, rad/s].
        obs: observation ``(observation_dim,)``.
        reward: of the last step, ``()``.
        done: 1 where the last step ended the episode, else 0, ``()``; a number, as Brax has it.
        info: ``terminated``, ``truncated``, ``invalid`` (the state left the finite world, and is a fresh one now), all
            bool; ``final_obs``, the observation before any automatic reset, ``(observation_dim,)``; ``steps`` of this
            episode, int32; ``key`` of the next.
    """

    qpos: Array
    qvel: Array
    obs: Array
    reward: Array
    done: Array
    info: dict[str, Array]


class FunctionalEnv:
    """A task in MJX as pure functions: the same model, observation, reward and reset distribution as in
    `pwm_bench.envs.make`, and the same gradient, by implicit differentiation; reverse mode, once.

    ``jax.vmap(env.reset)(jax.random.split(key, N))`` are N worlds, ``jax.vmap(env.step)`` advances them; compile with
    `jax.jit`. Numbers have the precision that JAX was set to when the environment was made.

    Args:
        task: observation, reward, termination and reset distribution, torch functions that are traced once.
        substeps: in a control step; the task's own by default.
        episode_length: control steps until truncation; the task's own by default.
        auto_reset: begin a new episode within the step that ends one.
        iterations: bound on the solver's iterations.
        line_search_iterations: line-search steps in each of them.

    Raises:
        UsageError: impossible values, a model that MJX cannot represent, or a torch operation that has no counterpart.
    """

    def __init__(
        self,
        task: Task,
        *,
        substeps: int | None = None,
        episode_length: int | None = None,
        auto_reset: bool = False,
        iterations: int = 50,
        line_search_iterations: int = 8,
    ) -> None:
        self.task = task
        self.substeps = task.substeps_for(capabilities) if substeps is None else substeps
        self.episode_length = task.episode_length if episode_length is None else episode_length
        check_count("substeps", self.substeps)
        check_count("episode_length", self.episode_length)
        self.auto_reset = auto_reset
        self.observation_size, self.action_size = task.observation_dim, task.action_dim
        self.dtype = jnp.float64 if _is_64_bit() else jnp.float32
        self._torch_type = torch.float64 if self.dtype == jnp.float64 else torch.float32
        prepared = prepare(
            task.model_for(capabilities),
            timestep=task.control_dt / self.substeps,
            substeps=self.substeps,
            dtype=self._torch_type,
            iterations=iterations,
            line_search_iterations=line_search_iterations,
        )
        self.model = prepared.model
        self._advance = _differentiable(ControlStep(prepared.dynamics, self.substeps, batched=False))
        self._functions = self._traced()
        self._low, self._high = control_range(self.model).T

    @property
    def dt(self) -> float:
        """Duration of a control step [s]."""
        return self.task.control_dt

    def reset(self, key: Array) -> EnvState:
        """Begins an episode.

        Args:
            key: a `jax.random.key`; what follows in this world depends on it and the actions alone.
        """
        self._check_precision()
        key, mine = jax.random.split(key)
        qpos, qvel = self._fresh(mine)
        return self.begin(qpos, qvel, key)

    def begin(self, qpos: Array, qvel: Array, key: Array) -> EnvState:
        """Begins an episode at a given state.

        Args:
            qpos: position ``(nq,)``.
            qvel: velocity ``(nv,)``.
            key: of the episodes that follow.
        """
        self._check_precision()
        obs = self._observation(qpos, qvel, jnp.zeros(self.action_size, self.dtype))
        no, zero = jnp.zeros((), bool), jnp.zeros((), self.dtype)
        info = {"terminated": no, "truncated": no, "invalid": no, "final_obs": obs, "key": key}
        return EnvState(qpos, qvel, obs, zero, zero, info | {"steps": jnp.zeros((), jnp.int32)})

    def step(self, state: EnvState, action: Array) -> EnvState:
        """Advances by one control step.

        Args:
            state: of this world.
            action: shape ``(action_dim,)``, clamped to [-1, 1].

        Returns:
            the next state; the reward is that of ``action`` at ``state``.
        """
        self._check_precision()
        action = _clamp(jnp.asarray(action, self.dtype), -1.0, 1.0)
        (reward,) = self._functions["reward"](state.obs[None], action[None])
        (ctrl,) = self._functions["control"](action[None])
        ctrl = _clamp(ctrl[0], jnp.asarray(self._low, self.dtype), jnp.asarray(self._high, self.dtype))
        qpos, qvel = self._advance(state.qpos, state.qvel, ctrl)
        largest = jnp.maximum(jnp.abs(qpos).max(), jnp.abs(qvel).max())
        invalid = ~(largest < LARGEST_STATE)  # also true for NaN
        key, mine = jax.random.split(state.info["key"])
        fresh = self._fresh(mine)
        qpos, qvel = jnp.where(invalid, fresh[0], qpos), jnp.where(invalid, fresh[1], qvel)
        final_obs = self._observation(qpos, qvel, action)
        (terminated,) = self._functions["terminated"](jax.lax.stop_gradient(final_obs)[None])
        terminated = terminated[0] | invalid
        steps = state.info["steps"] + 1
        truncated = (steps >= self.episode_length) & ~terminated
        done, obs = terminated | truncated, final_obs
        if self.auto_reset:
            qpos, qvel = jnp.where(done, fresh[0], qpos), jnp.where(done, fresh[1], qvel)
            first = self._observation(*fresh, jnp.zeros(self.action_size, self.dtype))
            obs, steps = jnp.where(done, first, final_obs), jnp.where(done, 0, steps)
        info = {"terminated": terminated, "truncated": truncated, "invalid": invalid, "final_obs": final_obs}
        reward = jnp.where(invalid, 0.0, reward[0])
        return replace(
            state, qpos=qpos, qvel=qvel, obs=obs, reward=reward, done=done.astype(self.dtype),
            info=state.info | info | {"steps": steps, "key": key},
        )  # fmt: skip

    def _fresh(self, key: Array) -> tuple[Array, Array]:
        noise = jax.random.uniform(key, (1, self.task.noise_dim), self.dtype, -1.0, 1.0)
        qpos, qvel = self._functions["reset"](noise)
        return qpos[0], qvel[0]

    def _observation(self, qpos: Array, qvel: Array, action: Array) -> Array:
        (obs,) = self._functions["observation"](qpos[None], qvel[None], action[None])
        return obs[0]

    def _traced(self) -> dict[str, Any]:
        """The task's functions in JAX, for one world as a batch of one."""
        task, model = self.task, self.model

        def example(size: int) -> Tensor:
            return torch.zeros(1, size, dtype=self._torch_type)

        def reset(noise: Tensor) -> tuple[Tensor, Tensor]:
            state = task.reset_state(noise)
            return state.qpos, state.qvel

        qpos, qvel = reset(example(task.noise_dim))
        action, obs = example(task.action_dim), example(task.observation_dim)
        named: dict[str, tuple[Callable[..., Any], tuple[Tensor, ...]]] = {
            "reset": (reset, (example(task.noise_dim),)),
            "observation": (lambda q, v, a: task.observation(State(q, v), a), (qpos, qvel, action)),
            "reward": (task.reward, (obs, action)),
            "terminated": (task.terminated, (obs,)),
            "control": (task.control, (action,)),
        }
        assert (qpos.shape[1], qvel.shape[1]) == (model.nq, model.nv)
        return {
            name: to_jax(function, *examples, name=f"task '{task.name}', {name}")
            for name, (function, examples) in named.items()
        }

    def _check_precision(self) -> None:
        now = jnp.float64 if _is_64_bit() else jnp.float32
        if now != self.dtype:
            raise UsageError(
                f"jax_enable_x64={_is_64_bit()}: the environment was made in {self.dtype.__name__}; make "
                "it anew, or set JAX back"
            )


def make_functional(
    task: str, *, contact_stiffness: float | None = None, contact_damping: float | None = None, **options: Any
) -> FunctionalEnv:
    """A task in MJX as pure JAX functions.

    Args:
        task: one of `pwm_bench.envs.tasks`, or ``module:attribute``.
        contact_stiffness: of the ground [N/m], see `pwm_bench.envs.tasks.stiffness`.
        contact_damping: of the ground [N s/m^2].
        options: of `FunctionalEnv`: ``substeps``, ``episode_length``, ``auto_reset``, ``iterations``,
            ``line_search_iterations``.

    Raises:
        UsageError: unknown names or impossible values.
    """
    known = [name for name in inspect.signature(FunctionalEnv).parameters if name != "task"]
    for option in options:
        if option not in known:
            raise unknown("option of a functional environment", option, known)
    return FunctionalEnv(on_ground(load_task(task), contact_stiffness, contact_damping), **options)


def _is_64_bit() -> bool:
    return bool(jax.config.read("jax_enable_x64"))


def _clamp(x: Array, low: Any, high: Any) -> Array:
    """Passes the gradient on at the bounds, as torch does."""
    return jnp.where(x < low, low, jnp.where(x > high, high, x))


def _differentiable(whole: ControlStep) -> Any:
    """A control step of one world, whose derivative is that of the converged solution."""

    @jax.custom_vjp
    def advance(qpos: Array, qvel: Array, ctrl: Array) -> tuple[Array, Array]:
        return forward(qpos, qvel, ctrl)[0]

    def forward(qpos: Array, qvel: Array, ctrl: Array) -> tuple[tuple[Array, Array], Any]:
        with jax.default_matmul_precision("highest"):
            next_qpos, next_qvel, *record = whole.forward(qpos, qvel, ctrl)
        return (next_qpos, next_qvel), (record, ctrl)

    def backward(kept: Any, grads: tuple[Array, Array]) -> tuple[Array, ...]:
        record, ctrl = kept
        with jax.default_matmul_precision("highest"):
            found = whole.backward(*record, ctrl, *grads)
        finite = jnp.array([jnp.isfinite(one).all() for one in found]).all()  # one bad world spoils no batch
        return tuple(jnp.where(finite, one, 0.0) for one in found)

    advance.defvjp(forward, backward)
    return advance
