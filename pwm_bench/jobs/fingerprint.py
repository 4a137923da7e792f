"""A task's fingerprint: equal for two runs exactly if they were about the same problem."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

import mujoco
import numpy as np
import torch

from pwm_bench.envs import random
from pwm_bench.envs.api import DifferentiableEnv
from pwm_bench.envs.simulator import State

__all__ = ["task_hash"]

_MODEL_FIELDS = (
    "body_parentid", "body_pos", "body_quat", "body_mass", "body_inertia", "body_ipos", "body_iquat",
    "jnt_type", "jnt_pos", "jnt_axis", "jnt_range", "jnt_limited", "jnt_stiffness", "qpos0", "qpos_spring",
    "dof_armature", "dof_damping", "geom_type", "geom_size", "geom_pos", "geom_quat", "geom_friction",
    "geom_contype", "geom_conaffinity", "actuator_gear", "actuator_ctrlrange", "actuator_ctrllimited",
)  # fmt: skip
# MuJoCo's soft constraints, by the values that MuJoCo gives where a model says nothing. Only what differs is hashed (so
# that hashes from before they were read stay), and only where the simulator reads it.
_CONSTRAINT_FIELDS = {
    "geom_solref": (0.02, 1.0), "geom_solimp": (0.9, 0.95, 0.001, 0.5, 2.0),
    "jnt_solref": (0.02, 1.0), "jnt_solimp": (0.9, 0.95, 0.001, 0.5, 2.0),
}  # fmt: skip
_STATES = 16  # states at which the task's functions are compared


def task_hash(env: DifferentiableEnv) -> str:
    """Hashes what defines the problem: model, constants, and the task's functions at fixed random states.

    The functions are compared by their values (in float64, to 9 significant digits), so that rewording or moving
    code does not change the hash but changing a coefficient does. Device, number of worlds and seeds don't enter.

    Returns:
        12 hexadecimal digits.
    """
    task, simulator, model = env.task, env.simulator, env.simulator.model
    noise = 2.0 * random.uniform(random.seed_keys(range(_STATES)), task.noise_dim, torch.float64) - 1.0
    start = task.reset_state(noise)
    keys = random.seed_keys(range(_STATES, 2 * _STATES))
    spread = State(
        start.qpos + 0.3 * random.normal(keys, start.qpos.shape[1], torch.float64),
        start.qvel + random.normal(random.fold(keys, 1), start.qvel.shape[1], torch.float64),
    )
    action = 2.0 * random.uniform(random.fold(keys, 2), task.action_dim, torch.float64) - 1.0
    observation = task.observation(spread, action)
    soft = {} if simulator.capabilities.task_constants else _constraints(model)
    content: dict[str, Any] = {
        "name": task.name,
        "simulator": simulator.name,
        "substeps": simulator.substeps,
        "timestep": _rounded(simulator.timestep),
        "episode_length": env.episode_length,
        "model": {name: _rounded(getattr(model, name)) for name in _MODEL_FIELDS},
        "gravity": _rounded(model.opt.gravity),
        "constants": {name: dataclasses.asdict(getattr(task, name)) for name in ("contact", "limit")},
        "start": [_rounded(start.qpos), _rounded(start.qvel)],
        "observation": _rounded(observation),
        "reward": _rounded(task.reward(observation, action)),
        "terminated": task.terminated(observation).tolist(),
        "control": _rounded(task.control(action)),
        **({"constraints": soft} if soft else {}),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def _constraints(model: mujoco.MjModel) -> dict[str, Any]:
    """Fields of the soft constraints that differ from MuJoCo's defaults anywhere."""
    fields = {name: getattr(model, name) for name in _CONSTRAINT_FIELDS}
    return {name: _rounded(x) for name, x in fields.items() if not np.allclose(x, _CONSTRAINT_FIELDS[name], atol=1e-12)}


def _rounded(values: Any) -> Any:
    array = np.asarray(values.numpy(force=True) if isinstance(values, torch.Tensor) else values, dtype=np.float64)
    return [f"{value:.9g}" for value in array.reshape(-1) + 0.0]  # + 0.0 makes -0 and 0 one value
