"""Refuses, by name, what a model has and the Warp simulator can't represent."""

from __future__ import annotations

import mujoco
import numpy as np

from envs.errors import UsageError

__all__ = ["check_supported"]

_HELP = "remove it from the MJCF or use simulator 'mjx' or 'mujoco_c'"


def check_supported(model: mujoco.MjModel) -> None:
    """Checks a model.

    Raises:
        UsageError: naming the first element that the simulator would have to ignore.
    """
    for element, count in (
        ("equality", model.neq),
        ("tendon", model.ntendon),
        ("flex", model.nflex),
        ("plugin", model.nplugin),
        ("contact pair", model.npair),
        ("mocap body", model.nmocap),
        ("actuator activation", model.na),
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
    _check_joints(model)
    _check_actuators(model)


def _check_joints(model: mujoco.MjModel) -> None:
    free, ball = int(mujoco.mjtJoint.mjJNT_FREE), int(mujoco.mjtJoint.mjJNT_BALL)
    for j in range(model.njnt):
        name = f"joint '{_name(model, 'joint', j)}'"
        rotational = model.jnt_type[j] in (free, ball)
        dof = model.jnt_dofadr[j]
        width = {free: 6, ball: 3}.get(int(model.jnt_type[j]), 1)
        if np.any(model.dof_frictionloss[dof : dof + width]):
            raise _refusal(f"frictionloss on {name}")
        if rotational and model.jnt_limited[j]:
            raise _refusal(f"a limit on ball {name}")
        if rotational and np.any(model.jnt_stiffness.reshape(model.njnt, -1)[j]):
            raise _refusal(f"stiffness on free or ball {name}")
        for what, values in (
            ("stiffness", model.jnt_stiffness.reshape(model.njnt, -1)[j : j + 1]),
            ("damping", model.dof_damping.reshape(model.nv, -1)[dof : dof + width]),
        ):
            if np.any(values[:, 1:]):
                raise _refusal(f"nonlinear {what} on {name}")
        if model.jnt_margin[j]:
            raise _refusal(f"a limit margin on {name}")


def _check_actuators(model: mujoco.MjModel) -> None:
    scalar = (int(mujoco.mjtJoint.mjJNT_SLIDE), int(mujoco.mjtJoint.mjJNT_HINGE))
    joint_transmission = (int(mujoco.mjtTrn.mjTRN_JOINT), int(mujoco.mjtTrn.mjTRN_JOINTINPARENT))
    for u in range(model.nu):
        name = f"actuator '{_name(model, 'actuator', u)}'"
        if (
            model.actuator_trntype[u] not in joint_transmission
            or model.jnt_type[model.actuator_trnid[u, 0]] not in scalar
        ):
            raise _refusal(f"{name}, which does not act on a slide or hinge joint")
        if model.actuator_gaintype[u] != int(mujoco.mjtGain.mjGAIN_FIXED) or model.actuator_biastype[u] != int(
            mujoco.mjtBias.mjBIAS_NONE
        ):
            raise _refusal(f"{name}, which is not a motor (fixed gain, no bias)")
        if model.actuator_forcelimited[u]:
            raise _refusal(f"a force range on {name} (limit its control range instead)")
    if model.njnt and np.any(model.jnt_actfrclimited):
        joint = _name(model, "joint", np.flatnonzero(model.jnt_actfrclimited)[0])
        raise _refusal(f"an actuator force range on joint '{joint}'")


def _name(model: mujoco.MjModel, kind: str, index: int) -> str:
    return getattr(model, kind)(int(index)).name or f"#{index}"


def _refusal(what: str) -> UsageError:
    return UsageError(f"the Warp simulator can't represent {what}: {_HELP}")
