"""Four-legged ant."""

from __future__ import annotations

import math

import mujoco
import torch
from torch import Tensor

from envs.contact import CompliantContact, CompliantLimit
from envs.simulator import State
from envs.tasks.base import Task, constant, load_asset, planar, rotate

__all__ = ["Ant"]

_POSITION = (0.0, 0.0, 0.75)
_POSTURE = (0.0, 1.0, 0.0, -1.0, 0.0, -1.0, 0.0, 1.0)
_TARGET_X = 1e4


class Ant(Task):
    """Run forward, towards a point far along x.

    Observation (37): height, torso orientation w x y z, linear and angular velocity of the torso (world frame),
    8 joint angles, 0.1 x joint velocities, up and heading projections, previous action. Action (8): motor torques
    of +-200 N m. Reward: v_x + 0.1 up + heading + (height - 0.27). Ends when the height falls below 0.27 m.

    Deviations from the released task: quaternions are w x y z and z is up (MuJoCo), the linear velocity is the
    torso's own (dflex names it that of the centre of mass and computes the same), and only the shins collide.
    """

    name = "ant"
    observation_dim = 37
    action_dim = 8
    noise_dim = 29
    episode_length = 1000
    substeps = {"warp": 16, "mjx": 4, "mujoco_c": 4}
    contact = CompliantContact(stiffness=4e4, damping=1e4, friction_damping=3e3, friction=0.75)
    limit = CompliantLimit(stiffness=1e3)
    source = "dflex Ant as released with PWM (equal constants in NVlabs)"

    def model(self) -> mujoco.MjModel:
        return load_asset("ant.xml")

    def observation(self, state: State, action: Tensor) -> Tensor:
        qpos, qvel = state.qpos, state.qvel
        position, quaternion = qpos[:, :3], qpos[:, 3:7]
        target = torch.cat((_TARGET_X - position[:, :1], -position[:, 1:2], torch.zeros_like(position[:, 2:])), dim=1)
        axis = torch.eye(3, dtype=qpos.dtype, device=qpos.device)
        heading = rotate(quaternion, axis[0].expand_as(position))
        up = rotate(quaternion, axis[2].expand_as(position))
        return torch.cat(
            (
                position[:, 2:],
                quaternion,
                qvel[:, :3],
                rotate(quaternion, qvel[:, 3:6]),
                qpos[:, 7:],
                0.1 * qvel[:, 6:],
                up[:, 2:],
                (heading * planar(target)).sum(1, keepdim=True),
                action,
            ),
            dim=1,
        )

    def reward(self, observation: Tensor, action: Tensor) -> Tensor:
        height, forward, up, heading = (observation[:, i] for i in (0, 5, 27, 28))
        return forward + 0.1 * up + heading + (height - 0.27)

    def terminated(self, observation: Tensor) -> Tensor:
        return observation[:, 0] < 0.27

    def reset_state(self, noise: Tensor) -> State:
        like = (noise.dtype, noise.device)
        position = 0.1 * noise[:, :3] + constant(_POSITION, like)
        half_angle = noise[:, 3:4] * (math.pi / 48.0)
        axis = torch.nn.functional.normalize(noise[:, 4:7], dim=1)
        quaternion = torch.cat((torch.cos(half_angle), torch.sin(half_angle) * axis), dim=1)
        joints = constant(_POSTURE, like) + 0.2 * noise[:, 7:15]
        return State(torch.cat((position, quaternion, joints), dim=1), 0.25 * noise[:, 15:29])

    def forward_velocity(self, observation: Tensor) -> Tensor:
        return observation[:, 5]
