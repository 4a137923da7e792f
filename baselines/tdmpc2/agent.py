"""One member of TD-MPC2: its model, what trains it, and the planner that acts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pwm_bench.baselines.tdmpc2.config import Config
from pwm_bench.baselines.tdmpc2.view import LearningView
from pwm_bench.learning.random import MemberStream
from pwm_bench.world_model.multitask.config import ModelConfig
from pwm_bench.world_model.multitask.networks import MultitaskModel
from pwm_bench.world_model.multitask.planner import Planner, PriorGuide
from pwm_bench.world_model.multitask.training import Pretrainer

__all__ = ["Agent"]


class Agent:
    """A model of one task and what acts by it in one world.

    Args:
        config: settings.
        sizes: of the model.
        seed: the member's.
        device: of everything.
    """

    def __init__(self, config: Config, sizes: ModelConfig, *, seed: int, device: torch.device) -> None:
        self._config, self._seed, self._device = config, seed, device
        self.model = MultitaskModel(sizes, seed=seed, device=device)
        self.trainer = Pretrainer(self.model, config.training, seed=seed)
        self._guide, self.planner = self.plan_for(1, "acting")
        self._task = torch.zeros(config.training.batch_size, dtype=torch.int64, device=device)

    def plan_for(self, worlds: int, name: str) -> tuple[PriorGuide, Planner]:
        """A planner for so many worlds whose episodes begin together.

        Args:
            worlds: W.
            name: of its random numbers, which are the same for the same name.
        """
        tasks = torch.zeros(worlds, dtype=torch.int64, device=self._device)
        precision = self._config.precision
        guide = PriorGuide(self.model, tasks, seed=self._seed, precision=precision)
        stream = MemberStream([self._seed], self._device, name=f"tdmpc2/{name}").split(worlds)
        view = LearningView(self.model, tasks, precision)
        return guide, Planner(self.model, tasks, guide, self._config.planner, stream=stream, view=view)

    def choose(self, *, plans: int, updates: int) -> None:
        """Chooses on the host the Q functions of the next plans and updates."""
        if plans:
            self.planner.choose(plans)
        if updates:
            self.trainer.choose(updates)

    def learn(
        self, obs: Tensor, action: Tensor, reward: Tensor, terminated: Tensor, alive: Tensor
    ) -> dict[str, Tensor]:
        """One update of the model, of the policy prior and of the target Q functions; see `Pretrainer.compute`.

        Args:
            obs: o_0..o_H, shape ``(S, H + 1, D)``.
            action: shape ``(S, H, A)``.
            reward: shape ``(S, H)``.
            terminated: bool ``(S, H)``; only looked at if episodes may end for good.
            alive: boolean scalar; where it is false nothing changes.
        """
        ends = terminated if self._config.episodic else None
        return self.trainer.compute(obs, action, reward, self._task, terminated=ends, alive=alive)

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimisers, plan and random numbers."""
        parts: dict[str, Any] = {"model": self.model, "trainer": self.trainer, "planner": self.planner}
        parts["guide"] = self._guide
        return {name: part.state_dict() for name, part in parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` saved."""
        for name, part in (("model", self.model), ("trainer", self.trainer), ("planner", self.planner)):
            part.load_state_dict(state[name])
        self._guide.load_state_dict(state["guide"])
