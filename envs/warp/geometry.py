"""Contact points of a model's geoms against its one ground plane."""

from __future__ import annotations

import itertools

import mujoco
import numpy as np

from pwm_bench.envs.errors import UsageError

__all__ = ["contact_points", "ground_plane", "rotation_matrix"]

_PLANE, _SPHERE, _CAPSULE, _BOX, _ELLIPSOID = (
    int(getattr(mujoco.mjtGeom, f"mjGEOM_{name}")) for name in ("PLANE", "SPHERE", "CAPSULE", "BOX", "ELLIPSOID")
)


def rotation_matrix(quaternion: np.ndarray) -> np.ndarray:
    """Rotation matrix (3, 3) of a quaternion w x y z."""
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, np.asarray(quaternion, dtype=float))
    return matrix.reshape(3, 3)


def ground_plane(model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray] | None:
    """Normal and a point of the ground plane in the world frame; None if nothing can touch a plane.

    Raises:
        UsageError: more than one such plane, a moving one, or geoms that could touch anything else.
    """
    planes = []
    for a, b in _colliding_pairs(model):
        plane, other = (a, b) if model.geom_type[a] == _PLANE else (b, a)
        if model.geom_type[plane] != _PLANE:
            raise UsageError(
                f"{_label(model, a)} and {_label(model, b)} could touch each other and the Warp simulator has contacts "
                "with the ground plane only: set their contype/conaffinity, add an <exclude>, or use simulator 'mjx' "
                "or 'mujoco_c'"
            )
        if model.body_weldid[model.geom_bodyid[plane]] != 0:
            raise UsageError(f"the Warp simulator needs a fixed ground plane, and {_label(model, plane)} moves")
        if model.geom_margin[plane] or model.geom_margin[other]:
            raise UsageError(f"the Warp simulator has no contact margin, and {_label(model, other)} sets one")
        planes.append(plane)
    if not planes:
        return None
    if len(set(planes)) > 1:
        names = ", ".join(_label(model, p) for p in sorted(set(planes)))
        raise UsageError(f"the Warp simulator has one ground plane, the model has {names}: keep one")
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    return data.geom_xmat[planes[0]].reshape(3, 3)[:, 2].copy(), data.geom_xpos[planes[0]].copy()


def contact_points(
    model: mujoco.MjModel, frames: list[tuple[int, np.ndarray, np.ndarray]]
) -> list[tuple[int, np.ndarray, float]]:
    """Spheres (possibly of radius zero) that stand for the geoms that can touch the plane.

    Spheres, capsules and boxes are exact against a plane; an ellipsoid is approximated from within by three spheres
    of its smallest semi-axis along its longest one.

    Args:
        model: the model.
        frames: for each body its link, position and rotation matrix in that link's frame.

    Returns:
        Link, centre in the link's frame [m] and radius [m] of each.
    """
    touching = sorted({g for pair in _colliding_pairs(model) for g in pair if model.geom_type[g] != _PLANE})
    points = []
    for g in touching:
        link, position, rotation = frames[model.geom_bodyid[g]]
        center = position + rotation @ model.geom_pos[g]
        axes = rotation @ rotation_matrix(model.geom_quat[g])
        points += [(link, center + axes @ offset, radius) for offset, radius in _spheres(model, g)]
    return points


def _spheres(model: mujoco.MjModel, geom: int) -> list[tuple[np.ndarray, float]]:
    kind, size = model.geom_type[geom], model.geom_size[geom]
    if kind == _SPHERE:
        return [(np.zeros(3), size[0])]
    if kind == _CAPSULE:
        return [(np.array([0.0, 0.0, s * size[1]]), size[0]) for s in (-1, 1)]
    if kind == _BOX:
        return [(np.array(signs) * size, 0.0) for signs in itertools.product((-1, 1), repeat=3)]
    if kind == _ELLIPSOID:
        radius, longest = size.min(), size.argmax()
        reach = np.eye(3)[longest] * (size[longest] - radius)
        return [(s * reach, radius) for s in (-1, 0, 1)]
    name = mujoco.mjtGeom(int(kind)).name.removeprefix("mjGEOM_").lower()
    raise UsageError(
        f"the Warp simulator has no contact for {name} {_label(model, geom)}: "
        "use a sphere, capsule, box or ellipsoid, or set its contype and conaffinity to 0"
    )


def _colliding_pairs(model: mujoco.MjModel) -> list[tuple[int, int]]:
    """Geom pairs that MuJoCo's filters let collide and of which at least one moves."""
    excluded = {int(s) for s in model.exclude_signature}
    parent_filter = not model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_FILTERPARENT
    pairs = []
    for a, b in itertools.combinations(range(model.ngeom), 2):
        if not (model.geom_contype[a] & model.geom_conaffinity[b] or model.geom_contype[b] & model.geom_conaffinity[a]):
            continue
        body_a, body_b = model.geom_bodyid[a], model.geom_bodyid[b]
        weld_a, weld_b = model.body_weldid[body_a], model.body_weldid[body_b]
        if weld_a == weld_b:
            continue
        above_a = model.body_weldid[model.body_parentid[weld_a]]
        above_b = model.body_weldid[model.body_parentid[weld_b]]
        if parent_filter and weld_a and weld_b and (weld_a == above_b or weld_b == above_a):
            continue
        if (min(body_a, body_b) << 16) + max(body_a, body_b) in excluded:
            continue
        pairs.append((a, b))
    return pairs


def _label(model: mujoco.MjModel, geom: int) -> str:
    return f"geom '{model.geom(geom).name or f'#{geom}'}'"
