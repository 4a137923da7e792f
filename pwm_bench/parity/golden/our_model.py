"""Constants of one of our tasks as the Warp simulator has compiled them, in the form of the published ones."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np
import torch

from pwm_bench.envs import warp
from pwm_bench.envs.simulator import ControlClamp
from pwm_bench.envs.tasks.base import Task
from pwm_bench.envs.warp.geometry import rotation_matrix
from pwm_bench.envs.warp.model import BALL, HINGE, SLIDE, TRANSLATION, LinkTree, build_link_tree
from pwm_bench.parity.golden.constants import Constants
from pwm_bench.parity.golden.file import GoldenFile

__all__ = ["our_constants"]

_KINDS = {SLIDE: "slide", HINGE: "hinge", BALL: "ball", TRANSLATION: "free"}
_ROOT = np.array([0.5**0.5, 0.5**0.5, 0.0, 0.0])  # a free root whose frame the published simulator calls unrotated


def our_constants(task: Task, golden: GoldenFile) -> Constants:
    """All constants of a task in Warp; joints, links, velocities and muscles bear the file's names, in order."""
    tree = build_link_tree(task.model())
    names = [joint.name for joint in golden.joints]
    places, turns = _poses(tree)
    constants: Constants = {}
    joint = -1
    for link in range(1, tree.num_links):
        if tree.kind[link] == BALL and tree.kind[tree.parent[link]] == TRANSLATION:
            pass  # the second half of a free joint, whose body this is
        else:
            joint += 1
            _add_joint(constants, names[joint], task, tree, link, places, turns)
        if tree.kind[link] != TRANSLATION:
            _add_link(constants, names[joint], task, tree, link, places, turns)
    _add_actuators(constants, task, tree, golden, places, turns)
    constants["gravity", "the world"] = tree.gravity
    constants["substeps", "a control step"] = np.array([task.substeps_for(warp.capabilities)], float)
    constants["control step [s]", "time"] = np.array([task.control_dt])
    constants["episode length", "time"] = np.array([task.episode_length], float)
    refresh = min(task.integrator.matrix_refresh, task.substeps_for(warp.capabilities))
    constants["substeps a mass matrix", "the integrator"] = np.array([refresh], float)
    constants["damping scheme", "the integrator"] = task.integrator.damping
    if (tree.kind == BALL).any():
        constants["rotation scheme", "the integrator"] = task.integrator.rotation
    return constants


def _poses(tree: LinkTree) -> tuple[np.ndarray, np.ndarray]:
    """Places (nl, 3) and rotation matrices (nl, 3, 3) of all links where every scalar joint is at zero."""
    places, turns = np.zeros((tree.num_links, 3)), np.tile(np.eye(3), (tree.num_links, 1, 1))
    for link in range(1, tree.num_links):
        parent = tree.parent[link]
        place, turn = places[parent], turns[parent]
        places[link] = place + turn @ tree.position[link]
        turns[link] = turn @ rotation_matrix(tree.quaternion[link])
        offset = -tree.qpos0[link]
        if tree.kind[link] == SLIDE:
            places[link] += turns[link] @ tree.axis[link] * offset
        elif tree.kind[link] == HINGE:
            anchor = places[link] + turns[link] @ tree.anchor[link]
            turns[link] = turns[link] @ _turn(tree.axis[link], offset)
            places[link] = anchor - turns[link] @ tree.anchor[link]
        elif tree.kind[link] == BALL and tree.kind[parent] == TRANSLATION:
            turns[link] = rotation_matrix(_ROOT)
    return places, turns


def _turn(axis: np.ndarray, angle: float) -> np.ndarray:
    quaternion = np.zeros(4)
    mujoco.mju_axisAngle2Quat(quaternion, axis, angle)
    return rotation_matrix(quaternion)


