"""Random via-point muscles on random trees, as MJCF."""

from __future__ import annotations

import mujoco
import numpy as np

__all__ = ["add_muscles"]


def add_muscles(xml: str, seed: int, *, muscles: int, cables: int = 0) -> mujoco.MjModel:
    """Compiles an MJCF with random via-point paths added: muscles, and cables pulled by motors.

    Paths of two to five sites on any bodies and the world: several in a row on one body, over several bodies, over
    several trees. Curve parameters, gears, peak forces (given, or derived from ``scale``) and length ranges are random;
    bias parameters differ from gain parameters.
    """
    rng = np.random.default_rng(seed)
    spec = mujoco.MjSpec.from_string(xml)
    bodies = list(spec.bodies)
    moving = [b for b in bodies if b.name != "world"]
    for n in range(muscles + cables):
        count = int(rng.integers(2, 6))
        hosts = [bodies[int(rng.integers(len(bodies)))] for _ in range(count)]
        hosts[-1] = moving[int(rng.integers(len(moving)))]
        if hosts[0] is hosts[-1]:
            hosts[0] = bodies[0]
        if count > 3:
            hosts[1] = hosts[0]
        tendon = spec.add_tendon(name=f"path{n}")
        for k, host in enumerate(hosts):
            host.add_site(name=f"via{n}_{k}", pos=rng.normal(size=3) * 0.3)
            tendon.wrap_site(f"via{n}_{k}")
        actuator = spec.add_actuator(
            name=f"pull{n}", trntype=mujoco.mjtTrn.mjTRN_TENDON, target=f"path{n}", ctrllimited=False
        )
        actuator.gear[0] = rng.uniform(0.5, 2.0)
        if n >= muscles:
            actuator.gainprm[0] = rng.normal() * 5.0
            continue
        actuator.gaintype = mujoco.mjtGain.mjGAIN_MUSCLE
        actuator.biastype = mujoco.mjtBias.mjBIAS_MUSCLE if n % 4 else mujoco.mjtBias.mjBIAS_NONE
        for prm in (actuator.gainprm, actuator.biasprm):
            prm[:9] = (
                *(0.75, 1.05),
                *((rng.uniform(5.0, 20.0), 1.0) if n % 2 else (-1.0, rng.uniform(1.0, 20.0))),
                *(rng.uniform(0.3, 0.7), rng.uniform(1.3, 1.7), rng.uniform(0.5, 8.0)),
                *(rng.uniform(1.0, 1.5), rng.uniform(1.1, 1.5)),
            )
        actuator.lengthrange = (0.1, 0.2)  # replaced below
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    for n in range(muscles):
        low, high = rng.uniform(0.3, 0.9), rng.uniform(1.1, 1.8)
        model.actuator_lengthrange[-muscles - cables + n] = data.actuator_length[-muscles - cables + n] * np.array(
            [low, high]
        )
    return model
