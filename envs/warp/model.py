"""Turns a compiled MuJoCo model into the tree of links that the Warp kernels walk.

A link carries at most one joint: a body with k joints becomes k links of which the first k - 1 are massless, a free
joint becomes a translation link followed by a ball link, and a body without joints is welded into the link it hangs
from (masses, inertias and contact points are merged). Link 0 is the world. Parents come before children.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import mujoco
import numpy as np

from pwm_bench.envs.warp.geometry import contact_points, ground_plane, rotation_matrix
from pwm_bench.envs.warp.support import check_supported
from pwm_bench.envs.warp.via_points import Paths, build_paths

__all__ = ["BALL", "HINGE", "SLIDE", "TRANSLATION", "WORLD", "LinkTree", "build_link_tree"]

WORLD, TRANSLATION, BALL, SLIDE, HINGE = 0, 1, 2, 3, 4
_DOFS = {WORLD: 0, TRANSLATION: 3, BALL: 3, SLIDE: 1, HINGE: 1}
_DISABLE = mujoco.mjtDisableBit


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkTree:
    """Constants of the kinematic tree: nl links, nv dofs, nc contact points, nu actuators.

    SI units, each quantity in its link's frame.
    """

    nq: int
    nv: int
    nu: int

    joint_name: tuple[str, ...]
    """Name of each link's joint in the model; empty for the links of a free joint, (nl,)."""
    parent: np.ndarray
    """Parent link, (nl,)."""
    kind: np.ndarray
    """Joint kind, one of the module's constants, (nl,)."""
    position: np.ndarray
    """Origin in the parent link's frame [m], (nl, 3)."""
    quaternion: np.ndarray
    """Orientation in the parent link's frame at the reference posture, w x y z, (nl, 4)."""
    anchor: np.ndarray
    """Joint anchor [m], (nl, 3)."""
    axis: np.ndarray
    """Joint axis, unit length, (nl, 3)."""
    qpos_adr: np.ndarray
    """First coordinate of each link's joint in qpos, (nl,)."""
    dof_adr: np.ndarray
    """Its first degree of freedom in qvel, (nl,)."""
    dof_num: np.ndarray
    """How many it has, 0 to 3, (nl,)."""
    tree: np.ndarray
    """Kinematic tree that the link belongs to, (nl,)."""
    mass: np.ndarray
    """[kg], (nl,)."""
    center: np.ndarray
    """Centre of mass [m], (nl, 3)."""
    inertia: np.ndarray
    """Inertia about the centre of mass [kg m^2], (nl, 3, 3)."""

    qpos0: np.ndarray
    """Reference position of slide and hinge joints [m, rad], (nl,)."""
    stiffness: np.ndarray
    """Joint spring [N/m, N m/rad], (nl,)."""
    spring_rest: np.ndarray
    """Where the spring of a slide or hinge joint is at rest, (nl,)."""
    spring_rest_quaternion: np.ndarray
    """The same for a ball joint, w x y z, (nl, 4)."""
    limited: np.ndarray
    """1 where a slide or hinge joint has limits, else 0, (nl,)."""
    limit: np.ndarray
    """Joint range [m, rad], (nl, 2)."""

    armature: np.ndarray
    """Inertia added to each degree of freedom [kg, kg m^2], (nv,)."""
    damping: np.ndarray
    """Viscous damping [N s/m, N m s/rad], (nv,)."""
    row_adr: np.ndarray
    """Start of each dof's row of the packed inertia matrix (the dof, then its ancestors upwards), (nv,)."""
    row_num: np.ndarray
    """Entries of that row, (nv,)."""
    row_col: np.ndarray
    """Dof of each packed entry, (num_packed,)."""

    point_link: np.ndarray
    """Link of each contact point, (nc,)."""
    point_position: np.ndarray
    """Centre of each contact sphere [m], (nc, 3)."""
    point_radius: np.ndarray
    """[m], (nc,)."""
    plane_normal: np.ndarray
    """Unit normal of the ground plane, world frame, (3,)."""
    plane_position: np.ndarray
    """A point of it [m], world frame, (3,)."""

    actuator_dof: np.ndarray
    """Degree of freedom of a motor on a joint, -1 for an actuator on a path, (nu,)."""
    actuator_gain: np.ndarray
    """Generalised force per unit control, (nu,)."""
    paths: Paths
    gravity: np.ndarray
    """[m/s^2], (3,)."""
    implicit_damping: bool
    """Damping is integrated implicitly, as MuJoCo's Euler integrator does unless told otherwise."""

    @property
    def num_links(self) -> int:
        return len(self.parent)

    @property
    def num_trees(self) -> int:
        return int(self.tree.max()) + 1

    @property
    def num_packed(self) -> int:
        return len(self.row_col)


