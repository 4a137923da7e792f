"""Refuses, by name, what a model has and the Warp simulator can't represent."""

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import numpy as np

from pwm_bench.envs.contact import CompliantLimit
from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.envs.integrator import Integrator
from pwm_bench.envs.simulator import check_override

__all__ = ["check_integrator", "check_limit", "check_supported"]

_HELP = "remove it from the MJCF or use simulator 'mjx' or 'mujoco_c'"


def check_supported(model: mujoco.MjModel) -> None:
    """Checks a model.

    Raises:
        UsageError: naming the first element that the simulator would have to ignore.
    """
    if not model.nv:
        raise UsageError("the model has no joint, so nothing in it can move: give a body a joint or a freejoint")
    check_override(model)
    for element, count in (
        ("equality", model.neq),
        ("flex", model.nflex),
        ("plugin", model.nplugin),
        ("contact pair", model.npair),
        ("mocap body", model.nmocap),
    ):
        if count:
            raise _refusal(f"{count} {element} element(s)")
    if model.opt.integrator != int(mujoco.mjtIntegrator.mjINT_EULER):
        raise UsageError("the Warp simulator integrates with semi-implicit Euler: set integrator='Euler' in the MJCF")
    for name, value in (("viscosity", model.opt.viscosity), ("density", model.opt.density)):
        if value:
            raise _refusal(f"option {name}={value} (fluid forces)")
    if np.any(model.body_gravcomp):
        raise _refusal(f"gravcomp on body '{_name(model, 'body', np.flatnonzero(model.body_gravcomp)[0])}'")
    for what, field in (("adhesion", "geom_adhesion"), ("a surface velocity", "geom_surfacevel")):
        for geom, value in enumerate(getattr(model, field, ())):
            if np.any(value):
                raise _refusal(f"{what} of geom '{_name(model, 'geom', geom)}'")
    if model.opt.disableactuator:
        raise _refusal(f"option actuatorgroupdisable (groups {model.opt.disableactuator:#b})")
    _check_joints(model)
    _check_tendons(model)
    _check_actuators(model)


def check_integrator(model: mujoco.MjModel, integrator: Integrator) -> None:
    """Checks a model for an integrator.

    Raises:
        UsageError: naming a free joint whose armature or damping has no meaning for a twist about a point of the world.
    """
    if integrator.rotation != "linear":
        return
    for j in np.flatnonzero(model.jnt_type == int(mujoco.mjtJoint.mjJNT_FREE)):
        dofs = slice(model.jnt_dofadr[j], model.jnt_dofadr[j] + 6)
        name = _name(model, "joint", int(j))
        for what, values in (("armature", model.dof_armature), ("damping", model.dof_damping)):
            if np.any(values[dofs]):
                raise UsageError(
                    f"{what} on free joint '{name}': with integrator.rotation='linear' it moves as a twist about a "
                    "point of the world; remove it or use rotation='exponential'"
                )


def check_limit(model: mujoco.MjModel, limit: CompliantLimit) -> None:
    """Checks the joints that have a limit's stiffness of their own.

    Raises:
        UsageError: the model has no joint of such a name.
    """
    if isinstance(limit.stiffness, Mapping):
        joints = [model.joint(j).name for j in range(model.njnt)]
        for name in limit.stiffness:
            if name not in joints:
                raise unknown("joint in limit.stiffness", name, joints)


def _check_joints(model: mujoco.MjModel) -> None:
    free, ball = int(mujoco.mjtJoint.mjJNT_FREE), int(mujoco.mjtJoint.mjJNT_BALL)
    for j in range(model.njnt):
        name = f"joint '{_name(model, 'joint', j)}'"
        rotational = model.jnt_type[j] in (free, ball)
        stiffness = model.jnt_stiffness.reshape(model.njnt, -1)[j]
        dof = model.jnt_dofadr[j]
        width = {free: 6, ball: 3}.get(int(model.jnt_type[j]), 1)
        if np.any(model.dof_frictionloss[dof : dof + width]):
            raise _refusal(f"frictionloss on {name}")
        if rotational and model.jnt_limited[j]:
            raise _refusal(f"a limit on ball {name}")
        if model.jnt_type[j] == free and np.any(stiffness):
            raise _refusal(f"stiffness on free {name}")
        for what, values in (
            ("stiffness", stiffness[None]),
            ("damping", model.dof_damping.reshape(model.nv, -1)[dof : dof + width]),
        ):
            if np.any(values[:, 1:]):
                raise _refusal(f"nonlinear {what} on {name}")
        if model.jnt_margin[j]:
            raise _refusal(f"a limit margin on {name}")


