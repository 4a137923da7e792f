"""Own forms of what MJX has: springs on ball and free joints, tendons through sites; float64."""

from __future__ import annotations

import jax
import mujoco
import numpy as np
import pytest
import torch
from jax import numpy as jnp
from mujoco import mjx

from pwm_bench.envs.mjx.quaternions import rotation_vector
from pwm_bench.envs.mjx.runtime import precision
from pwm_bench.envs.mjx.springs import RotationalSprings, TendonSprings
from pwm_bench.envs.mjx.tendons import Tendons
from pwm_bench.envs.tasks import load_task
from tests.envs.mjx.test_muscles import ARM

SPRINGS = """<mujoco><worldbody>
<body><joint type="hinge" stiffness="2"/><joint type="ball" stiffness="3"/><geom size=".1"/></body>
<body pos="1 0 0"><freejoint/><geom size=".1"/></body>
<body pos="2 0 0"><joint type="free" stiffness="4"/><geom size=".1"/>
<body pos="0 0 .2"><joint type="ball"/><geom size=".1"/></body></body></worldbody></mujoco>"""
TWO_TREES = """<mujoco><worldbody><body><joint axis="0 1 0"/><geom size=".1"/><site name="a" pos=".1 0 0"/></body>
<body pos="0 0 1"><joint axis="0 1 0"/><geom size=".1"/><site name="b" pos="0 .1 0"/></body></worldbody>
<tendon><spatial><site site="a"/><site site="b"/></spatial></tendon></mujoco>"""


@pytest.fixture(autouse=True)
def double():
    with precision(torch.float64):
        yield


def poses(model: mujoco.MjModel, number: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    qpos = np.tile(model.qpos0, (number, 1))
    for row in qpos:
        mujoco.mj_integratePos(model, row, rng.normal(size=model.nv), 1.5)
    return qpos


def test_spring_forces_are_mujocos() -> None:
    """At rest, near it, and up to more than half a turn away."""
    model = mujoco.MjModel.from_xml_string(SPRINGS)
    springs, data = RotationalSprings(model), mujoco.MjData(model)
    others = np.asarray(springs.without(mjx.put_model(model, impl="jax")).jnt_stiffness)
    assert others.tolist() == [2.0, 0.0, 0.0, 0.0, 0.0]
    qpos = np.concatenate((model.qpos0[None], poses(model, 6)))
    mujoco.mj_integratePos(model, qpos[1], np.full(model.nv, 1e-5), 1.0)
    for row in qpos:
        data.qpos[:] = row
        mujoco.mj_forward(model, data)
        hinge = np.zeros(model.nv)
        hinge[0] = -2.0 * row[0]
        np.testing.assert_allclose(np.asarray(springs.force(jnp.asarray(row))) + hinge, data.qfrc_spring, atol=1e-12)


def test_no_springs_are_no_force() -> None:
    model = mujoco.MjModel.from_xml_string(SPRINGS)
    model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_SPRING)
    put = mjx.put_model(model, impl="jax")
    assert RotationalSprings(model).without(put) is put
    assert RotationalSprings(model).force(jnp.asarray(model.qpos0)) == 0.0


def test_a_tendons_spring_has_its_slope_at_rest() -> None:
    """MJX has none there. A spring that is slack over a range stays MJX's."""
    text = TWO_TREES.replace("<spatial>", '<spatial stiffness="7">').replace(
        "</tendon>",
        '<spatial stiffness="5" springlength="1 2"><site site="a"/><site site="b"/></spatial></tendon>',
    )
    model = mujoco.MjModel.from_xml_string(text)
    springs, put = TendonSprings(model), mjx.put_model(model, impl="jax")
    assert np.asarray(springs.without(put).tendon_stiffness).tolist() == [0.0, 5.0]
    at_rest = mjx.make_data(model, impl="jax").replace(ten_length=jnp.asarray(model.tendon_lengthspring[:, 0]))
    at_rest = at_rest.tree_replace({"_impl.ten_J": jnp.array([[2.0, -1.0], [3.0, 4.0]])})
    slope = jax.jacobian(lambda length: springs.force(at_rest.replace(ten_length=length)))(at_rest.ten_length)
    np.testing.assert_array_equal(springs.force(at_rest), [0.0, 0.0])
    np.testing.assert_array_equal(slope, [[-14.0, 0.0], [7.0, 0.0]])


def test_the_rotation_vector_has_its_derivative_at_rest_and_no_seam() -> None:
    rest = jnp.array([[1.0, 0.0, 0.0, 0.0]])
    slope = jax.jacobian(lambda q: rotation_vector(rest, q)[0])(rest)[:, 0]
    np.testing.assert_allclose(slope, [[0, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 2]], atol=1e-15)
    for angle in (0.99 * 2e-3, 1.01 * 2e-3):  # where the series takes over
        half = jnp.array([[np.cos(angle / 2), 0.0, np.sin(angle / 2), 0.0]])
        np.testing.assert_allclose(rotation_vector(rest, half), [[0.0, angle, 0.0]], rtol=1e-14, atol=1e-18)
        np.testing.assert_allclose(rotation_vector(rest, -half), [[0.0, angle, 0.0]], rtol=1e-14, atol=1e-18)


@pytest.mark.parametrize("name", ["muscle_humanoid", "arm", "two trees"])
def test_tendons_are_mjxs(name: str) -> None:
    """Lengths and Jacobians; a tendon between two trees is left to MJX."""
    texts = {"arm": ARM, "two trees": TWO_TREES}
    model = mujoco.MjModel.from_xml_string(texts[name]) if name in texts else load_task(name).model()
    put, tendons, data = mjx.put_model(model, impl="jax"), Tendons(model), mujoco.MjData(model)

    @jax.jit
    def both(d: mjx.Data) -> list[tuple[jax.Array, jax.Array]]:
        return [(x.ten_length, x._impl.ten_J) for x in (tendons(put, d), mjx.tendon(put, d))]

    for qpos in poses(model, 3):
        data.qpos[:] = qpos
        mujoco.mj_forward(model, data)
        blank = mjx.put_data(model, data, impl="jax").replace(ten_length=jnp.zeros(model.ntendon))
        own, theirs = both(blank.tree_replace({"_impl.ten_J": jnp.zeros((model.ntendon, model.nv))}))
        for a, b in zip(own, theirs, strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=0.0, atol=1e-13)
        np.testing.assert_allclose(own[0], data.ten_length, atol=1e-13)
        assert np.abs(own[1]).max() > 0.01
