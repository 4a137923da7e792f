"""Rewards, terminations and reset distributions against hand-computed values; float64 gradients of every task."""

from __future__ import annotations

import math

import mujoco
import pytest
import torch

from pwm_bench import envs
from pwm_bench.envs.simulator import State
from pwm_bench.envs.tasks import TASKS, load_task
from pwm_bench.envs.tasks.base import constant, rotate, rotate_inverse

N = 64


def noise(name: str, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2.0 * torch.rand(N, load_task(name).noise_dim, generator=generator, dtype=torch.float64) - 1.0


@pytest.mark.parametrize("name", sorted(TASKS))
def test_substeps(name: str) -> None:
    task = load_task(name)
    coarse = 1 if name == "pendulum" else 8 if name.startswith(("muscle", "snu")) else 4
    assert task.substeps_for(envs.capabilities("mjx")) == task.substeps_for(envs.capabilities("mujoco_c")) == coarse


@pytest.mark.parametrize("name", sorted(TASKS))
def test_what_meets_the_ground_where_contacts_cost_time(name: str) -> None:
    """In MJX and MuJoCo C the declared geoms of the same robot; in Warp all that can."""
    task = load_task(name)
    model = task.model()
    assert task.model_for(envs.capabilities("warp")) is model
    for simulator in ("mjx", "mujoco_c"):
        masked = task.model_for(envs.capabilities(simulator))
        moves = model.body_weldid[model.geom_bodyid] != 0
        touching = moves & ((masked.geom_contype != 0) | (masked.geom_conaffinity != 0))
        declared = {masked.geom(int(i)).name for i in touching.nonzero()[0]}
        everything = moves & ((model.geom_contype != 0) | (model.geom_conaffinity != 0))
        assert declared == (set(task.constraint_geoms) or {model.geom(int(i)).name for i in everything.nonzero()[0]})
        assert (masked.geom_contype[~moves] == model.geom_contype[~moves]).all()
        for field in ("body_mass", "body_inertia", "dof_armature", "dof_damping", "actuator_gear", "geom_friction"):
            assert (getattr(masked, field) == getattr(model, field)).all()


def test_hopper_reward() -> None:
    task = load_task("hopper")
    obs = torch.zeros(3, 11, dtype=torch.float64)
    obs[:, 0] = torch.tensor([0.0, -0.4, -0.1])
    obs[:, 1] = 0.262
    obs[:, 5] = 2.0
    action = torch.tensor([[1.0, 0.5, 0.0]] * 3, dtype=torch.float64)
    base = 2.0 + 1.0 - 0.25 - 0.1 * 1.25
    expected = [base + 0.3, base - 200.0 * 0.01, base + 0.2]
    assert torch.allclose(task.reward(obs, action), torch.tensor(expected, dtype=torch.float64))
    assert task.terminated(obs).tolist() == [False, False, False]
    obs[0, 0] = -0.451
    assert task.terminated(obs).tolist() == [True, False, False]


def test_ant_reward_and_observation() -> None:
    task = load_task("ant")
    yaw = math.pi / 3
    pose = [2.0, 0.0, 0.6, math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)]
    qpos = torch.zeros(1, 15, dtype=torch.float64)
    qpos[0, :7] = torch.tensor(pose, dtype=torch.float64)
    qpos[0, 7:] = torch.arange(8)
    qvel = torch.zeros(1, 14, dtype=torch.float64)
    qvel[0, :6] = torch.tensor([1.5, 0.2, 0.1, 1.0, 0.0, 0.0], dtype=torch.float64)
    qvel[0, 6:] = 10.0
    action = torch.full((1, 8), 0.5, dtype=torch.float64)
    obs = task.observation(State(qpos, qvel), action)
    assert obs[0, 0] == 0.6
    assert obs[0, 5:8].tolist() == [1.5, 0.1, -0.2]
    expected_w = torch.tensor([math.cos(yaw), 0.0, -math.sin(yaw)], dtype=torch.float64)  # body x axis, y up
    assert torch.allclose(obs[0, 8:11], expected_w)
    assert obs[0, 11:19].tolist() == list(range(8))
    assert torch.allclose(obs[0, 19:27], torch.ones(8, dtype=torch.float64))
    assert obs[0, 27] == pytest.approx(1.0)
    assert obs[0, 28] == pytest.approx(math.cos(yaw))
    assert torch.equal(obs[0, 29:], action[0])
    assert task.reward(obs, action).item() == pytest.approx(1.5 + 0.1 + math.cos(yaw) + 0.33)
    assert task.forward_velocity(obs).item() == 1.5


def test_cartpole_reward_wraps_the_angle() -> None:
    task = load_task("cartpole")
    state = State(
        torch.tensor([[1.0, 2.0 * math.pi + 0.5]], dtype=torch.float64), torch.tensor([[2.0, 3.0]], dtype=torch.float64)
    )
    obs = task.observation(state, torch.zeros(1, 1, dtype=torch.float64))
    assert task.reward(obs, torch.zeros(1, 1)).item() == pytest.approx(-0.25 - 0.9 - 0.05 - 0.4)


def test_reset_ranges() -> None:
    ant = load_task("ant").reset_state(noise("ant"))
    assert ant.qpos[:, 2].sub(0.75).abs().max() < 0.1
    assert torch.allclose(ant.qpos[:, 3:7].norm(dim=1), torch.ones(N, dtype=torch.float64))
    angle = 2.0 * torch.acos(ant.qpos[:, 3])
    assert 0.5 * math.pi / 24 < angle.max() <= math.pi / 24
    assert (ant.qpos[:, 8] - 1.0).abs().max() <= 0.2
    assert 0.2 < ant.qvel[:, 6:].abs().max() <= 0.25
    hopper = load_task("hopper").reset_state(noise("hopper"))
    assert 0.04 < hopper.qpos.abs().max() <= 0.05
    cartpole = load_task("cartpole").reset_state(noise("cartpole"))
    assert 1.4 < cartpole.qpos.abs().max() <= math.pi / 2


def test_rotations_agree_with_mujoco() -> None:
    generator = torch.Generator().manual_seed(0)
    quaternion = torch.nn.functional.normalize(torch.randn(5, 4, generator=generator, dtype=torch.float64), dim=1)
    vector = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    rotated = rotate(quaternion, vector)
    for q, v, expected in zip(quaternion.numpy(), vector.numpy(), rotated.numpy(), strict=True):
        out = v.copy()
        mujoco.mju_rotVecQuat(out, v, q)
        assert abs(out - expected).max() < 1e-12
    assert torch.allclose(rotate_inverse(quaternion, rotated), vector)


def test_constants_that_an_evaluation_asked_for_first_are_differentiated_with() -> None:
    """Tensors made in inference mode cannot be saved for a backward pass, and these are made once."""
    task = load_task("anymal")
    constant.cache_clear()
    start = 0.1 * torch.ones(2, task.noise_dim, dtype=torch.float64)
    with torch.inference_mode():
        task.observation(task.reset_state(start), start.new_zeros(2, task.action_dim))
    state = task.reset_state(start)
    qpos = state.qpos.requires_grad_()
    task.observation(State(qpos, state.qvel), start.new_zeros(2, task.action_dim)).sum().backward()
    assert qpos.grad is not None
