"""States between dflex's conventions and ours, both ways, over any leading axes.

dflex: y is up, quaternions are x y z w, a free joint's velocity is the twist (omega, nu) about the world's origin in
the world's axes (the joint's origin p moves with nu + omega x p), a ball joint's angular velocity has the axes of the
joint's frame on the parent. Ours (MuJoCo's): z is up, quaternions are w x y z, a free joint's velocity is that of its
origin in the world's axes and its angular velocity in the body's, a ball joint's angular velocity has the body's axes.
Ours = Q theirs with Q the rotation by +90 degrees about x. Links have equal frames, so scalar joints have equal values.

Quaternions keep their length. Rotations of vectors use the normalised quaternion.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pwm_bench.envs.simulator import State
from pwm_bench.parity.golden.file import BALL, FREE, Joint

__all__ = ["to_ours", "to_theirs", "turn_up"]


def to_ours(joints: Sequence[Joint], joint_q: Tensor, joint_qd: Tensor) -> State:
    """A recorded state as one of ours.

    Args:
        joints: moving joints of the robot.
        joint_q: coordinates, ``(..., nq)``.
        joint_qd: velocities, ``(..., nv)``.
    """
    positions, velocities = [], []
    for joint in joints:
        q, qd = joint_q[..., joint.q], joint_qd[..., joint.qd]
        if joint.kind == FREE:
            place, turn, omega = q[..., :3], q[..., 3:], qd[..., :3]
            velocity = qd[..., 3:] + torch.linalg.cross(omega, place)
            positions += [turn_up(place), _stand_up(turn)]
            velocities += [turn_up(velocity), _rotate(_inverse(turn), omega)]
        elif joint.kind == BALL:
            positions.append(torch.roll(q, 1, dims=-1))
            velocities.append(_rotate(_inverse(q), qd))
        else:
            positions.append(q)
            velocities.append(qd)
    return State(torch.cat(positions, dim=-1), torch.cat(velocities, dim=-1))


def to_theirs(joints: Sequence[Joint], state: State) -> tuple[Tensor, Tensor]:
    """One of our states in dflex's conventions: ``joint_q (..., nq)`` and ``joint_qd (..., nv)``."""
    positions, velocities = [], []
    for joint in joints:
        q, qd = state.qpos[..., joint.q], state.qvel[..., joint.qd]
        if joint.kind == FREE:
            place, turn = _turn_down(q[..., :3]), _lie_down(q[..., 3:])
            omega = _rotate(turn, qd[..., 3:])
            positions += [place, turn]
            velocities += [omega, _turn_down(qd[..., :3]) - torch.linalg.cross(omega, place)]
        elif joint.kind == BALL:
            turn = torch.roll(q, -1, dims=-1)
            positions.append(turn)
            velocities.append(_rotate(turn, qd))
        else:
            positions.append(q)
            velocities.append(qd)
    return torch.cat(positions, dim=-1), torch.cat(velocities, dim=-1)


def turn_up(vector: Tensor) -> Tensor:
    """Q v: a vector ``(..., 3)`` with y up as one with z up."""
    x, y, z = vector.unbind(-1)
    return torch.stack((x, -z, y), dim=-1)


def _turn_down(vector: Tensor) -> Tensor:
    x, y, z = vector.unbind(-1)
    return torch.stack((x, z, -y), dim=-1)


def _stand_up(quaternion: Tensor) -> Tensor:
    """Q r: x y z w to w x y z, with Q = (1 + i) / sqrt(2)."""
    x, y, z, w = quaternion.unbind(-1)
    return torch.stack((w - x, w + x, y - z, y + z), dim=-1) * 0.5**0.5


def _lie_down(quaternion: Tensor) -> Tensor:
    w, x, y, z = quaternion.unbind(-1)
    return torch.stack((x - w, y + z, z - y, w + x), dim=-1) * 0.5**0.5


def _inverse(quaternion: Tensor) -> Tensor:
    return torch.cat((-quaternion[..., :3], quaternion[..., 3:]), dim=-1)


def _rotate(quaternion: Tensor, vector: Tensor) -> Tensor:
    """R v, R the rotation of the normalised quaternion x y z w."""
    unit = torch.nn.functional.normalize(quaternion, dim=-1)
    axis, w = unit[..., :3], unit[..., 3:]
    t = 2.0 * torch.linalg.cross(axis, vector)
    return vector + w * t + torch.linalg.cross(axis, t)
