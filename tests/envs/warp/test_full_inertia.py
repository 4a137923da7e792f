"""Quaternions that are not of unit length: the first substep against dense algebra as dflex does it."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
import torch

from pwm_bench.envs.integrator import Integrator
from pwm_bench.envs.simulator import State
from pwm_bench.envs.warp.axes import WorldAxes, needs_full_inertia
from pwm_bench.envs.warp.model import build_link_tree
from pwm_bench.envs.warp.simulator import SimulatorWarp
from pwm_bench.parity.golden.file import BALL, FREE, HINGE, Joint
from pwm_bench.parity.golden.frames import to_ours, to_theirs
from pwm_bench.testing.differences import directional_error

LINEAR = Integrator(matrix_refresh=2, damping="explicit", rotation="linear")
DT = 2e-3
WORLDS = 3
# A free root, a ball joint, a hinge and another ball joint: all that is below the first ball feels its length.
CHAIN = """<mujoco><option gravity="0.3 -0.2 -9.81"/><default><geom contype="0" conaffinity="0"/></default><worldbody>
<body><freejoint/><geom type="box" size=".1 .2 .15" pos=".05 .02 -.03"/>
 <body pos=".1 .2 -.1" quat=".8 .2 .4 -.4"><joint type="ball" damping=".7" armature=".05"/>
  <geom type="box" size=".05 .1 .2" pos="0 .1 .1"/>
  <body pos="0 .1 .3" quat=".6 0 .8 0"><joint name="knee" axis=".6 .8 0" damping=".3" armature=".02"/>
   <geom type="box" size=".04 .1 .05" pos=".1 0 .1"/>
   <body pos=".2 0 .1" quat=".5 .5 -.5 .5"><joint type="ball" damping=".2" armature=".01"/>
    <geom type="box" size=".03 .06 .09" pos="-.05 .1 0"/></body></body></body></body></worldbody>
