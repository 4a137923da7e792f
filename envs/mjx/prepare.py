"""A compiled MuJoCo model in MJX, set up to be solved to convergence."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import mujoco
import torch
from mujoco import mjx

from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.mjx.runtime import precision
from pwm_bench.envs.mjx.solver import Dynamics
from pwm_bench.envs.mjx.support import check_supported
from pwm_bench.envs.simulator import model_at_timestep

__all__ = ["Prepared", "prepare"]

# Scaled improvement and gradient below which the solver stops (MuJoCo's option of this name): Newton's method converges
# quadratically, so the step that falls below it leaves an error at the precision's round-off.
_TOLERANCE = {torch.float32: 1e-10, torch.float64: 1e-14}
# What MuJoCo may measure as it goes, which moves nothing; MJX refuses models that ask for it.
_MEASUREMENTS = int(mujoco.mjtEnableBit.mjENBL_ENERGY | mujoco.mjtEnableBit.mjENBL_FWDINV)


@dataclass(frozen=True, slots=True)
class Prepared:
    """The model at its timestep, the same with the solver's settings, and its dynamics in JAX."""

    model: mujoco.MjModel
    host: mujoco.MjModel
    dynamics: Dynamics


def prepare(
    model: mujoco.MjModel,
    *,
    timestep: float,
    substeps: int,
    dtype: torch.dtype,
    iterations: int,
    line_search_iterations: int,
    device: jax.Device | None = None,
    num_worlds: int = 1,
) -> Prepared:
    """Sets a model up.

    Args:
        model: compiled model with the Euler integrator; it is copied.
        timestep: length of a substep [s].
        substeps: substeps in a control step.
        dtype: torch.float32 or torch.float64.
        iterations: bound on Newton iterations.
        line_search_iterations: line-search steps in each of them.
        device: where the model lives; JAX's default one if it is not given.
        num_worlds: copies, which are checked to be at least one.

    Raises:
        UsageError: if the model can't be represented (naming the element), or a value is out of range.
    """
    if dtype not in _TOLERANCE:
        raise UsageError(f"dtype={dtype}: the MJX simulator computes in torch.float32 or torch.float64")
    for name, value in (("iterations", iterations), ("line_search_iterations", line_search_iterations)):
        if value < 2:
            raise UsageError(f"{name}={value}: must be at least 2")
    model = model_at_timestep(model, timestep, substeps, num_worlds)
    check_supported(model)
    host = model.__copy__()
    host.opt.solver = mujoco.mjtSolver.mjSOL_NEWTON  # every solver has the same solution; Newton's gets there
    host.opt.iterations = iterations
    host.opt.ls_iterations = line_search_iterations
    host.opt.tolerance = _TOLERANCE[dtype]
    host.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CLAMPCTRL  # whoever gives the controls clamps them
    host.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_SENSOR
    host.opt.enableflags &= ~_MEASUREMENTS
    _take_out_what_is_off(host)
    with precision(dtype), jax.default_device(device):
        try:
            there, data = mjx.put_model(host, device=device, impl="jax"), mjx.make_data(host, impl="jax")
        except (NotImplementedError, ValueError) as error:
            raise UsageError(f"MJX can't represent this model: {error}") from error
        return Prepared(model, host, Dynamics(host, there, data))


def _take_out_what_is_off(host: mujoco.MjModel) -> None:
    """Springs and dampers that the model switches off. MJX leaves out all passive forces where one of the two is off
    (MuJoCo where both are), and the damping that is integrated implicitly would stay."""
    springs, dampers = int(mujoco.mjtDisableBit.mjDSBL_SPRING), int(mujoco.mjtDisableBit.mjDSBL_DAMPER)
    if host.opt.disableflags & springs:
        host.jnt_stiffness[:] = host.tendon_stiffness[:] = 0.0
    if host.opt.disableflags & dampers:
        host.dof_damping[:] = host.tendon_damping[:] = 0.0
    if host.opt.disableflags & (springs | dampers) != springs | dampers:
        host.opt.disableflags &= ~(springs | dampers)
