"""The two places where MJX 3.16 finds other contacts with a plane than MuJoCo C, put right: capsules and boxes."""

from __future__ import annotations

import itertools

import jax
import mujoco
import numpy as np
from jax import Array
from jax import numpy as jnp
from mujoco import mjx

__all__ = ["align_capsule_frames", "find_box_corners", "has_on_plane"]

_PLANE = int(mujoco.mjtGeom.mjGEOM_PLANE)
_CAPSULE = int(mujoco.mjtGeom.mjGEOM_CAPSULE)
_BOX = int(mujoco.mjtGeom.mjGEOM_BOX)
_CORNERS = np.array([signs[::-1] for signs in itertools.product((-1.0, 1.0), repeat=3)])  # x changes fastest
_MOST = 4  # contacts of a box with a plane
_APART = 1.0  # [m], the distance that MJX gives a contact that is none


def has_on_plane(model: mujoco.MjModel, kind: mujoco.mjtGeom) -> bool:
    """Whether the model has both a plane and a geom of that kind, so that the function for it may matter."""
    return {_PLANE, int(kind)} <= set(model.geom_type.tolist())


def _on_plane(model: mjx.Model, geoms: Array, kind: int) -> Array:
    """Which contacts, given their two geoms ``(ncon, 2)``, are of a plane with that kind of geom; ``(ncon,)``."""
    kinds = jnp.asarray(model.geom_type)[geoms]
    return (kinds[:, 0] == _PLANE) & (kinds[:, 1] == kind)


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

    @jax.vmap
    def aligned(frame: Array, axis: Array) -> Array:
        normal = frame[0]
        tangent = axis - normal * jnp.dot(normal, axis)
        square = jnp.dot(tangent, tangent)
        upright = square < mujoco.mjMINVAL
        tangent = jnp.where(upright, frame[1], tangent / jnp.sqrt(jnp.where(upright, 1.0, square)))
        return jnp.stack((normal, tangent, jnp.cross(normal, tangent)))

    matches = _on_plane(model, contact.geom, _CAPSULE)
    axes = d.geom_xmat[contact.geom[:, 1]][:, :, 2]
    frame = jnp.where(matches[:, None, None], aligned(contact.frame, axes), contact.frame)
    return d.tree_replace({"_impl.contact.frame": frame})


def find_box_corners(model: mjx.Model, d: mjx.Data) -> mjx.Data:
    """Replaces the contacts of boxes with planes by those of MuJoCo C: up to four corners below the plane.

    MJX keeps the corners within 1 mm of the deepest alone. A box that is tilted by a degree then stands on one corner
    or edge however deep it has sunk, so the force differs from MuJoCo C's and jumps when another corner comes within
    the millimetre.

    Args:
        model: MJX model.
        d: data after `mujoco.mjx.collision`, which leaves four contacts in a row for each plane and box.
    """
    contact = d._impl.contact
    geoms = contact.geom
    matches = _on_plane(model, geoms, _BOX)
    earlier = jnp.tril(jnp.ones((len(geoms), len(geoms)), dtype=bool), -1)
    number = (earlier & (geoms[:, None] == geoms[None]).all(-1)).sum(1)  # of a contact among those of its pair

    @jax.vmap
    def corner(plane: Array, box: Array, number: Array, margin: Array) -> tuple[Array, Array]:
        normal = d.geom_xmat[plane][:, 2]
        corners = jnp.asarray(_CORNERS, model.geom_size.dtype) * model.geom_size[box] @ d.geom_xmat[box].T
        below = corners @ normal  # the box's centre
        distance = below + jnp.dot(d.geom_xpos[box] - d.geom_xpos[plane], normal)
        found = (distance <= margin) & (below <= 0.0)
        order = jnp.argsort(~found, stable=True)  # those found first, in MuJoCo's order
        at = order[jnp.minimum(number, _MOST - 1)]
        position = d.geom_xpos[box] + corners[at] - 0.5 * distance[at] * normal
        return jnp.where(found[at], distance[at], _APART), position

    distance, position = corner(geoms[:, 0], geoms[:, 1], number, contact.includemargin)
    return d.tree_replace(
        {
            "_impl.contact.dist": jnp.where(matches, distance, contact.dist),
            "_impl.contact.pos": jnp.where(matches[:, None], position, contact.pos),
        }
    )
