"""Four-legged ant."""

from __future__ import annotations

import mujoco
from torch import Tensor

from pwm_bench.envs.contact import CompliantContact, CompliantLimit
from pwm_bench.envs.integrator import DFLEX
from pwm_bench.envs.tasks.base import load_asset
from pwm_bench.envs.tasks.free_root import FreeRootTask

__all__ = ["Ant"]


class Ant(FreeRootTask):
    """Run forward, towards a point far along x.

    Observation (37): that of `FreeRootTask` with 8 joint angles. Action (8): motor torques of +-200 N m.
    Reward: v_x + 0.1 up + heading + (height - 0.27). Ends when the height falls below 0.27 m.
    Mass: 182 kg (shapes at the density of water).
    """

    name = "ant"
    observation_dim = 37
    action_dim = 8
    noise_dim = 29
    episode_length = 1000
    substeps = {"warp": 16}
    contact = CompliantContact(stiffness=4e4, damping=1e4, friction_damping=3e3, friction=0.75)
    limit = CompliantLimit(stiffness=1e3)
    integrator = DFLEX
    constraint_geoms = ("front_left_shin", "front_right_shin", "back_left_shin", "back_right_shin")
    source = "dflex (PWM)"
    position = (0.0, 0.0, 0.75)
    posture = (0.0, 1.0, 0.0, -1.0, 0.0, -1.0, 0.0, 1.0)

    def model(self) -> mujoco.MjModel:
        return load_asset("ant.xml")

    def reward(self, observation: Tensor, action: Tensor) -> Tensor:
        return self.running_reward(observation) + (observation[:, 0] - 0.27)

    def terminated(self, observation: Tensor) -> Tensor:
        return observation[:, 0] < 0.27
