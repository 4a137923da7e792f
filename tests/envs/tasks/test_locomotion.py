"""Observations, rewards, terminations and reset ranges of the locomotion tasks against hand-computed values."""

from __future__ import annotations

import math

import pytest
import torch

from pwm_bench.envs.simulator import State
from pwm_bench.envs.tasks import load_task
from pwm_bench.envs.tasks.base import multiply, rotate
from pwm_bench.envs.tasks.free_root import FreeRootTask

DOUBLE = torch.float64


def noise(name: str, worlds: int = 512) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 2.0 * torch.rand(worlds, load_task(name).noise_dim, generator=generator, dtype=DOUBLE) - 1.0


def turned(task: FreeRootTask, height: float) -> State:
    """At x = 2, turned by 60 degrees to the left, moving, joints at 0, 1, 2, ... and all turning at 10 rad/s."""
    n = task.num_coordinates
    yaw = math.pi / 3
    pose = torch.tensor([2.0, 0.0, height, math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)], dtype=DOUBLE)
    root = torch.tensor([1.5, 0.2, 0.1, 1.0, 0.0, 0.0], dtype=DOUBLE)
    qpos = torch.cat((pose, torch.arange(n, dtype=DOUBLE)))[None]
    return State(qpos, torch.cat((root, torch.full((n,), 10.0, dtype=DOUBLE)))[None])


@pytest.mark.parametrize(("name", "joints"), [("humanoid", 21), ("anymal", 12), ("ant", 8)])
def test_free_root_observation(name: str, joints: int) -> None:
    task = load_task(name)
    action = torch.linspace(-1.0, 1.0, task.action_dim, dtype=DOUBLE)[None]
    obs = task.observation(turned(task, 0.9), action)[0]
    assert obs.shape == (13 + 3 * joints,)
    assert obs[0] == 0.9
    # With y up: a turn by 60 degrees about y after one by -90 degrees about x; x y z w.
    sine, cosine = math.sin(math.pi / 6), math.cos(math.pi / 6)
    assert obs[1:5].tolist() == pytest.approx([math.sqrt(0.5) * x for x in (-cosine, sine, sine, cosine)])
    assert obs[5:8].tolist() == [1.5, 0.1, -0.2]
    assert obs[8:11].tolist() == pytest.approx([0.5, 0.0, -math.sqrt(0.75)])  # the root's x axis
    assert obs[11 : 11 + joints].tolist() == list(range(joints))
    assert obs[11 + joints : 11 + 2 * joints].tolist() == pytest.approx([1.0] * joints)
    assert obs[11 + 2 * joints] == pytest.approx(1.0)
    assert obs[12 + 2 * joints] == pytest.approx(0.5)
    assert torch.equal(obs[13 + 2 * joints :], action[0])
    assert task.forward_velocity(obs[None]).item() == 1.5


def test_humanoid_heads_for_a_point_200_m_away() -> None:
    """From 100 m to the side of the straight line, that point is 45 degrees to the right of it at x = 100."""
    task = load_task("humanoid")
    qpos = torch.zeros(1, 28, dtype=DOUBLE)
    qpos[0, :4] = torch.tensor([100.0, 100.0, 1.3, 1.0], dtype=DOUBLE)
    obs = task.observation(State(qpos, torch.zeros(1, 27, dtype=DOUBLE)), torch.zeros(1, 21, dtype=DOUBLE))
    assert obs[0, 54].item() == pytest.approx(math.sqrt(0.5))


@pytest.mark.parametrize(("height", "term"), [(1.35, 1.0), (0.89, 0.5), (0.84, 0.0), (0.79, -0.5), (-1.0, -200.0)])
def test_humanoid_reward(height: float, term: float) -> None:
    task = load_task("humanoid")
    action = torch.zeros(1, 21, dtype=DOUBLE)
    action[0, :2] = torch.tensor([1.0, -0.5], dtype=DOUBLE)
    obs = task.observation(turned(task, height), action)
    assert task.reward(obs, action).item() == pytest.approx(1.5 + 0.1 + 0.5 + term - 0.002 * 1.25)
    assert task.terminated(obs).item() == (height < 0.74)


def test_anymal_reward() -> None:
    task = load_task("anymal")
    action = torch.zeros(1, 12, dtype=DOUBLE)
    action[0, :2] = torch.tensor([1.0, -0.5], dtype=DOUBLE)
    obs = task.observation(turned(task, 0.5), action)
    assert task.reward(obs, action).item() == pytest.approx(1.5 + 0.1 + 0.5 + 0.25 - 0.005 * 1.25)
    assert [task.terminated(task.observation(turned(task, h), action)).item() for h in (0.251, 0.249)] == [False, True]


