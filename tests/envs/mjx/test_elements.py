"""Elements that MJX accepts and no task has, in float64: steps against MuJoCo C's, gradients against differences.

The first world begins at rest in the model's own pose, where rotations, stretches and velocities are zero; the second
is somewhere else and moves.
"""

from __future__ import annotations

from functools import cache

import mujoco
import numpy as np
import pytest
import torch

from pwm_bench import envs
from pwm_bench.envs.simulator import Simulator, State
from pwm_bench.testing.differences import directional_error, rollout_objective

TREES = """<mujoco><default><joint damping=".1"/><geom contype="0" conaffinity="0"/></default><worldbody>
<site name="w" pos=".1 .2 2.3"/>
<body name="arm" pos="0 0 2"><joint name="j" axis="0 1 0" {j}/><geom size=".05" pos=".15 .02 0"/>
  <site name="s" pos=".15 .08 .02"/>
  <body name="tip" pos=".3 .05 0"><joint name="k" axis=".3 1 .2" {k}/><geom size=".06" pos=".1 0 .05"/>
    <site name="t" pos=".15 -.05 .07"/></body></body>
<body name="top" pos="0 .5 2"><joint name="ball" type="ball" {ball}/><geom size=".1" pos=".1 .05 0" mass=".7"/>
  <geom size=".05" pos=".1 .3 .2"/><site name="u" pos=".1 -.1 .1"/></body>
</worldbody>{rest}</mujoco>"""
CONSTRAINTS = TREES.format(
    j='frictionloss="2" stiffness="3" springref="20" armature=".2"',
    k='limited="true" range="-5 9"',
    ball='frictionloss=".3" limited="true" range="0 20"',
    rest="""<tendon>
<fixed name="f" stiffness="20" damping="3"><joint joint="j" coef=".7"/><joint joint="k" coef="-1.3"/></fixed>
<spatial name="p" frictionloss=".5" limited="true" range=".1 .4" stiffness="9">
<site site="s"/><site site="u"/></spatial>
<spatial name="slack" stiffness="30" damping="2" springlength=".3 .5">
<site site="t"/><site site="u"/></spatial></tendon>
<equality><connect body1="tip" body2="top" anchor=".2 .1 .1"/><connect site1="t" site2="u"/>
<weld body1="top" body2="tip" anchor=".2 .1 .1" torquescale=".7"/><weld site1="s" site2="w"/>
<connect body1="arm" anchor=".1 .1 .1" active="false"/>
<joint joint1="j" joint2="k" polycoef=".1 .7 .3 -.2 .1"/><tendon tendon1="f" tendon2="p" polycoef=".1 .7 .3 -.2 .1"/>
</equality>""",
)
ACTUATORS = TREES.format(
    j="",
    k='actuatorfrcrange="-1 1"',
    ball="",
    rest="""<tendon><spatial name="p" actuatorfrclimited="true" actuatorfrcrange="-.1 .1">
<site site="s"/><site site="u"/></spatial></tendon><actuator>
<motor joint="ball" gear="1 .5 -.3"/><position joint="ball" gear="1 .5 -.3" kp="5" kv=".5"/>
<position jointinparent="ball" gear=".3 -.5 -.3" kp="4" kv=".4"/>
<position joint="j" kp="50" forcerange="-.5 .5"/><motor joint="k" gear="7"/>
<general joint="j" gaintype="affine" gainprm="1 2 3" biastype="affine" biasprm=".1 .2 -.3"/>
<motor site="s" gear="1 .5 -.3 .2 .1 .4"/><position site="t" refsite="u" gear="1 .5 -.3 .2 .1 .4" kp="3" kv=".2"/>
<motor tendon="p" gear="2"/></actuator>""",
)
SUBSTEPS = 2


@cache
def simulator(text: str) -> Simulator:
    model = mujoco.MjModel.from_xml_string(text)
    options = {"substeps": SUBSTEPS, "timestep": 0.002, "dtype": torch.float64}
    return envs.make_simulator("mjx", model, num_worlds=2, **options)


def arguments(model: mujoco.MjModel) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    qpos, qvel = np.tile(model.qpos0, (2, 1)), np.zeros((2, model.nv))
    mujoco.mj_integratePos(model, qpos[1], rng.normal(size=model.nv), 0.4)
    qvel[1] = rng.normal(size=model.nv)
    ctrl = rng.uniform(0.1, 0.8, (1, 2, model.nu))
    return torch.from_numpy(qpos), torch.from_numpy(qvel), torch.from_numpy(ctrl)


@pytest.mark.slow
@pytest.mark.parametrize("text", [CONSTRAINTS, ACTUATORS], ids=["constraints", "actuators"])
def test_elements_act_as_in_mujoco_and_have_exact_gradients(text: str) -> None:
    mjx = simulator(text)
    qpos, qvel, ctrl = arguments(mjx.model)
    after = mjx.step(State(qpos, qvel), ctrl[0])
    model = mjx.model.__copy__()
    model.opt.iterations, model.opt.ls_iterations, model.opt.tolerance = 200, 100, 0.0
    data = mujoco.MjData(model)
    for world in range(2):
        data.qpos, data.qvel, data.ctrl = qpos[world], qvel[world], ctrl[0, world]
        mujoco.mj_step(model, data, nstep=SUBSTEPS)
        np.testing.assert_allclose(after.qpos[world], data.qpos, rtol=0.0, atol=1e-11)
        np.testing.assert_allclose(after.qvel[world], data.qvel, rtol=0.0, atol=1e-11)
    for which in range(3 if model.nu else 2):
        error = directional_error(rollout_objective(mjx), (qpos, qvel, ctrl), which, directions=2)
        assert error.max() < 1e-7, which
