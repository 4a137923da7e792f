"""Extracting one policy a task, all as one population in a shared frozen world model.

An update draws stored observations of each member's task, imagines H steps from them and takes one actor step and the
critics' steps of `pwm_bench.pwm.policy`. The model is applied to all members' rows at once.
Source: Georgiev et al., "PWM: Policy Learning with Multi-Task World Models", ICLR 2025, algorithm 1, second part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from pwm_bench.learning.expert import Expert
from pwm_bench.learning.guards import MemberGuard
from pwm_bench.learning.learner import Counters
from pwm_bench.learning.optim import linear_schedule
from pwm_bench.learning.precision import autocast
from pwm_bench.learning.random import MemberStream
from pwm_bench.pwm.extraction.config import ExtractionConfig
from pwm_bench.pwm.policy import PolicyTrainer
from pwm_bench.world_model.multitask.frozen import TaskModel
from pwm_bench.world_model.multitask.networks import MultitaskModel

__all__ = ["Extractor", "StartStates"]

_BATCHES_AT_ONCE = 16  # start states are gathered for so many updates together


class StartStates(Protocol):
    """Where imagined rollouts start."""

    def __call__(self, stream: MemberStream, batch: int) -> Tensor:
        """Draws observations of each member's task, shape ``(P, batch, D)``, D at most the model's."""
        ...


class Extractor:
    """Trains the population.

    Args:
        model: the world model; it is never changed.
        experts: the members; their tasks are the model's.
        config: settings.
        starts: draws start states.

    Raises:
        UsageError: a task that the model does not know.
    """

    gradient_source: Literal["learned", "simulator", "score"] | None = "learned"
    watched = "imagined_return"
    """The metric to show while it trains."""

    def __init__(
        self, model: MultitaskModel, experts: Sequence[Expert], config: ExtractionConfig, *, starts: StartStates
    ) -> None:
        device = next(model.parameters()).device
        dtype = next(model.parameters()).dtype
        tasks = torch.tensor([model.config.task_index(expert.task) for expert in experts], device=device)
        seeds = [expert.stream_seed for expert in experts]
        self.experts = tuple(experts)
        self.config = config
        self.counters = Counters()
        self.model = TaskModel(
            model,
            tasks,
            precision=config.precision,
            symlog_rewards=config.symlog_rewards,
            mask_actions=config.mask_actions,
        )
        self.iteration = 0
        self._action_dim = model.config.action_dim
        self._dtype, self._device = dtype, device
        self._starts = starts
        self._guard = MemberGuard(len(experts), device)
        self._stream = MemberStream(seeds, device, name="extract")
        self._start_stream = MemberStream(seeds, name="extract/starts")
        self._ready: list[Tensor] = []
        self._policy = PolicyTrainer(
            config.policy_config(),
            self.model,
            self._action_dim,
            init=MemberStream(seeds, device, name="extract/init"),
            stream=self._stream,
            guard=self._guard,
            dtype=dtype,
            gamma=model.discounts[tasks] if config.discount == "task" else None,
            fused=True,
        )

    @property
    def alive(self) -> Tensor:
        """Members that have not diverged, bool ``(P,)``."""
        return self._guard.alive

    @property
    def policy(self) -> PolicyTrainer:
        """Actors and critics."""
        return self._policy

    @torch.no_grad()
    def act(self, obs: Tensor) -> Tensor:
        """Acts without noise: ``(P, B, D)`` to ``(P, B, action_dim)`` in [-1, 1], for any B."""
        with autocast(self.config.precision, obs.device):
            return self._policy.actor.deterministic(self.model.encode(obs.to(self._dtype)))

    def update(self) -> dict[str, Tensor]:
        """One actor step and the critics' steps of every member. Returns metrics, each shape ``(P,)``."""
        config = self.config
        progress = self.iteration / config.iterations
        actor, critic = (
            linear_schedule(start, config.final_learning_rate, progress)
            for start in (config.actor_learning_rate, config.critic_learning_rate)
        )
        self._policy.set_learning_rates(actor, critic)
        self.iteration += 1
        obs = self._next_starts()
        noise = self._stream.normal(config.horizon, config.batch_size, self._action_dim, dtype=self._dtype)
        metrics = self._policy.update(obs, noise, iteration=self.iteration)
        self.counters.gradient_steps += self._policy.gradient_steps
        self.counters.imagined_steps += config.batch_size * config.horizon
        return metrics

    def _next_starts(self) -> Tensor:
        """Start states of one update, shape ``(P, B, D)``."""
        if not self._ready:
            drawn = self._starts(self._start_stream, _BATCHES_AT_ONCE * self.config.batch_size)
            self._ready = list(drawn.to(self._device, self._dtype).split(self.config.batch_size, dim=1))
        return self._ready.pop(0)

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here, except the world model."""
        return {
            "policy": self._policy.state_dict(),
            "guard": self._guard.state_dict(),
            "stream": self._stream.state_dict(),
            "start_stream": self._start_stream.state_dict(),
            "ready": [batch.clone() for batch in self._ready],
            "counters": self.counters.state_dict(),
            "iteration": self.iteration,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` saved."""
        self._policy.load_state_dict(state["policy"])
        self._guard.load_state_dict(state["guard"])
        self._stream.load_state_dict(state["stream"])
        self._start_stream.load_state_dict(state["start_stream"])
        self._ready = [batch.to(self._device) for batch in state["ready"]]
        self.counters.load_state_dict(state["counters"])
        self.iteration = int(state["iteration"])
