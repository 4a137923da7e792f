"""A tiny learner for tests of the runner: a linear policy, gradients through the toy simulator, faults on request."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from pwm_bench.envs import random
from pwm_bench.envs.api import DifferentiableEnv
from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.learner import Counters

gradient_source = "simulator"
cpu_threads = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Inner:
    """A nested config."""

    width: int = 3
    """Unused."""
    sizes: tuple[int, ...] = (4, 4)
    """Unused."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Settings of the fake."""

    num_envs: int = 4
    """Worlds per member."""
    horizon: int = 5
    """Steps per iteration."""
    learning_rate: float = 0.02
    """Step size."""
    momentum: float = 0.5
    """Of the gradient."""
    inner: Inner = Inner()
    """Nested."""
    fault: Literal["none", "raise", "memory", "hog", "nan", "diverge", "diverge_all", "kill"] = "none"
    """What goes wrong. ``hog`` really takes memory, up to 4 GB; ``nan`` makes the last member's return not a number."""
    fault_iteration: int = 3
    """When."""
    nap: float = 0.0
    """Seconds that each iteration sleeps."""

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise UsageError(f"learning_rate={self.learning_rate}: must be positive")

    @property
    def scheduled(self) -> bool:
        """No schedule."""
        return False


def recipe(task: str, simulator: str, preset: str = "cpu") -> Config:
    """Defaults."""
    return Config()


class Learner:
    """Gradient ascent on the mean return over a short horizon, with a momentum and noise worth restoring."""

    policy = None

    def __init__(self, env: DifferentiableEnv, config: Config, *, seeds: Sequence[int], total_env_steps: int) -> None:
        self.env, self.config, self.members = env, config, len(seeds)
        self.counters = Counters()
        self.alive = torch.ones(self.members, dtype=torch.bool)
        self.keys = random.seed_keys(seeds)
        self.iteration = 0
        self.weight = 0.1 * random.normal(self.keys, env.observation_dim * env.action_dim)
        self.weight = self.weight.view(self.members, env.observation_dim, env.action_dim)
        self.velocity = torch.zeros_like(self.weight)

    def update(self) -> dict[str, Tensor]:
        self.iteration += 1
        self._misbehave()
        time.sleep(self.config.nap)
        weight = self.weight.clone().requires_grad_()
        obs = self.env.detach().view(self.members, self.config.num_envs, -1)
        total = torch.zeros(self.members)
        for step in range(self.config.horizon):
            keys = random.fold(random.fold(self.keys, self.iteration), step)
            noise = 0.1 * random.normal(keys, self.config.num_envs * self.env.action_dim)
            action = torch.tanh(obs @ weight) + noise.view(self.members, self.config.num_envs, -1)
            result = self.env.step(action.reshape(self.env.num_envs, -1))
            total = total + result.reward.view(self.members, -1).mean(1)
            obs = result.obs.view(self.members, self.config.num_envs, -1)
        if self.config.fault == "nan" and self.iteration >= self.config.fault_iteration:
            total = total / torch.tensor([1.0] * (self.members - 1) + [0.0]) * 0.0 + total
        (gradient,) = torch.autograd.grad(total.sum(), weight)
        self.alive &= torch.isfinite(gradient).flatten(1).all(1)
        gradient = torch.where(self.alive.view(-1, 1, 1), gradient, 0.0)
        self.velocity = self.config.momentum * self.velocity + gradient
        self.weight = self.weight + self.config.learning_rate * self.velocity * self.alive.view(-1, 1, 1)
        self.counters.env_steps += self.config.horizon * self.config.num_envs
        self.counters.gradient_steps += 1
        self.counters.policy_gradient_steps += 1
        return {"episode_return": total.detach(), "actor_grad_norm": gradient.flatten(1).norm(dim=1)}

    def act(self, obs: Tensor) -> Tensor:
        return torch.tanh(obs @ self.weight)

    def state_dict(self) -> dict[str, Any]:
        return {
            "weight": self.weight,
            "velocity": self.velocity,
            "alive": self.alive,
            "iteration": self.iteration,
            "counters": self.counters.state_dict(),
            "env": self.env.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.weight, self.velocity, self.alive = (state[name].clone() for name in ("weight", "velocity", "alive"))
        self.iteration = state["iteration"]
        self.counters.load_state_dict(state["counters"])
        self.env.load_state_dict(state["env"])

    def _misbehave(self) -> None:
        if self.iteration != self.config.fault_iteration:
            return
        if self.config.fault == "raise":
            raise RuntimeError("the fake was told to fail")
        if self.config.fault == "memory":
            raise MemoryError("the fake was told to run out of memory")
        if self.config.fault == "hog":
            hoard = [torch.ones(2**26) for _ in range(16)]
            raise RuntimeError(f"nothing stopped it from taking {len(hoard)} times 256 MB")
        if self.config.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.config.fault == "diverge":
            self.alive[-1] = False
        if self.config.fault == "diverge_all":
            self.alive[:] = False