def test_cheetah_reward_and_observation() -> None:
    task = load_task("cheetah")
    qpos, qvel = torch.arange(9.0, dtype=DOUBLE)[None], torch.arange(10.0, 19.0, dtype=DOUBLE)[None]
    action = torch.tensor([[1.0, 0.5, 0.0, 0.0, 0.0, 0.0]], dtype=DOUBLE)
    obs = task.observation(State(qpos, qvel), action)
    assert obs[0].tolist() == [*range(1, 9), *range(10, 19)]
    assert task.reward(obs, action).item() == pytest.approx(10.0 - 0.125)
    assert task.forward_velocity(obs).item() == 10.0
    assert not task.terminated(-100.0 * obs).any()


def test_walker_reward_and_observation() -> None:
    task = load_task("walker2d")
    qpos, qvel = torch.zeros(4, 9, dtype=DOUBLE), torch.zeros(4, 9, dtype=DOUBLE)
    qpos[:, 1] = torch.tensor([0.0, -0.449, -0.451, 0.76])
    qvel[:, 0] = 2.0
    action = torch.full((4, 6), 0.5, dtype=DOUBLE)
    obs = task.observation(State(qpos, qvel), action)
    assert obs[:, 0].tolist() == pytest.approx([1.25, 0.801, 0.799, 2.01])
    assert task.reward(obs, action).tolist() == pytest.approx([3.0 - 0.0015] * 4)
    assert task.terminated(obs).tolist() == [False, False, True, True]
    obs[0, 1] = -1.01
    assert task.terminated(obs)[0]


def test_double_pendulum_reward_wraps_the_angles() -> None:
    task = load_task("double_pendulum")
    state = State(torch.tensor([[2.0 * math.pi + 0.5, -0.25]], dtype=DOUBLE), torch.tensor([[2.0, 3.0]], dtype=DOUBLE))
    obs = task.observation(state, torch.zeros(1, 1, dtype=DOUBLE))
    assert obs[0].tolist() == pytest.approx([math.cos(0.5), math.sin(0.5), math.cos(0.25), -math.sin(0.25), 2.0, 3.0])
    assert task.reward(obs, torch.ones(1, 1)).item() == pytest.approx(-0.25 - 0.0625 - 0.1 * 13.0)


def test_stiff_hopper_is_the_hopper() -> None:
    stiff, hopper = load_task("hopper_stiff"), load_task("hopper")
    assert (stiff.contact.stiffness, stiff.contact.damping) == (1e5, 1e4)
    assert stiff.contact.friction == hopper.contact.friction
    states = [task.reset_state(noise("hopper")) for task in (stiff, hopper)]
    assert torch.equal(states[0].qpos, states[1].qpos)
    action = torch.ones(512, 3, dtype=DOUBLE)
    rewards = [task.reward(task.observation(states[0], action), action) for task in (stiff, hopper)]
    assert torch.equal(*rewards)


def twist_about_the_origin(state: State) -> torch.Tensor:
    """The root's twist, linear part first, in the world's axes; joint velocities."""
    angular = rotate(state.qpos[:, 3:7], state.qvel[:, 3:6])
    linear = state.qvel[:, :3] - torch.linalg.cross(angular, state.qpos[:, :3])
    return torch.cat((linear, angular, state.qvel[:, 6:]), dim=1)


@pytest.mark.parametrize(
    ("name", "height", "posture"),
    [
        ("humanoid", 1.35, [0.0] * 21),
        ("anymal", 0.55, [0.03, 0.4, -0.8, -0.03, 0.4, -0.8, 0.03, -0.4, 0.8, -0.03, -0.4, 0.8]),
    ],
)
def test_free_root_resets(name: str, height: float, posture: list[float]) -> None:
    state = load_task(name).reset_state(noise(name))
    position = state.qpos[:, :3] - torch.tensor([0.0, 0.0, height], dtype=DOUBLE)
    angle = 2.0 * torch.acos(state.qpos[:, 3])
    joints = state.qpos[:, 7:] - torch.tensor(posture, dtype=DOUBLE)
    twist = twist_about_the_origin(state)
    for values, bound in ((position, 0.1), (angle, math.pi / 24), (joints, 0.2), (twist, 0.25)):
        assert 0.95 * bound < values.abs().max() <= bound
        if values is not angle:
            assert (values.mean(0).abs() < 0.15 * bound).all()  # five standard errors of a uniform mean are 0.13
            assert torch.allclose(values.std(0), torch.full_like(values[0], bound / math.sqrt(3.0)), rtol=0.1)


def snu_at(yaw: float) -> State:
    """Standing at a height of 0.9 m, turned to the left, the left hip bent by 60 degrees about its parent's x axis."""
    task = load_task("snu_humanoid")
    qpos, qvel = torch.zeros(1, 29, dtype=DOUBLE), torch.zeros(1, 24, dtype=DOUBLE)
    turn = torch.tensor([[math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)]], dtype=DOUBLE)
    qpos[:, 2] = 0.9
    qpos[:, 3:7] = multiply(turn, torch.tensor([task.orientation], dtype=DOUBLE))
    qpos[:, 7:] = torch.tensor(task.posture, dtype=DOUBLE)
    qpos[0, 18:22] = torch.tensor([math.cos(math.pi / 6), math.sin(math.pi / 6), 0.0, 0.0])
    qvel[0, 0], qvel[0, 16] = 1.5, 1.0  # the left femur turns about its own y axis
    return State(qpos, qvel)


