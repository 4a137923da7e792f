"""What MJX (as used here) can't represent is refused by name, never ignored."""

from __future__ import annotations

import mujoco
import numpy as np
from mujoco.mjx._src import collision_driver

from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.simulator import check_override

__all__ = ["check_supported"]

# MJX 3.16 loads models with these and leaves them out: (field, kind of element, number of names per row, what it is).
_IGNORED = (
    ("actuator_armature", "actuator", "armature"),
    ("actuator_damping", "actuator", "damping"),
    ("actuator_dampingpoly", "actuator", "polynomial damping"),
    ("actuator_delay", "actuator", "delay"),
    ("jnt_stiffnesspoly", "joint", "polynomial stiffness"),
    ("dof_dampingpoly", "dof", "polynomial damping"),
    ("tendon_stiffnesspoly", "tendon", "polynomial stiffness"),
    ("tendon_dampingpoly", "tendon", "polynomial damping"),
    ("geom_fluid", "geom", "ellipsoid fluid model"),
    ("geom_gap", "geom", "gap"),
    ("geom_adhesion", "geom", "adhesion"),
    ("geom_surfacevel", "geom", "surface velocity"),
    ("pair_adhesion", "pair", "adhesion"),
)
# These it computes, but the state (qpos, qvel) or the adjoint here has no place for them.
_NO_PLACE = (("tendon_armature", "tendon", "armature"),)

_ROUND = {mujoco.mjtGeom.mjGEOM_CYLINDER, mujoco.mjtGeom.mjGEOM_ELLIPSOID}  # exact with a plane alone


def check_supported(model: mujoco.MjModel) -> None:
    """Refuses a model that this simulator can't represent.

    Raises:
        UsageError: naming the first such element.
    """
    if not model.nv:
        raise UsageError("the model has no joint, so nothing in it can move: give a body a joint or a freejoint")
    check_override(model)
    if model.opt.integrator != mujoco.mjtIntegrator.mjINT_EULER:
        name = mujoco.mjtIntegrator(model.opt.integrator).name
        raise UsageError(f"model integrator {name}: the MJX simulator integrates with Euler; set integrator='Euler'")
    if model.opt.noslip_iterations:
        raise UsageError(
            f"model noslip_iterations={model.opt.noslip_iterations}: MJX has no noslip solver; set it to 0"
        )
    if model.opt.disableactuator:
        raise UsageError(
            f"model option actuatorgroupdisable (groups {model.opt.disableactuator:#b}): MJX would not disable them; "
            "remove it, or use simulator 'mujoco_c'"
        )
    if model.nplugin:
        raise UsageError(f"model has {model.nplugin} plugin(s): MJX runs none; remove them")
    for index in np.flatnonzero(model.actuator_actnum):
        raise UsageError(
            f"{_name(model, 'actuator', int(index))} has activation dynamics: the state here is (qpos, qvel); "
            "use dyntype='none'"
        )
    for field, kind, what in _IGNORED + _NO_PLACE:
        for index in _nonzero_rows(getattr(model, field, np.zeros((0, 1)))):
            raise UsageError(
                f"{_name(model, kind, index)} has {what}: the MJX simulator does not support it; remove it"
            )
    _check_impedance(model)
    _check_margins(model)
    _check_contacts(model)


def _check_impedance(model: mujoco.MjModel) -> None:
    for field, kind in (
        ("geom_solimp", "geom"),
        ("jnt_solimp", "joint"),
        ("pair_solimp", "pair"),
        ("eq_solimp", "equality"),
        ("tendon_solimp_lim", "tendon"),
    ):
        power = getattr(model, field)[:, 4]
        for index in np.flatnonzero(power != np.round(power)):
            raise UsageError(
                f"{_name(model, kind, int(index))} has solimp power {power[index]}: its derivative in MJX is not "
                "finite in deep contact; use a whole number"
            )


def _check_margins(model: mujoco.MjModel) -> None:
    """MJX makes one constraint of a joint's (or tendon's) two limits: that of the nearer one."""
    for kind, limited in (("joint", model.jnt_limited), ("tendon", model.tendon_limited)):
        margin, bounds = (getattr(model, f"{'jnt' if kind == 'joint' else kind}_{x}") for x in ("margin", "range"))
        for index in np.flatnonzero(limited):
            low, high = bounds[index]
            if 2.0 * margin[index] > high - low:
                raise UsageError(
                    f"{_name(model, kind, int(index))} has a limit margin of {margin[index]:g}, more than half its "
                    f"range: MJX holds one limit at a time; use at most {0.5 * (high - low):g}"
                )


def _check_contacts(model: mujoco.MjModel) -> None:
    if model.opt.disableflags & (mujoco.mjtDisableBit.mjDSBL_CONTACT | mujoco.mjtDisableBit.mjDSBL_CONSTRAINT):
        return
    for geom1, geom2, pair in collision_driver.geom_pairs(model):
        kinds = [mujoco.mjtGeom(model.geom_type[g]) for g in (geom1, geom2)]
        names = (
            f"{_name(model, 'geom', geom1)} ({_short(kinds[0])}) and {_name(model, 'geom', geom2)} ({_short(kinds[1])})"
        )
        if not collision_driver.has_collision_fn(*kinds):
            raise UsageError(f"{names} can collide: MJX has no contact between them; exclude the pair")
        if _ROUND & set(kinds) and mujoco.mjtGeom.mjGEOM_PLANE not in kinds:
            raise UsageError(
                f"{names} can collide: MJX searches for their contact in a few steps, which is off by millimetres and "
                "has no finite derivative; exclude the pair, or use capsules or boxes"
            )
        dim = model.pair_dim[pair] if pair >= 0 else _condim(model, geom1, geom2)
        if dim == 1 and model.opt.cone == mujoco.mjtCone.mjCONE_ELLIPTIC:
            raise UsageError(f"{names} have condim 1: MJX has it for cone='pyramidal' only")


def _condim(model: mujoco.MjModel, geom1: int, geom2: int) -> int:
    first, second = model.geom_priority[geom1], model.geom_priority[geom2]
    if first != second:
        return model.geom_condim[geom1 if first > second else geom2]
    return max(model.geom_condim[geom1], model.geom_condim[geom2])


def _nonzero_rows(field: np.ndarray) -> np.ndarray:
    return np.unique(np.nonzero(field)[0])


def _short(kind: mujoco.mjtGeom) -> str:
    return kind.name.removeprefix("mjGEOM_").lower()


_OBJECTS = {
    "actuator": mujoco.mjtObj.mjOBJ_ACTUATOR,
    "equality": mujoco.mjtObj.mjOBJ_EQUALITY,
    "geom": mujoco.mjtObj.mjOBJ_GEOM,
    "joint": mujoco.mjtObj.mjOBJ_JOINT,
    "pair": mujoco.mjtObj.mjOBJ_PAIR,
    "tendon": mujoco.mjtObj.mjOBJ_TENDON,
}


def _name(model: mujoco.MjModel, kind: str, index: int) -> str:
    if kind == "dof":
        kind, index = "joint", model.dof_jntid[index]
    name = mujoco.mj_id2name(model, _OBJECTS[kind], int(index))
    return f"{kind} '{name}'" if name else f"{kind} {index}"
