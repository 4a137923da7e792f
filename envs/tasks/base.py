"""What a task is: model, observation, reward, termination and reset noise, written once for every simulator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar

import mujoco
import numpy as np
import torch
from torch import Tensor

from pwm_bench.envs.assets import load_asset
from pwm_bench.envs.capability import Capabilities
from pwm_bench.envs.contact import CompliantContact, CompliantLimit
from pwm_bench.envs.integrator import Integrator
from pwm_bench.envs.simulator import State

__all__ = ["Task", "constant", "load_asset", "multiply", "planar", "rotate", "rotate_inverse"]


class Task(ABC):
    """A control problem on a MuJoCo model; batched torch functions of state and action, without any state.

    The reward of a step is a function of the observation *before* it and the action, r(s_t, a_t), as in the code
    released with PWM (which differs in this from NVlabs' SHAC, where it is a function of the observation after it).
    """

    name: ClassVar[str]
    label: ClassVar[str] = ""
    """The name of a task from outside in print; ``name`` if empty."""
    published: ClassVar[str] = ""
    """The name under which publications report it; its name if empty."""
    observation_dim: ClassVar[int]
    action_dim: ClassVar[int]
    noise_dim: ClassVar[int]
    """Uniform numbers that `reset_state` consumes per world."""
    episode_length: ClassVar[int]
    """Control steps until truncation."""
    control_dt: ClassVar[float] = 1.0 / 60.0
    """Duration of a control step [s]."""
    substeps: ClassVar[Mapping[str, int]] = {}
    """Simulator name -> substeps in a control step, where its stable timestep is not what the task needs."""
    contact: ClassVar[CompliantContact] = CompliantContact()
    """Contact constants, for simulators with compliant contacts."""
    limit: ClassVar[CompliantLimit] = CompliantLimit()
    """Joint-limit constants, likewise."""
    integrator: ClassVar[Integrator] = Integrator()
    """Choices in the integration, for the Warp simulator; the others integrate as MuJoCo does."""
    constraint_geoms: ClassVar[tuple[str, ...]] = ()
    """Geoms that meet the ground where each contact is a constraint that costs time, see `Capabilities.task_constants`;
    empty for all."""
    source: ClassVar[str] = ""
    """Released environment that the task follows, if any."""

    @abstractmethod
    def model(self) -> mujoco.MjModel:
        """The compiled model; controls are actions in [-1, 1], strengths are the actuators' gears."""

    @abstractmethod
    def observation(self, state: State, action: Tensor) -> Tensor:
        """Observation after a step. ``action`` is the one that led here (zero at reset). ``(N, observation_dim)``."""

    @abstractmethod
    def reward(self, observation: Tensor, action: Tensor) -> Tensor:
        """Reward of taking ``action`` ``(N, action_dim)`` at ``observation``. Returns ``(N,)``."""

    @abstractmethod
    def terminated(self, observation: Tensor) -> Tensor:
        """Whether the episode ends at ``observation``, bool ``(N,)``."""

    @abstractmethod
    def reset_state(self, noise: Tensor) -> State:
        """First state of an episode from uniform noise in [-1, 1), shape ``(N, noise_dim)``."""

    def control(self, action: Tensor) -> Tensor:
        """Actuator controls of an action, shape ``(N, nu)``."""
        return action

    def forward_velocity(self, observation: Tensor) -> Tensor | None:
        """Speed along the task's direction [m/s], ``(N,)``; None where the task is not about moving forward."""
        return None

    def model_for(self, able: Capabilities) -> mujoco.MjModel:
        """The model as a simulator is given it: `model`, or one in which only `constraint_geoms` touch."""
        model = self.model()
        if able.task_constants or not self.constraint_geoms:
            return model
        touching = [model.geom(name).id for name in self.constraint_geoms]
        masked = model.__copy__()
        others = np.setdiff1d(np.flatnonzero(model.body_weldid[model.geom_bodyid]), touching)
        masked.geom_contype[others] = masked.geom_conaffinity[others] = 0
        return masked

    def substeps_for(self, able: Capabilities) -> int:
        """Substeps in a control step of a simulator."""
        return self.substeps.get(able.name) or able.substeps(self.control_dt)

    def simulator_options(self, able: Capabilities) -> dict[str, Any]:
        """Constructor options of a simulator beyond model, substeps and timestep."""
        if not able.task_constants:
            return {}
        return {"contact": self.contact, "limit": self.limit, "integrator": self.integrator}


@cache
def constant(values: tuple[float, ...], like: tuple[torch.dtype, torch.device]) -> Tensor:
    """A tensor made once per type and device: making it anew in each step would stall a GPU's queue."""
    with torch.inference_mode(False):  # whoever asks first: others differentiate with it
        return torch.tensor(values, dtype=like[0], device=like[1])


def multiply(first: Tensor, second: Tensor) -> Tensor:
    """Product of quaternions w x y z ``(N, 4)``: the second rotation, then the first."""
    w, u = first[:, :1], first[:, 1:]
    v, p = second[:, :1], second[:, 1:]
    vector = w * p + v * u + torch.linalg.cross(u, p)
    return torch.cat((w * v - (u * p).sum(1, keepdim=True), vector), dim=1)


def rotate(quaternion: Tensor, vector: Tensor) -> Tensor:
    """Rotates vectors ``(N, 3)`` by unit quaternions w x y z ``(N, 4)``."""
    w, u = quaternion[:, :1], quaternion[:, 1:]
    t = 2.0 * torch.linalg.cross(u, vector)
    return vector + w * t + torch.linalg.cross(u, t)


def rotate_inverse(quaternion: Tensor, vector: Tensor) -> Tensor:
    """Rotates vectors ``(N, 3)`` by the inverse of unit quaternions w x y z ``(N, 4)``."""
    return rotate(torch.cat((quaternion[:, :1], -quaternion[:, 1:]), dim=1), vector)


def planar(vector: Tensor) -> Tensor:
    """The unit vector ``(N, 3)`` along a vector's horizontal part."""
    flat = torch.cat((vector[:, :2], torch.zeros_like(vector[:, 2:])), dim=1)
    return torch.nn.functional.normalize(flat, dim=1)
