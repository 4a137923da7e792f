"""Bones, joints, masses and ground of the muscle humanoid, as a `mujoco.MjSpec`.

A pelvis with a rigid trunk, head and arms, and two legs: femur (ball joint), tibia (hinge), foot (ball joint), hallux
and lesser toes (hinges side by side). Segment lengths are those of Delp et al. 1990 (thigh 0.40 m, shank 0.43 m; the
knee turns about a fixed axis here), segment masses those of a 72 kg adult (Winter 2009, Biomechanics and Motor Control
of Human Movement, table 4.1); inertias follow from the shapes. Standing height 1.76 m.

Joint coordinates, both sides: knee positive in flexion, toes positive in extension.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mujoco

__all__ = ["ORIGINS", "SIDES", "STANDING_HEIGHT", "skeleton"]

SIDES = {"l": 1.0, "r": -1.0}
"""Suffix of a side -> sign of its outward direction along y."""
ORIGINS = {
    "femur": (-0.071, 0.084, -0.066),
    "tibia": (0.0, 0.0, -0.400),
    "foot": (0.0, 0.0, -0.430),
    "hallux": (0.130, -0.016, -0.048),
    "toes": (0.118, 0.026, -0.048),
}
"""Origin of each leg body in its parent [m]: x forward, y outwards, z up."""
_SOLE = -0.072  # height of the sole below the ankle's centre [m]
STANDING_HEIGHT = -sum(ORIGINS[body][2] for body in ("femur", "tibia", "foot")) - _SOLE
"""Height of the pelvis' origin when the soles touch the ground [m]."""

_STIFFNESS = 5.0  # joint stiffness of dflex's SNU humanoid [N m/rad]
_DAMPING = 2.0  # its joint damping [N m s/rad]
_LIMIT_DAMPING = 10.0  # its limit damping, always active, of joints that have limits
_ARMATURE = 0.05
_SKIN = (0.87, 0.67, 0.53, 0.13)
_BODY = (0.87, 0.67, 0.53, 1.0)
_BONE = (0.93, 0.91, 0.83, 1.0)
_SHIRT = (0.28, 0.42, 0.58, 1.0)
_GEOM = mujoco.mjtGeom
_TRACK = mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM
_Point = Sequence[float]


def skeleton() -> mujoco.MjSpec:
    """The humanoid without its muscles, standing on the ground in the reference posture."""
    spec = mujoco.MjSpec()
    spec.modelname = "muscle_humanoid"
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_EULER
    spec.option.timestep = 1.0 / 60.0 / 48.0
    spec.compiler.degree = False
    _scenery(spec)
    pelvis = spec.worldbody.add_body(name="pelvis", pos=[0.0, 0.0, STANDING_HEIGHT])
    pelvis.add_freejoint(name="root")
    pelvis.add_camera(name="track", pos=[0.6, -3.6, 0.35], xyaxes=[1, 0.17, 0, 0, 0.10, 1], mode=_TRACK, fovy=38)
    pelvis.add_camera(name="front", pos=[3.8, 0.0, 0.1], xyaxes=[0, 1, 0, 0, 0, 1], mode=_TRACK, fovy=34)
    _upper_body(pelvis)
    for side, outward in SIDES.items():
        _leg(pelvis, side, outward)
    return spec


def _scenery(spec: mujoco.MjSpec) -> None:
    size = getattr(spec.visual, "global")
    size.offwidth, size.offheight = 1280, 960
    light = spec.visual.headlight
    light.ambient, light.diffuse, light.specular = [0.45] * 3, [0.35] * 3, [0.0] * 3
    shades = {"width": 256, "height": 256}
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.97, 0.98, 1.0],
        rgb2=[0.72, 0.80, 0.90],
        **shades,
    )
    spec.add_texture(
        name="grid",
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        rgb1=[0.87, 0.89, 0.91],
        rgb2=[0.80, 0.83, 0.86],
        **shades,
    )
    material = spec.add_material(name="grid", texrepeat=[40, 40])
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "grid"
    spec.worldbody.add_light(
        pos=[0, -2, 5], dir=[0.2, 0.4, -1], diffuse=[0.6] * 3, type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
    )
    spec.worldbody.add_geom(
        name="ground",
        type=_GEOM.mjGEOM_PLANE,
        size=[40, 40, 1],
        material="grid",
        rgba=[1] * 4,
        contype=0,
        conaffinity=1,
    )


