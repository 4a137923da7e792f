"""Behaviour cloning of many tasks, one policy a task, as one population.

A policy is a perceptron of the task's observation, standardised over the data, with a tanh at the end; it minimises the
mean squared difference from the recorded actions. Where several behaviours act in the data it imitates their average.
Source: Pomerleau, "ALVINN", NeurIPS 1988.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pwm_bench.baselines.bc.config import Config
from pwm_bench.learning.choices import GradientSource
from pwm_bench.learning.expert import Expert
from pwm_bench.learning.guards import MemberGuard
from pwm_bench.learning.imitation import imitation_loss
from pwm_bench.learning.layers import PopulationMLP
from pwm_bench.learning.learner import Counters
from pwm_bench.learning.normalise import RunningNorm
from pwm_bench.learning.optim import PopulationAdam, linear_schedule
from pwm_bench.learning.prefetch import Prefetch
from pwm_bench.learning.random import MemberStream
from pwm_bench.learning.staged import StagedLearner
from pwm_bench.world_model.dataset import Dataset, PairSampler

__all__ = ["Cloner"]


class Cloner(StagedLearner):
    """The learner of a population of P policies.

    Args:
        data: the dataset; open it with ``best=config.best`` to imitate the best episodes only.
        experts: the members, whose tasks the data must have.
        config: settings.
        device: device of the networks; the data stays on the host.

    Raises:
        UsageError: a task without an episode in the data.
    """

    gradient_source: GradientSource | None = None

    def __init__(
        self, data: Dataset, experts: Sequence[Expert], config: Config, *, device: torch.device | str = "cpu"
    ) -> None:
        device = torch.device(device)
        task_names = [expert.task for expert in experts]
        tasks = data.indices_of(task_names)
        seeds = [expert.stream_seed for expert in experts]
        self.experts = tuple(experts)
        self.config = config
        self.counters = Counters()
        self.iteration = 0
        self._pairs = Prefetch(
            PairSampler(data, task_names), MemberStream(seeds, name="clone"), config.batch_size, device=device
        )
        self._guard = MemberGuard(len(experts), device)
        self._mask = data.action_masks.to(device)[tasks.to(device)].unsqueeze(1).float()
        self._norm = RunningNorm(len(experts), data.obs_dim, device=device)
        sample = data.sample(MemberStream(seeds, name="clone/normalise"), config.normalising_samples, 0, tasks=tasks)
        self._norm.update(sample.obs[:, :, 0].to(device))
        sizes = (data.obs_dim, *config.hidden_actor, data.action_dim)
        init = MemberStream(seeds, device, name="clone/init")
        self.network = PopulationMLP(len(experts), sizes, "mish", "post", stream=init)
        self._optimiser = PopulationAdam(
            self.network.parameters(), config.actor_learning_rate, config.adam_betas, members=len(experts)
        )

    @property
    def alive(self) -> Tensor:
        """Members that have not diverged, bool ``(P,)``."""
        return self._guard.alive

    @torch.no_grad()
    def act(self, obs: Tensor) -> Tensor:
        """Acts: ``(P, B, D)``, D at most the data's, to ``(P, B, action_dim)`` in [-1, 1], for any B."""
        return self._policy(F.pad(obs, (0, self._norm.mean.shape[1] - obs.shape[-1])).float())

    def begin(self) -> Hashable:
        """Sets the step size and brings the data. All updates are of one kind."""
        config = self.config
        rate = linear_schedule(
            config.actor_learning_rate, config.final_learning_rate, self.iteration / config.iterations
        )
        self._optimiser.set_lr(rate)
        self.iteration += 1
        self._guard.begin(self.iteration)
        self._pairs.advance()
        return "update"

    def compute(self) -> dict[str, Tensor]:
        """One gradient step of every member. Returns metrics, each shape ``(P,)``."""
        config = self.config
        obs, action = self._pairs.batch
        loss = imitation_loss(self._policy(obs), action, self._mask)
        self._optimiser.zero_grad()
        loss.sum().backward()
        norm = self._optimiser.clip_grad_norm(config.max_grad_norm_actor)
        self._optimiser.step(alive=self._guard.check(self._guard.iteration, loss, norm))
        self.counters.gradient_steps += 1
        self.counters.policy_gradient_steps += 1
        return {"loss": loss.detach(), "grad_norm": norm}

    def _policy(self, obs: Tensor) -> Tensor:
        """Maps raw, padded observations ``(P, B, obs)`` to actions ``(P, B, action_dim)``, with gradient."""
        return torch.tanh(self.network(self._norm.normalise(obs)))

    def state_dict(self) -> dict[str, Any]:
        """Gives everything that is needed to go on exactly from here, except the data."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "norm": self._norm.state_dict(),
            "guard": self._guard.state_dict(),
            "pairs": self._pairs.state_dict(),
            "counters": self.counters.state_dict(),
            "iteration": self.iteration,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` saved."""
        self.network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._norm.load_state_dict(state["norm"])
        self._guard.load_state_dict(state["guard"])
        self._pairs.load_state_dict(state["pairs"])
        self.counters.load_state_dict(state["counters"])
        self.iteration = int(state["iteration"])
