"""Humanoid moved by 152 muscles."""

from __future__ import annotations

import math

import mujoco
import torch
from torch import Tensor

from pwm_bench.envs.contact import CompliantContact, CompliantLimit
from pwm_bench.envs.simulator import State
from pwm_bench.envs.tasks.base import constant
from pwm_bench.envs.tasks.free_root import FreeRootTask
from pwm_bench.envs.tasks.muscles import muscle_humanoid
from pwm_bench.envs.tasks.muscles.skeleton import STANDING_HEIGHT

__all__ = ["MuscleHumanoid", "MuscleHumanoidRaw"]

_LEG = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)  # hip, knee, ankle, hallux, lesser toes: upright
_NV = 24


class MuscleHumanoid(FreeRootTask):
    """Run forward on two legs moved by Hill-type muscles, without falling.

    Observation (53): that of `FreeRootTask` with 22 joint coordinates (per leg, left first: hip quaternion, knee, ankle
    quaternion, hallux, toes) and 18 velocities. Action (152): activation 0.5 (a + 1) in [0, 1] of each muscle, as in
    NVlabs' release. Reward: v_x + 0.1 up + heading - 0.001 sum |a|; no term for the height, as released. Ends when the
    height falls below 0.46 m.

    The body and its muscles are our own (`pwm_bench.envs.tasks.muscles`), not the released asset: 72 kg, 76 muscles a
    side with forces from the literature, not scaled by the released 0.36; the published robot is `snu_humanoid`. Other
    deviations: MuJoCo's integration; the damping of joint limits is part of the damping of knees and toes; feet,
    kneecaps and head collide.
    """

    name = "muscle_humanoid"
    observation_dim = 53
    action_dim = 152
    noise_dim = 7 + _NV
    episode_length = 1000
    substeps = {"warp": 48, "mjx": 8, "mujoco_c": 8}
    contact = CompliantContact(stiffness=5e3, damping=2e3, friction_damping=1e3, friction=0.5)
    limit = CompliantLimit(stiffness=1e3)
    source = "dflex SNU (NVlabs)"
    # The released task starts at 1.0 +- 0.1 m. Ours starts with the soles up to 0.1 m above the ground, never in it.
    position = (0.0, 0.0, STANDING_HEIGHT + 0.05)
    posture = _LEG + _LEG
    balls = (0, 5, 11, 16)
    observes_action = False

    def model(self) -> mujoco.MjModel:
        return muscle_humanoid()

    def control(self, action: Tensor) -> Tensor:
        return 0.5 * (action + 1.0)

    def reward(self, observation: Tensor, action: Tensor) -> Tensor:
        return self.running_reward(observation) - 0.001 * action.abs().sum(1)

    def terminated(self, observation: Tensor) -> Tensor:
        return observation[:, 0] < 0.46

    def reset_state(self, noise: Tensor) -> State:
        """The upright posture without noise on the joints (as in NVlabs' release), moved, turned and set in motion."""
        like = (noise.dtype, noise.device)
        position = constant(self.position, like) + constant((0.1, 0.1, 0.05), like) * noise[:, :3]
        half_angle = noise[:, 3:4] * (math.pi / 48.0)
        axis = torch.nn.functional.normalize(noise[:, 4:7], dim=1)
        quaternion = torch.cat((torch.cos(half_angle), torch.sin(half_angle) * axis), dim=1)
        joints = constant(self.posture, like).expand(noise.shape[0], -1)
        return State(torch.cat((position, quaternion, joints), dim=1), 0.25 * noise[:, 7:])


class MuscleHumanoidRaw(MuscleHumanoid):
    """The variant released with PWM: the action itself, in [-1, 1], is the activation; a negative one pushes."""

    name = "muscle_humanoid_raw"
    source = "dflex SNU (PWM)"

    def model(self) -> mujoco.MjModel:
        return muscle_humanoid(lowest_activation=-1.0)

    def control(self, action: Tensor) -> Tensor:
        return action