def _upper_body(pelvis: Any) -> None:
    """Pelvis, trunk, head and arms: 44 kg, one rigid body. The head may meet the ground."""
    _bone(pelvis, "sacrum", (-0.135, 0, 0.045), (-0.150, 0, -0.055), 0.022)
    _bone(pelvis, "pubis", (-0.040, -0.020, -0.078), (-0.040, 0.020, -0.078), 0.012)
    for side, outward in SIDES.items():
        y = outward
        _bone(pelvis, f"ilium_{side}", (-0.125, 0.040 * y, 0.035), (-0.030, 0.112 * y, 0.020), 0.016)
        _bone(pelvis, f"ilium_back_{side}", (-0.120, 0.060 * y, 0.030), (-0.075, 0.082 * y, -0.050), 0.014)
        _bone(pelvis, f"ischium_{side}", (-0.085, 0.075 * y, -0.075), (-0.112, 0.050 * y, -0.112), 0.016)
        _bone(pelvis, f"pubic_ramus_{side}", (-0.050, 0.065 * y, -0.066), (-0.040, 0.018 * y, -0.078), 0.010)
        _bone(pelvis, f"ischial_ramus_{side}", (-0.105, 0.048 * y, -0.112), (-0.045, 0.018 * y, -0.086), 0.008)
        upper_arm = (-0.035, 0.200 * y, 0.405), (-0.045, 0.235 * y, 0.140)
        forearm = (-0.045, 0.235 * y, 0.140), (0.025, 0.245 * y, -0.110)
        _solid(pelvis, f"upper_arm_{side}", 1.95, 0.045, *upper_arm, rgba=_SHIRT)
        _solid(pelvis, f"forearm_{side}", 1.55, 0.036, *forearm, rgba=_BODY)
    _solid(pelvis, "shoulders", 0.0, 0.062, (-0.035, -0.150, 0.420), (-0.035, 0.150, 0.420), rgba=_SHIRT)
    _solid(pelvis, "hips", 11.2, 0.095, (-0.080, -0.065, -0.02), (-0.080, 0.065, -0.02), rgba=_SKIN)
    for name, mass, size, position in (
        ("abdomen", 10.0, (0.095, 0.135, 0.150), (-0.060, 0, 0.165)),
        ("chest", 11.5, (0.108, 0.165, 0.185), (-0.035, 0, 0.335)),
    ):
        pelvis.add_geom(
            name=name, type=_GEOM.mjGEOM_ELLIPSOID, size=size, pos=position, mass=mass, rgba=_SHIRT, **_NOTHING
        )
    _solid(pelvis, "neck", 1.0, 0.052, (-0.035, 0, 0.46), (-0.025, 0, 0.55), rgba=_BODY)
    _solid(pelvis, "head", 4.0, 0.092, (-0.010, 0, 0.645), (-0.010, 0, 0.695), rgba=_BODY, collides=True)


