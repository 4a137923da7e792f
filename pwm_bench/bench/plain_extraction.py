"""Policy extraction written the obvious way, for comparison: torch's own modules, float32, one task.

The world model is a set of ordinary modules whose weights collect gradients while the policy trains, and every reward
and value is its own product. It computes what `pwm_bench.pwm.extraction` computes. `PlainExtraction` has a network for
each critic; `ReleasedExtraction` stacks them under ``torch.func.vmap``, as PWM's released code does.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from pwm_bench.pwm.extraction.config import ExtractionConfig
from pwm_bench.world_model.multitask.layers import Stack
from pwm_bench.world_model.multitask.networks import MultitaskModel
from pwm_bench.world_model.multitask.twohot import symexp

__all__ = ["PlainExtraction", "ReleasedExtraction"]


class _SimNorm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, 8)).softmax(-1).flatten(-2)


def _world_model_part(stack: Stack, simnorm: bool) -> nn.Sequential:
    modules: list[nn.Module] = []
    layers = list(stack)
    for number, layer in enumerate(layers):
        out_features, in_features = layer.weight.shape  # type: ignore[union-attr, misc]
        linear = nn.Linear(in_features, out_features)
        linear.load_state_dict({"weight": layer.weight, "bias": layer.bias})
        modules.append(linear)
        if layer.ln is not None:
            norm = nn.LayerNorm(out_features)
            norm.load_state_dict(layer.ln.state_dict())  # type: ignore[union-attr]
            modules += [norm, _SimNorm() if simnorm and number == len(layers) - 1 else nn.Mish()]
    return nn.Sequential(*modules)


def _perceptron(sizes: tuple[int, ...]) -> nn.Sequential:
    modules: list[nn.Module] = []
    for i, o in itertools.pairwise(sizes[:-1]):
        modules += [nn.Linear(i, o), nn.Mish(), nn.LayerNorm(o)]
    return nn.Sequential(*modules, nn.Linear(sizes[-2], sizes[-1]))


class PlainExtraction:
    """One task's policy in a copy of the model.

    Args:
        model: copied.
        task: index.
        config: settings; only the paper's variant is written out.
    """

    def __init__(self, model: MultitaskModel, task: int, config: ExtractionConfig) -> None:
        sizes, self.config = model.config, config
        self.encoder = _world_model_part(model.encoder, True)
        self.dynamics = _world_model_part(model.dynamics, True)
        self.reward = _world_model_part(model.reward_network, False)
        self.embedding = nn.Embedding(len(sizes.tasks), sizes.task_dim, max_norm=1.0)
        assert model.task_embedding is not None
        self.embedding.load_state_dict({"weight": model.task_embedding})
        self.task, self.mask = torch.tensor(task), model.action_masks[task]
        self.gamma = sizes.discounts[task]
        self.bins = torch.linspace(-sizes.bin_limit, sizes.bin_limit, sizes.num_bins)
        self.actor = _perceptron((sizes.latent_dim, *config.hidden_actor, sizes.action_dim))
        self.log_std = nn.Parameter(torch.full((sizes.action_dim,), config.initial_log_std))
        critics = range(config.critic_ensemble)
        self.critics = nn.ModuleList(_perceptron((sizes.latent_dim, *config.hidden_critic, 1)) for _ in critics)
        self.critic_params = self._critic_parameters()
        self.actor_params = [*self.actor.parameters(), self.log_std]
        betas = config.adam_betas
        self.actor_adam = torch.optim.Adam(self.actor_params, config.actor_learning_rate, betas)
        self.critic_adam = torch.optim.Adam(self.critic_params, config.critic_learning_rate, betas)
        self.variance = torch.ones(())

    def update(self, obs: Tensor) -> None:
        """One actor step and the critics' steps from observations ``(B, D)``."""
        config = self.config
        e = self.embedding(self.task).expand(obs.shape[0], -1)
        z = self.encoder(torch.cat((obs, e), -1))
        latents, nexts, rewards = [], [], []
        for _ in range(config.horizon):
            mean = self.actor(z.detach())
            action = torch.tanh(mean + self.log_std.exp() * torch.randn_like(mean)) * self.mask
            x = torch.cat((z, e, action), -1)
            rewards.append(symexp(self.reward(x).softmax(-1) @ self.bins))
            latents.append(z)
            z = self.dynamics(x)
            nexts.append(z)
        values = [self._critic_values(x).amin(0) for x in nexts]
        total = sum(self.gamma**t * r for t, r in enumerate(rewards)) + self.gamma**config.horizon * values[-1]
        self.variance = total.var(correction=0).detach()  # type: ignore[union-attr]
        loss = -total.mean() / (self.variance + 1e-5).sqrt()  # type: ignore[union-attr]
        self.actor_adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.actor_params, config.max_grad_norm_actor)
        self.actor_adam.step()
        for part in (self.encoder, self.dynamics, self.reward, self.embedding):
            part.zero_grad()
        self._fit([x.detach() for x in latents], [r.detach() for r in rewards], [v.detach() for v in values])

    def _critic_parameters(self) -> list[nn.Parameter]:
        return list(self.critics.parameters())

    def _critic_values(self, x: Tensor) -> Tensor:
        """Values of every critic, ``(B, L)`` to ``(K, B)``."""
        return torch.stack([critic(x).squeeze(-1) for critic in self.critics])

    def _fit(self, latents: list[Tensor], rewards: list[Tensor], values: list[Tensor]) -> None:
        config = self.config
        targets: list[Tensor] = []
        following = values[-1]
        for r, v in zip(reversed(rewards), reversed(values), strict=True):
            following = r + self.gamma * ((1 - config.lam) * v + config.lam * following)
            targets.insert(0, following)
        x, y = torch.cat(latents), torch.cat(targets)
        for _ in range(config.critic_iterations):
            order = torch.randperm(len(y))
            for rows in order.chunk(config.critic_minibatches):
                loss = (self._critic_values(x[rows]) - y[rows]).square().mean()
                self.critic_adam.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.critic_params, config.max_grad_norm_critic)
                self.critic_adam.step()


class ReleasedExtraction(PlainExtraction):
    """The same with the critics as one stacked module under vmap."""

    def _critic_parameters(self) -> list[nn.Parameter]:
        stacked, _ = stack_module_state(list(self.critics))
        self._stacked = {name: nn.Parameter(value.detach()) for name, value in stacked.items()}
        return list(self._stacked.values())

    def _critic_values(self, x: Tensor) -> Tensor:
        base = self.critics[0]
        return vmap(lambda params: functional_call(base, params, (x,)))(self._stacked).squeeze(-1)
