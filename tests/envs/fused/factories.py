"""A stand-in for a simulator, smooth and of any task's sizes, that computes on any device."""

from __future__ import annotations

from typing import Any

import torch

from pwm_bench.envs.api import DifferentiableEnv
from pwm_bench.envs.capability import Capabilities
from pwm_bench.envs.simulator import State
from pwm_bench.envs.tasks.base import Task


class Push:
    """Moves states by some smooth function of state and control; world 1 is lost in the third step."""

    capabilities = Capabilities(name="push", contact="none", package="torch", stable_timestep=0.1)
    name = "push"
    substeps = 1
    timestep = 0.1
    differentiable = True
    compile_seconds = 0.0

    def __init__(self, task: Task, num_worlds: int, dtype: torch.dtype, device: Any = "cpu", lost: int = 3) -> None:
        self.num_worlds, self.dtype, self.device, self.lost, self.steps = (
            num_worlds,
            dtype,
            torch.device(device),
            lost,
            0,
        )
        self.model = task.model()
        fresh = task.reset_state(torch.zeros(1, task.noise_dim) + 0.1)
        controls = task.control(torch.zeros(1, task.action_dim)).shape[1]
        generator = torch.Generator().manual_seed(0)
        self.push, self.turn = (
            torch.randn(size, generator=generator).to(device, dtype)
            for size in ((controls, fresh.qvel.shape[1]), (fresh.qvel.shape[1], fresh.qpos.shape[1]))
        )
        self.second = torch.arange(num_worlds).eq(1).unsqueeze(1).to(device)

    def step(self, state: State, ctrl: torch.Tensor) -> State:
        self.steps += 1
        qvel = state.qvel + 0.3 * torch.tanh(ctrl @ self.push)
        qpos = state.qpos + 0.1 * torch.tanh(qvel @ self.turn)
        if self.steps == self.lost:
            qpos = torch.where(self.second, torch.nan, qpos)
        return State(qpos, qvel)


def push_env(task: Task, fused: bool | None, dtype: torch.dtype = torch.float64, device: Any = "cpu", **options: Any):
    """Six worlds of two members, episodes of five steps."""
    simulator: Any = Push(task, 6, dtype, device, **options)
    return DifferentiableEnv(task, simulator, seeds=(3, 4), episode_length=5, fused=fused)
