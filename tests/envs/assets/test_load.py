"""Published constants that a compiler would refuse or round."""

from __future__ import annotations

from importlib import resources

import mujoco
import numpy as np
import pytest

from pwm_bench.envs.assets import load_asset
from pwm_bench.envs.assets.load import put_published

PUBLISHED = [
    path.name
    for path in resources.files("pwm_bench.envs.assets").iterdir()
    if path.name.endswith(".xml") and "inertia/" in path.read_text()
]

TEXT = """<mujoco><worldbody><body name="arm" pos="0.1 0 0"><joint type="ball" armature="0.3"/>
<inertial pos="0 0 0.2" mass="2" fullinertia="0.1 0.2 0.3 0 0 0"/>
<geom name="hand" type="sphere" size="0.1" pos="0 0 0.2" quat="0.6 0.8 0 0" contype="0" conaffinity="0"/>
</body></worldbody>{custom}</mujoco>"""
CUSTOM = """<custom><numeric name="inertia/arm" data="1.7 0 0.1 0.2 1 2 9 0.25 0 0"/>
<numeric name="frame/arm" data="0.1 0.2 0.3 0.6 0 0 0.7"/></custom>"""


def compiled(custom: str) -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(TEXT.format(custom=custom))


def test_inertia_and_frame_are_the_published_ones() -> None:
    """Also one that violates the triangle inequality, and a quaternion that is not of unit length."""
    model = compiled(CUSTOM)
    put_published(model)
    axes = np.zeros(9)
    mujoco.mju_quat2Mat(axes, model.body_iquat[1])
    axes = axes.reshape(3, 3)
    inertia = axes @ np.diag(model.body_inertia[1]) @ axes.T
    assert np.allclose(inertia, [[1.0, 0.25, 0.0], [0.25, 2.0, 0.0], [0.0, 0.0, 9.0]], rtol=0, atol=1e-14)
    assert model.body_mass[1] == 1.7
    assert model.body_ipos[1].tolist() == [0.0, 0.1, 0.2]
    assert model.body_pos[1].tolist() == [0.1, 0.2, 0.3]
    assert model.body_quat[1].tolist() == [0.6, 0.0, 0.0, 0.7]
    assert model.dof_armature.tolist() == [float(np.float32(0.3))] * 3


def test_mujoco_moves_with_them() -> None:
    """Kinetic energy of a unit spin about each axis, and the place of what hangs on the body."""
    model = compiled(CUSTOM.split("\n")[0] + "</custom>")
    put_published(model)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    matrix = np.zeros((3, 3))
    mujoco.mj_fullM(model, data, matrix)
    steiner = 1.7 * np.array([[0.05, 0.0, 0.0], [0.0, 0.04, -0.02], [0.0, -0.02, 0.01]])
    expected = np.array([[1.0, 0.25, 0.0], [0.25, 2.0, 0.0], [0.0, 0.0, 9.0]]) + steiner + np.float32(0.3) * np.eye(3)
    assert np.allclose(matrix, expected, rtol=0, atol=1e-12)
    turn = np.zeros(9)
    mujoco.mju_quat2Mat(turn, np.array([0.6, 0.8, 0.0, 0.0]))
    assert np.allclose(data.geom_xpos[0], np.array([0.1, 0.0, 0.2]), atol=1e-8)
    assert np.allclose(data.geom_xmat[0], turn)


def test_a_model_without_published_constants_is_left_alone() -> None:
    model = compiled("")
    before = model.body_inertia.copy(), model.body_iquat.copy(), model.dof_armature.copy()
    put_published(model)
    after = model.body_inertia, model.body_iquat, model.dof_armature
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert model.dof_armature[0] == 0.3


@pytest.mark.parametrize("name", PUBLISHED)
def test_mass_matrices_are_positive_definite(name: str) -> None:
    """In every posture looked at, although the inertias of single links are not those of rigid bodies."""
    model = load_asset(name)
    data, matrix = mujoco.MjData(model), np.zeros((model.nv, model.nv))
    rng = np.random.default_rng(0)
    for _ in range(50):
        data.qpos[:] = model.qpos0
        mujoco.mj_integratePos(model, data.qpos, rng.normal(size=model.nv), 1.0)
        mujoco.mj_forward(model, data)
        mujoco.mj_fullM(model, data, matrix)
        assert np.linalg.eigvalsh(matrix)[0] > 1e-3


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_written_inertias_are_the_nearest_valid_ones(name: str) -> None:
    """Projected onto the triangle inequality: the largest moment gives a third of its excess to each of the others."""
    text = resources.files("pwm_bench.envs.assets").joinpath(name).read_text()
    written, published = mujoco.MjModel.from_xml_string(text), load_asset(name)
    for body in range(1, written.nbody):
        moments = np.sort(published.body_inertia[body])
        excess = max(moments[2] - moments[1] - moments[0], 0.0) / 3.0
        valid = moments + excess * np.array([1.0, 1.0, -1.0])
        assert np.allclose(np.sort(written.body_inertia[body]), valid, rtol=0, atol=2e-6 * max(moments[2], 0.05))
