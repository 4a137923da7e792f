"""Four-legged ant."""

from __future__ import annotations

import mujoco
from torch import Tensor

from envs.contact import CompliantContact, CompliantLimit
from envs.tasks.base import load_asset
from envs.tasks.free_root import FreeRootTask

__all__ = ["Ant"]


class Ant(FreeRootTask):
    """Run forward, towards a point far along x.

    Observation (37): height, torso orientation w x y z, linear and angular velocity of the torso (world frame),
    8 joint angles, 0.1 x joint velocities, up and heading projections, previous action. Action (8): motor torques
    of +-200 N m. Reward: v_x + 0.1 up + heading + (height - 0.27). Ends when the height falls below 0.27 m.
    Mass: 182 kg (dflex's shapes at the density of water).

    As released with PWM, with constants equal to NVlabs'. Deviations: quaternions are w x y z and z is up (MuJoCo),
    the linear velocity is the torso's own (dflex names it that of the centre of mass and computes the same), and
    only the shins collide.
    """

    name = "ant"
    observation_dim = 37
    action_dim = 8
    noise_dim = 29
    episode_length = 1000
    substeps = {"warp": 16, "mjx": 4, "mujoco_c": 4}
    contact = CompliantContact(stiffness=4e4, damping=1e4, friction_damping=3e3, friction=0.75)
    limit = CompliantLimit(stiffness=1e3)
    source = "dflex (PWM)"
    position = (0.0, 0.0, 0.75)
    posture = (0.0, 1.0, 0.0, -1.0, 0.0, -1.0, 0.0, 1.0)

    def model(self) -> mujoco.MjModel:
        return load_asset("ant.xml")

    def reward(self, observation: Tensor, action: Tensor) -> Tensor:
        return self.running_reward(observation) + (observation[:, 0] - 0.27)

    def terminated(self, observation: Tensor) -> Tensor:
        return observation[:, 0] < 0.27
