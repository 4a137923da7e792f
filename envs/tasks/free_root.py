"""What the tasks of robots with a free root share: observation layout, reset noise and the upright run along x."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from pwm_bench.envs.simulator import State
from pwm_bench.envs.tasks.base import Task, constant, multiply, planar, rotate, rotate_inverse

__all__ = ["FreeRootTask"]

_HALF = math.sqrt(0.5)


class FreeRootTask(Task):
    """A robot with a free root and joints with n coordinates and m velocities, that is to run forward, towards a point
    far along x.

    Observation (13 + n + m, and n_a more with the last action), in the published axes: x forward, y up, quaternions
    x y z w, angular velocities of ball joints in the axes of the parent. Height (1), root orientation (4), linear (3)
    and angular (3) velocity of the root in the world's axes, joint coordinates (n), 0.1 x joint velocities (m), the
    vertical part of the root's up axis (1), the cosine between its forward axis and the horizontal direction of the
    target (1), the last action (n_a; zero after a reset).

    Reset: the root's position within +-0.1 m of `position`, a rotation by up to 7.5 degrees about a random axis of the
    body's from `orientation`, each joint coordinate within +-`joint_noise` of `posture`, velocities within +-0.25 on
    each component; the root's are those of its twist about the WORLD's origin, so its own linear velocity is
    v + omega x p.
    """

    position: ClassVar[tuple[float, float, float]]
    """Middle of the first position of the root [m], z up."""
    orientation: ClassVar[tuple[float, float, float, float]] = (1.0, 0.0, 0.0, 0.0)
    """Middle of its first orientation, w x y z."""
    forward: ClassVar[tuple[float, float, float]] = (1.0, 0.0, 0.0)
    """The root's axis that points ahead."""
    up: ClassVar[tuple[float, float, float]] = (0.0, 0.0, 1.0)
    """The root's axis that points up."""
    posture: ClassVar[tuple[float, ...]]
    """Middle of the first joint coordinates [rad, quaternions w x y z]."""
    balls: ClassVar[tuple[int, ...]] = ()
    """Where in `posture` the quaternions of ball joints begin."""
    joint_noise: ClassVar[float] = 0.2
    """Noise on each joint coordinate at a reset, quaternions' included, which are not normalised."""
    target_x: ClassVar[float] = 1e4
    """[m]"""
    observes_action: ClassVar[bool] = True

    @property
    def num_coordinates(self) -> int:
        """n."""
        return len(self.posture)

    @property
    def num_velocities(self) -> int:
        """m."""
        return len(self.posture) - len(self.balls)

    def observation(self, state: State, action: Tensor) -> Tensor:
        qpos, qvel = state.qpos, state.qvel
        like = (qpos.dtype, qpos.device)
        position, quaternion = qpos[:, :3], qpos[:, 3:7]
        x, y, _ = self.position
        across = torch.zeros_like(position[:, 2:])
        target = torch.cat((self.target_x + x - position[:, :1], y - position[:, 1:2], across), dim=1)
        heading = rotate(quaternion, constant(self.forward, like).expand_as(position))
        up = rotate(quaternion, constant(self.up, like).expand_as(position))
        coordinates, velocities = self._published_joints(qpos[:, 7:], qvel[:, 6:])
        parts = (
            position[:, 2:],
            _published_orientation(quaternion),
            _published_axes(qvel[:, :3]),
            _published_axes(rotate(quaternion, qvel[:, 3:6])),
            coordinates,
            0.1 * velocities,
            up[:, 2:],
            (heading * planar(target)).sum(1, keepdim=True),
        )
        return torch.cat((*parts, action) if self.observes_action else parts, dim=1)

    def reset_state(self, noise: Tensor) -> State:
        like = (noise.dtype, noise.device)
        n = self.num_coordinates
        position = 0.1 * noise[:, :3] + constant(self.position, like)
        half_angle = noise[:, 3:4] * (math.pi / 48.0)
        axis = torch.nn.functional.normalize(noise[:, 4:7], dim=1)
        turn = torch.cat((torch.cos(half_angle), torch.sin(half_angle) * axis), dim=1)
        quaternion = multiply(constant(self.orientation, like).expand_as(turn), turn)
        joints = constant(self.posture, like) + self.joint_noise * noise[:, 7 : 7 + n]
        linear, angular, velocities = (0.25 * noise[:, 7 + n :]).split((3, 3, self.num_velocities), dim=1)
        own = (
            linear + torch.linalg.cross(angular, position),
            rotate_inverse(quaternion, angular),
            self._in_child_axes(joints, velocities),
        )
        return State(torch.cat((position, quaternion, joints), dim=1), torch.cat(own, dim=1))

    def running_reward(self, observation: Tensor) -> Tensor:
        """v_x + 0.1 up + heading, shape ``(N,)``: what the rewards of these robots have in common."""
        after = 11 + self.num_coordinates + self.num_velocities
        forward, up, heading = (observation[:, i] for i in (5, after, after + 1))
        return forward + 0.1 * up + heading

    def forward_velocity(self, observation: Tensor) -> Tensor:
        return observation[:, 5]

    def _published_joints(self, coordinates: Tensor, velocities: Tensor) -> tuple[Tensor, Tensor]:
        """Quaternions as x y z w, angular velocities of ball joints in the axes of the parent."""
        positions, rates, done, spun = [], [], 0, 0
        for start in self.balls:
            quaternion = coordinates[:, start : start + 4]
            turn = torch.nn.functional.normalize(quaternion, dim=1)
            before = start - done
            positions += [coordinates[:, done:start], quaternion[:, 1:], quaternion[:, :1]]
            rates += [
                velocities[:, spun : spun + before],
                rotate(turn, velocities[:, spun + before : spun + before + 3]),
            ]
            done, spun = start + 4, spun + before + 3
        return torch.cat((*positions, coordinates[:, done:]), dim=1), torch.cat((*rates, velocities[:, spun:]), dim=1)

    def _in_child_axes(self, coordinates: Tensor, velocities: Tensor) -> Tensor:
        """Angular velocities of ball joints, given in the axes of the parent, in those of the child."""
        rates, done, spun = [], 0, 0
        for start in self.balls:
            turn = torch.nn.functional.normalize(coordinates[:, start : start + 4], dim=1)
            first = spun + start - done
            rates += [velocities[:, spun:first], rotate_inverse(turn, velocities[:, first : first + 3])]
            done, spun = start + 4, first + 3
        return torch.cat((*rates, velocities[:, spun:]), dim=1)


def _published_axes(vector: Tensor) -> Tensor:
    """A vector ``(N, 3)`` of ours (z up) in axes of which y is up: turned by -90 degrees about x."""
    x, y, z = vector.unbind(1)
    return torch.stack((x, z, -y), dim=1)


def _published_orientation(quaternion: Tensor) -> Tensor:
    """A quaternion of ours, w x y z, followed by the same turn; as x y z w."""
    w, x, y, z = quaternion.unbind(1)
    return _HALF * torch.stack((x - w, y + z, z - y, w + x), dim=1)
