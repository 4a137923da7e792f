"""Structs that carry the model and the working memory into the kernels, for one floating-point type.

Indices have the same names in all kernels:

    e   world: row of q, v and u              i, p   link, and its parent
    w   row of the working memory             k, j   degree of freedom (dof), and an ancestor of it
    t   row of the trajectory                 c      contact point or via point
    r   slot of the trajectory: a substep     n      path, or anything that is counted through
    f   slot of the factors

A slot of the trajectory, ``traj[t, r]``, holds positions (nq), velocities (nv) and accelerations (nv) one after the
other; a slot of the factors, ``factor[t, f]``, the packed entries of the mass matrix, then of its factor.

``w`` and ``t`` are ``e`` where every world has memory of its own, else 0 for all worlds that run one after another.
Motions end in ``_w`` (angular) and ``_v`` (linear), forces in ``_n`` (moment) and ``_f`` (force), see
`pwm_bench.envs.warp.spatial`; ``adj_x`` is the derivative by x of what is differentiated.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import warp as wp

from pwm_bench.envs.company import made_once
from pwm_bench.envs.contact import CompliantContact, CompliantLimit
from pwm_bench.envs.integrator import Integrator
from pwm_bench.envs.warp.model import LinkTree

__all__ = ["Layout", "layout_for", "model_struct", "scratch_struct", "scratch_widths"]

_SCRATCH_DOF = ("axis_w", "axis_v", "force", "solution", "adj_q", "adj_v", "adj_force", "adj_axis_n", "adj_axis_f")
_SCRATCH_VIA = ("via_position", "via_velocity", "via_virtual")
_SCRATCH_FULL = ("inertia_ww", "inertia_wv", "inertia_vv")
_SCRATCH_SEGMENT = ("direction", "inverse_length")
_SCRATCH_PATH = ("path_control", "path_length", "path_speed", "path_force", "adj_path_control")


@dataclass(frozen=True, slots=True)
class Layout:
    """The types built for one floating-point type."""

    real: Any
    vec3: Any
    quat: Any
    mat33: Any
    PathActuator: Any
    Model: Any
    Scratch: Any


@made_once
def layout_for(real: Any) -> Layout:
    """Builds the struct types for ``wp.float32`` or ``wp.float64``."""
    vec3t = wp.types.vector(3, real)
    quatt = wp.types.quaternion(real)
    mat33t = wp.types.matrix((3, 3), real)

    @wp.struct
    class PathActuator:  # field by field `pwm_bench.envs.warp.via_points.PathActuator`
        control: int
        segment_adr: int
        segment_num: int
        is_muscle: int
        length: real
        gear: real
        gain: real
        lower: real
        range_low: real
        inverse_optimum: real
        inverse_speed: real
        lmin: real
        lmax: real
        inverse_rise: real
        inverse_fall: real
        fvmax: real
        inverse_plateau: real
        passive: real
        passive_range_low: real
        passive_inverse_optimum: real
        passive_inverse: real

    @wp.struct
    class Model:
        num_links: int
        nq: int
        nv: int
        nu: int
        # links
        parent: wp.array(dtype=int)
        kind: wp.array(dtype=int)
        qpos_adr: wp.array(dtype=int)
        dof_adr: wp.array(dtype=int)
        dof_num: wp.array(dtype=int)
        tree: wp.array(dtype=int)
        limited: wp.array(dtype=int)
        position: wp.array(dtype=vec3t)
        quaternion: wp.array(dtype=quatt)
        anchor: wp.array(dtype=vec3t)
        axis: wp.array(dtype=vec3t)
        mass: wp.array(dtype=real)
        center: wp.array(dtype=vec3t)
        inertia: wp.array(dtype=mat33t)
        qpos0: wp.array(dtype=real)
        stiffness: wp.array(dtype=real)
        spring_rest: wp.array(dtype=real)
        spring_rest_quaternion: wp.array(dtype=quatt)
        limit: wp.array2d(dtype=real)
        limit_stiffness: wp.array(dtype=real)
        # dofs
        diagonal: wp.array(dtype=real)  # armature, plus timestep x damping where damping is implicit
        damping: wp.array(dtype=real)
        row_adr: wp.array(dtype=int)
        row_num: wp.array(dtype=int)
        row_col: wp.array(dtype=int)
        # contact points and the plane
        num_points: int
        point_link: wp.array(dtype=int)
        point_position: wp.array(dtype=vec3t)
        point_radius: wp.array(dtype=real)
        normal: vec3t
        plane_offset: real
        contact_stiffness: real
        contact_damping: real
        friction_damping: real
        friction: real
        limit_damping: real
        # integration
        matrix_refresh: int  # substeps that share a mass matrix
        linear_rotation: int  # 1: see `pwm_bench.envs.integrator.Integrator.rotation`
        full_inertia: int  # 1: first substeps use `pwm_bench.envs.warp.full_inertia`
        # actuators
        actuator_dof: wp.array(dtype=int)
        actuator_gain: wp.array(dtype=real)
        # paths
        num_path_actuators: int
        num_via_points: int
        via_link: wp.array(dtype=int)
        via_position: wp.array(dtype=vec3t)
        segment_from: wp.array(dtype=int)
        segment_to: wp.array(dtype=int)
        segment_apart: wp.array(dtype=int)
        path_actuators: wp.array(dtype=PathActuator)
        gravity: vec3t

    @wp.struct
    class Scratch:
        # links: pose relative to the tree's origin, motions (angular, linear)
        rotation: wp.array2d(dtype=quatt)
        position: wp.array2d(dtype=vec3t)
        origin: wp.array2d(dtype=vec3t)  # [tree], world frame
        joint_w: wp.array2d(dtype=vec3t)  # velocity across the joint
        joint_v: wp.array2d(dtype=vec3t)
        velocity_w: wp.array2d(dtype=vec3t)
        velocity_v: wp.array2d(dtype=vec3t)
        acceleration_w: wp.array2d(dtype=vec3t)
        acceleration_v: wp.array2d(dtype=vec3t)
        virtual_w: wp.array2d(dtype=vec3t)
        virtual_v: wp.array2d(dtype=vec3t)
        # links: sums over the subtree, forces (moment, force)
        force_n: wp.array2d(dtype=vec3t)
        force_f: wp.array2d(dtype=vec3t)
        adj_velocity_n: wp.array2d(dtype=vec3t)
        adj_velocity_f: wp.array2d(dtype=vec3t)
        adj_acceleration_n: wp.array2d(dtype=vec3t)
        adj_acceleration_f: wp.array2d(dtype=vec3t)
        adj_pose_n: wp.array2d(dtype=vec3t)
        adj_pose_f: wp.array2d(dtype=vec3t)
        mass: wp.array2d(dtype=real)
        first: wp.array2d(dtype=vec3t)
        second: wp.array2d(dtype=mat33t)
        inertia_ww: wp.array2d(dtype=mat33t)  # I' of `pwm_bench.envs.warp.full_inertia`, where the model has it
        inertia_wv: wp.array2d(dtype=mat33t)
        inertia_vv: wp.array2d(dtype=mat33t)
        adj_first: wp.array2d(dtype=vec3t)
        adj_second: wp.array2d(dtype=mat33t)
        # dofs
        axis_w: wp.array2d(dtype=vec3t)  # motion subspace
        axis_v: wp.array2d(dtype=vec3t)
        force: wp.array2d(dtype=real)  # generalised actuator force
        solution: wp.array2d(dtype=real)
        adj_q: wp.array2d(dtype=real)  # tangent-space gradient of positions
        adj_v: wp.array2d(dtype=real)
        adj_force: wp.array2d(dtype=real)
        adj_axis_n: wp.array2d(dtype=vec3t)
        adj_axis_f: wp.array2d(dtype=vec3t)
        adj_matrix: wp.array2d(dtype=real)  # packed, of a held mass matrix
        # paths
        via_position: wp.array2d(dtype=vec3t)
        via_velocity: wp.array2d(dtype=vec3t)
        via_virtual: wp.array2d(dtype=vec3t)
        direction: wp.array2d(dtype=vec3t)  # of segments
        inverse_length: wp.array2d(dtype=real)
        path_control: wp.array2d(dtype=real)
        path_length: wp.array2d(dtype=real)  # with the next two: of the substep computed last; tests look at them
        path_speed: wp.array2d(dtype=real)
        path_force: wp.array2d(dtype=real)
        adj_path_control: wp.array2d(dtype=real)

    return Layout(real, vec3t, quatt, mat33t, PathActuator, Model, Scratch)


def model_struct(
    tree: LinkTree,
    layout: Layout,
    *,
    timestep: float,
    contact: CompliantContact,
    limit: CompliantLimit,
    integrator: Integrator,
    full_inertia: bool,
    device: Any,
) -> Any:
    """Copies a link tree to a device, with the constants of a simulator."""
    real = layout.real
    numpy_real = np.float32 if real is wp.float32 else np.float64
    implicit = tree.implicit_damping and integrator.damping == "implicit"
    own = {
        "diagonal": tree.armature + (timestep * tree.damping if implicit else 0.0),
        "num_points": len(tree.point_link),
        "normal": tree.plane_normal,
        "plane_offset": float(tree.plane_normal @ tree.plane_position),
        "contact_stiffness": contact.stiffness,
        "contact_damping": contact.damping,
        "friction_damping": contact.friction_damping,
        "friction": contact.friction,
        "limit_stiffness": np.array([limit.stiffness_of(name) for name in tree.joint_name]),
        "limit_damping": limit.damping,
        "matrix_refresh": integrator.matrix_refresh,
        "linear_rotation": int(integrator.rotation == "linear"),
        "full_inertia": int(full_inertia),
        "num_path_actuators": len(tree.paths.actuators),
        "num_via_points": tree.paths.num_points,
        "path_actuators": tree.paths.table(numpy_real),
    }

    def put(value: Any, dtype: Any) -> wp.array:
        if dtype is layout.quat:
            value = value[:, [1, 2, 3, 0]]  # Warp's quaternions are x y z w
        if dtype is not layout.PathActuator:
            value = np.ascontiguousarray(value, dtype=np.int32 if dtype is int else numpy_real)
        return wp.array(value, dtype=dtype, device=device)

    model = layout.Model()
    for name, field in layout.Model.vars.items():
        value = own[name] if name in own else getattr(tree if hasattr(tree, name) else tree.paths, name)
        if isinstance(field.type, wp.array):
            value = put(value, field.type.dtype)
        elif field.type is layout.vec3:
            value = layout.vec3(*value)
        setattr(model, name, real(value) if field.type is real else value)
    return model


def scratch_widths(tree: LinkTree, layout: Layout, *, full_inertia: bool) -> dict[str, int]:
    """Entries of each field of the working memory of a world."""
    widths = dict.fromkeys(layout.Scratch.vars, tree.num_links)
    widths["origin"] = tree.num_trees
    widths |= dict.fromkeys(_SCRATCH_DOF, tree.nv)
    widths["adj_matrix"] = tree.num_packed
    widths |= dict.fromkeys(_SCRATCH_VIA, tree.paths.num_points)
    widths |= dict.fromkeys(_SCRATCH_SEGMENT, tree.paths.num_segments)
    widths |= dict.fromkeys(_SCRATCH_PATH, len(tree.paths.actuators))
    if not full_inertia:
        widths |= dict.fromkeys(_SCRATCH_FULL, 0)
    return widths


def scratch_struct(
    tree: LinkTree, layout: Layout, *, rows: int, device: Any, coalesced: bool, full_inertia: bool
) -> Any:
    """Allocates working memory for ``rows`` worlds, world-fastest (``coalesced``) or world-slowest."""
    scratch = layout.Scratch()
    widths = scratch_widths(tree, layout, full_inertia=full_inertia)
    for name, field in layout.Scratch.vars.items():
        width = widths[name]
        shape = (width, rows) if coalesced else (rows, width)
        array = wp.zeros(shape, dtype=field.type.dtype, device=device)
        setattr(scratch, name, array.transpose() if coalesced else array)
    return scratch
