"""MJX behind the `Simulator` protocol."""

from __future__ import annotations

import jax
import mujoco
import numpy as np
import torch
from torch import Tensor

from pwm_bench.envs.devices import resolve_device
from pwm_bench.envs.mjx import capabilities
from pwm_bench.envs.mjx.bridge import DifferentiableCall
from pwm_bench.envs.mjx.control_step import ControlStep
from pwm_bench.envs.mjx.prepare import Prepared, prepare
from pwm_bench.envs.mjx.program import Program
from pwm_bench.envs.mjx.runtime import jax_device
from pwm_bench.envs.simulator import ControlClamp, State, check_inputs

__all__ = ["SimulatorMjx"]


class SimulatorMjx:
    """N worlds of a MuJoCo model in MJX, with the gradient of the converged solution.

    Contacts and limits are MuJoCo's own (``solref``, ``solimp``, friction pyramids), as in the C engine, and a step
    equals the C engine's converged one. See `pwm_bench.envs.mjx.solver` for the mathematics and docs/mjx.md for limits.

    Args:
        model: compiled model with the Euler integrator; its timestep is replaced, its solver and the solver's
            tolerance and iterations are not used.
        num_worlds: N.
        substeps: substeps in a control step.
        timestep: length of a substep [s].
        device: a torch device or a name, see `pwm_bench.envs.resolve_device`.
        dtype: float32 or float64.
        iterations: bound on Newton iterations; a world stops when it has converged, which takes 2 to 6.
        line_search_iterations: line-search steps in each of them. MJX always pays for all of them.

    Raises:
        UsageError: if the model can't be represented (naming the element), JAX does not see the device, or an
            argument is out of range.
    """

    capabilities = capabilities
    name = capabilities.name
    differentiable = True

    def __init__(
        self,
        model: mujoco.MjModel,
        *,
        num_worlds: int,
        substeps: int,
        timestep: float,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        iterations: int = 50,
        line_search_iterations: int = 8,
    ) -> None:
        self.num_worlds = num_worlds
        self.substeps = substeps
        self.timestep = timestep
        self.device = resolve_device(device, self.name)
        self.dtype = dtype
        self.compile_seconds = 0.0
        prepared = prepare(
            model, timestep=timestep, substeps=substeps, dtype=dtype, iterations=iterations,
            line_search_iterations=line_search_iterations, device=jax_device(self.device), num_worlds=num_worlds,
        )  # fmt: skip
        self.model = prepared.model
        self._clamp = ControlClamp(self.model, self.device, dtype)
        self._shapes = tuple((num_worlds, size) for size in (self.model.nq, self.model.nv, self.model.nu))
        self._call = self._build(prepared)

    def step(self, state: State, ctrl: Tensor) -> State:
        """Advances one control step; see `pwm_bench.envs.simulator.Simulator.step`. Differentiable once.

        Raises:
            UsageError: if a tensor has the wrong shape, dtype or device.
        """
        check_inputs(self, state, ctrl)
        inputs = (state.qpos, state.qvel, self._clamp(ctrl))
        gradient = torch.is_grad_enabled() and any(t.requires_grad for t in inputs)
        self.compile(gradient=gradient)
        return State(*self._call(*inputs))

    def compile(self, *, gradient: bool) -> float:
        """Compiles (or loads from the cache) the forward program and, for ``gradient``, the backward one.

        Returns:
            Seconds spent, 0.0 if nothing was left to do.
        """
        seconds = self._call.forward.compile()
        if gradient:
            seconds += self._call.backward.compile()
        self.compile_seconds += seconds
        return seconds

    def _build(self, prepared: Prepared) -> DifferentiableCall:
        host, device = prepared.host, jax_device(self.device)
        control_step = ControlStep(prepared.dynamics, self.substeps)
        worlds, nq, nv = self.num_worlds, host.nq, host.nv
        number = np.float64 if self.dtype == torch.float64 else np.float32
        record = [(self.substeps, worlds, size) for size in (nq, nv, nv, nv)]  # the fields of `Substep`
        content = _serialise(host) + repr((self.substeps, worlds)).encode()

        def program(function, name: str, *shapes: tuple[int, ...]) -> Program:
            arguments = [jax.ShapeDtypeStruct(shape, number) for shape in shapes]
            return Program(function, arguments, name=name, content=content, dtype=self.dtype, device=device)

        return DifferentiableCall(
            program(control_step.forward, "forward", *self._shapes),
            program(control_step.backward, "backward", *record, self._shapes[2], *self._shapes[:2]),
            num_outputs=2,
            dtype=self.dtype,
            device=self.device,
        )


def _serialise(model: mujoco.MjModel) -> bytes:
    buffer = np.empty(mujoco.mj_sizeModel(model), dtype=np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    return buffer.tobytes()