def _check_tendons(model: mujoco.MjModel) -> None:
    site = int(mujoco.mjtWrap.mjWRAP_SITE)
    kinds = {
        int(mujoco.mjtWrap.mjWRAP_JOINT): "is fixed (a sum of joint positions); put motors on the joints",
        int(mujoco.mjtWrap.mjWRAP_PULLEY): "runs over a pulley; make each branch a tendon with an actuator of its own",
        int(mujoco.mjtWrap.mjWRAP_SPHERE): "wraps around a geom; lead it through more sites",
        int(mujoco.mjtWrap.mjWRAP_CYLINDER): "wraps around a geom; lead it through more sites",
    }
    for t in range(model.ntendon):
        name = f"tendon '{_name(model, 'tendon', t)}'"
        parts = model.wrap_type[model.tendon_adr[t] : model.tendon_adr[t] + model.tendon_num[t]]
        for part in parts[parts != site]:
            raise UsageError(f"the Warp simulator takes tendons through sites only: {name} {kinds[int(part)]}")
        for what, field in (
            ("stiffness", "tendon_stiffness"),
            ("nonlinear stiffness", "tendon_stiffnesspoly"),
            ("damping", "tendon_damping"),
            ("nonlinear damping", "tendon_dampingpoly"),
            ("frictionloss", "tendon_frictionloss"),
            ("armature", "tendon_armature"),
            ("a limit", "tendon_limited"),
            ("an actuator force range", "tendon_actfrclimited"),
        ):
            if model.ntendon and np.any(getattr(model, field, np.zeros(model.ntendon))[t]):
                raise _refusal(f"{what} on {name}")


def _check_actuators(model: mujoco.MjModel) -> None:
    scalar = (int(mujoco.mjtJoint.mjJNT_SLIDE), int(mujoco.mjtJoint.mjJNT_HINGE))
    joint_transmission = (int(mujoco.mjtTrn.mjTRN_JOINT), int(mujoco.mjtTrn.mjTRN_JOINTINPARENT))
    motor = (int(mujoco.mjtGain.mjGAIN_FIXED), int(mujoco.mjtBias.mjBIAS_NONE))
    muscle_gain, muscle_bias = int(mujoco.mjtGain.mjGAIN_MUSCLE), int(mujoco.mjtBias.mjBIAS_MUSCLE)
    actuators = len(model.actuator_trntype)  # more than controls where one has none
    for u in range(actuators):
        name = f"actuator '{_name(model, 'actuator', u)}'"
        kind = (int(model.actuator_gaintype[u]), int(model.actuator_biastype[u]))
        on_joint = (
            model.actuator_trntype[u] in joint_transmission and model.jnt_type[model.actuator_trnid[u, 0]] in scalar
        )
        on_tendon = model.actuator_trntype[u] == int(mujoco.mjtTrn.mjTRN_TENDON)
        if model.actuator_actnum[u] or model.actuator_dyntype[u] != int(mujoco.mjtDyn.mjDYN_NONE):
            raise UsageError(
                f"{name} has activation dynamics, and the state is (qpos, qvel): "
                "use dyntype='none', which makes the control the activation"
            )
        if not (on_joint or on_tendon):
            raise _refusal(f"{name}, which acts on neither a slide or hinge joint nor a tendon")
        if on_joint and kind != motor:
            raise _refusal(f"{name}, which is not a motor (fixed gain, no bias)")
        if on_tendon and (kind[0] not in (motor[0], muscle_gain) or kind[1] not in (motor[1], muscle_bias)):
            raise _refusal(f"{name}, which is neither a muscle nor a motor (fixed gain, no bias)")
        if model.actuator_forcelimited[u]:
            raise _refusal(f"a force range on {name} (limit its control range instead)")
        for what in ("armature", "damping", "dampingpoly", "delay"):
            if np.any(getattr(model, f"actuator_{what}", np.zeros(actuators))[u]):
                raise _refusal(f"{what} on {name}")
    if model.njnt and np.any(model.jnt_actfrclimited):
        joint = _name(model, "joint", np.flatnonzero(model.jnt_actfrclimited)[0])
        raise _refusal(f"an actuator force range on joint '{joint}'")


def _name(model: mujoco.MjModel, kind: str, index: int) -> str:
    return getattr(model, kind)(int(index)).name or f"#{index}"


def _refusal(what: str) -> UsageError:
    return UsageError(f"the Warp simulator can't represent {what}: {_HELP}")
