"""Extracting one policy a task, all as one population in a shared frozen world model.

An update draws stored observations of each member's task, imagines H steps from them and takes one actor step and the
critics' steps of `pwm_bench.pwm.policy_training`. The model is applied to all members' rows at once.
Source: Georgiev et al., "PWM: Policy Learning with Multi-Task World Models", ICLR 2025, algorithm 1, second part.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.choices import GradientSource
from pwm_bench.learning.expert import Expert
from pwm_bench.learning.guards import MemberGuard
from pwm_bench.learning.imitation import imitation_loss
from pwm_bench.learning.learner import Counters
from pwm_bench.learning.optim import linear_schedule
from pwm_bench.learning.precision import autocast
from pwm_bench.learning.prefetch import Prefetch
from pwm_bench.learning.random import MemberStream
from pwm_bench.learning.staged import StagedLearner
from pwm_bench.pwm.extraction.config import ExtractionConfig
from pwm_bench.pwm.policy_training import PolicyTrainer
from pwm_bench.world_model.multitask.frozen import TaskModel
from pwm_bench.world_model.multitask.networks import MultitaskModel

__all__ = ["Examples", "Extractor", "StartStates"]


class StartStates(Protocol):
    """Where imagined rollouts start."""

    def __call__(self, stream: MemberStream, batch: int) -> Tensor:
        """Draws observations of each member's task, shape ``(P, batch, D)``, D at most the model's."""
        ...


class Examples(Protocol):
    """What is imitated, where that is asked for."""

    def __call__(self, stream: MemberStream, batch: int) -> tuple[Tensor, Tensor]:
        """Draws observations ``(P, batch, D)`` of each member's task and the actions taken in them, ``(P, batch, A)``.

        Neither is wider than the model's.
        """
        ...


class Extractor(StagedLearner):
    """Trains the population.

    Args:
        model: the world model; it is never changed.
        experts: the members; their tasks are the model's.
        config: settings.
        starts: draws start states.
        examples: draws what is imitated; needed if ``config.imitation`` is above 0.

    Raises:
        UsageError: a task that the model does not know, or nothing to imitate.
    """

    gradient_source: GradientSource | None = "learned"

    def __init__(
        self,
        model: MultitaskModel,
        experts: Sequence[Expert],
        config: ExtractionConfig,
        *,
        starts: StartStates,
        examples: Examples | None = None,
    ) -> None:
        if config.imitation > 0.0 and examples is None:
            raise UsageError(f"imitation={config.imitation}: needs examples to imitate; give `examples`, or 0")
        device = next(model.parameters()).device
        dtype = next(model.parameters()).dtype
        tasks = torch.tensor([model.config.task_index(expert.task) for expert in experts], device=device)
        seeds = [expert.stream_seed for expert in experts]
        self.experts = tuple(experts)
        self.config = config
        self.counters = Counters()
        self.model_tasks = model.config.tasks
        """All that the model knows, in its order."""
        self.model = TaskModel(
            model,
            tasks,
            precision=config.precision,
            symlog_rewards=config.symlog_rewards,
            mask_actions=config.mask_actions,
        )
        gamma = model.discounts[tasks] if config.discount == "task" else None
        self.discounts = torch.full((len(seeds),), config.gamma, dtype=dtype, device=device) if gamma is None else gamma
        """Each member's discount, shape ``(P,)``."""
        self.iteration = 0
        self._action_dim = model.config.action_dim
        self._dtype = dtype
        self._guard = MemberGuard(len(experts), device)
        self._stream = MemberStream(seeds, device, name="extract")
        self._mask = model.action_masks[tasks].unsqueeze(1).to(dtype)
        ahead: dict[str, Any] = {"device": device, "dtype": dtype}
        self._starts = Prefetch(
            lambda stream, batch: (starts(stream, batch),),
            MemberStream(seeds, name="extract/starts"), config.batch_size, **ahead,
        )  # fmt: skip
        self._examples: Prefetch | None = None
        if config.imitation > 0.0 and examples is not None:
            self._examples = Prefetch(
                examples, MemberStream(seeds, name="extract/examples"), config.batch_size, **ahead
            )
        self._policy = PolicyTrainer(
            config.policy_config(),
            self.model,
            self._action_dim,
            init=MemberStream(seeds, device, name="extract/init"),
            stream=self._stream,
            guard=self._guard,
            dtype=dtype,
            gamma=gamma,
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

    def begin(self) -> Hashable:
        """Sets the step sizes and brings the data. All updates are of one kind."""
        config = self.config
        progress = self.iteration / config.iterations
        actor, critic = (
            linear_schedule(start, config.final_learning_rate, progress)
            for start in (config.actor_learning_rate, config.critic_learning_rate)
        )
        self._policy.set_learning_rates(actor, critic)
        self.iteration += 1
        self._guard.begin(self.iteration)
        self._starts.advance()
        if self._examples is not None:
            self._examples.advance()
        return "update"

    def compute(self) -> dict[str, Tensor]:
        """One actor step and the critics' steps of every member. Returns metrics, each shape ``(P,)``."""
        config = self.config
        (obs,) = self._starts.batch
        noise = self._stream.normal(config.horizon, config.batch_size, self._action_dim, dtype=self._dtype)
        imitated = None if self._examples is None else self._imitation(*self._examples.batch)
        metrics = self._policy.update(obs, noise, iteration=self._guard.iteration, regulariser=imitated)
        self.counters.gradient_steps += self._policy.gradient_steps
        self.counters.policy_gradient_steps += 1
        self.counters.imagined_steps += config.batch_size * config.horizon
        return metrics

    def _imitation(self, obs: Tensor, action: Tensor) -> Callable[[], Tensor]:
        """The weighted loss of imitating these actions, shape ``(P,)``, when called."""
        wanted = F.pad(action, (0, self._action_dim - action.shape[-1]))

        def loss() -> Tensor:
            with torch.no_grad():
                latent = self.model.encode(obs)
            acted = self._policy.actor.deterministic(latent).to(self._dtype)
            return self.config.imitation * imitation_loss(acted, wanted, self._mask)

        return loss

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here, except the world model."""
        return {
            "policy": self._policy.state_dict(),
            "guard": self._guard.state_dict(),
            "stream": self._stream.state_dict(),
            "starts": self._starts.state_dict(),
            "examples": None if self._examples is None else self._examples.state_dict(),
            "counters": self.counters.state_dict(),
            "iteration": self.iteration,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` saved."""
        self._policy.load_state_dict(state["policy"])
        self._guard.load_state_dict(state["guard"])
        self._stream.load_state_dict(state["stream"])
        self._starts.load_state_dict(state["starts"])
        if self._examples is not None:
            self._examples.load_state_dict(state["examples"])
        self.counters.load_state_dict(state["counters"])
        self.iteration = int(state["iteration"])
