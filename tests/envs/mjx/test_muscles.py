"""Via-point muscles in MJX: steps against MuJoCo C, gradients against central differences, float64."""

from __future__ import annotations

from functools import cache

import mujoco
import numpy as np
import pytest
import torch

from pwm_bench import envs
from pwm_bench.envs.simulator import Simulator, State
from pwm_bench.testing.differences import directional_error, rollout_objective

WORLDS = 8
MUSCLE = "dyntype='none' gaintype='muscle' biastype='muscle' gainprm='{0}' biasprm='{0}' lengthrange='{1}'"
CURVES = "0.75 1.05 {} 1 0.5 1.6 1.5 1.3 1.2"
# A ball joint and a hinge; one muscle over both, one over the hinge alone (its peak force from `scale`), and a motor.
ARM = f"""<mujoco><option integrator="Euler"/><worldbody><site name="origin" pos=".1 .05 .3"/>
<body><joint type="ball" stiffness="5" damping=".2"/><geom type="capsule" fromto="0 0 0 0 0 -.4" size=".05"/>
  <site name="upper" pos=".08 0 -.1"/><site name="middle" pos=".07 .02 -.3"/>
  <body pos="0 0 -.4"><joint name="elbow" axis="0 1 0" damping=".1"/>
    <geom type="capsule" fromto="0 0 0 0 0 -.3" size=".04"/><site name="lower" pos=".06 0 -.1"/></body></body>
</worldbody><tendon>
  <spatial name="long"><site site="origin"/><site site="upper"/><site site="middle"/><site site="lower"/></spatial>
  <spatial name="short"><site site="middle"/><site site="lower"/></spatial></tendon>
<actuator><general tendon="long" gear="1.3" {MUSCLE.format(CURVES.format(60), "0.6 1.1")}/>
  <general tendon="short" {MUSCLE.format(CURVES.format(-1), "0.15 0.25")}/><motor joint="elbow" gear="3"/></actuator>
</mujoco>"""


@cache
def simulator() -> Simulator:
    model = mujoco.MjModel.from_xml_string(ARM)
    model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_CONTACT)
    return envs.make_simulator("mjx", model, num_worlds=WORLDS, substeps=2, timestep=2e-3, dtype=torch.float64)


def situation() -> tuple[State, torch.Tensor]:
    """States on all sides of the curves' knots, and controls in [-1, 1]."""
    model = simulator().model
    rng = np.random.default_rng(0)
    qpos = np.tile(model.qpos0, (WORLDS, 1))
    for row in qpos:
        mujoco.mj_integratePos(model, row, rng.normal(size=model.nv), 1.0)
    qvel = rng.normal(size=(WORLDS, model.nv)) * 2.0
    ctrl = rng.uniform(-1.0, 1.0, size=(2, WORLDS, model.nu))
    return State(torch.from_numpy(qpos), torch.from_numpy(qvel)), torch.from_numpy(ctrl)


def test_a_step_equals_mujocos() -> None:
    mjx = simulator()
    state, ctrl = situation()
    after = mjx.step(state, ctrl[0])
    data = mujoco.MjData(mjx.model)
    active = []
    for world in range(WORLDS):
        mujoco.mj_resetData(mjx.model, data)
        data.qpos[:], data.qvel[:], data.ctrl[:] = state.qpos[world], state.qvel[world], ctrl[0, world]
        for _ in range(mjx.substeps):
            mujoco.mj_step(mjx.model, data)
        active.append(np.abs(data.actuator_force[:2]) > 1e-3)
        assert np.allclose(after.qpos[world], data.qpos, atol=1e-10)
        assert np.allclose(after.qvel[world], data.qvel, atol=1e-10)
    assert np.any(active, axis=0).all()


@pytest.mark.parametrize("which", [0, 1, 2], ids=["qpos", "qvel", "ctrl"])
def test_gradients_equal_central_differences(which: int) -> None:
    state, ctrl = situation()
    error = directional_error(rollout_objective(simulator()), (state.qpos, state.qvel, ctrl), which, directions=2)
    assert error.max() < 1e-5


def test_gradients_at_rest_on_a_ball_joint() -> None:
    """Episodes begin there; MJX's own spring has no derivative at rest."""
    mjx = simulator()
    rest = torch.from_numpy(np.tile(mjx.model.qpos0, (mjx.num_worlds, 1)))
    rng = np.random.default_rng(1)
    qvel = torch.from_numpy(rng.normal(size=(mjx.num_worlds, mjx.model.nv)))
    ctrl = torch.from_numpy(rng.uniform(0.2, 0.8, size=(2, mjx.num_worlds, mjx.model.nu)))
    error = directional_error(rollout_objective(mjx), (rest, qvel, ctrl), 0, directions=3)
    assert error.max() < 1e-5
