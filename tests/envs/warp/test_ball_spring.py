"""Springs of ball joints: torques worked out by hand and MuJoCo's, gradients from rest to beyond a quarter turn."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
import torch

from pwm_bench import envs
from pwm_bench.envs.simulator import State
from pwm_bench.testing.differences import directional_error, rollout_objective
from tests.envs.warp.test_dynamics import mujoco_step

TIMESTEP = 1e-3
STIFFNESS, INERTIA = 5.0, 0.5
REST = np.array([0.6, 0.0, 0.8, 0.0])  # w x y z
# Ends with a turn that leaves single quaternion components negative, and one just short of half a turn.
TURNS = np.array(
    [[0, 0, 0], [1e-9, 0, 0], [0, 1e-4, 0], [1e-3, 0, -1e-3], [0.3, -0.2, 0.5], [-1.5, 1, 0.7], [0, 0, 3.1]]
)


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    """A ball of inertia 1/2 about a ball joint at its centre, with the spring at rest in the posture ``REST``."""
    compiled = mujoco.MjModel.from_xml_string(
        f"""<mujoco><option gravity='0 0 0'/><worldbody><body><joint type='ball' stiffness='{STIFFNESS}'/>
        <inertial pos='0 0 0' mass='1' diaginertia='{INERTIA} {INERTIA} {INERTIA}'/></body></worldbody></mujoco>"""
    )
    compiled.qpos_spring[:] = REST
    compiled.opt.timestep = TIMESTEP
    return compiled


@pytest.fixture
def state() -> State:
    """Turned by ``TURNS`` from rest, in the body's frame; every other quaternion with its sign flipped."""
    qpos = np.tile(REST, (len(TURNS), 1))
    for n, (row, turn) in enumerate(zip(qpos, TURNS, strict=True)):
        mujoco.mju_quatIntegrate(row, turn.astype(float), 1.0)
        row *= (-1) ** n
    return State(torch.from_numpy(qpos), torch.zeros(len(TURNS), 3, dtype=torch.float64))


def simulator(model: mujoco.MjModel, **options: object) -> envs.simulator.Simulator:
    arguments = {"num_worlds": len(TURNS), "substeps": 1, "timestep": TIMESTEP, "dtype": torch.float64} | options
    return envs.make_simulator("warp", model, **arguments)


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_torque_is_the_rotation_vector_from_rest(
    model: mujoco.MjModel, state: State, dtype: torch.dtype, bound: float
) -> None:
    warp = simulator(model, dtype=dtype)
    after = warp.step(State(state.qpos.to(dtype), state.qvel.to(dtype)), torch.zeros(len(TURNS), 0, dtype=dtype))
    torque = after.qvel.double().numpy() * INERTIA / TIMESTEP
    assert np.abs(torque + STIFFNESS * TURNS).max() < bound * STIFFNESS
    expected = mujoco_step(model, state, torch.zeros(len(TURNS), 0))
    assert (after.qvel.double() - expected.qvel).abs().max() < bound * TIMESTEP * STIFFNESS / INERTIA


@pytest.mark.parametrize("which", [0, 1], ids=["qpos", "qvel"])
def test_gradients(model: mujoco.MjModel, state: State, which: int) -> None:
    objective = rollout_objective(simulator(model, substeps=50))
    moving = torch.linspace(-1.0, 1.0, 3 * len(TURNS), dtype=torch.float64).reshape(-1, 3) * 0.1
    ctrl = torch.zeros(1, len(TURNS), 0, dtype=torch.float64)
    error = directional_error(objective, (state.qpos, moving, ctrl), which)
    assert error.max() < 1e-5
