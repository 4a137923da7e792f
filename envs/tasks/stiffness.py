"""Ground contacts of another stiffness, in every simulator.

A compliant contact (Warp) has its constants k_e [N/m] and k_d [N s/m^2] in the equation of motion. MuJoCo's
contacts (MJX, MuJoCo C) are soft constraints: with ``solref = (-k, -b)`` a contact at penetration d and normal
velocity u_n asks for the acceleration ``k d - b u_n``, which the solver turns into a force through the effective
mass at the contact. With w, MuJoCo's mean inverse mass of the touching body (``body_invweight0``), the constants
correspond as

    k = k_e w,    b = min((k_f + k_d D) w, 2 sqrt(k)),    D = 1 cm

MuJoCo has one b for the normal and for sliding, so it sums k_f, the slope of the compliant friction, and the compliant
damping, which grows with the depth, at the depth D; and it stays at or below critical damping, beyond which the coarser
substeps of these simulators ring. What agrees is the frequency of an impact, to within MuJoCo's impedance (``solimp``,
0.9 to 0.95 by default). A steady load sinks much less than k_e says: without friction, to the fraction 1 - impedance of
that depth, and with a friction pyramid to one that depends on the coefficient, too (of a sphere, 0.055 with a
coefficient of 0.9 and 0.017 with 0.5). The friction coefficient is the model's own.
"""

from __future__ import annotations

import math
from copy import copy
from dataclasses import replace
from typing import Any

import mujoco
import numpy as np

from pwm_bench.envs.contact import CompliantContact
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.tasks.base import Task

__all__ = ["on_ground", "touches_ground", "with_contact"]

_DEPTH = 0.01  # [m]


def on_ground(task: Task, stiffness: Any, damping: Any) -> Task:
    """The task with other contact constants; the same task if none is given.

    Args:
        task: the task.
        stiffness: k_e [N/m], positive, or None for the task's own.
        damping: k_d [N s/m^2], not negative, or None for the task's own.

    Raises:
        UsageError: a value out of range, or a task in which nothing touches the ground.
    """
    given = {"contact_stiffness": stiffness, "contact_damping": damping}
    given = {name: value for name, value in given.items() if value is not None}
    if not given:
        return task
    for name, value in given.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or value < 0 or (value == 0 and name == "contact_stiffness"):
            bound, unit = ("positive", "N/m") if name == "contact_stiffness" else ("non-negative", "N s/m^2")
            raise UsageError(f"{name}={value!r}: must be a finite {bound} number [{unit}]")
    if not touches_ground(task.model()):
        raise UsageError(f"{next(iter(given))}: nothing touches the ground in task '{task.name}'; leave it out")
    contact = replace(task.contact, **{name.removeprefix("contact_"): float(value) for name, value in given.items()})
    model = with_contact(task.model(), contact)
    changed = copy(task)
    vars(changed).update(contact=contact, model=lambda: model)
    return changed


def touches_ground(model: mujoco.MjModel) -> bool:
    """Whether any moving part of a model can touch anything."""
    return bool(_touching(model).any())


def with_contact(model: mujoco.MjModel, contact: CompliantContact) -> mujoco.MjModel:
    """A copy of a model whose geoms touch the ground with (nearly) the stiffness and damping of a compliant contact."""
    changed = model.__copy__()
    geoms = np.flatnonzero(_touching(model))
    weight = model.body_invweight0[model.geom_bodyid[geoms], 0]
    stiffness = contact.stiffness * weight
    # Never zero: MuJoCo takes the two numbers in this sense only if both are negative.
    damping = np.maximum(contact.friction_damping + contact.damping * _DEPTH, 1e-9) * weight
    changed.geom_solref[geoms, 0] = -stiffness
    changed.geom_solref[geoms, 1] = -np.minimum(damping, 2.0 * np.sqrt(stiffness))
    return changed


def _touching(model: mujoco.MjModel) -> np.ndarray:
    """Geoms of moving bodies that collide, bool (ngeom,)."""
    moves = model.body_weldid[model.geom_bodyid] != 0
    return moves & ((model.geom_contype != 0) | (model.geom_conaffinity != 0))
