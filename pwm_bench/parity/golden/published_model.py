"""Constants of the recorded robot, read from a file: see `pwm_bench.parity.golden.constants` for the common form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pwm_bench.parity.golden.constants import UNLIMITED, Constants, rigid_sum
from pwm_bench.parity.golden.file import BALL, FIXED, FREE, HINGE, SLIDE, GoldenFile

__all__ = ["published_constants"]

_KINDS = {SLIDE: "slide", HINGE: "hinge", BALL: "ball", FREE: "free"}
_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])  # Q of `frames`
_MATERIALS = ("contact stiffness", "contact damping", "friction damping", "friction")


def published_constants(golden: GoldenFile) -> Constants:
    """All constants that the file states."""
    model = {
        name.removeprefix("model_"): array.astype(np.float64) if array.dtype.kind == "f" else array
        for name, array in golden.arrays.items()
        if name.startswith("model_")
    }
    places, turns = _poses(model)
    constants: Constants = {}
    _add_joints(constants, golden, model, places, turns)
    _add_links(constants, golden, model, places, turns)
    _add_actuators(constants, golden, model, places, turns)
    meta = golden.meta
    constants["gravity", "the world"] = _UP @ model["gravity"]
    constants["substeps", "a control step"] = np.array([meta["substeps"]], float)
    constants["control step [s]", "time"] = np.array([meta["control_dt"]], float)
    constants["episode length", "time"] = np.array([meta["episode_length"]], float)
    refresh = min(meta["mass_matrix_every_substeps"], meta["substeps"])
    constants["substeps a mass matrix", "the integrator"] = np.array([refresh], float)
    constants["damping scheme", "the integrator"] = "explicit"
    if any(joint.kind in (BALL, FREE) for joint in golden.joints):
        constants["rotation scheme", "the integrator"] = "linear"
    return constants


def _carrier(model: dict[str, np.ndarray]) -> np.ndarray:
    """The nearest moving link that carries each link rigidly (itself where its joint moves), -1 for the world."""
    carrier = np.arange(len(model["joint_type"]))
    for link in np.flatnonzero(model["joint_type"] == FIXED):
        parent = model["joint_parent"][link]
        carrier[link] = carrier[parent] if parent >= 0 else -1
    return carrier


def _poses(model: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Places (L, 3) and rotation matrices (L, 3, 3) of all links at q = 0, with z up."""
    places: list[np.ndarray] = []
    turns: list[np.ndarray] = []
    for link, parent in enumerate(model["joint_parent"]):
        place, turn = (places[parent], turns[parent]) if parent >= 0 else (np.zeros(3), _UP)
        pose = model["joint_X_pj"][link]
        places.append(place + turn @ pose[:3])
        turns.append(turn @ _rotation_matrix(pose[3:]))
    return np.array(places), np.array(turns)


def _add_joints(
    constants: Constants, golden: GoldenFile, model: dict[str, np.ndarray], places: np.ndarray, turns: np.ndarray
) -> None:
    for joint in golden.joints:
        name, link, scalar = joint.name, joint.link, joint.kind in (SLIDE, HINGE)
        constants["kind of joint", name] = _KINDS[joint.kind]
        constants["armature", name] = model["joint_armature"][joint.qd]
        if joint.kind != FREE:
            constants["damping", name] = model["joint_target_kd"][[link]] + scalar * model["joint_limit_kd"][[link]]
            # A ball joint's spring acts on the quaternion's vector part: near rest, half of its constant a radian.
            constants["spring", name] = model["joint_target_ke"][[link]] * (1.0 if scalar else 0.5)
        if scalar:
            axis = turns[link] @ model["joint_axis"][link]
            constants["joint axis", name] = axis
            if joint.kind == HINGE:
                constants["joint position", name] = places[link] - axis * (axis @ places[link])
            if model["joint_target_ke"][link]:
                constants["spring rest", name] = model["joint_target"][joint.q]
            bounds = np.concatenate((model["joint_limit_lower"][joint.q], model["joint_limit_upper"][joint.q]))
            bounds = np.where(np.abs(bounds) >= UNLIMITED, np.copysign(np.inf, bounds), bounds)
            constants["limits", name] = bounds
            if np.isfinite(bounds).any():
                constants["limit stiffness", name] = model["joint_limit_ke"][[link]]
        elif joint.kind == BALL:
            constants["joint position", name] = places[link]


def _add_links(
    constants: Constants, golden: GoldenFile, model: dict[str, np.ndarray], places: np.ndarray, turns: np.ndarray
) -> None:
    carrier = _carrier(model)
    centers = places + np.einsum("lij,lj->li", turns, model["joint_X_cm"][:, :3])
    inertias = turns @ model["body_I_m"][:, :3, :3] @ turns.transpose(0, 2, 1)
    spots = model["contact_point"].reshape(-1, 3)
    bodies, shapes = model["contact_body"], model["contact_shape"]
    spots = places[bodies] + np.einsum("cij,cj->ci", turns[bodies], spots) if len(bodies) else spots
    for joint in golden.joints:
        parts = np.flatnonzero(carrier == joint.link)
        mass, center, inertia = rigid_sum(model["body_mass"][parts], centers[parts], inertias[parts])
        name = joint.name
        constants["mass", name] = np.array([mass])
        constants["inertia", name] = inertia
        if mass:
            constants["centre of mass", name] = center
        here = carrier[bodies] == joint.link
        constants["contact points", name] = np.column_stack((spots[here], model["contact_dist"][here]))
        materials = np.unique(model["shape_materials"][shapes[here]], axis=0)
        for column, quantity in enumerate(_MATERIALS if len(materials) else ()):
            constants[quantity, name] = np.unique(materials[:, column])


def _add_actuators(
    constants: Constants, golden: GoldenFile, model: dict[str, np.ndarray], places: np.ndarray, turns: np.ndarray
) -> None:
    if "muscle_start" not in model:
        control = golden.meta["control"]
        for index, (dof, strength) in enumerate(zip(control["dofs"], control["strength"], strict=True)):
            name = f"action {index}"
            constants["actuated velocity", name] = str(golden.meta["qd_names"][dof])
            constants["force at action -1 and 1", name] = np.array([-strength, strength])
        return
    carrier = _carrier(model)
    links = model["muscle_links"]
    points = places[links] + np.einsum("pij,pj->pi", turns[links], model["muscle_points"])
    starts: Sequence[int] = model["muscle_start"].tolist()
    for index, name in enumerate(map(str, model["muscle_names"])):
        path = np.arange(starts[index], starts[index + 1])
        across = carrier[links[path[:-1]]] != carrier[links[path[1:]]]
        segments = np.column_stack((points[path[:-1]], points[path[1:]]))[across]
        constants["muscle path", name] = segments
        strength = model["muscle_strength"][index]
        constants["tension at action -1 and 1", name] = np.array([-strength, strength])


def _rotation_matrix(quaternion: np.ndarray) -> np.ndarray:
    """Matrix (3, 3) of a quaternion x y z w, normalised."""
    x, y, z, w = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