@dataclass(slots=True)
class _Link:
    """A link in the making; the fields are those of `LinkTree`, and ``joint`` is the model's joint, -1 for none."""

    parent: int
    kind: int
    position: np.ndarray = field(default_factory=lambda: np.zeros(3))
    quaternion: np.ndarray = field(default_factory=lambda: np.array([1.0, 0.0, 0.0, 0.0]))
    joint: int = -1
    qpos: int = 0
    dof: int = 0
    anchor: np.ndarray = field(default_factory=lambda: np.zeros(3))
    axis: np.ndarray = field(default_factory=lambda: np.array([0.0, 0.0, 1.0]))
    mass: float = 0.0
    center: np.ndarray = field(default_factory=lambda: np.zeros(3))
    inertia: np.ndarray = field(default_factory=lambda: np.zeros((3, 3)))

    def add_mass(self, mass: float, center: np.ndarray, inertia: np.ndarray) -> None:
        """Merges a rigid part (inertia about its own centre, all in this link's frame)."""
        if mass == 0.0:
            self.inertia = self.inertia + inertia
            return
        total = self.mass + mass
        joint_center = (self.mass * self.center + mass * center) / total
        self.inertia = (
            self.inertia
            + inertia
            + _point_inertia(self.mass, self.center - joint_center)
            + _point_inertia(mass, center - joint_center)
        )
        self.mass, self.center = total, joint_center


def build_link_tree(model: mujoco.MjModel) -> LinkTree:
    """Builds the links of a model.

    Raises:
        UsageError: if the model has an element that this simulator can't represent; the element is named.
    """
    check_supported(model)
    links, frames = _make_links(model)
    disabled = model.opt.disableflags
    no_constraint = bool(disabled & _DISABLE.mjDSBL_CONSTRAINT)

    points: list[list[tuple[np.ndarray, float]]] = [[] for _ in links]
    plane = ground_plane(model)
    if plane is not None and not (no_constraint or disabled & _DISABLE.mjDSBL_CONTACT):
        for link, position, radius in contact_points(model, frames):
            points[link].append((position, radius))
    flat_points = [p for group in points for p in group]

    rows = [_ancestors(model, dof) for dof in range(model.nv)]
    row_num = np.array([len(r) for r in rows], np.int32)

    scalar = np.array([link.kind in (SLIDE, HINGE) for link in links])
    ball = np.array([link.kind == BALL and link.joint >= 0 for link in links])
    joint_of = np.array([link.joint for link in links])

    def of_joint(values: np.ndarray, address: np.ndarray | None = None, where: np.ndarray = scalar) -> np.ndarray:
        """Per-link copy of a per-joint (or, through an address, per-coordinate) array; zero where there's none."""
        out = np.zeros((len(links), *values.shape[1:]))
        joints = joint_of[where]
        out[where] = values[joints if address is None else address[joints]]
        return out

    spring_rest_quaternion = np.tile([1.0, 0.0, 0.0, 0.0], (len(links), 1))
    for i in np.flatnonzero(ball):
        adr = model.jnt_qposadr[joint_of[i]]
        spring_rest_quaternion[i] = model.qpos_spring[adr : adr + 4]

    limited = of_joint(model.jnt_limited) * (not (no_constraint or disabled & _DISABLE.mjDSBL_LIMIT))
    stiffness = model.jnt_stiffness.reshape(model.njnt, -1)[:, 0] * (not disabled & _DISABLE.mjDSBL_SPRING)
    damping = model.dof_damping.reshape(model.nv, -1)[:, 0] * (not disabled & _DISABLE.mjDSBL_DAMPER)
    gain = model.actuator_gear[:, 0] * model.actuator_gainprm[:, 0] * (not disabled & _DISABLE.mjDSBL_ACTUATION)
    on_path = model.actuator_trntype == int(mujoco.mjtTrn.mjTRN_TENDON)
    motor_joint = np.where(on_path, 0, model.actuator_trnid[:, 0])
    tree = _tree_ids(links)
    return LinkTree(
        nq=model.nq,
        nv=model.nv,
        nu=model.nu,
        joint_name=tuple(model.joint(link.joint).name if link.joint >= 0 else "" for link in links),
        parent=np.array([link.parent for link in links], np.int32),
        kind=np.array([link.kind for link in links], np.int32),
        position=np.array([link.position for link in links]),
        quaternion=np.array([link.quaternion for link in links]),
        anchor=np.array([link.anchor for link in links]),
        axis=np.array([link.axis for link in links]),
        qpos_adr=np.array([link.qpos for link in links], np.int32),
        dof_adr=np.array([link.dof for link in links], np.int32),
        dof_num=np.array([_DOFS[link.kind] for link in links], np.int32),
        tree=tree,
        mass=np.array([link.mass for link in links]),
        center=np.array([link.center for link in links]),
        inertia=np.array([link.inertia for link in links]),
        qpos0=of_joint(model.qpos0, model.jnt_qposadr),
        stiffness=of_joint(stiffness, where=scalar | ball),
        spring_rest=of_joint(model.qpos_spring, model.jnt_qposadr),
        spring_rest_quaternion=spring_rest_quaternion,
        limited=limited.astype(np.int32),
        limit=of_joint(model.jnt_range),
        armature=model.dof_armature.copy(),
        damping=damping,
        row_adr=_starts(row_num),
        row_num=row_num,
        row_col=np.array([dof for row in rows for dof in row], np.int32),
        point_link=np.repeat(np.arange(len(links)), [len(p) for p in points]).astype(np.int32),
        point_position=np.array([p for p, _ in flat_points]).reshape(-1, 3),
        point_radius=np.array([r for _, r in flat_points]).reshape(-1),
        plane_normal=np.array([0.0, 0.0, 1.0]) if plane is None else plane[0],
        plane_position=np.zeros(3) if plane is None else plane[1],
        actuator_dof=np.where(on_path, -1, model.jnt_dofadr[motor_joint]).astype(np.int32),
        actuator_gain=gain,
        paths=build_paths(model, frames, tree),
        gravity=np.zeros(3) if disabled & _DISABLE.mjDSBL_GRAVITY else model.opt.gravity.copy(),
        implicit_damping=not disabled & _DISABLE.mjDSBL_EULERDAMP,
    )


