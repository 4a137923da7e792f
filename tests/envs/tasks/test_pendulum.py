"""The pendulum is that of dm_control's suite, and its reward says nothing to a gradient."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pwm_bench import envs
from pwm_bench.envs.simulator import State
from pwm_bench.envs.tasks import load_task

STEPS = 200
DOUBLE = torch.float64


def states(*angles: float) -> State:
    qpos = torch.tensor(angles, dtype=DOUBLE)[:, None]
    return State(qpos, torch.full_like(qpos, 2.0))


def test_reward_is_one_near_upright() -> None:
    task = load_task("pendulum")
    angles = torch.deg2rad(torch.tensor([0.0, 7.9, -7.9, 8.1, 180.0, 352.1], dtype=DOUBLE)).tolist()
    obs = task.observation(states(*angles), torch.zeros(6, 1, dtype=DOUBLE))
    assert obs[1].tolist() == pytest.approx([math.cos(angles[1]), math.sin(angles[1]), 2.0])
    assert task.reward(obs, torch.ones(6, 1)).tolist() == [1.0, 1.0, 1.0, 0.0, 0.0, 1.0]
    assert not task.terminated(obs).any()


def test_starts_are_at_rest_and_anywhere() -> None:
    noise = 2.0 * torch.rand(1000, 1, generator=torch.Generator().manual_seed(0), dtype=DOUBLE) - 1.0
    start = load_task("pendulum").reset_state(noise)
    assert 0.99 * math.pi < start.qpos.abs().max() <= math.pi
    assert start.qpos.abs().min() < 0.05
    assert not start.qvel.any()


@pytest.mark.parametrize("simulator", ["warp", "mujoco_c", pytest.param("mjx", marks=pytest.mark.slow)])
def test_it_moves_and_pays_as_dm_controls_does(simulator: str) -> None:
    suite = pytest.importorskip("dm_control.suite")
    theirs = suite.load("pendulum", "swingup", task_kwargs={"random": 0})
    theirs.reset()
    task = load_task("pendulum")
    able = envs.capabilities(simulator)
    ours = envs.make_simulator(
        simulator, task.model_for(able), num_worlds=1, substeps=task.substeps_for(able),
        timestep=task.control_dt / task.substeps_for(able), dtype=DOUBLE, **task.simulator_options(able),
    )  # fmt: skip
    state = State(*(torch.tensor(getattr(theirs.physics.data, name)[None], dtype=DOUBLE) for name in ("qpos", "qvel")))
    chance, paid = np.random.default_rng(0), 0.0
    for _ in range(STEPS):
        # Energy is pumped in, so that the pendulum passes upright and the reward is seen to change.
        action = np.sign(theirs.physics.data.qvel) * chance.uniform(0.8, 1.0, size=1)
        after = theirs.step(action)
        control = torch.tensor(action[None], dtype=DOUBLE)
        state = ours.step(state, control)
        obs = task.observation(state, control)
        expected = np.concatenate([np.ravel(value) for value in after.observation.values()])
        assert obs[0].numpy() == pytest.approx(expected, abs=1e-9)
        assert task.reward(obs, control).item() == after.reward
        paid += after.reward
    assert 0.0 < paid < STEPS


def test_the_gradient_of_its_return_is_zero_and_not_missing() -> None:
    env = envs.make("pendulum", num_envs=4, dtype=DOUBLE)
    action = torch.full((4, 1), 0.5, dtype=DOUBLE, requires_grad=True)
    env.reset()
    total = sum(env.step(action).reward.sum() for _ in range(3))
    (slope,) = torch.autograd.grad(total, action)
    assert torch.equal(slope, torch.zeros_like(slope))
