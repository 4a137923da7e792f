"""What the tasks of robots with a free root share: observation layout, reset noise and the upright run along x."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from envs.simulator import State
from envs.tasks.base import Task, constant, planar, rotate

__all__ = ["FreeRootTask"]


class FreeRootTask(Task):
    """A robot with a free root and n scalar joints that is to run forward, towards a point far along x.

    Observation (13 + 2n, and n_a more with the previous action): height (1), root orientation w x y z (4), linear
    (3) and angular (3) velocity of the root in the world frame, joint angles (n), 0.1 x joint velocities (n), the
    vertical part of the root's up axis (1), the cosine between its forward axis and the direction of the target
    (1), previous action (n_a).

    Reset: the root's position within +-0.1 m of `position`, a rotation of up to 7.5 degrees about a random axis, joints
    within +-`joint_noise` of `posture`, all velocities within +-0.25.
    """

    position: ClassVar[tuple[float, float, float]]
    """Middle of the first position of the root [m]."""
    posture: ClassVar[tuple[float, ...]]
    """Middle of the first joint angles [rad]."""
    joint_noise: ClassVar[float] = 0.2
    """[rad]"""
    target_x: ClassVar[float] = 1e4
    """[m]"""
    observes_action: ClassVar[bool] = True

    @property
    def num_joints(self) -> int:
        return len(self.posture)

    def observation(self, state: State, action: Tensor) -> Tensor:
        qpos, qvel = state.qpos, state.qvel
        position, quaternion = qpos[:, :3], qpos[:, 3:7]
        x, y, _ = self.position
        across = torch.zeros_like(position[:, 2:])
        target = torch.cat((self.target_x + x - position[:, :1], y - position[:, 1:2], across), dim=1)
        axis = torch.eye(3, dtype=qpos.dtype, device=qpos.device)
        heading = rotate(quaternion, axis[0].expand_as(position))
        up = rotate(quaternion, axis[2].expand_as(position))
        parts = (
            position[:, 2:],
            quaternion,
            qvel[:, :3],
            rotate(quaternion, qvel[:, 3:6]),
            qpos[:, 7:],
            0.1 * qvel[:, 6:],
            up[:, 2:],
            (heading * planar(target)).sum(1, keepdim=True),
        )
        return torch.cat((*parts, action) if self.observes_action else parts, dim=1)

    def reset_state(self, noise: Tensor) -> State:
        like = (noise.dtype, noise.device)
        n = self.num_joints
        position = 0.1 * noise[:, :3] + constant(self.position, like)
        half_angle = noise[:, 3:4] * (math.pi / 48.0)
        axis = torch.nn.functional.normalize(noise[:, 4:7], dim=1)
        quaternion = torch.cat((torch.cos(half_angle), torch.sin(half_angle) * axis), dim=1)
        joints = constant(self.posture, like) + self.joint_noise * noise[:, 7 : 7 + n]
        return State(torch.cat((position, quaternion, joints), dim=1), 0.25 * noise[:, 7 + n : 13 + 2 * n])

    def running_reward(self, observation: Tensor) -> Tensor:
        """v_x + 0.1 up + heading, shape ``(N,)``: what the rewards of these robots have in common."""
        n = self.num_joints
        forward, up, heading = (observation[:, i] for i in (5, 11 + 2 * n, 12 + 2 * n))
        return forward + 0.1 * up + heading

    def forward_velocity(self, observation: Tensor) -> Tensor:
        return observation[:, 5]
