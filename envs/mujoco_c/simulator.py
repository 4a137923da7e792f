"""MuJoCo's C engine behind the `Simulator` protocol: forward only, all worlds over all cores."""

from __future__ import annotations

import weakref

import mujoco
import numpy as np
import torch
from mujoco.rollout import Rollout
from torch import Tensor

from pwm_bench.envs.cores import usable_cores
from pwm_bench.envs.devices import resolve_device
from pwm_bench.envs.errors import UsageError, check_count
from pwm_bench.envs.mujoco_c import capabilities
from pwm_bench.envs.simulator import ControlClamp, State, model_at_timestep

__all__ = ["SimulatorMujocoC"]


class SimulatorMujocoC:
    """N worlds of a MuJoCo model in the C engine, in float64 whatever the tensors' type.

    The reference for tests and finite differences, and the quickest simulator on a CPU for algorithms without
    simulator gradients. It has none itself.

    Args:
        model: compiled model; its timestep is replaced, everything else (integrator, solver, contacts) is as given.
        num_worlds: N.
        substeps: substeps in a control step.
        timestep: length of a substep [s].
        device: device of the tensors taken and returned; the computation is on the CPU.
        dtype: floating-point type of the tensors taken and returned.
        threads: threads to step worlds with; by default one for each core that this process may use.

    Raises:
        UsageError: if the model has state beyond (qpos, qvel), or an argument is out of range.
    """

    capabilities = capabilities
    name = capabilities.name
    differentiable = False

    def __init__(
        self,
        model: mujoco.MjModel,
        *,
        num_worlds: int,
        substeps: int,
        timestep: float,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        threads: int | None = None,
    ) -> None:
        if threads is not None:
            check_count("threads", threads)
        self.model = model_at_timestep(model, timestep, substeps, num_worlds)
        # A world that blows up must show it: MuJoCo would put it back to the initial pose without a word.
        self.model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
        _check_state(self.model)
        self.num_worlds = num_worlds
        self.substeps = substeps
        self.timestep = timestep
        self.device = resolve_device(device, self.name)
        self.dtype = dtype
        self.compile_seconds = 0.0
        self.threads = min(num_worlds, threads or usable_cores())
        self._clamp = ControlClamp(self.model, self.device, dtype)
        self._shapes = tuple((num_worlds, size) for size in (self.model.nq, self.model.nv, self.model.nu))
        self._data = [mujoco.MjData(self.model) for _ in range(self.threads)]
        self._models = [self.model] * num_worlds
        self._rest = np.concatenate(([0.0], self.model.qpos0, np.zeros(self.model.nv)))
        self._no_warm_start = np.zeros((num_worlds, self.model.nv))
        # The calling thread steps the worlds itself if there is but one.
        pool = Rollout(nthread=self.threads if self.threads > 1 else 0)
        self._rollout = pool.rollout
        self.close = weakref.finalize(self, pool.close)

    def step(self, state: State, ctrl: Tensor) -> State:
        """Advances one control step; see `pwm_bench.envs.simulator.Simulator.step`.

        Raises:
            UsageError: if a gradient is asked for, or a tensor has the wrong shape.
        """
        inputs = (state.qpos, state.qvel, ctrl)
        if torch.is_grad_enabled() and any(t.requires_grad for t in inputs):
            raise UsageError("simulator 'mujoco_c' has no gradient: use 'warp' or 'mjx', or step under torch.no_grad()")
        for name, tensor, shape in zip(("qpos", "qvel", "ctrl"), inputs, self._shapes, strict=True):
            if tensor.shape != shape:
                raise UsageError(f"{name} has shape {tuple(tensor.shape)}: this simulator takes {shape}")
        tensors = (*inputs[:2], self._clamp(ctrl))
        qpos, qvel, inputs_u = (t.detach().to("cpu", torch.float64).numpy() for t in tensors)
        start = np.concatenate((np.zeros((self.num_worlds, 1)), qpos, qvel), axis=1)  # MuJoCo's state begins with time
        control = np.repeat(inputs_u[:, None, :], self.substeps, axis=1)
        broken = ~(np.isfinite(start).all(axis=1) & np.isfinite(inputs_u).all(axis=1))
        if broken.any():
            # MuJoCo writes a log file about each such world: let it step the initial pose instead.
            start[broken], control[broken] = self._rest, 0.0
        trajectory = np.empty((self.num_worlds, self.substeps, start.shape[1]))
        sensors = np.empty((self.num_worlds, self.substeps, self.model.nsensordata))
        self._rollout(
            self._models,
            self._data,
            start,
            control,
            nstep=self.substeps,
            initial_warmstart=self._no_warm_start,
            state=trajectory,
            sensordata=sensors,
            skip_checks=True,
        )
        last = trajectory[:, -1]
        last[broken] = np.nan
        nq = self.model.nq
        parts = (torch.from_numpy(part) for part in (last[:, 1 : 1 + nq], last[:, 1 + nq :]))
        return State(*(part.to(self.device, self.dtype, copy=True).contiguous() for part in parts))

    def compile(self, *, gradient: bool) -> float:
        """Nothing to compile.

        Raises:
            UsageError: if ``gradient``.
        """
        if gradient:
            raise UsageError("simulator 'mujoco_c' has no gradient: use 'warp' or 'mjx'")
        return 0.0


def _check_state(model: mujoco.MjModel) -> None:
    for index in np.flatnonzero(model.actuator_actnum):
        raise UsageError(
            f"actuator {index} ('{model.actuator(index).name}') has activation dynamics: "
            "the state here is (qpos, qvel); use dyntype='none'"
        )
    extra = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS) - 1 - model.nq - model.nv
    if extra:
        raise UsageError(f"model has {extra} state numbers beyond qpos and qvel (delays or plugins): remove them")
