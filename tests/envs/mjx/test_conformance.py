"""MJX against MuJoCo C's converged step, and its gradients against central differences of itself, float64."""

from __future__ import annotations

from functools import cache

import mujoco
import numpy as np
import pytest
import torch

from pwm_bench import envs
from pwm_bench.envs.simulator import Simulator, State
from pwm_bench.envs.tasks import load_task
from pwm_bench.testing.differences import directional_error, rollout_objective

WORLDS = 4
PLANAR = ("hopper", "cheetah", "walker2d")  # the root's height is the second coordinate, else the third
WITHOUT_GROUND = ("cartpole", "double_pendulum", "pendulum")
LATER = [  # minutes to compile
    pytest.param(task, marks=pytest.mark.slow)
    for task in (
        "double_pendulum",
        "pendulum",
        "cheetah",
        "walker2d",
        "anymal",
        "humanoid",
        "muscle_humanoid",
        "snu_humanoid",
    )
]
TASKS = ["ant", "cartpole", "hopper", *LATER]
PLACES = [("cartpole", "air")] + [(task, where) for task in ("ant", "hopper") for where in ("air", "contact", "limits")]
PLACES += [pytest.param(*task.values, "contact", marks=pytest.mark.slow) for task in LATER]


@cache
def simulator(task: str, dtype: torch.dtype = torch.float64) -> Simulator:
    definition = load_task(task)
    substeps = 2
    return envs.make_simulator(
        "mjx",
        definition.model_for(envs.capabilities("mjx")),
        num_worlds=WORLDS,
        substeps=substeps,
        timestep=definition.control_dt / definition.substeps_for(envs.capabilities("mjx")),
        dtype=dtype,
    )


def state_at(task: str, where: str) -> State:
    """Reset states, lifted off the ground, pressed onto it, or with joints beyond their limits."""
    definition = load_task(task)
    generator = torch.Generator().manual_seed(0)
    noise = 2.0 * torch.rand(WORLDS, definition.noise_dim, generator=generator, dtype=torch.float64) - 1.0
    state = definition.reset_state(noise)
    qpos = state.qpos.clone()
    if task not in WITHOUT_GROUND:
        height = 1 if task in PLANAR else 2
        pressed = {"hopper": -0.06, "ant": -0.3}.get(task)
        if where == "contact" and pressed is None:
            qpos[:, height] -= clearance(task, qpos) + (0.04 if task == "snu_humanoid" else 0.01)  # several corners
        else:
            qpos[:, height] += {"air": 1.0, "contact": pressed, "limits": 1.0}[where]
    if where == "limits":
        qpos[:, -2:] += 1.5
    return State(qpos, state.qvel + 0.3)


def clearance(task: str, qpos: torch.Tensor) -> torch.Tensor:
    """How far each world's robot must sink to touch the ground, to a centimetre."""
    model = load_task(task).model_for(envs.capabilities("mjx"))
    data, height = mujoco.MjData(model), 1 if task in PLANAR else 2
    distances = []
    for row in qpos:
        for sink in np.arange(-0.3, 1.0, 0.01):
            data.qpos[:] = row
            data.qpos[height] -= sink
            mujoco.mj_forward(model, data)
            if data.ncon:
                break
        distances.append(sink)
    return torch.tensor(distances, dtype=torch.float64)


def controls(task: str, steps: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    width = load_task(task).action_dim
    return 1.6 * torch.rand(steps, WORLDS, width, generator=generator, dtype=torch.float64) - 0.8


@pytest.mark.parametrize("where", ["air", "contact"])
@pytest.mark.parametrize("task", TASKS)
def test_a_step_equals_mujocos_converged_one(task: str, where: str) -> None:
    mjx = simulator(task)
    state, ctrl = state_at(task, where), controls(task, 1)[0]
    model = mjx.model.__copy__()
    model.opt.solver = mujoco.mjtSolver.mjSOL_NEWTON
    model.opt.iterations, model.opt.ls_iterations, model.opt.tolerance = 200, 100, 0.0
    after = mjx.step(state, ctrl)
    data = mujoco.MjData(model)
    for world in range(WORLDS):
        mujoco.mj_resetData(model, data)
        data.qpos[:], data.qvel[:], data.ctrl[:] = state.qpos[world], state.qvel[world], ctrl[world]
        for _ in range(mjx.substeps):
            mujoco.mj_step(model, data)
        if where == "contact" and task not in WITHOUT_GROUND:
            assert data.ncon > 0
        assert np.allclose(after.qpos[world], data.qpos, atol=1e-6)
        assert np.allclose(after.qvel[world], data.qvel, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("which", [0, 1, 2], ids=["qpos", "qvel", "ctrl"])
@pytest.mark.parametrize(("task", "where"), PLACES)
def test_gradients_equal_central_differences(task: str, where: str, which: int) -> None:
    state = state_at(task, where)
    arguments = (state.qpos, state.qvel, controls(task, 3))
    error = directional_error(rollout_objective(simulator(task)), arguments, which, directions=2)
    assert error.max() < 1e-5


def test_single_precision_is_close() -> None:
    state, ctrl = state_at("cartpole", "air"), controls("cartpole", 1)[0]
    exact = simulator("cartpole").step(state, ctrl)
    single = simulator("cartpole", torch.float32)
    close = single.step(State(state.qpos.float(), state.qvel.float()), ctrl.float())
    assert close.qvel.dtype == torch.float32
    assert torch.allclose(close.qvel.double(), exact.qvel, rtol=1e-4, atol=1e-4)


def test_steps_are_pure_and_worlds_independent() -> None:
    mjx = simulator("hopper")
    state, ctrl = state_at("hopper", "contact"), controls("hopper", 1)[0]
    first = mjx.step(state, ctrl)
    qpos = state.qpos.clone()
    qpos[2, 1] += 0.3
    other = mjx.step(State(qpos, state.qvel), ctrl)
    assert torch.equal(mjx.step(state, ctrl).qvel, first.qvel)
    rest = [0, 1, 3]
    assert torch.allclose(other.qvel[rest], first.qvel[rest], rtol=1e-12, atol=1e-12)
    assert not torch.equal(other.qvel[2], first.qvel[2])


def test_a_broken_world_leaves_the_others_gradient_alone() -> None:
    mjx = simulator("hopper")
    state, ctrl = state_at("hopper", "contact"), controls("hopper", 1)[0]

    def gradient(qpos: torch.Tensor) -> torch.Tensor:
        u = ctrl.clone().requires_grad_()
        after = mjx.step(State(qpos, state.qvel), u)
        return torch.autograd.grad(after.qvel.sum(), u)[0]

    broken = state.qpos.clone()
    broken[1] = torch.nan
    rest = [0, 2, 3]
    assert torch.allclose(gradient(state.qpos)[rest], gradient(broken)[rest], rtol=1e-12, atol=1e-12)


def test_inputs_need_not_be_contiguous_or_kept_alive() -> None:
    mjx = simulator("hopper")
    state, ctrl = state_at("hopper", "air"), controls("hopper", 1)[0]
    expected = mjx.step(state, ctrl).qpos
    outputs = []
    for _ in range(20):  # results must not live in memory that inputs or later results reuse
        strided = [x.t().contiguous().t() for x in (state.qpos, state.qvel, ctrl)]
        outputs.append(mjx.step(State(*strided[:2]), strided[2]).qpos)
        del strided
    assert all(torch.equal(x, expected) for x in outputs)