def _leg(pelvis: Any, side: str, outward: float) -> None:
    def at(x: float, y: float, z: float) -> tuple[float, float, float]:
        return x, outward * y, z

    def child(parent: Any, name: str) -> Any:
        return parent.add_body(name=f"{name}_{side}", pos=at(*ORIGINS[name]))

    femur = child(pelvis, "femur")
    _ball(femur, f"hip_{side}")
    _solid(femur, f"thigh_{side}", 8.9, 0.068, at(-0.005, 0.012, -0.07), at(0, 0, -0.36), rgba=_SKIN)
    _bone(femur, f"femoral_neck_{side}", at(0, 0, 0), at(-0.015, 0.045, -0.02), 0.016)
    _bone(femur, f"femoral_shaft_{side}", at(-0.008, 0.042, -0.03), at(0.004, 0, -0.38), 0.013)
    _bone(femur, f"condyles_{side}", at(-0.004, -0.022, -0.40), at(-0.004, 0.022, -0.40), 0.024)

    tibia = child(femur, "tibia")
    _hinge(tibia, f"knee_{side}", axis=(0, 1, 0), limits=(-0.05, 2.2))
    _solid(tibia, f"shank_{side}", 3.55, 0.045, at(-0.012, 0.004, -0.06), at(-0.004, 0, -0.37), rgba=_SKIN)
    _bone(tibia, f"tibial_plateau_{side}", at(-0.002, -0.022, -0.036), at(-0.002, 0.022, -0.036), 0.014)
    _bone(tibia, f"tibial_tuberosity_{side}", at(0.008, -0.001, -0.045), at(0.027, 0, -0.058), 0.010)
    _bone(tibia, f"tibial_shaft_{side}", at(0.012, -0.002, -0.05), at(0.002, -0.006, -0.41), 0.012)
    _bone(tibia, f"fibula_{side}", at(-0.018, 0.034, -0.045), at(-0.006, 0.026, -0.425), 0.007)
    tibia.add_geom(
        name=f"patella_{side}",
        type=_GEOM.mjGEOM_SPHERE,
        size=[0.019],
        pos=at(0.036, 0, 0.004),
        mass=0.0,
        rgba=_BONE,
        **_GROUND,
    )

    foot = child(tibia, "foot")
    _ball(foot, f"ankle_{side}")
    _bone(foot, f"talus_{side}", at(0, 0, -0.012), at(0.030, -0.010, -0.024), 0.017)
    _bone(foot, f"calcaneus_{side}", at(-0.040, 0, -0.030), at(0.020, 0.012, -0.042), 0.016)
    for k, (y0, y1) in enumerate(((-0.012, -0.018), (0.0, 0.006), (0.012, 0.022), (0.022, 0.040))):
        _bone(foot, f"metatarsal_{k + 1}_{side}", at(0.030, y0, -0.036), at(0.116 - 0.006 * k, y1, -0.050), 0.009)
    _solid(
        foot,
        f"heel_{side}",
        0.45,
        0.022,
        at(-0.040, -0.012, _SOLE + 0.022),
        at(-0.040, 0.012, _SOLE + 0.022),
        collides=True,
    )
    _solid(foot, f"midfoot_{side}", 0.35, 0.018, at(0.010, -0.004, -0.040), at(0.060, 0.006, -0.044))
    _solid(
        foot,
        f"ball_{side}",
        0.25,
        0.018,
        at(0.112, -0.024, _SOLE + 0.018),
        at(0.098, 0.040, _SOLE + 0.018),
        collides=True,
    )

    for name, mass, start, end in (
        ("hallux", 0.06, (0.142, -0.018, -0.059), (0.180, -0.012, -0.059)),
        ("toes", 0.12, (0.150, 0.012, -0.059), (0.132, 0.040, -0.059)),
    ):
        toe = child(foot, name)
        _hinge(toe, f"{name}_{side}", axis=(0, -1, 0), limits=(-0.5, 0.9))
        origin = ORIGINS[name]
        tip = at(end[0] - origin[0], end[1] - origin[1], end[2] - origin[2])
        base = at(start[0] - origin[0], start[1] - origin[1], start[2] - origin[2])
        _solid(toe, f"{name}_{side}", mass, 0.013, base, tip, collides=True)


_GROUND: dict[str, Any] = {"contype": 1, "conaffinity": 0, "friction": [0.5, 0.005, 0.0001], "condim": 3}
_NOTHING: dict[str, Any] = {"contype": 0, "conaffinity": 0}


def _solid(
    body: Any,
    name: str,
    mass: float,
    radius: float,
    start: _Point,
    end: _Point,
    rgba: _Point = _SKIN,
    collides: bool = False,
) -> None:
    """A capsule with mass; with ``collides`` it meets the ground."""
    body.add_geom(
        name=name,
        type=_GEOM.mjGEOM_CAPSULE,
        fromto=[*start, *end],
        size=[radius, 0, 0],
        mass=mass,
        rgba=rgba,
        **(_GROUND if collides else _NOTHING),
    )


def _bone(body: Any, name: str, start: _Point, end: _Point, radius: float) -> None:
    """A capsule to look at."""
    body.add_geom(
        name=name,
        type=_GEOM.mjGEOM_CAPSULE,
        fromto=[*start, *end],
        size=[radius, 0, 0],
        mass=0.0,
        rgba=_BONE,
        **_NOTHING,
    )


def _ball(body: Any, name: str) -> None:
    body.add_joint(
        name=name,
        type=mujoco.mjtJoint.mjJNT_BALL,
        armature=_ARMATURE,
        stiffness=[_STIFFNESS, 0, 0],
        damping=[_DAMPING, 0, 0],
    )


def _hinge(body: Any, name: str, axis: _Point, limits: tuple[float, float]) -> None:
    body.add_joint(
        name=name,
        type=mujoco.mjtJoint.mjJNT_HINGE,
        axis=axis,
        range=limits,
        limited=True,
        armature=_ARMATURE,
        stiffness=[_STIFFNESS, 0, 0],
        damping=[_DAMPING + _LIMIT_DAMPING, 0, 0],
    )