def _make_links(model: mujoco.MjModel) -> tuple[list[_Link], list[tuple[int, np.ndarray, np.ndarray]]]:
    """Links, and for each body its link and its position and rotation matrix in that link's frame."""
    links = [_Link(parent=0, kind=WORLD)]
    frames = [(0, np.zeros(3), np.eye(3))]
    for b in range(1, model.nbody):
        link, offset, rotation = frames[model.body_parentid[b]]
        position = offset + rotation @ model.body_pos[b]
        quaternion = _compose(rotation, model.body_quat[b])
        if model.body_jntnum[b]:
            for n in range(model.body_jntnum[b]):
                link = _add_joint(model, model.body_jntadr[b] + n, links, link, position, quaternion)
                position, quaternion = np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0])
        frame = rotation_matrix(quaternion)
        if link:
            axes = frame @ rotation_matrix(model.body_iquat[b])
            links[link].add_mass(
                model.body_mass[b],
                position + frame @ model.body_ipos[b],
                axes @ np.diag(model.body_inertia[b]) @ axes.T,
            )
        frames.append((link, position, frame))
    return links, frames


def _add_joint(
    model: mujoco.MjModel, joint: int, links: list[_Link], parent: int, position: np.ndarray, quaternion: np.ndarray
) -> int:
    qpos, dof = int(model.jnt_qposadr[joint]), int(model.jnt_dofadr[joint])
    anchor, axis = model.jnt_pos[joint].copy(), model.jnt_axis[joint].copy()
    joint_type = mujoco.mjtJoint(int(model.jnt_type[joint]))
    if joint_type == mujoco.mjtJoint.mjJNT_FREE:  # places the body in the world, wherever its frame was
        links.append(_Link(parent=0, kind=TRANSLATION, qpos=qpos, dof=dof))
        links.append(_Link(parent=len(links) - 1, kind=BALL, qpos=qpos + 3, dof=dof + 3))
    else:
        joints = mujoco.mjtJoint
        kind = {joints.mjJNT_BALL: BALL, joints.mjJNT_SLIDE: SLIDE, joints.mjJNT_HINGE: HINGE}[joint_type]
        links.append(_Link(parent, kind, position, quaternion, int(joint), qpos, dof, anchor, axis))
    return len(links) - 1


def _compose(rotation: np.ndarray, quaternion: np.ndarray) -> np.ndarray:
    """Quaternion of what a quaternion turns first and a rotation matrix then."""
    outer, product = np.zeros(4), np.zeros(4)
    mujoco.mju_mat2Quat(outer, rotation.reshape(-1))
    mujoco.mju_mulQuat(product, outer, quaternion)
    return product


def _point_inertia(mass: float, offset: np.ndarray) -> np.ndarray:
    """Inertia of a point mass about a point at ``offset`` from it (the parallel-axis theorem)."""
    return mass * (offset @ offset * np.eye(3) - np.outer(offset, offset))


def _ancestors(model: mujoco.MjModel, dof: int) -> list[int]:
    """A degree of freedom, then its ancestors upwards."""
    row = [dof]
    while (above := int(model.dof_parentid[row[-1]])) >= 0:
        row.append(above)
    return row


def _tree_ids(links: list[_Link]) -> np.ndarray:
    """Numbers the links that hang from the world, and all that hang from each; the world has the first one's number."""
    roots = np.cumsum([link.parent == 0 for link in links[1:]]) - 1
    ids = np.zeros(len(links), np.int32)
    for i, link in enumerate(links[1:], start=1):
        ids[i] = ids[link.parent] if link.parent else roots[i - 1]
    return ids


def _starts(counts: np.ndarray) -> np.ndarray:
    return np.concatenate(([0], np.cumsum(counts)[:-1])).astype(np.int32)
