"""A simulator of one's own: bodies on slide joints, whose equations of motion are linear."""

import mujoco
import numpy as np
import torch

from pwm_bench.envs.capability import Capabilities
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.simulator import ControlClamp, State, model_at_timestep


class SimulatorLinear:
    """M a = B u - K (q - q0) - D v + f, stepped as v += dt a, q += dt v; autograd differentiates it."""

    capabilities = Capabilities(
        name="linear",
        label="Linear",
        gradient="autograd",
        devices=("cpu", "cuda"),
        contact="none",
        package="torch",
        stable_timestep=1.0 / 240.0,
    )
    name = capabilities.name
    differentiable = True
    compile_seconds = 0.0

    def __init__(self, model, *, num_worlds, substeps, timestep, device="cpu", dtype=torch.float32):
        if (model.jnt_type != mujoco.mjtJoint.mjJNT_SLIDE).any() or not model.nv:
            raise UsageError("simulator 'linear': takes models in which all joints are slides; use another simulator")
        self.model = model_at_timestep(model, timestep, substeps, num_worlds)
        self.num_worlds, self.substeps, self.timestep = num_worlds, substeps, timestep
        self.device, self.dtype = torch.device(device), dtype
        self.clamp = ControlClamp(self.model, self.device, dtype)
        data = mujoco.MjData(self.model)
        inverse, forces = np.zeros((model.nv, model.nv)), []
        for actuator in range(model.nu):  # the force of each control alone, then that of none
            data.ctrl[:] = 0.0
            data.ctrl[actuator] = 1.0
            mujoco.mj_forward(self.model, data)
            forces.append(data.qfrc_actuator.copy())
        mujoco.mj_solveM(self.model, data, inverse, np.eye(model.nv))  # of the mass matrix, which never changes
        self.by_control, self.by_force = self._made(np.stack(forces) @ inverse), self._made(inverse)
        self.stiffness, self.damping = self._made(model.jnt_stiffness), self._made(model.dof_damping)
        self.rest, self.bias = self._made(model.qpos_spring), self._made(data.qfrc_bias)

    def _made(self, values):
        return torch.as_tensor(values).to(self.device, self.dtype)

    def step(self, state, ctrl):
        qpos, qvel, push = state.qpos, state.qvel, self.clamp(ctrl) @ self.by_control
        for _ in range(self.substeps):
            force = -self.stiffness * (qpos - self.rest) - self.damping * qvel - self.bias
            qvel = qvel + self.timestep * (push + force @ self.by_force)
            qpos = qpos + self.timestep * qvel
        return State(qpos, qvel)

    def compile(self, *, gradient):
        return 0.0
