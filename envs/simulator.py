"""What a simulator is: generalised state and control in, the next state out, differentiable in torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import mujoco
import numpy as np
import torch
from torch import Tensor

from pwm_bench.envs.capability import Capabilities
from pwm_bench.envs.errors import UsageError, check_count

__all__ = [
    "ControlClamp",
    "Simulator",
    "State",
    "check_inputs",
    "check_override",
    "control_range",
    "guard_gradient",
    "model_at_timestep",
]


@dataclass(frozen=True, slots=True)
class State:
    """Generalised state of a batch of worlds, in MuJoCo's conventions.

    Attributes:
        qpos: positions [m, rad, unit quaternions w x y z], shape ``(N, nq)``.
        qvel: velocities [m/s, rad/s], shape ``(N, nv)``; a free joint's linear part is in the world frame at the
            body's origin, its angular part in the body's frame.
    """

    qpos: Tensor
    qvel: Tensor

    def detach(self) -> State:
        """The same values without their gradient history."""
        return State(self.qpos.detach(), self.qvel.detach())


@runtime_checkable
class Simulator(Protocol):
    """Advances ``num_worlds`` independent copies of one MuJoCo model by control steps.

    The constructor takes the model and, by keyword, ``num_worlds``, ``substeps``, ``timestep``, ``device``, ``dtype``
    and options of the simulator's own.
    """

    capabilities: Capabilities
    name: str
    model: mujoco.MjModel
    num_worlds: int
    device: torch.device
    dtype: torch.dtype
    substeps: int
    timestep: float
    differentiable: bool
    compile_seconds: float

    def step(self, state: State, ctrl: Tensor) -> State:
        """Advances one control step (``substeps`` substeps of ``timestep`` seconds) with ``ctrl`` held.

        A pure function: equal inputs give equal outputs whatever was computed before. Gradients flow from the
        returned state to ``state`` and ``ctrl`` if the simulator is ``differentiable``.

        Args:
            state: positions ``(N, nq)`` and velocities ``(N, nv)``.
            ctrl: actuator controls in the units of the model's actuators, shape ``(N, nu)``.
        """
        ...

    def compile(self, *, gradient: bool) -> float:
        """Compiles now what `step` (and its backward pass) will need; returns the seconds it took."""
        ...


def check_inputs(simulator: Simulator, state: State, ctrl: Tensor) -> None:
    """Checks that a state and controls are what a simulator's `Simulator.step` takes; looks at no values.

    Raises:
        UsageError: one of them has another shape, type or device.
    """
    model = simulator.model
    for name, tensor, width in (
        ("qpos", state.qpos, model.nq),
        ("qvel", state.qvel, model.nv),
        ("ctrl", ctrl, model.nu),
    ):
        if (tensor.shape, tensor.dtype, tensor.device) != (
            (simulator.num_worlds, width),
            simulator.dtype,
            simulator.device,
        ):
            raise UsageError(
                f"{name} is {tuple(tensor.shape)} {tensor.dtype} on {tensor.device}: this simulator takes "
                f"({simulator.num_worlds}, {width}) {simulator.dtype} on {simulator.device}"
            )


def model_at_timestep(model: mujoco.MjModel, timestep: float, substeps: int, num_worlds: int) -> mujoco.MjModel:
    """Copies a model for a simulator, with its own timestep, after checking the common arguments.

    Raises:
        UsageError: a value is out of range, or bodies of the model may fall asleep.
    """
    if not 0.0 < timestep < math.inf:
        raise UsageError(f"timestep={timestep}: must be a positive number of seconds")
    check_count("substeps", substeps)
    check_count("num_worlds", num_worlds)
    if model.opt.enableflags & mujoco.mjtEnableBit.mjENBL_SLEEP:
        raise UsageError(
            "option flag sleep='enable': whether a body sleeps is no function of (qpos, qvel), which is the state "
            "here; remove it"
        )
    copy = model.__copy__()
    copy.opt.timestep = timestep
    return copy


def check_override(model: mujoco.MjModel) -> None:
    """Refuses a model whose contacts all have the parameters of its options.

    Raises:
        UsageError: it has the flag ``override``.
    """
    if model.opt.enableflags & mujoco.mjtEnableBit.mjENBL_OVERRIDE:
        raise UsageError(
            "option flag override='enable': the simulator would ignore o_margin, o_solref, o_solimp and o_friction; "
            "remove it and give these to the geoms"
        )


def control_range(model: mujoco.MjModel) -> np.ndarray:
    """Lowest and highest control of each actuator, ``(nu, 2)``; infinite where the model does not limit it, or switches
    the limits off (``clampctrl``)."""
    limited = model.actuator_ctrllimited.astype(bool)
    if model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_CLAMPCTRL:
        limited[:] = False
    return np.where(limited[:, None], model.actuator_ctrlrange, [[-np.inf, np.inf]])


class ControlClamp:
    """Clamps controls to `control_range`; no gradient outside the range."""

    def __init__(self, model: mujoco.MjModel, device: torch.device, dtype: torch.dtype) -> None:
        bounds = control_range(model)
        self._active = bool(np.isfinite(bounds).any())
        self._low, self._high = torch.as_tensor(bounds, dtype=dtype, device=device).unbind(1)

    def __call__(self, ctrl: Tensor) -> Tensor:
        return torch.clamp(ctrl, self._low, self._high) if self._active else ctrl


class _GuardGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, *tensors: Tensor):
        return tuple(t.view_as(t) for t in tensors)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, *grads: Tensor):
        largest = torch.linalg.vector_norm(torch.cat(grads, dim=1), math.inf, dim=1, keepdim=True)
        lost = ~(largest < math.inf)  # also where it is NaN
        return tuple(g.masked_fill(lost, 0.0) for g in grads)


def guard_gradient(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Identity whose backward pass zeroes the rows (worlds) in which any gradient is not finite.

    One world that blows up would otherwise turn the gradient of the whole batch into NaN.

    Args:
        tensors: shapes ``(N, ...)``, one row a world, with two dimensions and of one type.
    """
    if not torch.is_grad_enabled() or not any(t.requires_grad for t in tensors):
        return tensors
    return _GuardGradient.apply(*tensors)