<actuator><motor joint="knee" gear="5"/></actuator></mujoco>"""
JOINTS = (
    Joint("root", FREE, 0, slice(0, 7), slice(0, 6)),
    Joint("hip", BALL, 1, slice(7, 11), slice(6, 9)),
    Joint("knee", HINGE, 2, slice(11, 12), slice(9, 10)),
    Joint("ankle", BALL, 3, slice(12, 16), slice(10, 13)),
)
DOWN = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])  # z up to y up


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(CHAIN)


def make(model: mujoco.MjModel, substeps: int = 1, integrator: Integrator = LINEAR, **options) -> SimulatorWarp:
    return SimulatorWarp(
        model, num_worlds=WORLDS, substeps=substeps, timestep=DT, dtype=torch.float64, integrator=integrator, **options
    )


def draw(seed: int, *lengths: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Random states in dflex's conventions, with ball quaternions of given lengths."""
    generator = torch.Generator().manual_seed(seed)
    q = torch.randn(WORLDS, 16, generator=generator, dtype=torch.float64)
    q[:, 11] *= 0.5
    for part, length in ((slice(3, 7), 1.0), (slice(7, 11), lengths[0]), (slice(12, 16), lengths[1])):
        q[:, part] *= length / q[:, part].norm(dim=1, keepdim=True)
    return q, torch.randn(WORLDS, 13, generator=generator, dtype=torch.float64)


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Quaternions x y z w."""
    u, v = a[:3], b[:3]
    return np.append(a[3] * v + b[3] * u + np.cross(u, v), a[3] * b[3] - u @ v)


def turning(q: np.ndarray) -> np.ndarray:
    """Matrix of v -> v (2 w^2 - 1) + 2 w (u x v) + 2 u (u . v)."""
    u, w = q[:3], q[3]
    return (2 * w * w - 1) * np.eye(3) + 2 * w * cross(u) + 2 * np.outer(u, u)


def cross(a: np.ndarray) -> np.ndarray:
    return np.array([[0, -a[2], a[1]], [a[2], 0, -a[0]], [-a[1], a[0], 0]])


def motion_cross(v: np.ndarray) -> np.ndarray:
    return np.block([[cross(v[:3]), np.zeros((3, 3))], [cross(v[3:]), cross(v[:3])]])


def dense_substep(model: mujoco.MjModel, q: np.ndarray, qd: np.ndarray, action: float) -> tuple[np.ndarray, np.ndarray]:
    """One substep of one world: everything about the world's origin, spatial inertias as T^T I T."""
    gravity = DOWN @ model.opt.gravity
    place, turn = np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0])
    velocity, acceleration = np.zeros(6), np.zeros(6)
    axes = np.zeros((6, 13))
    matrix, force = np.zeros((13, 13)), np.zeros(13)
    for n, joint in enumerate(JOINTS):
        body = n + 1
        if n:
            place = place + turning(turn) @ model.body_pos[body]
            turn = product(turn, np.roll(model.body_quat[body], -1))
        mine = np.zeros((6, 13))
        if joint.kind == FREE:
            mine[:, joint.qd] = np.eye(6)
            place, turn = q[:3], q[3:7]
        else:
            axis = model.jnt_axis[n][:, None] if joint.kind == HINGE else np.eye(3)
            along = turning(turn) @ axis
            mine[:, joint.qd] = np.vstack((along, cross(place) @ along))
            half = q[joint.q] / 2
            local = np.append(np.sin(half) * axis[:, 0], np.cos(half)) if joint.kind == HINGE else q[joint.q]
            turn = product(turn, local)
        axes = axes + mine
        velocity = velocity + mine @ qd
        acceleration = acceleration + motion_cross(velocity) @ (mine @ qd)
        # Spatial inertia about the centre of mass, taken to the world by the inverse transform.
        center = place + turning(turn) @ model.body_ipos[body]
        back = turning(np.append(-turn[:3], turn[3]))
        transform = np.block([[back, np.zeros((3, 3))], [cross(-back @ center) @ back, back]])
        own = turning(np.roll(model.body_iquat[body], -1))
        mass = model.body_mass[body]
        inertia = np.zeros((6, 6))
        inertia[:3, :3] = own @ np.diag(model.body_inertia[body]) @ own.T
        inertia[3:, 3:] = mass * np.eye(3)
        inertia = transform.T @ inertia @ transform
        weight = mass * np.concatenate((np.cross(center, gravity), gravity))
        net = inertia @ acceleration - motion_cross(velocity).T @ (inertia @ velocity)
        matrix += axes.T @ inertia @ axes
        force += axes.T @ (weight - net)
    matrix += np.diag(model.dof_armature)
    force -= model.dof_damping * qd
    force[9] += 5 * action
    qd = qd + DT * np.linalg.solve(matrix, force)
    later = q.copy()
    later[:3] += DT * (qd[3:6] + np.cross(qd[:3], q[:3]))
    for part, rate in ((slice(3, 7), qd[:3]), (slice(7, 11), qd[6:9]), (slice(12, 16), qd[10:])):
        turned = q[part] + DT / 2 * product(np.append(rate, 0.0), q[part])
        later[part] = turned / np.linalg.norm(turned)
    later[11] += DT * qd[9]
    return later, qd


@pytest.mark.parametrize("lengths", [(1.0, 1.0), (0.85, 1.0), (1.0, 1.3), (0.8, 1.2)])
def test_first_substep_is_that_of_dense_algebra(model: mujoco.MjModel, lengths: tuple[float, float]):
    q, qd = draw(1, *lengths)
    action = torch.tensor([[0.3], [-0.8], [0.5]], dtype=torch.float64)
    after = to_theirs(JOINTS, make(model).step(to_ours(JOINTS, q, qd), action))
    for world in range(WORLDS):
        expected = dense_substep(model, q[world].numpy(), qd[world].numpy(), float(action[world]))
        for ours, theirs in zip(after, expected, strict=True):
            assert np.abs(ours[world].numpy() - theirs).max() < 1e-11


def test_length_changes_the_motion(model: mujoco.MjModel):
    """So the test above tells something: the length of a quaternion, and the axes in which it is used, matter."""
    action = torch.zeros(WORLDS, 1, dtype=torch.float64)
    after = [make(model).step(to_ours(JOINTS, *draw(1, length, 1.0)), action).qvel for length in (1.0, 0.85)]
    assert (after[0] - after[1]).abs().max() > 1e-2


