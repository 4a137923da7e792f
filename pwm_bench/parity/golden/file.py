"""Files of recorded trajectories, rewards, gradients and constants; docs/parity.md describes the format."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pwm_bench.envs.errors import UsageError
from pwm_bench.store.plain import read_plain

__all__ = ["BALL", "FIXED", "FREE", "HINGE", "SLIDE", "GoldenFile", "Joint", "read_golden"]

SLIDE, HINGE, BALL, FIXED, FREE = range(5)
_COORDINATES = {SLIDE: 1, HINGE: 1, BALL: 4, FIXED: 0, FREE: 7}
_DOFS = {SLIDE: 1, HINGE: 1, BALL: 3, FIXED: 0, FREE: 6}
_LINKS = ("joint_parent", "joint_axis", "joint_X_pj", "joint_X_cm", "joint_target_ke", "joint_target_kd",
          "joint_limit_ke", "joint_limit_kd", "body_I_m", "body_mass", "joint_names")  # fmt: skip
_MODEL = (*_LINKS, "joint_type", "joint_armature", "joint_target", "joint_limit_lower", "joint_limit_upper",
          "contact_body", "contact_point", "contact_dist", "contact_shape", "shape_materials", "gravity")  # fmt: skip
_RECORDED = ("meta", "joint_q", "joint_qd", "actions", "obs", "reward", "done")
_MUSCLES = ("muscle_start", "muscle_links", "muscle_points", "muscle_strength", "muscle_names")
_META = ("task", "substeps", "substep_dt_used", "control_dt", "mass_matrix_every_substeps", "episode_length", "control",
         "observation", "q_names", "qd_names")  # fmt: skip
_WANTED = "give a file of the format that docs/parity.md describes"


@dataclass(frozen=True, slots=True)
class Joint:
    """A moving joint of the recorded robot."""

    name: str
    kind: int
    """`SLIDE`, `HINGE`, `BALL` or `FREE`."""
    link: int
    """The link that it moves, and its own row in the model's arrays."""
    q: slice
    """Its entries of ``joint_q``."""
    qd: slice
    """Its entries of ``joint_qd``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldenFile:
    """A checked file: T control steps of W worlds, nq coordinates, nv velocities, A actions, O observations."""

    path: Path
    digest: str
    """SHA-256 of its bytes."""
    meta: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]
    joints: tuple[Joint, ...]
    """The moving joints in order; fixed ones are left out."""

    @property
    def steps(self) -> int:
        return len(self.arrays["actions"])

    @property
    def worlds(self) -> int:
        return self.arrays["actions"].shape[1]

    @property
    def horizon(self) -> int:
        """Control steps of the return whose gradient is recorded."""
        return _horizon(self.meta)

    @property
    def observed(self) -> np.ndarray:
        """Which entries of an observation count, bool (O,): all but the block of actions, recorded as zeros."""
        counts = np.ones(self.arrays["obs"].shape[-1], bool)
        for part in self.meta["observation"]["layout"]:
            if str(part["expr"]).startswith("zeros("):
                counts[slice(*part["range"])] = False
        return counts

    def observation_name(self, index: int) -> str:
        """What entry ``index`` of an observation is, in words, with the coordinate if it is one."""
        for part in self.meta["observation"]["layout"]:
            low, high = part["range"]
            if low <= index < high:
                words = str(part["name"]).split(":")[0]
                coordinate = self._coordinate(str(part["expr"]), high - low, index - low)
                return f"entry {index} ({words}{f', {coordinate}' if coordinate else ''})"
        return f"entry {index}"

    def _coordinate(self, expression: str, length: int, index: int) -> str:
        """The coordinate at ``index`` of an expression that is a slice of q or qd, perhaps scaled."""
        slices = re.fullmatch(r"(?:\w+ \* )?(qd?)\[(\d+):(\d*)\]", expression)
        if slices is None:
            return ""
        names = self.meta[f"{slices[1]}_names"][int(slices[2]) : int(slices[3]) if slices[3] else None]
        return str(names[index]) if len(names) == length else ""

    def double(self, name: str) -> np.ndarray | None:
        """A trajectory as computed in float64: the copy ``NAME_f64``, or ``NAME`` itself where that is float64.

        None where the file has float32 alone.
        """
        copy = self.arrays.get(f"{name}_f64")
        if copy is None and self.arrays[name].dtype == np.float64:
            copy = self.arrays[name]
        return copy


def _horizon(meta: Mapping[str, Any]) -> int:
    return int(meta.get("gradient", {}).get("H", 8))


def read_golden(path: Path) -> GoldenFile:
    """Reads and checks a file. Nothing in it is run: pickled objects are refused.

    Raises:
        UsageError: it cannot be read, or is not of the format; what is missing or misshapen is named.
    """
    try:
        content = read_plain(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); {_WANTED}") from None
    if not zipfile.is_zipfile(io.BytesIO(content)):
        raise UsageError(f"{path}: not an .npz archive; {_WANTED}")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise UsageError(f"{path}: damaged, or not arrays of numbers ({error}); {_WANTED}") from None
    try:
        check = _Check(path, arrays)
        meta = check.meta()
        joints = check.joints(meta)
        check.trajectories(meta)
    except UsageError:
        raise
    except (TypeError, ValueError, IndexError, KeyError, AttributeError, OverflowError) as error:
        raise UsageError(f"{path}: entries of another form ({error!r}); {_WANTED}") from None
    return GoldenFile(path=path, digest=hashlib.sha256(content).hexdigest(), meta=meta, arrays=arrays, joints=joints)


class _Check:
    """The format's demands, each with an error that names the array."""

    def __init__(self, path: Path, arrays: Mapping[str, np.ndarray]) -> None:
        self._path, self._arrays = path, arrays
        for name in (*_RECORDED, *map("model_{}".format, _MODEL)):
            if name not in arrays:
                raise self._error(f"has no array '{name}'")
        for name, array in arrays.items():
            if array.dtype.kind not in "bifuU":
                raise self._error(f"array '{name}' is of type {array.dtype}, not numbers or text")

        for name in ("joint_q", "joint_qd", "actions", "obs"):
            self._shape(name, None, None, None)

    def meta(self) -> dict[str, Any]:
        try:
            meta = json.loads(str(self._arrays["meta"]))
        except (ValueError, RecursionError) as error:
            raise self._error(f"'meta' is not JSON ({error})") from None
        if not isinstance(meta, dict):
            raise self._error("'meta' is not a JSON object")
        for name in _META:
            if name not in meta:
                raise self._error(f"'meta' has no entry '{name}'")
        for name, kind in (("substeps", int), ("mass_matrix_every_substeps", int), ("substep_dt_used", float)):
            if not isinstance(meta[name], kind | int) or isinstance(meta[name], bool) or not meta[name] > 0:
                raise self._error(f"'meta' has {name} = {meta[name]!r}, not a positive number")
        try:
            for part in meta["observation"]["layout"]:
                low, high = part["range"]
                if not 0 <= low <= high <= self._arrays["obs"].shape[-1]:
                    raise ValueError(f"range {part['range']}")
                part["expr"], part["name"]
        except (KeyError, TypeError, ValueError) as error:
            raise self._error(f"'meta' has no usable observation.layout ({error!r})") from None
        return meta

    def joints(self, meta: Mapping[str, Any]) -> tuple[Joint, ...]:
        model = {name: self._arrays[f"model_{name}"] for name in _MODEL}
        kinds = model["joint_type"]
        for name in _LINKS:
            if len(model[name]) != len(kinds):
                raise self._error(f"'model_{name}' has {len(model[name])} rows for {len(kinds)} joints")
        joints, q, qd = [], 0, 0
        for link, kind in enumerate(kinds.tolist()):
            if kind not in _DOFS:
                raise self._error(f"'model_joint_type' has {kind}, which is no kind of joint")
            if not -1 <= model["joint_parent"][link] < link:
                raise self._error(f"'model_joint_parent' puts link {link} before its parent")
            if kind != FIXED:
                ends = q + _COORDINATES[kind], qd + _DOFS[kind]
                name = str(model["joint_names"][link])
                joints.append(Joint(name, kind, link, slice(q, ends[0]), slice(qd, ends[1])))
                q, qd = ends
        self._shape("joint_q", None, None, q)
        self._shape("joint_qd", None, None, qd)
        for name, size in (("joint_armature", qd), ("joint_target", q), ("joint_limit_lower", q)):
            self._shape(f"model_{name}", size)
        for name, size in (("q_names", q), ("qd_names", qd)):
            if not isinstance(meta[name], list) or len(meta[name]) != size:
                raise self._error(f"'meta' has no {size} entries in '{name}'")
        self._indices("model_contact_body", len(kinds))
        self._indices("model_contact_shape", len(model["shape_materials"]))
        points = len(model["contact_body"])
        self._shape("model_contact_point", points, 3)
        self._shape("model_contact_dist", points)
        self._shape("model_contact_shape", points)
        if "model_muscle_start" in self._arrays:
            self._muscles(len(kinds))
        else:
            self._motors(meta["control"], qd)
        return tuple(joints)

    def _muscles(self, links: int) -> None:
        for name in _MUSCLES:
            if f"model_{name}" not in self._arrays:
                raise self._error(f"has no array 'model_{name}' beside 'model_muscle_start'")
        muscles, points = self._arrays["actions"].shape[-1], len(self._arrays["model_muscle_links"])
        self._shape("model_muscle_start", muscles + 1)
        self._shape("model_muscle_strength", muscles)
        self._shape("model_muscle_names", muscles)
        self._shape("model_muscle_points", points, 3)
        self._indices("model_muscle_links", links)
        self._indices("model_muscle_start", points + 1)

    def _motors(self, control: Any, velocities: int) -> None:
        actions = self._arrays["actions"].shape[-1]
        try:
            dofs, strengths = list(control["dofs"]), [float(strength) for strength in control["strength"]]
            if len(dofs) != actions or len(strengths) != actions or not all(0 <= dof < velocities for dof in dofs):
                raise ValueError(f"dofs {dofs}, strength {strengths}")
        except (KeyError, TypeError, ValueError) as error:
            raise self._error(f"'meta' has no usable control of {actions} actions ({error!r})") from None

    def _indices(self, name: str, size: int) -> None:
        array = self._arrays[name]
        if array.dtype.kind not in "iu" or array.ndim != 1 or not ((array >= 0) & (array < size)).all():
            raise self._error(f"array '{name}' is not a list of whole numbers from 0 to {size - 1}")

    def trajectories(self, meta: Mapping[str, Any]) -> None:
        steps, worlds, size = self._arrays["actions"].shape
        if not steps or not worlds:
            raise self._error("'actions' is empty")
        states, velocities = (self._arrays[name].shape[-1] for name in ("joint_q", "joint_qd"))
        for suffix in ("", "_f64"):
            self._shape(f"joint_q{suffix}", steps + 1, worlds, states)
            self._shape(f"joint_qd{suffix}", steps + 1, worlds, velocities)
            self._shape(f"reward{suffix}", steps, worlds)
        self._shape("obs", steps + 1, worlds, None)
        self._shape("done", steps, worlds)
        self._shape("divergence", steps + 1)
        self._shape("float32_error", steps + 1, worlds)
        self._shape("step_error_qd", steps, worlds)
        horizon = _horizon(meta)
        for name in (f"gradient_H{horizon}", f"gradient_H{horizon}_full64"):
            self._shape(name, horizon, worlds, size)
            if name in self._arrays and horizon > steps:
                raise self._error(f"array '{name}' is over {horizon} control steps, of which {steps} are recorded")
        if not np.isfinite(self._arrays["actions"]).all():
            raise self._error("'actions' has entries that are not finite")

    def _shape(self, name: str, *wanted: int | None) -> None:
        """Checks a shape (None: any length) of an array that the file has; optional arrays may be absent."""
        if name not in self._arrays:
            return
        shape = self._arrays[name].shape
        if len(shape) != len(wanted) or any(w is not None and w != s for w, s in zip(wanted, shape, strict=True)):
            text = ", ".join("any" if w is None else str(w) for w in wanted)
            raise self._error(f"array '{name}' has shape {shape}, not ({text})")

    def _error(self, problem: str) -> UsageError:
        return UsageError(f"{self._path}: {problem}; {_WANTED}")
