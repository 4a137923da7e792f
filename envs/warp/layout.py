"""Structs that carry the model and the working memory into the kernels, for one floating-point type.

Indices have the same names in all kernels:

    e   world: row of q, v and u              i, p   link, and its parent
    w   row of the working memory             k, j   degree of freedom (dof), and an ancestor of it
    t   row of the trajectory                 c      contact point or via point
    r   slot of the trajectory: a substep     n      path, or anything that is counted through
    f   slot of the factors

Sizes have the names that `pwm_bench.envs.warp.model.LinkTree` and `pwm_bench.envs.warp.via_points.Paths` give them:

    N    worlds                                   nc   contact points
    W    rows of the working memory: N or 1       nu   actuators
    nl   links; link 0 is the world               na   actuators on paths
    nt   kinematic trees                          np   via points
    nq   numbers of a position                    ns   segments between via points
    nv   dofs                                     nh   packed entries of the mass matrix

A slot of the trajectory, ``traj[t, r]``, holds positions (nq), velocities (nv) and accelerations (nv) one after the
other, in the coordinates of `pwm_bench.envs.warp.integration`; a slot of the factors, ``factor[t, f]``, the packed
entries of the mass matrix (nh), then of its factor.

``w`` and ``t`` are ``e`` where every world has memory of its own, else 0 for all worlds that run one after another.
Motions end in ``_w`` (angular) and ``_v`` (linear), forces in ``_n`` (moment) and ``_f`` (force), see
`pwm_bench.envs.warp.spatial`. ``adj_x`` is the derivative by x of L, the number that is differentiated, unless its
field names another.

Units are SI; where there are two, as in [m, rad], the first is that of a translation and the second that of a rotation.
The world frame is the model's, turned so that y is up where inertias are full (`pwm_bench.envs.warp.axes`).
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
    class PathActuator:
        """An actuator on a path: field by field, with its units, `pwm_bench.envs.warp.via_points.PathActuator`."""

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
        """Constants, the same for all worlds: `pwm_bench.envs.warp.model.LinkTree` on the device, and the simulator's.

        Quaternions are x y z w here and w x y z there.
        """

        num_links: int  # nl
        nq: int
        nv: int
        nu: int
        # links: arrays of shape (nl,), in the frame of the link unless said otherwise
        parent: wp.array(dtype=int)  # link from which it hangs
        kind: wp.array(dtype=int)  # of its joint: one of the constants of `pwm_bench.envs.warp.model`
        qpos_adr: wp.array(dtype=int)  # first number of its joint in a position
        dof_adr: wp.array(dtype=int)  # first dof of its joint
        dof_num: wp.array(dtype=int)  # how many there are: 3 of a ball or a translation, else 1
        tree: wp.array(dtype=int)  # kinematic tree to which it belongs
        limited: wp.array(dtype=int)  # 1: a slide or hinge with limits
        position: wp.array(dtype=vec3t)  # its origin at the reference posture [m], frame of the parent
        quaternion: wp.array(dtype=quatt)  # its orientation at that posture, frame of the parent
        anchor: wp.array(dtype=vec3t)  # point about which a hinge or a ball turns [m]
        axis: wp.array(dtype=vec3t)  # of a slide or a hinge, unit length
        mass: wp.array(dtype=real)  # [kg]; 0 of all links of a body but its last
        center: wp.array(dtype=vec3t)  # centre of mass [m]
        inertia: wp.array(dtype=mat33t)  # about the centre of mass [kg m^2]
        qpos0: wp.array(dtype=real)  # coordinate of a slide or a hinge at the reference posture [m, rad]
        stiffness: wp.array(dtype=real)  # spring of a slide, a hinge or a ball [N/m, N m/rad]
        spring_rest: wp.array(dtype=real)  # coordinate of a slide or a hinge at which its spring is at rest [m, rad]
        spring_rest_quaternion: wp.array(dtype=quatt)  # the same of a ball
        limit: wp.array2d(dtype=real)  # lowest and highest coordinate of a slide or a hinge [m, rad], (nl, 2)
        limit_stiffness: wp.array(dtype=real)  # [N/m, N m/rad]
        # dofs: arrays of shape (nv,)
        diagonal: wp.array(dtype=real)  # [kg, kg m^2]: armature, plus timestep x damping where damping is implicit
        damping: wp.array(dtype=real)  # [N s/m, N m s/rad]
        row_adr: wp.array(dtype=int)  # where its row of the packed mass matrix begins
        row_num: wp.array(dtype=int)  # entries of that row: the dof itself, then its ancestors upwards
        row_col: wp.array(dtype=int)  # dof of each packed entry, (nh,)
        # contact points, arrays of shape (nc,), and the ground plane
        num_points: int  # nc
        point_link: wp.array(dtype=int)
        point_position: wp.array(dtype=vec3t)  # centre of the contact sphere [m], frame of its link
        point_radius: wp.array(dtype=real)  # [m]
        normal: vec3t  # of the plane, unit length, world frame
        plane_offset: real  # n . x of its points x [m]
        contact_stiffness: real  # [N/m]; this and the next four: `pwm_bench.envs.contact`
        contact_damping: real  # [N s/m^2]
        friction_damping: real  # [N s/m]
        friction: real  # Coulomb's coefficient
        limit_damping: real  # of all joint limits [N s/m, N m s/rad]
        # integration
        matrix_refresh: int  # substeps that share a mass matrix
        linear_rotation: int  # 1: see `pwm_bench.envs.integrator.Integrator.rotation`
        full_inertia: int  # 1: first substeps use `pwm_bench.envs.warp.full_inertia`
        # actuators: arrays of shape (nu,)
        actuator_dof: wp.array(dtype=int)  # on which a motor acts; -1 of an actuator on a path
        actuator_gain: wp.array(dtype=real)  # generalised force of a motor at control 1 [N, N m]
        # paths: arrays of shape (np,) of via points, (ns,) of segments
        num_path_actuators: int  # na
        num_via_points: int  # np
        via_link: wp.array(dtype=int)
        via_position: wp.array(dtype=vec3t)  # [m], frame of its link
        segment_from: wp.array(dtype=int)  # via point at which it begins
        segment_to: wp.array(dtype=int)  # via point at which it ends
        segment_apart: wp.array(dtype=int)  # 1: the ends are on two trees, or one is on the world
        path_actuators: wp.array(dtype=PathActuator)  # (na,)
        gravity: vec3t  # [m/s^2], world frame

    @wp.struct
    class Scratch:
        """Working memory: arrays of shape (W, n), with the n of their group. One substep after another uses it.

        Vectors are along the axes of the world. Places are relative to the origin O of their tree, which is where its
        root is (or was at the start of the control step, where rotations are linear). Motions and forces refer to O
        too, as a point fixed in the world: a linear velocity is that of the point of the link that is at O, a moment
        is about O.

        V, A, S and lam are those of `pwm_bench.envs.warp.adjoint`, P and G those of `pwm_bench.envs.warp.held_matrix`;
        derivatives of S and P are subtracted from those of L. The joints' own accelerations are part of A in the
        adjoint alone, and only where no mass matrix is held.
        """

        # links, n = nl: place and motions
        rotation: wp.array2d(dtype=quatt)  # orientation in the world; a first substep may have one that is not unit
        position: wp.array2d(dtype=vec3t)  # of the link's origin [m]
        origin: wp.array2d(dtype=vec3t)  # O, from the world's origin [m], n = nt
        joint_w: wp.array2d(dtype=vec3t)  # velocity across the joint [rad/s]
        joint_v: wp.array2d(dtype=vec3t)  # [m/s]
        velocity_w: wp.array2d(dtype=vec3t)  # V [rad/s]
        velocity_v: wp.array2d(dtype=vec3t)  # [m/s]
        acceleration_w: wp.array2d(dtype=vec3t)  # A, less gravity [rad/s^2]
        acceleration_v: wp.array2d(dtype=vec3t)  # [m/s^2]
        virtual_w: wp.array2d(dtype=vec3t)  # motion that joint rates lam would give [L/(N m)]
        virtual_v: wp.array2d(dtype=vec3t)  # [L/N]
        # links, n = nl: first of the link alone, then summed over its subtree; inertias only for H and its derivative
        force_n: wp.array2d(dtype=vec3t)  # force that the motion needs, less contacts and paths [N m]
        force_f: wp.array2d(dtype=vec3t)  # [N]
        adj_velocity_n: wp.array2d(dtype=vec3t)  # dS/dV [L s/rad]
        adj_velocity_f: wp.array2d(dtype=vec3t)  # [L s/m]
        adj_acceleration_n: wp.array2d(dtype=vec3t)  # dS/dA [L s^2/rad]
        adj_acceleration_f: wp.array2d(dtype=vec3t)  # [L s^2/m]
        adj_pose_n: wp.array2d(dtype=vec3t)  # dS, or dP, by a rigid motion of the link [L/rad]
        adj_pose_f: wp.array2d(dtype=vec3t)  # [L/m]
        mass: wp.array2d(dtype=real)  # [kg]
        first: wp.array2d(dtype=vec3t)  # first moment of mass [kg m]
        second: wp.array2d(dtype=mat33t)  # inertia about O [kg m^2]
        inertia_ww: wp.array2d(dtype=mat33t)  # blocks of I' of `pwm_bench.envs.warp.full_inertia` [kg m^2]; else n = 0
        inertia_wv: wp.array2d(dtype=mat33t)  # [kg m]
        inertia_vv: wp.array2d(dtype=mat33t)  # [kg]
        # links, n = nl: first of the link alone, then summed over it and its ancestors
        adj_first: wp.array2d(dtype=vec3t)  # dP by `first` [L/(kg m)]
        adj_second: wp.array2d(dtype=mat33t)  # dP by `second` [L/(kg m^2)]
        # dofs, n = nv
        axis_w: wp.array2d(dtype=vec3t)  # motion subspace: velocity of the link at rate 1 [1/m, 1]; 0 of a translation
        axis_v: wp.array2d(dtype=vec3t)  # [1, m]
        force: wp.array2d(dtype=real)  # generalised force of the motors [N, N m], for the whole control step
        solution: wp.array2d(dtype=real)  # b, then x of H x = b: accelerations [m/s^2, rad/s^2], or lam [L/N, L/(N m)]
        adj_q: wp.array2d(dtype=real)  # by a slot's positions, in the tangent space [L/m, L/rad]
        adj_v: wp.array2d(dtype=real)  # by its velocities [L s/m, L s/rad]
        adj_force: wp.array2d(dtype=real)  # by `force`: lam summed over the substeps [L/N, L/(N m)]
        adj_axis_n: wp.array2d(dtype=vec3t)  # dP by `axis_w` [L m, L]
        adj_axis_f: wp.array2d(dtype=vec3t)  # dP by `axis_v` [L, L/m]
        adj_matrix: wp.array2d(dtype=real)  # G, dP by the packed entries of a held H [L over their unit], n = nh
        # via points, n = np
        via_position: wp.array2d(dtype=vec3t)  # [m]; of a point on the world from the world's origin
        via_velocity: wp.array2d(dtype=vec3t)  # of the point itself [m/s]
        via_virtual: wp.array2d(dtype=vec3t)  # the same at joint rates lam [L/N]
        # segments, n = ns
        direction: wp.array2d(dtype=vec3t)  # e, unit length
        inverse_length: wp.array2d(dtype=real)  # [1/m]; 0 where its ends coincide
        # actuators on paths, n = na
        path_control: wp.array2d(dtype=real)  # u, for the whole control step
        path_length: wp.array2d(dtype=real)  # [m]; with the next two: of the substep computed last; tests look at them
        path_speed: wp.array2d(dtype=real)  # of lengthening [m/s]
        path_force: wp.array2d(dtype=real)  # [N]; a positive one pushes the ends apart
        adj_path_control: wp.array2d(dtype=real)  # by `path_control`, summed over the substeps [L]

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
