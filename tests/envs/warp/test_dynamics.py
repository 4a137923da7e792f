"""Accelerations and steps of the Warp simulator against MuJoCo's C engine, contacts off."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pwm_bench import envs
from pwm_bench.envs.simulator import State
from pwm_bench.envs.tasks import TASKS, load_task
from tests.envs.models import with_unit_axes
from tests.envs.warp.trees import random_states, random_tree

WORLDS = 4
TIMESTEP = 1e-3


def mujoco_step(model: mujoco.MjModel, state: State, ctrl: torch.Tensor) -> State:
    data = mujoco.MjData(model)
    qpos, qvel = [], []
    for q, v, u in zip(state.qpos.numpy(), state.qvel.numpy(), ctrl.numpy(), strict=True):
        mujoco.mj_resetData(model, data)
        data.qpos[:], data.qvel[:], data.ctrl[:] = q, v, u
        mujoco.mj_step(model, data)
        qpos.append(data.qpos.copy())
        qvel.append(data.qvel.copy())
    return State(torch.from_numpy(np.array(qpos)), torch.from_numpy(np.array(qvel)))


def step_errors(model: mujoco.MjModel, seed: int, dtype: torch.dtype = torch.float64) -> tuple[float, float]:
    """Relative error of the acceleration, absolute one of the new positions."""
    reference_model = model.__copy__()
    reference_model.opt.timestep = TIMESTEP
    reference_model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_CONSTRAINT)
    state, ctrl = random_states(model, WORLDS, seed)
    reference = mujoco_step(reference_model, state, ctrl)
    simulator = envs.make_simulator(
        "warp", reference_model, num_worlds=WORLDS, substeps=1, timestep=TIMESTEP, dtype=dtype
    )
    after = simulator.step(State(state.qpos.to(dtype), state.qvel.to(dtype)), ctrl.to(dtype))
    expected = reference.qvel - state.qvel
    error = (after.qvel.double() - reference.qvel).abs().max() / expected.abs().max()
    return error.item(), (after.qpos.double() - reference.qpos).abs().max().item()


@pytest.mark.parametrize("name", sorted(TASKS))
def test_tasks_accelerate_as_in_mujoco(name: str) -> None:
    acceleration, position = step_errors(with_unit_axes(load_task(name).model()), seed=0)
    assert acceleration < 1e-10
    assert position < 1e-12


@settings(max_examples=100, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), bodies=st.integers(1, 8))
def test_random_trees_accelerate_as_in_mujoco(seed: int, bodies: int) -> None:
    acceleration, position = step_errors(random_tree(seed, bodies), seed)
    assert acceleration < 1e-10
    assert position < 1e-11


@pytest.mark.parametrize("name", sorted(TASKS))
def test_single_precision_stays_close(name: str) -> None:
    acceleration, _ = step_errors(load_task(name).model(), seed=1, dtype=torch.float32)
    assert acceleration < 1e-3


def test_precision_does_not_depend_on_where_the_robot_is() -> None:
    """Ten kilometres from the origin, float32 accelerates as at it."""
    task = load_task("ant")
    simulator = envs.make_simulator("warp", task.model(), num_worlds=4, substeps=4, timestep=TIMESTEP)
    state = task.reset_state(torch.rand(4, task.noise_dim, generator=torch.Generator().manual_seed(0)) - 0.5)
    ctrl = torch.full((4, 8), 0.3)
    away = state.qpos.clone()
    away[:, 0] += 8192.0
    near = simulator.step(state, ctrl).qvel
    far = simulator.step(State(away, state.qvel), ctrl).qvel
    assert torch.allclose(near, far, rtol=1e-5, atol=1e-5)


def test_energy_of_a_free_pendulum_is_kept() -> None:
    """Semi-implicit Euler keeps the energy of a double pendulum in free swing to first order of the timestep."""
    model = mujoco.MjModel.from_xml_string(
        """<mujoco><default><geom type='capsule' fromto='0 0 0 0 0 -1' size='.05'/></default><worldbody>
        <body><joint axis='0 1 0'/><geom/><body pos='0 0 -1'><joint axis='0 1 0'/><geom/></body></body>
        </worldbody></mujoco>"""
    )
    data = mujoco.MjData(model)

    def energy(state: State) -> float:
        data.qpos[:], data.qvel[:] = state.qpos[0].numpy(), state.qvel[0].numpy()
        mujoco.mj_forward(model, data)
        return float(data.energy.sum())

    model.opt.enableflags |= int(mujoco.mjtEnableBit.mjENBL_ENERGY)
    simulator = envs.make_simulator("warp", model, num_worlds=1, substeps=1000, timestep=1e-4, dtype=torch.float64)
    state = State(torch.tensor([[1.0, 0.5]], dtype=torch.float64), torch.zeros(1, 2, dtype=torch.float64))
    before = energy(state)
    for _ in range(10):
        state = simulator.step(state, torch.zeros(1, 0, dtype=torch.float64))
    assert abs(energy(state) - before) < 1e-3 * abs(before)
