"""Compiles this package's MJCF files, with the constants that a compiler would refuse or round.

The published environments (dflex) computed in single precision, and with inertias that no rigid body has, such as
none about two of three axes. MuJoCo's compiler refuses those. Its equations of motion do not mind: the joints'
armature keeps the mass matrix positive definite. An MJCF of such a robot holds the nearest inertia that the compiler
takes, the shortest decimals of the single-precision numbers, and, for each body, what was published::

    <numeric name="inertia/BODY" data="mass x y z xx yy zz xy xz yz"/>
    <numeric name="frame/BODY" data="x y z qw qx qy qz"/>

`load_asset` puts these into the compiled model and rounds every other constant to single precision, so that the model's
numbers are the published ones to the last digit.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import mujoco
import numpy as np

__all__ = ["load_asset", "put_published"]

_SINGLE = (
    "body_pos",
    "body_quat",
    "jnt_axis",
    "jnt_range",
    "jnt_stiffness",
    "qpos_spring",
    "dof_armature",
    "geom_pos",
    "geom_size",
    "geom_friction",
    "site_pos",
    "actuator_gear",
    "actuator_gainprm",
)


@cache
def load_asset(name: str) -> mujoco.MjModel:
    """Compiles one of this package's MJCF files, e.g. ``"ant.xml"``."""
    model = mujoco.MjModel.from_xml_string(resources.files("pwm_bench.envs.assets").joinpath(name).read_text())
    put_published(model)
    return model


def put_published(model: mujoco.MjModel) -> None:
    """Puts the published constants that an MJCF carries into its compiled model; does nothing if it carries none."""
    inertias, frames = _numbers(model, "inertia/"), _numbers(model, "frame/")
    if not inertias:
        return
    for field in _SINGLE:
        values = getattr(model, field)
        values[:] = values.astype(np.float32)
    model.opt.gravity[:] = model.opt.gravity.astype(np.float32)
    for body, (mass, x, y, z, xx, yy, zz, xy, xz, yz) in inertias.items():
        moments, axes = np.linalg.eigh([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        if np.linalg.det(axes) < 0.0:
            axes[:, 0] *= -1.0
        model.body_mass[body] = mass
        model.body_ipos[body] = x, y, z
        model.body_inertia[body] = moments
        mujoco.mju_mat2Quat(model.body_iquat[body], axes.reshape(-1))
    for body, frame in frames.items():
        model.body_pos[body], model.body_quat[body] = frame[:3], frame[3:]
    # The compiler noted where frames of bodies, geoms and sites are alike; believing it would hide the new ones.
    for field in ("body_sameframe", "geom_sameframe", "site_sameframe"):
        getattr(model, field)[:] = int(mujoco.mjtSameFrame.mjSAMEFRAME_NONE)
    mujoco.mj_setConst(model, mujoco.MjData(model))


def _numbers(model: mujoco.MjModel, prefix: str) -> dict[int, np.ndarray]:
    """Numeric data named ``prefix`` + body, by body id."""
    found = {}
    for i in range(model.nnumeric):
        name = model.numeric(i).name
        if name.startswith(prefix):
            found[model.body(name.removeprefix(prefix)).id] = model.numeric(i).data.copy()
    return found
