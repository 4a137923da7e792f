"""Four-legged ANYmal C."""

from __future__ import annotations

import mujoco
from torch import Tensor

from envs.contact import CompliantContact, CompliantLimit
from envs.tasks.base import load_asset
from envs.tasks.free_root import FreeRootTask

__all__ = ["Anymal"]

_HEIGHT = 0.25


class Anymal(FreeRootTask):
    """Run forward.

    Observation (49): height, base orientation w x y z, linear and angular velocity of the base (world frame), 12
    joint angles, 0.1 x joint velocities, up and heading projections, previous action. Action (12): motor torques of
    +-200 N m on top of springs about the initial posture. Legs in the order left front, right front, left hind,
    right hind; joints in the order hip abduction, hip flexion, knee. Reward: v_x + 0.1 up + heading + (height -
    0.25) - 0.005 |a|^2. Ends when the height falls below 0.25 m. Mass: 53 kg (published links).

    Deviations from the released task: quaternions are w x y z and z is up (MuJoCo); masses and inertias are the
    published ones (the released code gives the collision shapes the density of water, 37 kg in all); the springs
    rest at the initial posture (there at straight legs); the mass matrix is fresh in every substep.
    """

    name = "anymal"
    observation_dim = 49
    action_dim = 12
    noise_dim = 37
    episode_length = 1000
    substeps = {"warp": 16, "mjx": 4, "mujoco_c": 4}
    contact = CompliantContact(stiffness=2e3, damping=5e2, friction_damping=1e2, friction=0.75)
    limit = CompliantLimit(stiffness=1e3)
    source = "dflex (PWM)"
    position = (0.0, 0.0, 0.55)
    posture = (0.03, 0.4, -0.8, -0.03, 0.4, -0.8, 0.03, -0.4, 0.8, -0.03, -0.4, 0.8)

    def model(self) -> mujoco.MjModel:
        return load_asset("anymal.xml")

    def reward(self, observation: Tensor, action: Tensor) -> Tensor:
        height = observation[:, 0] - _HEIGHT
        return self.running_reward(observation) + height - 0.005 * action.square().sum(1)

    def terminated(self, observation: Tensor) -> Tensor:
        return observation[:, 0] < _HEIGHT
