"""One member of TD-MPC2: its model, its trainer, and the planner that acts."""

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
    """A model of one task, with its trainer and a planner for one world.

    Args:
        config: settings.
        sizes: configuration of the model.
        seed: seed of the member.
        device: device of model and random numbers.
    """

    def __init__(self, config: Config, sizes: ModelConfig, *, seed: int, device: torch.device) -> None:
        self._config, self._seed, self._device = config, seed, device
        self.model = MultitaskModel(sizes, seed=seed, device=device)
        self.trainer = Pretrainer(self.model, config.training, seed=seed)
        self._guide, self.planner = self.plan_for(1, "acting")
        self._task = torch.zeros(config.training.batch_size, dtype=torch.int64, device=device)

    def plan_for(self, worlds: int, name: str) -> tuple[PriorGuide, Planner]:
        """Makes a planner for W worlds whose episodes begin together, and the policy and value that it uses.

        Args:
            worlds: W.
            name: name of the random stream; planners of the same name draw the same numbers.
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
        """Takes one update of the model, the policy prior and the target Q functions; see `Pretrainer.compute`.

        Args:
            obs: o_0..o_H, shape ``(S, H + 1, D)``.
            action: shape ``(S, H, A)``.
            reward: shape ``(S, H)``.
            terminated: bool ``(S, H)``; only looked at if episodes may end for good.
            alive: boolean scalar; where it is false nothing changes.

        Returns:
            metrics, scalars.
        """
        ends = terminated if self._config.episodic else None
        return self.trainer.compute(obs, action, reward, self._task, terminated=ends, alive=alive)

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimisers, plan and random numbers."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` saved."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        """The parts that have a state, by name."""
        return {"model": self.model, "trainer": self.trainer, "planner": self.planner, "guide": self._guide}
