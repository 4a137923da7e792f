"""The two conventions describe one motion."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
import torch

from pwm_bench.envs.simulator import State
from pwm_bench.parity.golden.file import read_golden
from pwm_bench.parity.golden.frames import to_ours, to_theirs, turn_up
from tests.pwm_bench.parity.golden.recordings import GOLDEN

TASKS = sorted(path.stem for path in GOLDEN.glob("*.npz"))
# One joint of each kind, as MuJoCo composes it: free, ball, hinge.
FREE_BALL_HINGE = """<mujoco><worldbody><body><freejoint/><geom size='.1'/><body><joint type='ball'/><geom size='.1'/>
<body><joint/><geom size='.1'/></body></body></body></worldbody></mujoco>"""


def states(task: str) -> tuple:
    golden = read_golden(GOLDEN / f"{task}.npz")
    return golden.joints, *(torch.from_numpy(golden.double(name)) for name in ("joint_q", "joint_qd"))


@pytest.mark.parametrize("task", TASKS)
def test_round_trip(task: str):
    """The quaternions of starts of `snu` are not of unit length and come back as they were."""
    joints, q, qd = states(task)
    back_q, back_qd = to_theirs(joints, to_ours(joints, q, qd))
    assert torch.allclose(back_q, q, rtol=0, atol=1e-14)
    assert torch.allclose(back_qd, qd, rtol=1e-13, atol=1e-13)


def test_round_trip_from_ours():
    joints, q, qd = states("snu")
    ours = to_ours(joints, q[0], qd[0])
    again = to_ours(joints, *to_theirs(joints, ours))
    assert torch.allclose(again.qpos, ours.qpos, atol=1e-14)
    assert torch.allclose(again.qvel, ours.qvel, atol=1e-13)


def test_scalar_joints_are_equal():
    joints, q, qd = states("hopper")
    ours = to_ours(joints, q, qd)
    assert torch.equal(ours.qpos, q)
    assert torch.equal(ours.qvel, qd)


def test_up_stays_up():
    joints, q, qd = states("ant")
    ours = to_ours(joints, q, qd)
    assert torch.equal(ours.qpos[..., 2], q[..., 1])
    assert turn_up(torch.tensor([1.0, 2.0, 3.0])).tolist() == [1.0, -3.0, 2.0]
    # The published start rotation, -90 degrees about x, is our upright one.
    half = 0.5**0.5
    upright = torch.zeros(15, dtype=torch.float64)
    upright[3:7] = torch.tensor([-half, 0.0, 0.0, half])
    turned = to_ours(joints, upright, torch.zeros(14, dtype=torch.float64)).qpos[3:7]
    assert torch.allclose(turned, torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64))


def test_velocities_move_positions_alike():
    """A short time along the velocities leads to one posture, in dflex's terms and by MuJoCo's `mj_integratePos`."""
    joints = read_golden(GOLDEN / "snu.npz").joints[:3]
    model = mujoco.MjModel.from_xml_string(FREE_BALL_HINGE)
    generator = torch.Generator().manual_seed(3)
    q = torch.randn(model.nq, generator=generator, dtype=torch.float64)
    for part in (q[3:7], q[7:11]):
        part /= part.norm()
    qd = torch.randn(model.nv, generator=generator, dtype=torch.float64)
    dt = 1e-6

    later = q.clone()
    omega, place = qd[:3], q[:3]
    later[:3] += dt * (qd[3:6] + torch.linalg.cross(omega, place))
    for turn, rate in ((slice(3, 7), qd[:3]), (slice(7, 11), qd[6:9])):
        x, y, z, w = q[turn].tolist()
        vector, axis = torch.tensor([x, y, z], dtype=torch.float64), rate
        later[turn] += 0.5 * dt * torch.cat((w * axis + torch.linalg.cross(axis, vector), -(axis @ vector).view(1)))
    later[11:] += dt * qd[9:]

    ours = to_ours(joints, q, qd)
    moved = ours.qpos.numpy().copy()
    mujoco.mj_integratePos(model, moved, ours.qvel.numpy(), dt)
    expected = to_ours(joints, later, qd).qpos.numpy()
    assert np.abs(expected - ours.qpos.numpy()).max() > 1e-7
    assert np.abs(moved - expected).max() < 1e-11  # of order dt^2


def test_a_turn_of_a_non_unit_quaternion_is_that_of_its_direction():
    joints, q, qd = states("snu")
    longer = q[0].clone()
    longer[:, 7:11] *= 1.3
    a, b = to_ours(joints, q[0], qd[0]), to_ours(joints, longer, qd[0])
    assert torch.allclose(a.qvel, b.qvel, atol=1e-14)
    assert torch.allclose(b.qpos[:, 7:11], 1.3 * a.qpos[:, 7:11])


def test_gradients_pass():
    joints, q, qd = states("snu")
    q, qd = q[0].clone().requires_grad_(), qd[0].clone().requires_grad_()

    def there_and_back(q: torch.Tensor, qd: torch.Tensor) -> tuple[torch.Tensor, ...]:
        state = to_ours(joints, q, qd)
        return to_theirs(joints, State(state.qpos, state.qvel))

    rows = [x[:1] for x in (q, qd)]
    jacobian = torch.autograd.functional.jacobian(there_and_back, tuple(rows))
    assert torch.allclose(jacobian[0][0].squeeze(), torch.eye(29, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(jacobian[1][1].squeeze(), torch.eye(24, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(jacobian[1][0].squeeze(), torch.zeros(24, 29, dtype=torch.float64), atol=1e-12)
