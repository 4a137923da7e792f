"""Planar hopper on a stiff ground."""

from __future__ import annotations

from functools import cache

import mujoco

from pwm_bench.envs.contact import CompliantContact
from pwm_bench.envs.tasks.hopper import Hopper
from pwm_bench.envs.tasks.stiffness import with_contact

__all__ = ["HopperStiff"]


class HopperStiff(Hopper):
    """The hopper on a ground five times as stiff: k_e = 1e5 N/m, k_d = 1e4 N s/m^2, as in PWM's stiff-contact study.

    In MJX and MuJoCo C the geoms' ``solref`` carries these constants, see `pwm_bench.envs.tasks.stiffness`.
    """

    name = "hopper_stiff"
    contact = CompliantContact(stiffness=1e5, damping=1e4, friction_damping=1e3, friction=0.9)
    source = "dflex (PWM, stiff)"

    def model(self) -> mujoco.MjModel:
        return _model()


@cache
def _model() -> mujoco.MjModel:
    return with_contact(Hopper().model(), HopperStiff.contact)
