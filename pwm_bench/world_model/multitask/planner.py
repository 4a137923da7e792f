"""Model-predictive path integral control (MPPI) in the latent space, as TD-MPC2 acts.

In each of I iterations, action sequences of H steps are drawn from a Gaussian per step, some are rollouts of a policy
instead, all are valued by

    sum_{t<H} gamma^t r_t + gamma^H V(z_H)

(where the model finds the episode more likely ended than not at a latent, nothing from there on counts)
and the Gaussian moves to the best ones, weighted by exp(temperature (value - best value)). The next plan begins where
this one, shifted by a step, left off. What is executed is one of the best sequences' first action, drawn by these
weights.
Source: Hansen, Su and Wang, "TD-MPC2", ICLR 2024, section 3.2 and algorithm 1, with the constants of the released code;
Williams, Aldrich and Theodorou, "Model predictive path integral control", 2015.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.checks import check_at_least, check_positive
from pwm_bench.learning.precision import autocast
from pwm_bench.learning.random import MemberStream
from pwm_bench.world_model.multitask.frozen import TaskModel
from pwm_bench.world_model.multitask.networks import MultitaskModel
from pwm_bench.world_model.multitask.pairs import PairsOfQ

__all__ = ["Guide", "Planner", "PlannerConfig", "PriorGuide", "View"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannerConfig:
    """Constants of the planner; the defaults are TD-MPC2's.

    Raises:
        UsageError: if a field is out of range.
    """

    horizon: int = 3
    """H: control steps of a plan."""
    iterations: int = 6
    """I: times that the Gaussian moves; two more where actions have 20 components or more."""
    samples: int = 512
    """Action sequences in an iteration, those of the policy included."""
    policy_samples: int = 24
    """Action sequences that are rollouts of the policy."""
    elites: int = 64
    """Best sequences that the Gaussian moves to."""
    temperature: float = 0.5
    """Factor of values in the weights of the best sequences (the released code multiplies by it)."""
    min_std: float = 0.05
    """Smallest standard deviation of actions in a plan."""
    max_std: float = 2.0
    """Largest standard deviation, with which every plan begins."""

    def __post_init__(self) -> None:
        for name in ("horizon", "iterations", "elites"):
            check_at_least(name, getattr(self, name), 1)
        check_at_least("policy_samples", self.policy_samples, 0)
        for name in ("temperature", "min_std", "max_std"):
            check_positive(name, getattr(self, name))
        least = max(self.elites, self.policy_samples + 1)
        if self.samples < least:
            raise UsageError(
                f"samples={self.samples}: must be at least {least}: above policy_samples={self.policy_samples}, and "
                f"not below elites={self.elites}"
            )
        if self.min_std > self.max_std:
            raise UsageError(f"min_std={self.min_std}: must be at most max_std={self.max_std}")


class Guide(Protocol):
    """A policy and a value for W worlds."""

    def choose(self, values: int) -> None:
        """Chooses on the host what the next so many calls of `value` need."""
        ...

    def act(self, latent: Tensor, noise: Tensor) -> Tensor:
        """Samples actions ``(W, S, A)`` at latents ``(W, S, L)`` with noise ``(W, S, A)``."""
        ...

    def value(self, latent: Tensor, noise: Tensor) -> Tensor:
        """Gives the values ``(W, S)`` of latents ``(W, S, L)``."""
        ...


class View(Protocol):
    """A world model for W worlds, each in a task of its own."""

    termination_network: Any
    """None for a model that does not predict termination."""

    def encode(self, obs: Tensor) -> Tensor:
        """Latents of observations, ``(W, S, D)`` to ``(W, S, L)``."""
        ...

    def next(self, latent: Tensor, action: Tensor) -> Tensor:
        """Latents after one control step, ``(W, S, L)``."""
        ...

    def reward(self, latent: Tensor, action: Tensor) -> Tensor:
        """Predicted rewards, ``(W, S)``."""
        ...

    def termination_logit(self, latent: Tensor) -> Tensor:
        """Logits of having ended for good, ``(W, S)``."""
        ...


class PriorGuide:
    """The guide of TD-MPC2: the policy prior, and the mean of two random Q functions at its action.

    Args:
        model: the world model, with Q functions.
        tasks: task index of each world, int64 ``(W,)``.
        seed: of the choice of Q functions.
        precision: of matrix products, see `autocast`.
    """

    def __init__(self, model: MultitaskModel, tasks: Tensor, *, seed: int = 0, precision: str = "float32") -> None:
        if model.config.num_q == 0:
            raise UsageError(
                "num_q=0: this world model has no Q functions and no policy prior, which the planner needs; use one "
                "that was trained with learn_values=True"
            )
        self._model, self._tasks, self._precision = model, tasks, precision
        self._pairs = PairsOfQ(model.config.num_q, seed=seed, device=tasks.device)

    def choose(self, values: int) -> None:
        """Chooses the Q functions of the next values."""
        self._pairs.draw(values)

    def act(self, latent: Tensor, noise: Tensor) -> Tensor:
        """Samples the policy prior."""
        with autocast(self._precision, latent.device):
            return self._model.act(latent, self._tasks, noise)

    def value(self, latent: Tensor, noise: Tensor) -> Tensor:
        """Gives the mean of two Q functions at a sample of the policy prior."""
        action = self.act(latent, noise)
        with autocast(self._precision, latent.device):
            return self._model.q_values(latent, action, self._tasks, rows=self._pairs.next()).mean(0)

    def state_dict(self) -> dict[str, Any]:
        """State of the choice of Q functions."""
        return {"choice": self._pairs.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` saved."""
        self._pairs.set_state(state["choice"])


