"""Environments: differentiable ones in torch, and vector environments for other libraries' learners."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from pwm_bench.envs import make
from pwm_bench.envs.errors import unknown

if TYPE_CHECKING:
    from pwm_bench.envs.bridges import RslRlVecEnv, Sb3VecEnv
    from pwm_bench.envs.mjx.functional import FunctionalEnv
    from pwm_bench.envs.vector_env import GymVectorEnv

__all__ = ["make", "make_functional", "make_vec"]


def make_functional(task: str, **options: Any) -> FunctionalEnv:
    """A task in MJX as pure JAX functions of one world: ``reset(key)`` and ``step(state, action)`` give its state.

    They are to be mapped, compiled and differentiated.

    Args:
        task: see ``pwm-bench list tasks``.
        options: ``substeps``, ``episode_length``, ``auto_reset``, ``contact_stiffness`` [N/m], ``contact_damping``
            [N s/m^2], see `pwm_bench.envs.mjx.functional.make_functional`.

    Raises:
        UsageError: unknown names or impossible values.
    """
    from pwm_bench.envs.mjx.functional import make_functional

    return make_functional(task, **options)


_INTERFACES = ("gymnasium", "stable_baselines3", "rsl_rl")


@overload
def make_vec(
    task: str, simulator: str = ..., num_envs: int = ..., *, interface: Literal["gymnasium"] = ..., **options: Any
) -> GymVectorEnv: ...
@overload
def make_vec(
    task: str, simulator: str = ..., num_envs: int = ..., *, interface: Literal["stable_baselines3"], **options: Any
) -> Sb3VecEnv: ...
@overload
def make_vec(
    task: str, simulator: str = ..., num_envs: int = ..., *, interface: Literal["rsl_rl"], **options: Any
) -> RslRlVecEnv: ...
def make_vec(
    task: str,
    simulator: str = "warp",
    num_envs: int = 64,
    *,
    seed: int = 0,
    device: str = "cpu",
    interface: str = "gymnasium",
    **options: Any,
) -> Any:
    """Builds a vector environment for another library's learner; worlds that end are reset within the same step.

    Args:
        task: see ``pwm-bench list tasks``.
        simulator: see ``pwm-bench list simulators``.
        num_envs: N, worlds that are advanced together; observations are ``(N, observation_dim)``, actions
            ``(N, action_dim)`` in [-1, 1].
        seed: of the resets.
        device: where the simulator computes.
        interface: ``"gymnasium"`` (`gymnasium.vector.VectorEnv`) or ``"stable_baselines3"`` (its ``VecEnv``), both
            NumPy in and NumPy out; ``"rsl_rl"`` (its ``VecEnv``), tensors on the device.
        options: ``render_mode`` (not for rsl_rl), and whatever else `make` takes.

    Raises:
        UsageError: unknown names, impossible values, or a library that is not installed.
    """
    if interface not in _INTERFACES:
        raise unknown("interface", interface, _INTERFACES)
    if interface == "rsl_rl":
        from pwm_bench.envs.bridges import RslRlVecEnv

        return RslRlVecEnv(make(task, simulator, num_envs=num_envs, seed=seed, device=device, **options))
    from pwm_bench.envs.bridges import RslRlVecEnv, Sb3VecEnv
    from pwm_bench.envs.vector_env import GymVectorEnv

    batch = GymVectorEnv(task, simulator, num_envs=num_envs, seed=seed, device=device, **options)
    if interface == "gymnasium":
        return batch

    return Sb3VecEnv(batch)
