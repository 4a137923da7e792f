"""Changes to compiled models that several tests need."""

from __future__ import annotations

import mujoco
import numpy as np

__all__ = ["with_unit_axes"]


def with_unit_axes(model: mujoco.MjModel) -> mujoco.MjModel:
    """A copy whose joint axes and body quaternions have unit length to double precision.

    Those of the published robots have it to single precision only. MuJoCo normalises orientations as it goes and the
    Warp simulator (like dflex) does not, which would show where the two are compared to more digits.
    """
    copy = model.__copy__()
    copy.jnt_axis[:] /= np.linalg.norm(copy.jnt_axis, axis=1, keepdims=True)
    copy.body_quat[:] /= np.linalg.norm(copy.body_quat, axis=1, keepdims=True)
    return copy
