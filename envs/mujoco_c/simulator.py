"""MuJoCo C as a batched simulator: `mujoco.rollout` over all cores, in float64, without gradients."""

from __future__ import annotations

import os
import weakref

import mujoco
import mujoco.rollout
import numpy as np
import torch
from torch import Tensor

from envs.errors import UsageError
from envs.simulator import State, model_at_timestep

__all__ = ["SimulatorMujocoC"]


class SimulatorMujocoC:
    """The engine that the other simulators are compared with; it represents every model that MuJoCo compiles.

    Args:
        model: compiled MuJoCo model; copied.
        num_worlds: worlds advanced together.
        substeps: substeps of a control step.
        timestep: duration of a substep [s].
        device: must be the CPU.
        dtype: of the tensors that go in and come out; inside everything is float64.
        threads: threads of the pool; all available cores by default.

    Raises:
        UsageError: if the model's actuators have activation states, which `State` does not carry.
    """

    name = "mujoco_c"
    differentiable = False

    def __init__(
        self,
        model: mujoco.MjModel,
        *,
        num_worlds: int,
        substeps: int,
        timestep: float,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        threads: int | None = None,
    ) -> None:
        if model.na:
            raise UsageError("simulator 'mujoco_c' keeps no actuator activations: give the actuators dyntype='none'")
        if threads is not None and threads < 1:
            raise UsageError(f"threads={threads}: must be at least 1")
        self.model = model_at_timestep(model, timestep, substeps, num_worlds)
        self.num_worlds = num_worlds
        self.substeps = substeps
        self.timestep = timestep
        self.device = torch.device(device)
        self.dtype = dtype
        self.compile_seconds = 0.0
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        count = min(threads or cores, num_worlds)
        # A pool of one would only add a hand-over to every call.
        self._pool = mujoco.rollout.Rollout(nthread=count if count > 1 else 0)
        weakref.finalize(self, self._pool.close)
        self._data = [mujoco.MjData(self.model) for _ in range(count)]
        size = mujoco.mj_stateSize(self.model, int(mujoco.mjtState.mjSTATE_FULLPHYSICS))
        self._initial = np.zeros((num_worlds, size))
        self._qpos = slice(1, 1 + self.model.nq)
        self._qvel = slice(1 + self.model.nq, 1 + self.model.nq + self.model.nv)

    def step(self, state: State, ctrl: Tensor) -> State:
        """Advances one control step; see `envs.simulator.Simulator.step`.

        Raises:
            UsageError: if a gradient is asked for, or a tensor has the wrong shape.
        """
        for name, tensor, width in (
            ("qpos", state.qpos, self.model.nq),
            ("qvel", state.qvel, self.model.nv),
            ("ctrl", ctrl, self.model.nu),
        ):
            if tensor.shape != (self.num_worlds, width):
                raise UsageError(f"{name} is {tuple(tensor.shape)}: this simulator takes ({self.num_worlds}, {width})")
            if tensor.requires_grad and torch.is_grad_enabled():
                raise UsageError(f"{name} requires a gradient, which simulator 'mujoco_c' has not: use 'warp' or 'mjx'")
        initial = self._initial.copy()  # time, warm start and whatever else is part of the physics begin at zero
        initial[:, self._qpos] = state.qpos.detach().numpy()
        initial[:, self._qvel] = state.qvel.detach().numpy()
        # A world that has left the finite range would only make MuJoCo warn and reset it behind our back.
        broken = ~np.isfinite(initial).all(axis=1)
        initial[broken] = 0.0
        control = np.repeat(ctrl.detach().double().numpy()[:, None], self.substeps, axis=1)
        states, _ = self._pool.rollout(
            self.model,
            self._data,
            initial,
            control if self.model.nu else None,
            nstep=self.substeps,
            control_spec=int(mujoco.mjtState.mjSTATE_CTRL),
        )
        last = states[:, -1]
        last[broken] = np.nan
        return State(*(torch.from_numpy(last[:, part]).to(self.dtype) for part in (self._qpos, self._qvel)))

    def compile(self, *, gradient: bool) -> float:
        """Nothing to compile. Returns 0."""
        return 0.0
