"""MuJoCo C against plain loops over `mj_step`; purity, precision, errors."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
import torch

from pwm_bench import envs
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.simulator import State
from pwm_bench.envs.tasks import TASKS, load_task

WORLDS = 5


def start(task: str, dtype: torch.dtype = torch.float64) -> tuple[State, torch.Tensor]:
    definition = load_task(task)
    generator = torch.Generator().manual_seed(0)
    noise = 2.0 * torch.rand(WORLDS, definition.noise_dim, generator=generator, dtype=torch.float64) - 1.0
    state = definition.reset_state(noise)
    ctrl = 2.0 * torch.rand(WORLDS, definition.action_dim, generator=generator, dtype=torch.float64) - 1.0
    return State(state.qpos.to(dtype), state.qvel.to(dtype)), ctrl.to(dtype)


def make(task: str, **options: object):
    return envs.make_simulator(
        "mujoco_c",
        load_task(task).model_for(envs.capabilities("mujoco_c")),
        num_worlds=WORLDS,
        substeps=4,
        timestep=1 / 240,
        **({"dtype": torch.float64} | options),
    )


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("task", sorted(TASKS))
def test_it_steps_as_mujoco_does(task: str, threads: int) -> None:
    simulator = make(task, threads=threads)
    state, ctrl = start(task)
    after = state
    for _ in range(20):  # long enough to land
        after = simulator.step(after, ctrl)
    data = mujoco.MjData(simulator.model)
    for world in range(WORLDS):
        mujoco.mj_resetData(simulator.model, data)
        data.qpos[:], data.qvel[:], data.ctrl[:] = state.qpos[world], state.qvel[world], ctrl[world]
        for n in range(80):
            if n % 4 == 0:
                data.qacc_warmstart[:] = 0.0
            mujoco.mj_step(simulator.model, data)
        assert np.allclose(after.qpos[world], data.qpos, rtol=0, atol=1e-12)
        assert np.allclose(after.qvel[world], data.qvel, rtol=0, atol=1e-11)


def test_a_broken_world_stays_broken_and_alone() -> None:
    simulator = make("hopper")
    state, ctrl = start("hopper")
    healthy = simulator.step(state, ctrl)
    qpos = state.qpos.clone()
    qpos[2] = torch.nan
    after = simulator.step(State(qpos, state.qvel), ctrl)
    assert torch.isnan(after.qpos[2]).all()
    others = [0, 1, 3, 4]
    assert torch.equal(after.qpos[others], healthy.qpos[others])


def test_tensors_keep_their_precision() -> None:
    state, ctrl = start("hopper", torch.float32)
    after = make("hopper", dtype=torch.float32).step(state, ctrl)
    assert after.qpos.dtype == after.qvel.dtype == torch.float32


def test_gradients_and_wrong_shapes_are_refused() -> None:
    simulator = make("hopper")
    state, ctrl = start("hopper")
    with pytest.raises(UsageError, match="no gradient"):
        simulator.step(state, ctrl.clone().requires_grad_())
    with torch.no_grad():
        simulator.step(state, ctrl.clone().requires_grad_())
    with pytest.raises(UsageError, match=r"qvel has shape \(5, 2\)"):
        simulator.step(State(state.qpos, state.qvel[:, :2]), ctrl)
    with pytest.raises(UsageError, match="device=cuda"):
        make("hopper", device="cuda")


@pytest.mark.parametrize("task", sorted(TASKS))
def test_random_actions_keep_every_world_finite(task: str) -> None:
    env = envs.make(task, "mujoco_c", num_envs=16)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(200):
            assert not env.step(2.0 * torch.rand(16, env.action_dim, generator=generator) - 1.0).invalid.any()
