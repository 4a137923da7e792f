"""Paths through via points, from a MuJoCo model: which points are fixed to which link, and who pulls on them."""

from __future__ import annotations

import itertools
from dataclasses import astuple, dataclass
from typing import NamedTuple

import mujoco
import numpy as np

__all__ = ["PathActuator", "Paths", "build_paths"]

_MIN = mujoco.mjMINVAL


@dataclass(frozen=True, kw_only=True, slots=True)
class PathActuator:
    """An actuator on a path; the fields of the kernels' struct of that name, in its order. SI units."""

    control: int
    """Its column of the control."""
    segment_adr: int
    """Its first segment."""
    segment_num: int
    is_muscle: int
    """1: the gain follows the force-length and force-velocity curves; 0: it's constant."""
    length: float
    """Sum of the segments whose ends are on one link: a constant [m]."""
    gear: float
    gain: float
    """Constant gain [N], or minus the peak isometric force."""
    lower: float
    """Lower end of the actuator's length range [m]."""
    range_low: float
    """Normalised length there (``range[0]``)."""
    inverse_optimum: float
    """One over the optimal length [1/m]."""
    inverse_speed: float
    """One over the greatest shortening speed [s/m]."""
    lmin: float
    lmax: float
    """Normalised lengths beyond which there's no active force."""
    inverse_rise: float
    inverse_fall: float
    """One over half the width of the force-length curve below and above the optimum."""
    fvmax: float
    """Greatest active force when lengthening, in units of the isometric one."""
    inverse_plateau: float
    """One over the normalised speed at which it's reached."""
    passive: float
    """Minus the passive force at the end of its quadratic part, doubled [N]; 0 without a passive force."""
    passive_range_low: float
    """What ``range_low`` is for the active force; the passive one has parameters of its own."""
    passive_inverse_optimum: float
    """What ``inverse_optimum`` is for the active force."""
    passive_inverse: float
    """One over the normalised stretch at the end of the quadratic part."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Paths:
    """Constants of np via points, ns segments and na actuators on paths.

    Only segments that join two links are listed: one within a link keeps its length, so it is part of
    `PathActuator.length` and costs nothing.
    """

    via_position: np.ndarray
    """Position in the link's frame [m], (np, 3)."""
    via_link: np.ndarray
    """Link of each via point, in ascending order, (np,)."""
    segment_from: np.ndarray
    """The via point at which a segment begins, (ns,)."""
    segment_to: np.ndarray
    """The via point at which it ends, (ns,)."""
    segment_apart: np.ndarray
    """Whether its ends are on different trees (or the world), whose positions have different origins, (ns,)."""
    actuators: tuple[PathActuator, ...]

    @property
    def num_points(self) -> int:
        return len(self.via_link)

    @property
    def num_segments(self) -> int:
        return len(self.segment_from)

    def table(self, real: type[np.floating]) -> np.ndarray:
        """The actuators as a structured array with floating-point fields of type ``real``."""
        fields = PathActuator.__dataclass_fields__
        dtype = [(name, np.int32 if f.type == "int" else real) for name, f in fields.items()]
        return np.array([astuple(a) for a in self.actuators], dtype=dtype)


