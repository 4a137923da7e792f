"""What MJX's equalities and transmissions lack, one by one against MuJoCo C's; float64."""

from __future__ import annotations

import jax
import mujoco
import numpy as np
import pytest
import torch
from jax import numpy as jnp
from mujoco import mjx

from pwm_bench.envs.mjx.equalities import MovingEqualities
from pwm_bench.envs.mjx.runtime import precision
from pwm_bench.envs.mjx.transmission import Transmission
from tests.envs.mjx.test_springs_and_tendons import poses

BODIES = """<mujoco><default><geom contype="0" conaffinity="0"/></default><worldbody>
<body><joint name="ball" type="ball"/><geom size=".1" pos=".1 0 .1"/><site name="a" pos=".2 .1 0"/></body>
<body name="two" pos="0 .3 0"><freejoint/><geom size=".1" pos="0 .1 0"/><site name="b" pos=".2 0 .1" {turned}/>
  <body name="three"><joint axis="0 .6 .8"/><geom size=".1" pos=".3 0 0"/></body></body></worldbody>{rest}</mujoco>"""
EQUALITIES = """<equality>
<weld body1="two" body2="three" anchor=".1 0 .2" torquescale=".7" relpose="0 0 0 .6 .8 0 0"/>
<connect body1="three" anchor=".2 .1 .1"/><weld site1="a" site2="b"/><connect site1="a" site2="b"/>
<weld body1="two" active="false"/></equality>"""
IN_MJX = np.r_[6:9, 15:18, 0:6, 9:15]  # all connects, then all welds; MuJoCo C has them as the model has
SERVOS = """<actuator><position joint="ball" gear="1 .5 -.3" kp="5"/>
<position jointinparent="ball" gear=".2 .4 .6"/><position site="a" refsite="b" gear="1 2 3 .4 .5 .6"/></actuator>"""


@pytest.fixture(autouse=True)
def double():
    with precision(torch.float64):
        yield


def test_equalities_ask_for_what_mujoco_asks_for() -> None:
    """The joined bodies move, so that the Jacobians change with time, which MJX's own rows leave out."""
    model = mujoco.MjModel.from_xml_string(BODIES.format(turned='quat=".8 .6 0 0"', rest=EQUALITIES))
    put, equalities, data = mjx.put_model(model, impl="jax"), MovingEqualities(model), mujoco.MjData(model)

    @jax.jit
    def rows(qpos: jax.Array, qvel: jax.Array) -> tuple[jax.Array, jax.Array]:
        d = mjx.com_pos(put, mjx.kinematics(put, mjx.make_data(model, impl="jax").replace(qpos=qpos, qvel=qvel)))
        d = mjx.make_constraint(put, d)
        return d._impl.efc_aref, equalities(put, d)._impl.efc_aref

    data.qpos, data.qvel = poses(model, 1)[0], np.random.default_rng(1).normal(size=model.nv)
    mujoco.mj_forward(model, data)
    theirs, ours = (np.asarray(x) for x in rows(jnp.asarray(data.qpos), jnp.asarray(data.qvel)))
    assert (len(ours), data.ne) == (24, 18)  # MuJoCo C leaves out the one that is off
    np.testing.assert_allclose(ours[:18], data.efc_aref[:18][IN_MJX], rtol=0.0, atol=1e-9)
    assert np.abs(theirs - ours)[:18].max() > 0.1
    np.testing.assert_array_equal(theirs[18:], ours[18:])


@pytest.mark.parametrize("off", ["equality", "constraint"])
def test_no_equalities_are_nothing_to_add(off: str) -> None:
    text = BODIES.format(turned="", rest=f"<option><flag {off}='disable'/></option>{EQUALITIES}")
    assert not MovingEqualities(mujoco.MjModel.from_xml_string(text)).any


def test_actuators_that_measure_a_rotation_have_its_derivative_where_there_is_none() -> None:
    """MJX's lengths have none in the model's own pose, in which the joint is straight and the sites are parallel."""
    model = mujoco.MjModel.from_xml_string(BODIES.format(turned="", rest=SERVOS))
    put, transmission, data = mjx.put_model(model, impl="jax"), Transmission(model), mujoco.MjData(model)

    @jax.jit
    def lengths(qpos: jax.Array) -> jax.Array:
        d = mjx.com_pos(put, mjx.kinematics(put, mjx.make_data(model, impl="jax").replace(qpos=qpos)))
        return transmission(put, d).actuator_length

    for qpos in (model.qpos0, *poses(model, 3)):
        data.qpos = qpos
        mujoco.mj_forward(model, data)
        np.testing.assert_allclose(lengths(jnp.asarray(qpos)), data.actuator_length, rtol=0.0, atol=1e-14)
    slopes, step = np.asarray(jax.jit(jax.jacobian(lengths))(jnp.asarray(model.qpos0))), 1e-6
    for dof in range(model.nv):
        ends, direction = [], np.eye(model.nv)[dof]
        for sign in (1.0, -1.0):
            ends.append(model.qpos0.copy())
            mujoco.mj_integratePos(model, ends[-1], direction, sign * step)
        numeric = (lengths(jnp.asarray(ends[0])) - lengths(jnp.asarray(ends[1]))) / (2.0 * step)
        analytic = slopes @ (ends[0] - ends[1]) / (2.0 * step)
        np.testing.assert_allclose(analytic, numeric, rtol=0.0, atol=1e-8)
