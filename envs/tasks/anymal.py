"""Four-legged ANYmal C."""

from __future__ import annotations

import mujoco
from torch import Tensor

from pwm_bench.envs.contact import CompliantContact, CompliantLimit
from pwm_bench.envs.integrator import DFLEX
from pwm_bench.envs.tasks.base import load_asset
from pwm_bench.envs.tasks.free_root import FreeRootTask

__all__ = ["Anymal"]

_HEIGHT = 0.25


class Anymal(FreeRootTask):
    """Run forward.

    Observation (49): that of `FreeRootTask` with 12 joint angles. Action (12): motor torques of +-200 N m on top of
    springs of 85 N m/rad towards zero angles, straight legs. Legs in the order left front, right front, left hind,
    right hind; joints in the order hip abduction, hip flexion, knee. Reward: v_x + 0.1 up + heading + (height -
    0.25) - 0.005 |a|^2. Ends when the height falls below 0.25 m. Mass: 37.3 kg: only the collision shapes of base,
    knees and feet, at the density of water; the robot's description says 53 kg.
    """

    name = "anymal"
    observation_dim = 49
    action_dim = 12
    noise_dim = 37
    episode_length = 1000
    substeps = {"warp": 16}
    contact = CompliantContact(stiffness=2e3, damping=5e2, friction_damping=1e2, friction=0.75)
    limit = CompliantLimit(stiffness=1e3)
    integrator = DFLEX
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