def test_unit_quaternions_need_none_of_it(model: mujoco.MjModel, monkeypatch: pytest.MonkeyPatch):
    """Values and gradients are those of the usual inertia in our own axes."""
    q, qd = draw(2, 1.0, 1.0)
    start = to_ours(JOINTS, q, qd)
    results = []
    for needed in (True, False):
        monkeypatch.setattr("pwm_bench.envs.warp.simulator.needs_full_inertia", lambda *_, needed=needed: needed)
        leaves = [x.clone().requires_grad_() for x in (start.qpos, start.qvel, torch.full((WORLDS, 1), 0.2).double())]
        state = make(model, substeps=4).step(State(*leaves[:2]), leaves[2])
        total = (state.qpos * torch.arange(16.0)).sum() + (state.qvel * torch.arange(13.0)).sum()
        results.append((state.qpos, state.qvel, *torch.autograd.grad(total, leaves)))
    for full, usual in zip(*results, strict=True):
        assert torch.allclose(full, usual, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("options", [{}, {"recompute": True}, {"coalesced": True}])
def test_gradients_by_controls_are_exact_from_such_states(model: mujoco.MjModel, options: dict):
    simulator = make(model, substeps=3, **options)
    start = to_ours(JOINTS, *draw(3, 0.85, 1.2))
    weight = torch.randn(29, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def objective(qpos: torch.Tensor, qvel: torch.Tensor, ctrl: torch.Tensor) -> torch.Tensor:
        state = State(qpos, qvel)
        for u in ctrl:
            state = simulator.step(state, u)
        return torch.cat((state.qpos, state.qvel), 1) @ weight

    ctrl = torch.randn(3, WORLDS, 1, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert directional_error(objective, (start.qpos, start.qvel, ctrl), 2).max() < 1e-7


def test_axes_turn_there_and_back(model: mujoco.MjModel):
    axes = WorldAxes(build_link_tree(model), torch.device("cpu"), torch.float64)
    start = to_ours(JOINTS, *draw(4, 0.9, 1.1))
    there = axes.there(start)
    again = axes.back(there)
    assert torch.allclose(again.qpos, start.qpos, rtol=0, atol=1e-15)
    assert torch.equal(again.qvel, start.qvel)
    assert torch.equal(there.qpos[:, 1], start.qpos[:, 2])
    assert torch.equal(there.qpos[:, 7:], start.qpos[:, 7:])
    q, _ = draw(4, 0.9, 1.1)
    assert torch.allclose(there.qpos[:, :3], q[:, :3])
    assert torch.allclose(torch.roll(there.qpos[:, 3:7], -1, 1), q[:, 3:7])


def test_a_fixed_base_and_points_on_the_world_are_turned_too():
    """A ball joint on the world with a cable to a point of the world: nothing but the axes differs."""
    chain = mujoco.MjModel.from_xml_string(
        """<mujoco><worldbody><site name="far" pos=".3 -.2 .9"/>
        <body pos=".1 .2 1.3" quat=".8 .2 .4 -.4"><joint type="ball" damping=".1"/><site name="near" pos=".1 .2 .3"/>
        <geom type="box" size=".1 .2 .15" pos=".05 .1 -.2"/></body></worldbody>
        <tendon><spatial name="t"><site site="far"/><site site="near"/></spatial></tendon>
        <actuator><general tendon="t" gainprm="-20"/></actuator></mujoco>"""
    )
    generator = torch.Generator().manual_seed(5)
    qpos = torch.nn.functional.normalize(torch.randn(WORLDS, 4, generator=generator, dtype=torch.float64), dim=1)
    qvel = torch.randn(WORLDS, 3, generator=generator, dtype=torch.float64)
    after = []
    for needed in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("pwm_bench.envs.warp.simulator.needs_full_inertia", lambda *_, needed=needed: needed)
            after.append(make(chain, substeps=4).step(State(qpos, qvel), torch.ones(WORLDS, 1).double()))
    assert torch.allclose(after[0].qpos, after[1].qpos, rtol=0, atol=1e-12)
    assert torch.allclose(after[0].qvel, after[1].qvel, rtol=0, atol=1e-11)
    assert (after[0].qvel - qvel).abs().max() > 0.1


def test_only_ball_joints_under_linear_rotations_need_it(model: mujoco.MjModel):
    tree = build_link_tree(model)
    assert needs_full_inertia(tree, LINEAR)
    assert not needs_full_inertia(tree, Integrator())
    free = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><body><freejoint/><geom size='.1'/></body></worldbody></mujoco>"
    )
    assert not needs_full_inertia(build_link_tree(free), LINEAR)