def _add_joint(
    constants: Constants, name: str, task: Task, tree: LinkTree, link: int, places: np.ndarray, turns: np.ndarray
) -> None:
    kind, scalar = tree.kind[link], tree.kind[link] in (SLIDE, HINGE)
    free = kind == TRANSLATION
    dofs = slice(tree.dof_adr[link], tree.dof_adr[link] + (6 if free else tree.dof_num[link]))
    constants["kind of joint", name] = _KINDS[kind]
    constants["armature", name] = tree.armature[dofs]
    if not free:
        constants["damping", name] = np.unique(tree.damping[dofs])
        constants["spring", name] = tree.stiffness[[link]]
    elif tree.damping[dofs].any():
        constants["damping", name] = tree.damping[dofs]
    if scalar:
        axis = turns[link] @ tree.axis[link]
        constants["joint axis", name] = axis
        if kind == HINGE:
            anchor = places[link] + turns[link] @ tree.anchor[link]
            constants["joint position", name] = anchor - axis * (axis @ anchor)
        if tree.stiffness[link]:
            constants["spring rest", name] = tree.spring_rest[[link]]
        constants["limits", name] = tree.limit[link] if tree.limited[link] else np.array([-np.inf, np.inf])
        if tree.limited[link]:
            constants["limit stiffness", name] = np.array([task.limit.stiffness_of(tree.joint_name[link])])
            if task.limit.damping:
                constants["limit damping", name] = np.array([task.limit.damping])
    elif kind == BALL:
        constants["joint position", name] = places[link] + turns[link] @ tree.anchor[link]


def _add_link(
    constants: Constants, name: str, task: Task, tree: LinkTree, link: int, places: np.ndarray, turns: np.ndarray
) -> None:
    turn = turns[link]
    constants["mass", name] = tree.mass[[link]]
    constants["inertia", name] = turn @ tree.inertia[link] @ turn.T
    if tree.mass[link]:
        constants["centre of mass", name] = places[link] + turn @ tree.center[link]
    points = tree.point_link == link
    spots = places[link] + tree.point_position[points] @ turn.T
    # Heights count from the ground, which is at zero in the published simulator.
    spots = spots - tree.plane_normal * (tree.plane_normal @ tree.plane_position)
    constants["contact points", name] = np.column_stack((spots, tree.point_radius[points]))
    if points.any():
        contact = task.contact
        constants["contact stiffness", name] = np.array([contact.stiffness])
        constants["contact damping", name] = np.array([contact.damping])
        constants["friction damping", name] = np.array([contact.friction_damping])
        constants["friction", name] = np.array([contact.friction])


def _add_actuators(
    constants: Constants, task: Task, tree: LinkTree, golden: GoldenFile, places: np.ndarray, turns: np.ndarray
) -> None:
    clamp = ControlClamp(task.model(), torch.device("cpu"), torch.float64)
    ends = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    controls = clamp(task.control(ends.unsqueeze(1).expand(2, task.action_dim))).numpy()
    velocities: Sequence[str] = golden.meta["qd_names"]
    for action in np.flatnonzero(tree.actuator_dof >= 0).tolist():
        name = f"action {action}"
        constants["actuated velocity", name] = str(velocities[tree.actuator_dof[action]])
        constants["force at action -1 and 1", name] = tree.actuator_gain[action] * controls[:, action]
    if not tree.paths.actuators:
        return
    paths, homes = tree.paths, tree.paths.via_link
    vias = places[homes] + np.einsum("pij,pj->pi", turns[homes], paths.via_position)
    muscles: Sequence[str] = [str(name) for name in golden.arrays.get("model_muscle_names", ())]
    for actuator in paths.actuators:
        index = actuator.control
        name = muscles[index] if index < len(muscles) else f"action {index}"
        segments = slice(actuator.segment_adr, actuator.segment_adr + actuator.segment_num)
        ends_of = paths.segment_from[segments], paths.segment_to[segments]
        constants["muscle path", name] = np.column_stack([vias[e] for e in ends_of])
        # A positive force lengthens a path, so a tension has the other sign.
        constants["tension at action -1 and 1", name] = -actuator.gear * actuator.gain * controls[:, index]
