"""Equal starts and actions for every simulator, and when MuJoCo's constraints begin to act on them."""

from __future__ import annotations

import mujoco
import numpy as np
import torch
from torch import Tensor

from pwm_bench.envs import random
from pwm_bench.envs.simulator import Simulator, State, model_at_timestep
from pwm_bench.envs.tasks.base import Task

__all__ = ["draw_actions", "first_constraint", "in_the_air", "placed", "roll", "start_states"]

_LIFT = 100.0  # [m]
_MARGIN = 0.25  # of a joint's range, kept free at either end


def start_states(task: Task, worlds: int, seed: int) -> State:
    """Reset states, float64 on the CPU."""
    keys = random.fold(random.seed_keys([seed]), torch.arange(worlds))
    return task.reset_state(2.0 * random.uniform(keys, task.noise_dim, torch.float64) - 1.0)


def draw_actions(task: Task, steps: int, worlds: int, seed: int, scale: float) -> Tensor:
    """Uniform actions in [-scale, scale], float64, shape ``(steps, worlds, action_dim)``."""
    keys = random.fold(random.fold(random.seed_keys([seed]), 1), torch.arange(steps * worlds))
    uniform = 2.0 * random.uniform(keys, task.action_dim, torch.float64) - 1.0
    return scale * uniform.view(steps, worlds, task.action_dim)


def in_the_air(model: mujoco.MjModel, state: State) -> State:
    """The same states far above the ground, with every joint well inside its range."""
    qpos = state.qpos.clone()
    for j in range(model.njnt):
        kind, address, axis = model.jnt_type[j], model.jnt_qposadr[j], model.jnt_axis[j]
        if model.jnt_limited[j]:
            low, high = model.jnt_range[j]
            margin = _MARGIN * (high - low)
            qpos[:, address] = qpos[:, address].clamp(low + margin, high - margin)
        elif model.body_parentid[model.jnt_bodyid[j]] == 0:
            if kind == mujoco.mjtJoint.mjJNT_FREE:
                qpos[:, address + 2] += _LIFT
            elif kind == mujoco.mjtJoint.mjJNT_SLIDE and abs(axis[2]) > 0.999:
                qpos[:, address] += _LIFT * float(np.sign(axis[2]))
    return State(qpos, state.qvel)


@torch.no_grad()
def roll(simulator: Simulator, task: Task, start: State, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Steps a simulator without resets.

    Args:
        simulator: steps N worlds.
        task: gives controls, observations and rewards.
        start: N states.
        actions: ``(T, N, action_dim)``.

    Returns:
        Positions ``(T + 1, N, nq)``, velocities ``(T + 1, N, nv)`` and rewards ``(T, N)``, on the CPU.
    """
    state, actions = placed(simulator, start), actions.to(simulator.device, simulator.dtype)
    states, rewards = [state], []
    obs = task.observation(state, torch.zeros_like(actions[0]))
    for action in actions:
        rewards.append(task.reward(obs, action))
        state = simulator.step(state, task.control(action))
        obs = task.observation(state, action)
        states.append(state)
    qpos, qvel = (torch.stack([getattr(s, name) for s in states]).cpu() for name in ("qpos", "qvel"))
    return qpos, qvel, torch.stack(rewards).cpu()


def placed(simulator: Simulator, state: State) -> State:
    """A state in the simulator's type and on its device."""
    return State(*(part.to(simulator.device, simulator.dtype) for part in (state.qpos, state.qvel)))


def first_constraint(
    model: mujoco.MjModel, timestep: float, substeps: int, start: State, controls: Tensor
) -> np.ndarray:
    """How many control steps MuJoCo C takes in each world before a contact or limit is active.

    Args:
        model: compiled model.
        timestep: of a substep [s].
        substeps: in a control step.
        start: N states.
        controls: ``(T, N, nu)``.

    Returns:
        Whole numbers from 0 to T, shape ``(N,)``: the states up to that one are free of constraints.
    """
    model = model_at_timestep(model, timestep, substeps, 1)
    data = mujoco.MjData(model)
    steps = np.full(len(start.qpos), len(controls))
    for world in range(len(steps)):
        mujoco.mj_resetData(model, data)
        data.qpos, data.qvel = start.qpos[world].numpy(), start.qvel[world].numpy()
        for t, control in enumerate(controls[:, world].numpy()):
            data.ctrl = control
            active = False
            for _ in range(substeps):
                mujoco.mj_step(model, data)
                active |= data.nefc > 0
            if active:
                steps[world] = t
                break
    return steps
