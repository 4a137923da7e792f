"""Postures of the muscle humanoid in clinical joint angles, and those of a walking cycle."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pwm_bench.envs.tasks.muscles.skeleton import SIDES, STANDING_HEIGHT

__all__ = ["LEG_ANGLES", "posture", "walking_postures"]

LEG_ANGLES = (
    "hip_flexion",
    "hip_abduction",
    "hip_external_rotation",
    "knee_flexion",
    "ankle_dorsiflexion",
    "ankle_inversion",
    "toe_extension",
)
"""Angles of one leg that `posture` takes."""

# Mean sagittal angles of walking at a natural cadence, in tenths of a cycle from heel contact [degrees], after Winter
# 2009 (Biomechanics and Motor Control of Human Movement, appendix A): hip flexion, knee flexion, ankle dorsiflexion,
# and extension of the toes.
_WALKING = np.array(
    [
        (20, 4, 0, 15),
        (17, 14, -3, 0),
        (9, 17, 4, 0),
        (1, 12, 7, 0),
        (-7, 8, 10, 10),
        (-11, 13, 5, 30),
        (-4, 35, -18, 40),
        (11, 62, -8, 15),
        (21, 54, 0, 10),
        (22, 20, 1, 15),
    ],
    dtype=float,
)
_SPREAD = 7.0  # abduction, rotation and inversion either way [degrees]


def posture(left: Mapping[str, float] | None = None, right: Mapping[str, float] | None = None) -> np.ndarray:
    """Generalised positions, shape ``(29,)``, of an upright pelvis with these angles [degrees] of the legs (else 0).

    A hip turns by flexion, then about the flexed thigh's axes by abduction and external rotation; an ankle by
    dorsiflexion, then inversion.
    """
    qpos = [0.0, 0.0, STANDING_HEIGHT, 1.0, 0.0, 0.0, 0.0]
    for angles, outward in zip((left, right), SIDES.values(), strict=True):
        a = {name: np.deg2rad((angles or {}).get(name, 0.0)) for name in LEG_ANGLES}
        flexion, abduction = _turn(1, -a["hip_flexion"]), _turn(0, outward * a["hip_abduction"])
        rotation = _turn(2, outward * a["hip_external_rotation"])
        dorsiflexion, inversion = _turn(1, -a["ankle_dorsiflexion"]), _turn(0, -outward * a["ankle_inversion"])
        qpos += [*_product(_product(flexion, abduction), rotation), a["knee_flexion"]]
        qpos += [*_product(dorsiflexion, inversion), a["toe_extension"], a["toe_extension"]]
    return np.array(qpos)


def walking_postures() -> list[dict[str, float]]:
    """Angles of one leg [degrees]: the walking cycle, in line and with abduction, rotation and inversion either way."""
    grid = []
    for hip, knee, ankle, toe in _WALKING:
        for abduction, rotation, inversion in ((0, 0, 0), (1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)):
            values = (hip, _SPREAD * abduction, _SPREAD * rotation, knee, ankle, _SPREAD * inversion, toe)
            grid.append(dict(zip(LEG_ANGLES, map(float, values), strict=True)))
    return grid


def _turn(axis: int, angle: float) -> np.ndarray:
    quaternion = np.zeros(4)
    quaternion[0], quaternion[1 + axis] = np.cos(angle / 2.0), np.sin(angle / 2.0)
    return quaternion


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    w, u = a[0] * b[0] - a[1:] @ b[1:], a[0] * b[1:] + b[0] * a[1:] + np.cross(a[1:], b[1:])
    return np.concatenate(([w], u))
