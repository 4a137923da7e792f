"""The one place where MJX 3.16 differs from MuJoCo C for a capsule on a plane, put right."""

from __future__ import annotations

import jax
import mujoco
from jax import Array
from jax import numpy as jnp
from mujoco import mjx

__all__ = ["align_capsule_frames", "has_capsule_on_plane"]

_PLANE = int(mujoco.mjtGeom.mjGEOM_PLANE)
_CAPSULE = int(mujoco.mjtGeom.mjGEOM_CAPSULE)


def has_capsule_on_plane(model: mujoco.MjModel) -> bool:
    """Whether the model has both a plane and a capsule, so that `align_capsule_frames` may matter."""
    return {_PLANE, _CAPSULE} <= set(model.geom_type.tolist())


def align_capsule_frames(model: mjx.Model, d: mjx.Data) -> mjx.Data:
    """Turns the tangents of plane-capsule contacts along the capsule, as MuJoCo C does.

    MJX does so only for capsules more than 30 degrees away from the plane's normal and takes a fixed tangent for
    steeper ones. A friction pyramid depends on its tangents, so the force would differ from MuJoCo C's and jump at 30
    degrees; aligned, it is smooth up to a capsule that stands exactly upright.

    Args:
        model: MJX model.
        d: data after `mujoco.mjx.collision`.
    """
    contact = d._impl.contact
    plane, capsule = contact.geom[:, 0], contact.geom[:, 1]
    kinds = jnp.asarray(model.geom_type)
    matches = (kinds[plane] == _PLANE) & (kinds[capsule] == _CAPSULE)

    @jax.vmap
    def aligned(frame: Array, axis: Array) -> Array:
        normal = frame[0]
        tangent = axis - normal * jnp.dot(normal, axis)
        square = jnp.dot(tangent, tangent)
        upright = square < mujoco.mjMINVAL
        tangent = jnp.where(upright, frame[1], tangent / jnp.sqrt(jnp.where(upright, 1.0, square)))
        return jnp.stack((normal, tangent, jnp.cross(normal, tangent)))

    frame = jnp.where(matches[:, None, None], aligned(contact.frame, d.geom_xmat[capsule][:, :, 2]), contact.frame)
    return d.tree_replace({"_impl.contact.frame": frame})
