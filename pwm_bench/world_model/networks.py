"""Encoder, dynamics and reward networks of the world model, for a population.

    z = E(o)        z' = D(z, a)        r = R(z, a)        and, if asked for, P(terminated at z) = sigmoid(C(z))

Every hidden layer is linear, LayerNorm, Mish; encoder and dynamics end in linear, LayerNorm, SimNorm, so a latent is
a list of simplices (``config.regularisation`` names the alternatives). There is no decoder and no value or policy.
With an ensemble there are K networks D_k and R_k on the one encoder, and z' and r are the means of their outputs (the
mean of simplices is a simplex); how much the D_k differ tells where the model has seen little (Lakshminarayanan et al.,
"Simple and scalable predictive uncertainty estimation using deep ensembles", NeurIPS 2017).
Source: Hansen, Su and Wang, "TD-MPC2", ICLR 2024, section 3.1, with the sizes of Georgiev et al., "PWM", ICLR 2025.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn

from pwm_bench.learning.initialise import torch_default, truncated_normal, zeros
from pwm_bench.learning.layers import PopulationMLP
from pwm_bench.learning.normalise import RunningNorm
from pwm_bench.learning.random import MemberStream
from pwm_bench.world_model.config import WorldModelConfig

__all__ = ["WorldModel"]

_LEAST_VARIANCE = 1e-12  # keeps the root's slope finite where all networks agree


class WorldModel(nn.Module):
    """A latent model of an environment for each member.

    Inputs may have any number of axes between the member's (first) and the features' (last).

    Args:
        observation_dim: size of an observation.
        action_dim: size of an action.
        config: sizes.
        stream: where the initial weights are drawn from: normal with standard deviation 0.02, the reward's last
            layer zero, so that predicted rewards start at 0.
    """

    def __init__(
        self,
        observation_dim: int,
        action_dim: int,
        config: WorldModelConfig,
        *,
        stream: MemberStream,
    ) -> None:
        super().__init__()
        self.observation_norm: RunningNorm | None = None
        if config.normalize_observations:
            self.observation_norm = RunningNorm(stream.members, observation_dim, device=stream.device)
        self.latent_dim = config.latent_dim
        self.ensemble = config.ensemble
        members, latent = stream.members, config.latent_dim
        plain = config.regularisation == "relu"
        # Without norms a standard deviation of 0.02 would let signals die out layer by layer.
        normed: dict[str, Any] = {"activation": "relu", "norm": "none", "stream": stream, "init": torch_default}
        if not plain:
            normed |= {"activation": "mish", "norm": "pre", "init": truncated_normal(0.02)}
        last = {"simnorm": "simnorm", "layernorm": "hidden", "relu": "linear", "spectral": "spectral"}
        ending: dict[str, Any] = {"last": last[config.regularisation], "simnorm_dim": config.simnorm_dim}
        transition = latent + action_dim
        self.encoder = PopulationMLP(members, (observation_dim, *config.encoder_hidden, latent), **normed, **ending)
        ensemble_rows = members * config.ensemble
        ensemble_options = normed if config.ensemble == 1 else normed | {"stream": stream.split(config.ensemble)}
        self.dynamics = PopulationMLP(
            ensemble_rows, (transition, *config.dynamics_hidden, latent), **ensemble_options, **ending
        )
        self.reward_network = PopulationMLP(
            ensemble_rows, (transition, *config.reward_hidden, 1), **ensemble_options, last_init=zeros
        )
        self.termination_network: PopulationMLP | None = None
        if config.termination:
            self.termination_network = PopulationMLP(
                members, (latent, *config.termination_hidden, 1), **normed, last_init=zeros
            )

    def encode(self, obs: Tensor) -> Tensor:
        """Latent of an observation, ``(P, ..., observation_dim)`` to ``(P, ..., latent_dim)``."""
        return self.encoder(obs if self.observation_norm is None else self.observation_norm.normalise(obs))

    def next(self, latent: Tensor, action: Tensor) -> Tensor:
        """Latent after one control step, shape ``(P, ..., latent_dim)``."""
        return self.average(self.dynamics(self.each(torch.cat((latent, action), dim=-1))))

    def disagreement(self, latent: Tensor, action: Tensor) -> Tensor:
        """How far apart the K predictions of the next latent are, shape ``(P, ...)``.

        It is the root of their variance over the K networks, averaged over the latent's dimensions.
        """
        predictions = self.dynamics(self.each(torch.cat((latent, action), dim=-1)))
        squares = (predictions - self.each(self.average(predictions))).square().mean(-1)
        return (self.average(squares) + _LEAST_VARIANCE).sqrt()

    def each(self, x: Tensor) -> Tensor:
        """Repeats an input for the K networks, ``(P, ...)`` to ``(P K, ...)``, a member's K beside each other."""
        if self.ensemble == 1:
            return x
        return x.unsqueeze(1).expand(-1, self.ensemble, *x.shape[1:]).flatten(0, 1)

    def average(self, x: Tensor) -> Tensor:
        """Averages over the K networks, ``(P K, ...)`` to ``(P, ...)``."""
        if self.ensemble == 1:
            return x
        # One by one: the order of torch's sum, and the layout of its gradient, depend on a member's place.
        return functools.reduce(torch.add, x.unflatten(0, (-1, self.ensemble)).unbind(1)) / self.ensemble

    def rewards(self, latent: Tensor, action: Tensor) -> Tensor:
        """Predicts each reward network's reward at latents of its own, ``(P K, ..., latent_dim)`` to ``(P K, ...)``."""
        return self.reward_network(torch.cat((latent, action), dim=-1)).squeeze(-1)

    def reward(self, latent: Tensor, action: Tensor) -> Tensor:
        """Predicted reward of an action at a latent, shape ``(P, ...)``, in the units it was trained on."""
        return self.average(self.rewards(self.each(latent), self.each(action)))

    def termination_logit(self, latent: Tensor) -> Tensor:
        """Logit of the probability that the episode has ended for good at a latent, shape ``(P, ...)``.

        Raises:
            RuntimeError: if the model has no such head (``config.termination``).
        """
        if self.termination_network is None:
            raise RuntimeError("this world model does not predict termination; it was made with termination=False")
        return self.termination_network(latent).squeeze(-1)

    def unroll(self, latent: Tensor, actions: Tensor) -> Tensor:
        """Applies the dynamics H times without looking at observations; each of K networks goes its own way.

        Args:
            latent: z_0, shape ``(P, B, latent_dim)``.
            actions: a_0..a_{H-1}, shape ``(P, H, B, action_dim)``.

        Returns:
            z_0..z_H, shape ``(P K, H + 1, B, latent_dim)``.
        """
        latents = [self.each(latent)]
        for action in self.each(actions).unbind(1):
            latents.append(self.dynamics(torch.cat((latents[-1], action), dim=-1)))
        return torch.stack(latents, dim=1)