class Planner:
    """Plans for W worlds at once.

    Args:
        model: world model.
        tasks: task index of each world, int64 ``(W,)``.
        guide: policy and value.
        config: constants; TD-MPC2's by default.
        stream: random numbers of the W worlds.
        view: the model as the planner sees it; with the weights that it has now by default, whatever becomes of them.
        discount: gamma of each world, shape ``(W,)``, where the guide's values have another than the model's own.
    """

    def __init__(
        self,
        model: MultitaskModel,
        tasks: Tensor,
        guide: Guide,
        config: PlannerConfig | None = None,
        *,
        stream: MemberStream,
        view: View | None = None,
        discount: Tensor | None = None,
    ) -> None:
        self.config = config or PlannerConfig()
        self._view: View = TaskModel(model, tasks) if view is None else view
        self._guide = guide
        self._stream = stream
        self._dtype = next(model.parameters()).dtype
        self._action_dim = model.config.action_dim
        mask = model.action_masks[tasks].to(self._dtype).view(len(tasks), 1, 1, -1)
        self._mask = mask if model.masks_actions else None
        discount = (model.discounts[tasks] if discount is None else discount).to(self._dtype).unsqueeze(1)
        self._discounts = list(itertools.accumulate([discount] * self.config.horizon, torch.mul))  # gamma^1..gamma^H
        self._iterations = self.config.iterations + (2 if self._action_dim >= 20 else 0)
        self._zero = discount.new_zeros(())
        # What is left of the last plan: its means from the second step on, then zero. It changes in place.
        self._rest = mask.new_zeros(len(tasks), 1, self.config.horizon, self._action_dim)

    def reset(self) -> None:
        """Forgets the last plan; call it when all worlds begin a new episode."""
        self._rest.zero_()

    def forget(self, worlds: Tensor) -> None:
        """Forgets the last plan of some worlds, bool ``(W,)``."""
        self._rest.masked_fill_(worlds.view(-1, 1, 1, 1), 0.0)

    def state_dict(self) -> dict[str, Any]:
        """What is left of the last plan, and the random numbers."""
        return {"rest": self._rest, "stream": self._stream.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` saved, in place."""
        self._rest.copy_(state["rest"])
        self._stream.load_state_dict(state["stream"])

    def choose(self, plans: int = 1) -> None:
        """Chooses on the host what the next plans need."""
        self._guide.choose(plans * self._iterations)

    def plan(self, obs: Tensor, *, explore: bool = False) -> Tensor:
        """Plans as `compute` does, with Q functions that it chooses itself."""
        self.choose()
        return self.compute(obs, explore=explore)

    @torch.no_grad()
    def compute(self, obs: Tensor, *, explore: bool = False) -> Tensor:
        """Plans the next action of every world, with the Q functions that were chosen for it.

        Nothing is read on the host, and all that outlives a plan changes in place.

        Args:
            obs: observations, shape ``(W, D)``.
            explore: add noise of the standard deviation that the plan ended with, as TD-MPC2 does while it trains.

        Returns:
            actions in [-1, 1], shape ``(W, A)``.
        """
        config = self.config
        horizon, act = config.horizon, self._action_dim
        latent = self._view.encode(obs.to(self._dtype).unsqueeze(1))  # (W, 1, L)
        policy_actions = self._policy_rollouts(latent)
        mean = self._rest
        std = torch.full_like(mean, config.max_std)
        start = latent.expand(-1, config.samples, -1)
        for _ in range(self._iterations):
            noise = self._normal(config.samples - config.policy_samples, horizon, act)
            actions = self._masked(torch.cat((policy_actions, (mean + std * noise).clamp(-1.0, 1.0)), dim=1))
            values = self.values(start, actions).nan_to_num(0.0)
            best, index = values.topk(config.elites, dim=1)
            elites = actions.gather(1, index.view(*index.shape, 1, 1).expand(-1, -1, horizon, act))
            score = torch.exp(config.temperature * (best - best[:, :1]))
            score = score / score.sum(1, keepdim=True)
            weight = score.view(*score.shape, 1, 1)
            mean = (weight * elites).sum(1, keepdim=True)
            std = (weight * (elites - mean).square()).sum(1, keepdim=True).sqrt()
            std = self._masked(std.clamp(config.min_std, config.max_std))
        self._rest[:, :, :-1] = mean[:, :, 1:]
        uniform = self._stream.uniform(config.elites).to(score).clamp(1e-9, 1.0 - 1e-7)
        gumbel = -(-uniform.log()).log()
        chosen = (score.log() + gumbel).argmax(1)
        action = elites[:, :, 0].gather(1, chosen.view(-1, 1, 1).expand(-1, 1, act)).squeeze(1)
        if explore:
            action = action + std[:, 0, 0] * self._normal(act)
        return action.clamp(-1.0, 1.0)

    @torch.no_grad()
    def values(self, latent: Tensor, actions: Tensor) -> Tensor:
        """Values action sequences ``(W, S, H, A)`` from latents ``(W, S, L)``. Returns ``(W, S)``."""
        terms: list[Tensor] = []
        weights: list[Tensor] = []  # of the terms but the first
        ended: Tensor | None = None
        for action, discount in zip(actions.unbind(2), self._discounts, strict=True):
            terms.append(self._view.reward(latent, action))
            latent = self._view.next(latent, action)
            if self._view.termination_network is not None:
                ends = self._view.termination_logit(latent) > 0.0  # more likely than not
                ended = ends if ended is None else ended | ends
            weights.append(discount if ended is None else torch.where(ended, self._zero, discount))
        terms.append(self._guide.value(latent, self._normal(latent.shape[1], self._action_dim)))
        total = terms[0]
        for weight, term in zip(weights, terms[1:], strict=True):
            total = total + weight * term
        return total

    def _policy_rollouts(self, latent: Tensor) -> Tensor:
        """Rolls the policy out from latents ``(W, 1, L)``. Returns actions ``(W, policy_samples, H, A)``."""
        count, actions = self.config.policy_samples, []
        latent = latent.expand(-1, count, -1)
        for step in range(self.config.horizon):
            actions.append(self._guide.act(latent, self._normal(count, self._action_dim)))
            if step < self.config.horizon - 1:
                latent = self._view.next(latent, actions[-1])
        return torch.stack(actions, dim=2)

    def _masked(self, actions: Tensor) -> Tensor:
        """Sets components that a world's task does not have to zero, ``(W, ..., ..., A)``."""
        return actions if self._mask is None else actions * self._mask

    def _normal(self, *shape: int) -> Tensor:
        """Draws standard normal numbers for each world, ``(W, *shape)``."""
        return self._stream.normal(*shape, dtype=self._dtype)
