"""Gradients of the Warp simulator against central finite differences of itself, float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pwm_bench import envs
from pwm_bench.envs.simulator import State
from pwm_bench.envs.tasks import load_task
from pwm_bench.testing.differences import directional_error, rollout_objective
from tests.envs.warp.trees import random_states, random_tree

WORLDS = 8
BOUND = 1e-5
SITUATIONS = ("air", "contact", "limits")


def situation(name: str, where: str, seed: int = 0) -> State:
    """States off the ground, on it, or beyond joint limits (and on it)."""
    task = load_task(name)
    generator = torch.Generator().manual_seed(seed)
    noise = 2.0 * torch.rand(WORLDS, task.noise_dim, generator=generator, dtype=torch.float64) - 1.0
    state = task.reset_state(noise)
    qpos = state.qpos.clone()
    qvel = state.qvel + torch.randn(state.qvel.shape, generator=generator, dtype=torch.float64)
    height = {"ant": 2, "hopper": 1}[name]
    qpos[:, height] += {"air": 1.0, "contact": -0.25 if name == "ant" else -0.05, "limits": 0.0}[where]
    if where == "limits":
        qpos[:, -2:] += 1.0
    return State(qpos, qvel)


def make(name: str, **options: object) -> envs.simulator.Simulator:
    task = load_task(name)
    substeps = task.substeps_for(envs.capabilities("warp"))
    return envs.make_simulator(
        "warp",
        task.model(),
        num_worlds=WORLDS,
        substeps=substeps,
        timestep=task.control_dt / substeps,
        dtype=torch.float64,
        **task.simulator_options(envs.capabilities("warp")),
        **options,
    )


@pytest.mark.parametrize("which", [0, 1, 2], ids=["qpos", "qvel", "ctrl"])
@pytest.mark.parametrize("where", SITUATIONS)
@pytest.mark.parametrize("name", ["ant", "hopper"])
def test_control_steps(name: str, where: str, which: int) -> None:
    simulator = make(name)
    state = situation(name, where)
    horizon = 4
    generator = torch.Generator().manual_seed(1)
    ctrl = 2.0 * torch.rand(horizon, WORLDS, simulator.model.nu, generator=generator, dtype=torch.float64) - 1.0
    error = directional_error(rollout_objective(simulator), (state.qpos, state.qvel, ctrl), which)
    assert error.max() < BOUND


def test_long_horizon_in_contact() -> None:
    simulator = make("hopper")
    state = situation("hopper", "contact")
    generator = torch.Generator().manual_seed(2)
    ctrl = torch.rand(16, WORLDS, 3, generator=generator, dtype=torch.float64) - 0.5
    error = directional_error(rollout_objective(simulator), (state.qpos, state.qvel, ctrl), 2)
    assert error.max() < BOUND


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), bodies=st.integers(1, 6))
def test_random_trees(seed: int, bodies: int) -> None:
    """All joint types, nested and several on a body, over a few implicit substeps."""
    model = random_tree(seed, bodies)
    simulator = envs.make_simulator("warp", model, num_worlds=WORLDS, substeps=3, timestep=2e-3, dtype=torch.float64)
    state, ctrl = random_states(model, WORLDS, seed)
    for which in (0, 1, 2) if model.nu else (0, 1):
        error = directional_error(
            rollout_objective(simulator), (state.qpos, state.qvel, ctrl[None]), which, directions=2
        )
        assert error.max() < BOUND


def test_recomputing_gives_the_same_gradient() -> None:
    state = situation("ant", "contact")
    grads = []
    for recompute in (False, True):
        simulator = make("ant", recompute=recompute)
        ctrl = torch.full((2, WORLDS, 8), 0.4, dtype=torch.float64, requires_grad=True)
        rollout_objective(simulator)(state.qpos, state.qvel, ctrl).sum().backward()
        grads.append(ctrl.grad)
    assert torch.equal(*grads)


def test_gradient_of_a_quaternion_ignores_its_length() -> None:
    """Scaling a quaternion leaves the step as it is, so the gradient along it is zero."""
    simulator = make("ant")
    state = situation("ant", "contact")
    qpos = state.qpos.clone()
    qpos[:, 3:7] *= 3.0
    scaled = qpos.requires_grad_()
    ctrl = torch.zeros(1, WORLDS, 8, dtype=torch.float64)
    objective = rollout_objective(simulator)
    assert torch.allclose(objective(scaled, state.qvel, ctrl), objective(state.qpos, state.qvel, ctrl), rtol=1e-9)
    objective(scaled, state.qvel, ctrl).sum().backward()
    along = (scaled.grad[:, 3:7] * qpos[:, 3:7]).sum(1)
    assert along.abs().max() < 1e-9 * scaled.grad.abs().max()


def test_a_broken_world_leaves_the_others_gradient_alone() -> None:
    env = envs.make("hopper", "warp", num_envs=8, dtype=torch.float64, seed=3)
    actions = torch.zeros(8, 3, dtype=torch.float64)

    def gradient(broken: bool) -> torch.Tensor:
        env.load_state_dict(start)
        if broken:
            env.state = State(env.state.qpos.clone().index_fill_(0, torch.tensor([5]), torch.nan), env.state.qvel)
        u = actions.clone().requires_grad_()
        step = env.step(u)
        assert step.invalid.tolist() == [broken and n == 5 for n in range(8)]
        assert torch.isfinite(step.obs).all()
        assert torch.isfinite(step.final_obs).all()
        total = step.final_obs.sum() + step.reward.sum()
        return torch.autograd.grad(total, u)[0]

    start = env.state_dict()
    healthy, damaged = gradient(False), gradient(True)
    assert torch.isfinite(damaged).all()
    others = [n for n in range(8) if n != 5]
    assert torch.equal(healthy[others], damaged[others])
    assert env.invalid_count.tolist() == [1]