def test_snu_observation_and_reward() -> None:
    """The links have y up and z ahead; quaternions are x y z w, ball joints turn in the axes of their parents."""
    task = load_task("snu_humanoid")
    obs = task.observation(snu_at(math.pi / 3), torch.zeros(1, 152, dtype=DOUBLE))
    assert obs.shape == (1, 53)
    straight = task.observation(snu_at(0.0), torch.zeros(1, 152, dtype=DOUBLE))
    assert straight[0, 1:5].tolist() == pytest.approx([0.0, math.sqrt(0.5), 0.0, math.sqrt(0.5)])  # as released
    assert obs[0, 11:15].tolist() == [0.0, 0.0, 0.0, 1.0]
    assert obs[0, 22:26].tolist() == pytest.approx([0.5, 0.0, 0.0, math.sqrt(0.75)])
    assert obs[0, 42:45].tolist() == pytest.approx([0.0, 0.05, 0.1 * math.sqrt(0.75)])
    assert obs[0, 51:].tolist() == pytest.approx([1.0, 0.5])
    action = torch.full((1, 152), -0.5, dtype=DOUBLE)
    assert task.reward(obs, action).item() == pytest.approx(1.5 + 0.1 + 0.5 - 0.076)
    assert task.terminated(torch.tensor([[0.459], [0.461]])).tolist() == [True, False]


def test_snu_reset_does_not_normalise_ball_joints() -> None:
    task = load_task("snu_humanoid")
    state = task.reset_state(noise("snu_humanoid", 2048))
    offset = state.qpos[:, 7:] - torch.tensor(task.posture, dtype=DOUBLE)
    assert (offset.abs().amax(0) > 0.19).all()
    assert (offset.abs() <= 0.2).all()
    assert torch.allclose(state.qpos[:, 3:7].norm(dim=1), torch.ones(2048, dtype=DOUBLE))
    hip = state.qpos[:, 7:11]
    assert hip.norm(dim=1).max() > 1.1
    # Velocities were drawn in the axes of the parent, where they fill a cube.
    spin = rotate(torch.nn.functional.normalize(hip, dim=1), state.qvel[:, 6:9])
    assert 0.24 < spin.abs().max() <= 0.25
    assert state.qvel[:, 6:9].abs().max() > 0.26


@pytest.mark.parametrize(
    ("name", "middle", "position", "velocity"),
    [
        ("cheetah", [0.0, -0.2] + [0.0] * 7, 0.1, 0.25),
        ("walker2d", [0.0] * 9, 0.05, 0.05),
        ("double_pendulum", [0.0, 0.0], math.pi / 2, 0.25),
    ],
)
def test_planar_resets(name: str, middle: list[float], position: float, velocity: float) -> None:
    state = load_task(name).reset_state(noise(name))
    offset = state.qpos - torch.tensor(middle, dtype=DOUBLE)
    assert (offset.abs().amax(0) <= position).all()
    assert (offset.abs().amax(0) > 0.95 * position).all()
    assert (state.qvel.abs().amax(0) <= velocity).all()
    assert (state.qvel.abs().amax(0) > 0.95 * velocity).all()


@pytest.mark.parametrize(
    ("name", "strengths"),
    [
        (
            "humanoid",
            [200] * 5 + [600, 400, 100, 100, 200, 200, 600, 400] + [100, 100, 100, 100, 200, 100, 100, 200],
        ),
        ("anymal", [200 / 0.35] * 12),
        ("cheetah", [200 / 0.35] * 6),
    ],
)
def test_strengths_are_in_joint_order(name: str, strengths: list[float]) -> None:
    """Released strengths (the humanoid's times 0.35); an actuator acts on the joint of its position."""
    model = load_task(name).model()
    assert model.actuator_gear[:, 0].tolist() == pytest.approx([0.35 * strength for strength in strengths])
    joints = model.actuator_trnid[:, 0].tolist()
    assert joints == list(range(model.njnt - len(strengths), model.njnt))


@pytest.mark.parametrize(
    ("name", "mass"),
    [
        ("ant", 182.2),
        ("anymal", 37.3),
        ("cheetah", 21.2),
        ("humanoid", 40.8),
        ("snu_humanoid", 37.0),
        ("walker2d", 23.7),
    ],
)
def test_masses_are_as_documented(name: str, mass: float) -> None:
    task = load_task(name)
    assert task.model().body_mass.sum() == pytest.approx(mass, abs=0.05)
    assert f"{mass:.0f}" in task.__doc__ or f"{mass}" in task.__doc__