def build_paths(model: mujoco.MjModel, frames: list[tuple[int, np.ndarray, np.ndarray]], tree: np.ndarray) -> Paths:
    """Collects the paths that actuators pull on.

    Args:
        model: a model that `pwm_bench.envs.warp.support.check_supported` accepts.
        frames: for each body its link, and its position and rotation matrix in the link's frame.
        tree: the tree of each link.
    """
    index: dict[int, int] = {}  # via point of a site
    places: list[tuple[int, np.ndarray]] = []
    segments: list[tuple[int, int]] = []
    actuators: list[PathActuator] = []

    def place(site: int) -> tuple[int, np.ndarray]:
        link, position, rotation = frames[model.site_bodyid[site]]
        return link, position + rotation @ model.site_pos[site]

    def point(site: int) -> int:
        if site not in index:
            index[site] = len(places)
            places.append(place(site))
        return index[site]

    for u in _path_actuators(model):
        t = int(model.actuator_trnid[u, 0])
        first, constant = len(segments), 0.0
        sites = [int(s) for s in model.wrap_objid[model.tendon_adr[t] : model.tendon_adr[t] + model.tendon_num[t]]]
        for a, b in itertools.pairwise(sites):
            (link_a, position_a), (link_b, position_b) = place(a), place(b)
            if link_a == link_b:
                constant += float(np.linalg.norm(position_b - position_a))
            else:
                segments.append((point(a), point(b)))
        actuators.append(_actuator(model, u, constant, first, len(segments) - first))

    link = np.array([place[0] for place in places], np.int32)
    order = np.argsort(link, kind="stable")
    rank = np.argsort(order)
    ends = rank[np.array(segments, int).reshape(-1, 2)].astype(np.int32)
    link = link[order]
    home = np.where(link == 0, -1, tree[link])
    return Paths(
        via_position=np.array([places[n][1] for n in order]).reshape(-1, 3),
        via_link=link,
        segment_from=ends[:, 0],
        segment_to=ends[:, 1],
        segment_apart=(home[ends[:, 0]] != home[ends[:, 1]]).astype(np.int32),
        actuators=tuple(actuators),
    )


def _path_actuators(model: mujoco.MjModel) -> np.ndarray:
    if model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_ACTUATION:
        return np.zeros(0, int)
    return np.flatnonzero(model.actuator_trntype == int(mujoco.mjtTrn.mjTRN_TENDON))


class _MuscleParameters(NamedTuple):
    """MuJoCo's ``gainprm`` or ``biasprm`` of a muscle, by its own names."""

    range_low: float
    range_high: float
    force: float
    scale: float
    lmin: float
    lmax: float
    vmax: float
    fpmax: float
    fvmax: float


def _actuator(model: mujoco.MjModel, u: int, constant: float, adr: int, num: int) -> PathActuator:
    lower, upper = model.actuator_lengthrange[u]
    gain = _MuscleParameters(*model.actuator_gainprm[u][:9])
    bias = _MuscleParameters(*model.actuator_biasprm[u][:9])
    muscle = model.actuator_gaintype[u] == int(mujoco.mjtGain.mjGAIN_MUSCLE)
    passive = model.actuator_biastype[u] == int(mujoco.mjtBias.mjBIAS_MUSCLE)

    def inverse(value: float) -> float:
        return 1.0 / max(_MIN, value)

    def optimum(prm: _MuscleParameters) -> float:
        return float(upper - lower) / max(_MIN, prm.range_high - prm.range_low)

    def peak(prm: _MuscleParameters) -> float:
        return float(prm.force) if prm.force >= 0 else float(prm.scale) / max(_MIN, model.actuator_acc0[u])

    return PathActuator(
        control=u,
        segment_adr=adr,
        segment_num=num,
        is_muscle=int(muscle),
        length=constant,
        gear=model.actuator_gear[u, 0],
        gain=-peak(gain) if muscle else model.actuator_gainprm[u, 0],
        lower=lower,
        range_low=gain.range_low,
        inverse_optimum=inverse(optimum(gain)),
        inverse_speed=inverse(optimum(gain) * gain.vmax),
        lmin=gain.lmin,
        lmax=gain.lmax,
        inverse_rise=inverse(0.5 * (1.0 - gain.lmin)),
        inverse_fall=inverse(0.5 * (gain.lmax - 1.0)),
        fvmax=gain.fvmax,
        inverse_plateau=inverse(gain.fvmax - 1.0),
        passive=-peak(bias) * bias.fpmax if passive else 0.0,
        passive_range_low=bias.range_low,
        passive_inverse_optimum=inverse(optimum(bias)),
        passive_inverse=inverse(0.5 * (bias.lmax - 1.0)),
    )
