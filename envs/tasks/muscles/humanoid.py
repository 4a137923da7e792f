"""The muscle humanoid: skeleton, 152 muscles as MuJoCo tendons and muscle actuators, compiled once.

A muscle is a spatial tendon through sites with an actuator whose gain and bias are MuJoCo's muscle curves; its control
is the activation, so there is no activation state. MuJoCo's muscle has a rigid tendon: with optimal fibre length L0
and tendon slack length LT, the normalised fibre length is L = (path length - LT) / L0.

L0 is the published fibre length times the cosine of the pennation angle. LT is fitted to our own paths, which have
no wrapping surfaces, as is usual when a muscle is moved to another geometry (e.g. Manal and Buchanan 2004, J. Biomech.
Eng. 126:796): L is centred on `_CENTRE` over the postures of a walking cycle. Where the path's excursion over those
postures is more than `_EXCURSION` L0, L0 is lengthened to it.
"""

from __future__ import annotations

from functools import cache

import mujoco
import numpy as np

from pwm_bench.envs.tasks.muscles.ankle import ANKLE
from pwm_bench.envs.tasks.muscles.foot import FOOT
from pwm_bench.envs.tasks.muscles.hip import HIP
from pwm_bench.envs.tasks.muscles.knee import KNEE
from pwm_bench.envs.tasks.muscles.postures import posture, walking_postures
from pwm_bench.envs.tasks.muscles.skeleton import ORIGINS, SIDES, skeleton
from pwm_bench.envs.tasks.muscles.table import Muscle

__all__ = ["MUSCLES", "muscle_humanoid", "normalised_lengths"]

MUSCLES: tuple[Muscle, ...] = HIP + KNEE + ANKLE + FOOT
"""The 76 muscles of one side."""

_CENTRE = 0.95  # middle of the normalised lengths met in walking
_EXCURSION = 0.55  # largest range of normalised lengths in walking
_RANGE = (0.75, 1.05)  # normalised lengths at the ends of an actuator's length range (a convention of MuJoCo)
_SHORTEST, _LONGEST = 0.5, 1.6  # where active force ends (MuJoCo's defaults)
_MAX_VELOCITY = 10.0  # maximal shortening velocity [optimal fibre lengths / s] (Zajac 1989)
_PASSIVE_FORCE = 1.3  # passive force at _LONGEST, relative to the maximal isometric force (MuJoCo's default)
_LENGTHENING_FORCE = 1.4  # force limit while lengthening, likewise (Zajac 1989)


@cache
def muscle_humanoid(lowest_activation: float = 0.0) -> mujoco.MjModel:
    """The compiled model: 29 positions, 24 velocities, 152 muscles, left before right in the table's order.

    Args:
        lowest_activation: lower end of the controls' range; the upper is 1.
    """
    spec = skeleton()
    for side, outward in SIDES.items():
        for muscle in MUSCLES:
            _add_path(spec, muscle, side, outward)
    constants = _fit_lengths(spec.compile())
    for side in SIDES:
        for muscle, (optimal, slack) in zip(MUSCLES, constants, strict=True):
            _add_actuator(spec, muscle, side, optimal, slack, lowest_activation)
    return spec.compile()


def normalised_lengths(model: mujoco.MjModel, tendon_length: np.ndarray) -> np.ndarray:
    """Fibre lengths in optimal fibre lengths from path lengths [m], shape ``(..., 152)``."""
    low, high = model.actuator_lengthrange.T
    start, end = model.actuator_gainprm[:, :2].T
    return start + (tendon_length - low) * (end - start) / (high - low)


def _add_path(spec: mujoco.MjSpec, muscle: Muscle, side: str, outward: float) -> None:
    tendon = spec.add_tendon(
        name=f"{muscle.name}_{side}", width=0.0012 + 0.00012 * muscle.force**0.5, rgba=[0.70, 0.10, 0.10, 1.0]
    )
    for k, (bone, point) in enumerate(muscle.path):
        body = spec.body(bone if bone == "pelvis" else f"{bone}_{side}")
        x, y, z = np.subtract(point, ORIGINS[bone]) if bone in ("hallux", "toes") else point
        site = body.add_site(name=f"{muscle.name}_{side}_{k}", pos=[x, outward * y, z], size=[0.003] * 3, group=4)
        tendon.wrap_site(site.name)


def _fit_lengths(model: mujoco.MjModel) -> list[tuple[float, float]]:
    """(L0, LT) [m] of each muscle of one side."""
    data = mujoco.MjData(model)
    lengths = []
    for angles in walking_postures():
        data.qpos[:] = posture(angles, angles)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)  # a tendon's length needs the frames of motion too
        mujoco.mj_tendon(model, data)
        lengths.append(data.ten_length[: len(MUSCLES)].copy())
    shortest, longest = np.min(lengths, axis=0), np.max(lengths, axis=0)
    published = np.array([m.fibre_length * np.cos(np.deg2rad(m.pennation)) for m in MUSCLES])
    optimal = np.maximum(published, (longest - shortest) / _EXCURSION)
    slack = 0.5 * (shortest + longest) - _CENTRE * optimal
    return list(zip(optimal.tolist(), slack.tolist(), strict=True))


def _add_actuator(
    spec: mujoco.MjSpec, muscle: Muscle, side: str, optimal: float, slack: float, lowest_activation: float
) -> None:
    force = muscle.force * np.cos(np.deg2rad(muscle.pennation))  # its component along the tendon
    parameters = [
        *_RANGE,
        force,
        200.0,  # scale: MuJoCo wants it positive; unused with a force given
        _SHORTEST,
        _LONGEST,
        _MAX_VELOCITY,
        _PASSIVE_FORCE,
        _LENGTHENING_FORCE,
        0.0,
    ]
    spec.add_actuator(
        name=f"{muscle.name}_{side}",
        trntype=mujoco.mjtTrn.mjTRN_TENDON,
        target=f"{muscle.name}_{side}",
        dyntype=mujoco.mjtDyn.mjDYN_NONE,
        gaintype=mujoco.mjtGain.mjGAIN_MUSCLE,
        biastype=mujoco.mjtBias.mjBIAS_MUSCLE,
        gainprm=parameters,
        biasprm=parameters,
        lengthrange=[slack + end * optimal for end in _RANGE],
        ctrllimited=True,
        ctrlrange=[lowest_activation, 1.0],
    )
