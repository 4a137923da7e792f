"""TD-MPC2's networks for many tasks: encoder, dynamics, reward, policy prior, Q ensemble and task embedding.

    z = E(o, e)    z' = D(z, e, a)    r = R(z, e, a)    a ~ pi(z, e)    q_k = Q_k(z, e, a)    with e = the task's row

A model of a task whose episodes may end early also has P(ended at z) = sigmoid(C(z, e)).
Every network sees the embedding between its first input and the action. All tasks, and all members of a population that
acts in the model, share one set of weights: inputs are ``(*lead, ..., features)`` and the task index is ``(*lead)``,
``(B,)`` for a batch of sequences and ``(P,)`` for ``(P, B, features)``.
Source: Hansen, Su and Wang, ICLR 2024, sections 3.1 and 3.3.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pwm_bench.learning.epilogue import Epilogue
from pwm_bench.learning.random import MemberStream
from pwm_bench.world_model.multitask.config import ModelConfig
from pwm_bench.world_model.multitask.layers import Stack
from pwm_bench.world_model.multitask.twohot import TwoHotHead

__all__ = ["MultitaskModel", "PolicySample"]


class PolicySample(NamedTuple):
    """A sample of the policy prior.

    Attributes:
        action: sampled action in [-1, 1], zero in components that the task does not have, ``(..., action_dim)``.
        mean: action without noise, likewise.
        scaled_entropy: minus the log-density of the Gaussian sample before tanh, times the task's number of
            components, ``(...)``. TD-MPC2's code divides by the squashed density and multiplies by it again, so its
            correction for tanh cancels.
    """

    action: Tensor
    mean: Tensor
    scaled_entropy: Tensor


class MultitaskModel(nn.Module):
    """All networks of a world model of many tasks.

    Args:
        config: tasks and sizes.
        seed: seed of the initial weights: normal with standard deviation 0.02, embedding uniform in +-0.02, last layers
            of reward and Q zero. None leaves all zero, to be loaded.
        device: where the weights live.
    """

    def __init__(self, config: ModelConfig, *, seed: int | None = 0, device: torch.device | str = "cpu") -> None:
        super().__init__()
        self.config = config
        self.head = TwoHotHead(config.num_bins, config.bin_limit)
        stream = None if seed is None else MemberStream([seed], device, name="multitask/init")
        options: dict[str, Any] = {"stream": stream, "device": device}
        simplices = Epilogue("softmax", "pre", config.simnorm_dim, widen=True)
        latent, emb, act = config.latent_dim, config.task_dim, config.action_dim
        self.task_embedding: nn.Parameter | None = None
        if emb:
            rows = torch.zeros(len(config.tasks), emb, device=device)
            if stream is not None:
                rows = 0.04 * stream.uniform(len(config.tasks), emb)[0] - 0.02
            self.task_embedding = nn.Parameter(rows)
        self.encoder = Stack((config.observation_dim + emb, *config.encoder_hidden, latent), last=simplices, **options)
        self.dynamics = Stack((latent + emb + act, *config.hidden, latent), last=simplices, **options)
        self.reward_network = Stack((latent + emb + act, *config.hidden, config.num_bins), last_zero=True, **options)
        self.termination_network: Stack | None = None
        if config.termination:
            self.termination_network = Stack((latent + emb, *config.hidden, 1), **options)
        self.policy_network: Stack | None = None
        self.q_networks: Stack | None = None
        self.target_q_networks: Stack | None = None
        if config.num_q:
            self.policy_network = Stack((latent + emb, *config.hidden, 2 * act), **options)
            sizes = (latent + emb + act, *config.hidden, config.num_bins)
            self.q_networks = Stack(sizes, ensemble=config.num_q, dropout=config.dropout, last_zero=True, **options)
            self.target_q_networks = Stack(sizes, ensemble=config.num_q, device=device)
            self.target_q_networks.load_state_dict(self.q_networks.state_dict())
            self.target_q_networks.requires_grad_(False)
        masks = torch.arange(act) < torch.tensor(config.action_dims).unsqueeze(1)
        self.register_buffer("action_masks", masks.float().to(device), persistent=False)
        self.register_buffer("discounts", torch.tensor(config.discounts).to(device), persistent=False)
        self.action_masks: Tensor
        self.discounts: Tensor

    @property
    def latent_dim(self) -> int:
        """Size of the latent."""
        return self.config.latent_dim

    @property
    def masks_actions(self) -> bool:
        """Whether there are components that some task does not have."""
        return min(self.config.action_dims) < self.config.action_dim

    @torch.no_grad()
    def project_embedding(self, condition: Tensor | None = None) -> None:
        """Scales embeddings longer than 1 to length 1. Call it after each optimiser step and after loading.

        Args:
            condition: boolean scalar on the device; where it is false nothing changes. None for true.
        """
        if self.task_embedding is not None:
            norm = self.task_embedding.norm(dim=-1, keepdim=True)
            long = norm > 1.0 if condition is None else (norm > 1.0) & condition
            self.task_embedding.mul_(torch.where(long, 1.0 / (norm + 1e-7), 1.0))

    def encode(self, obs: Tensor, task: Tensor) -> Tensor:
        """Latents of observations, ``(*lead, ..., observation_dim)`` to ``(*lead, ..., latent_dim)``."""
        return self.encoder(self._join(obs, task))

    def next(self, latent: Tensor, action: Tensor, task: Tensor) -> Tensor:
        """Latents after one control step, shape ``(*lead, ..., latent_dim)``."""
        return self.dynamics(self._join(latent, task, action))

    def unroll(self, latent: Tensor, actions: Tensor, task: Tensor) -> Tensor:
        """z_0..z_H, shape ``(B, H + 1, latent_dim)``, from z_0 ``(B, latent_dim)`` and a_0..a_{H-1} ``(B, H, act)``."""
        latents = [latent]
        for action in actions.unbind(1):
            latents.append(self.next(latents[-1], action, task))
        return torch.stack(latents, dim=1)

    def reward_logits(self, latent: Tensor, action: Tensor, task: Tensor) -> Tensor:
        """Output of the reward network, shape ``(*lead, ..., num_bins)``."""
        return self.reward_network(self._join(latent, task, action))

    def reward(self, latent: Tensor, action: Tensor, task: Tensor) -> Tensor:
        """Predicted reward in the task's own units, shape ``(*lead, ...)``."""
        return self.head.value(self.reward_logits(latent, action, task))

    def termination_logit(self, latent: Tensor, task: Tensor) -> Tensor:
        """Logit of the probability that the episode has ended for good at a latent, shape ``(*lead, ...)``."""
        network = self._require(self.termination_network, "termination head", "termination=False")
        return network(self._join(latent, task)).squeeze(-1)

    def policy(self, latent: Tensor, task: Tensor, noise: Tensor) -> PolicySample:
        """The policy prior, a squashed Gaussian.

        Args:
            latent: shape ``(*lead, ..., latent_dim)``.
            task: index, shape ``(*lead)``.
            noise: standard normal, shape ``(*lead, ..., action_dim)``.
        """
        mean, log_std, noise = self._gaussian(latent, task, noise)
        log_prob = (-0.5 * noise.square() - log_std - 0.5 * math.log(2.0 * math.pi)).sum(-1)
        components: Tensor | int = self.config.action_dim
        if self.masks_actions:
            components = _align(self.action_masks.to(noise.dtype)[task], noise).sum(-1)
        return PolicySample((mean + log_std.exp() * noise).tanh(), mean.tanh(), -log_prob * components)

    def act(self, latent: Tensor, task: Tensor, noise: Tensor) -> Tensor:
        """The action of `policy` alone, shape ``(*lead, ..., action_dim)``."""
        mean, log_std, noise = self._gaussian(latent, task, noise)
        return (mean + log_std.exp() * noise).tanh()

    def _gaussian(self, latent: Tensor, task: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and logarithm of the deviation of the policy prior before tanh, and the noise, all masked."""
        network = self._require(self.policy_network, "policy prior")
        mean, raw = network(self._join(latent, task)).to(noise.dtype).chunk(2, dim=-1)
        low, high = self.config.log_std_min, self.config.log_std_max
        log_std = low + 0.5 * (high - low) * (raw.tanh() + 1.0)
        if not self.masks_actions:
            return mean, log_std, noise
        mask = _align(self.action_masks.to(noise.dtype)[task], noise)
        return mean * mask, log_std * mask, noise * mask

    def q_logits(
        self,
        latent: Tensor,
        action: Tensor,
        task: Tensor,
        *,
        target: bool = False,
        rows: Tensor | None = None,
        dropout: torch.Generator | None = None,
        fixed: bool = False,
    ) -> Tensor:
        """Outputs of the Q functions, shape ``(K, *lead, ..., num_bins)``.

        Args:
            latent: shape ``(*lead, ..., latent_dim)``.
            action: shape ``(*lead, ..., action_dim)``.
            task: index, shape ``(*lead)``.
            target: take their moving averages instead.
            rows: which Q functions, int64 ``(K,)``; all by default.
            dropout: draws what is dropped; None drops nothing.
            fixed: gradients reach the inputs but not the weights.
        """
        network = self._require(self.target_q_networks if target else self.q_networks, "Q functions")
        return network(self._join(latent, task, action), dropout=dropout, rows=rows, fixed=fixed)

    def q_values(
        self,
        latent: Tensor,
        action: Tensor,
        task: Tensor,
        *,
        target: bool = False,
        rows: Tensor | None = None,
        dropout: torch.Generator | None = None,
        fixed: bool = False,
    ) -> Tensor:
        """Values in the task's own units, shape ``(K, *lead, ...)``; arguments as for `q_logits`."""
        logits = self.q_logits(latent, action, task, target=target, rows=rows, dropout=dropout, fixed=fixed)
        return self.head.value(logits)

    @torch.no_grad()
    def update_target(self, tau: float | Tensor) -> None:
        """Moves the target Q functions the fraction ``tau`` (a number or a scalar tensor) of the way to the others."""
        targets: list[Tensor] = list(self._require(self.target_q_networks, "Q functions").parameters())
        online: list[Tensor] = list(self._require(self.q_networks, "Q functions").parameters())
        torch._foreach_lerp_(targets, online, [tau] * len(targets) if isinstance(tau, Tensor) else tau)

    def _join(self, first: Tensor, task: Tensor, action: Tensor | None = None) -> Tensor:
        """Concatenates [first, embedding, action]."""
        parts = [first]
        if self.task_embedding is not None:
            embedding = _align(self.task_embedding[task], first).expand(*first.shape[:-1], -1)
            parts.append(embedding.to(first.dtype))
        if action is not None:
            parts.append(action.to(first.dtype))
        return torch.cat(parts, dim=-1) if len(parts) > 1 else first

    @staticmethod
    def _require(network: Stack | None, name: str, built: str = "num_q=0") -> Stack:
        """Gives a network that the model may not have.

        Raises:
            RuntimeError: it has not.
        """
        if network is None:
            raise RuntimeError(f"this world model has no {name}; it was built with {built}")
        return network


def _align(rows: Tensor, like: Tensor) -> Tensor:
    """Gives rows ``(*lead, n)`` the axes of ``like``, ``(*lead, ..., m)``."""
    return rows.view(*rows.shape[:-1], *(1,) * (like.dim() - rows.dim()), rows.shape[-1])
