"""Contacts with planes against MuJoCo C's, one by one."""

from __future__ import annotations

import jax
import mujoco
import numpy as np
import pytest
from mujoco import mjx

from pwm_bench.envs.mjx.contact import find_box_corners

MODEL = """<mujoco><worldbody>
  <geom type="plane" size="1 1 1" pos="0 0 0.1" euler="4 0 0"/>
  <body pos="0 0 0.3"><freejoint/><geom type="box" size="0.2 0.3 0.1"/></body>
  <body pos="1 0 0.3"><freejoint/><geom type="capsule" size="0.1 0.2"/></body>
  <body pos="0 2 0.3"><freejoint/><geom type="box" size="0.1 0.1 0.1" pos="0.05 0 0" margin="0.01"/></body>
</worldbody></mujoco>"""


@pytest.fixture(scope="module")
def both():
    """MuJoCo C's contacts and ours, as sorted rows of bodies, distance, position and frame."""
    with jax.enable_x64(True):
        host = mujoco.MjModel.from_xml_string(MODEL)
        model = mjx.put_model(host)

        @jax.jit
        def contacts(qpos):
            d = mjx.kinematics(model, mjx.make_data(model).replace(qpos=qpos))
            return find_box_corners(model, mjx.collision(model, d))._impl.contact

        def compare(qpos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            data = mujoco.MjData(host)
            data.qpos = qpos
            mujoco.mj_forward(host, data)
            expected = [[*c.geom, c.dist, *c.pos, *c.frame] for c in data.contact]
            ours = jax.device_get(contacts(qpos))
            near = ours.dist < ours.includemargin
            rows = np.concatenate(
                (ours.geom, ours.dist[:, None], ours.pos, ours.frame.reshape(-1, 9)), axis=1, dtype=np.float64
            )[near]
            shape = (-1, rows.shape[1])
            return np.array(sorted(expected)).reshape(shape), np.array(sorted(rows.tolist())).reshape(shape)

        yield compare


@pytest.mark.parametrize(
    ("angle", "height", "corners"),
    [(0.0, 0.17, 4), (1.0, 0.15, 4), (12.0, 0.19, 2), (30.0, 0.1, 4), (80.0, 0.25, 2), (20.0, 1.0, 0)],
)
def test_a_tilted_box_touches_with_the_corners_that_mujoco_c_finds(both, angle, height, corners):
    """MJX keeps those within a millimetre of the deepest alone."""
    turn = np.zeros(4)
    mujoco.mju_axisAngle2Quat(turn, np.array([0.6, 0.8, 0.0]), np.radians(angle))
    qpos = np.array([0, 0, height, *turn, 1, 0, 5.0, 1, 0, 0, 0, 0, 2, 0.3, *turn])
    expected, found = both(qpos)
    assert (expected[:, 1] == 1).sum() == corners
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-14)
