"""Training by FlashSAC: act, store, and learn from what is stored after every control step."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from pwm_bench.baselines.flashsac.config import Config
from pwm_bench.baselines.flashsac.layers import project_weights
from pwm_bench.baselines.flashsac.losses import (
    cross_entropy,
    least_distribution,
    project_distribution,
    target_entropy,
    temperature_loss,
)
from pwm_bench.baselines.flashsac.networks import Networks
from pwm_bench.baselines.flashsac.statistics import HeldNoise, RewardScale
from pwm_bench.baselines.sac.losses import actor_loss
from pwm_bench.baselines.sac.off_policy import Batch, OffPolicyLearner
from pwm_bench.envs.api import DifferentiableEnv, Step
from pwm_bench.learning.acting import Policy
from pwm_bench.learning.optim import PopulationAdam, cosine_schedule, polyak_update
from pwm_bench.learning.precision import autocast
from pwm_bench.learning.random import MemberStream

__all__ = ["Learner"]


class Learner(OffPolicyLearner):
    """FlashSAC for a population of P members; see docs/flashsac.md.

    Args:
        env: environment with P * B worlds; only its forward pass is used.
        config: settings.
        seeds: one a member.
        total_env_steps: control steps per member over which learning rates fall.

    Source: FlashSAC, arXiv 2604.04539; the modes of batch normalisation as in the released code.
    """

    algorithm: ClassVar[str] = "flashsac"
    metrics: ClassVar[tuple[str, ...]] = (
        "critic_loss", "value", "critic_grad_norm", "actor_loss", "entropy", "actor_grad_norm", "temperature",
    )  # fmt: skip

    def __init__(self, env: DifferentiableEnv, config: Config, *, seeds: Sequence[int], total_env_steps: int) -> None:
        super().__init__(env, config, seeds=seeds)
        members, device = len(seeds), env.device
        self.config = config
        self._total_env_steps = total_env_steps
        self._target_entropy = target_entropy(env.action_dim, config.target_deviation)
        stream = MemberStream(seeds, device, name="flashsac/init")
        self.networks = networks = Networks(env.observation_dim, env.action_dim, config, stream)
        self._actor_optimiser, self._critic_optimiser, self._temperature_optimiser = (
            PopulationAdam(params, rate, members=members)
            for params, rate in (
                (networks.actor.parameters(), config.actor_learning_rate),
                (networks.critic.parameters(), config.critic_learning_rate),
                ([networks.log_alpha], config.temperature_learning_rate),
            )
        )
        self._reward_scale = RewardScale(*self._shape, config.gamma, config.largest_value, device)
        self._held_noise = HeldNoise(*self._shape, env.action_dim, config.noise_steps, device)
        self._last_actor_metrics = torch.zeros(4, members, device=device)
        self.policy = Policy(networks.actor, precision=config.precision)

    def vary(self, values: Mapping[str, Sequence[float]]) -> None:
        """Gives each member values of its own, see `Tunable.vary`."""
        super().vary(values)
        self._reward_scale.gamma = self.setting_per_world("gamma", torch.float32)

    def begin(self) -> Hashable:
        """Sets the step sizes. Kinds of updates differ in which of the gradient steps are the policy's, too."""
        config, progress = self.config, self.counters.env_steps / self._total_env_steps
        for optimiser, name, delay in (
            (self._critic_optimiser, "critic_learning_rate", 1),
            (self._actor_optimiser, "actor_learning_rate", config.policy_delay),
            (self._temperature_optimiser, "temperature_learning_rate", config.policy_delay),
        ):
            own_progress = progress / delay  # the released schedulers count each network's own steps
            optimiser.set_lr(cosine_schedule(self.setting(name), config.final_learning_rate, own_progress))
        return super().begin(), self.phase()

    def phase(self) -> int:
        """Counts the critics' steps since a step of the policy last fell due; at 0 one falls due."""
        critic_steps = self.counters.gradient_steps - self.counters.policy_gradient_steps
        return critic_steps % self.config.policy_delay

    def compute(self) -> dict[str, Tensor]:
        """Takes some control steps in every world and learns after each. Returns metrics, each ``(P,)``."""
        return super().compute() | {"learning_rate": self._critic_optimiser.lr.clone()}

    def explore(self, obs: Tensor) -> Tensor:
        """Samples the policy, by running statistics, with noise that is held for some steps."""
        with autocast(self.config.precision, self.env.device):
            action, _ = self.networks.actor.sample(obs, self._held_noise.next(self._actions))
        return action

    def notice_step(self, step: Step) -> None:
        """Takes rewards into their statistics."""
        self._reward_scale.update(*(x.unflatten(0, self._shape) for x in (step.reward.float(), step.done)))

    def scale(self, reward: Tensor) -> Tensor:
        """Divides rewards by the scale of returns, if the settings say so."""
        return reward / self._reward_scale.scale if self.config.normalize_rewards else reward

    def learn(self) -> Tensor:
        """Steps policy, temperature and critics on ``updates_per_step`` batches. Returns sums of the metrics."""
        sums = torch.zeros(len(self.metrics), self._shape[0], device=self.env.device)
        for batch in self.batches():
            if self.phase() == 0:
                self._last_actor_metrics.copy_(self._improve_policy(batch))
                self.counters.gradient_steps += 1
                self.counters.policy_gradient_steps += 1
            sums += torch.cat((self._improve_critics(batch), self._last_actor_metrics))
            self.counters.gradient_steps += 1
        return sums

    def actor_losses(self, batch: Batch) -> Tensor:
        """Gives J_pi, J_alpha and the policy's entropy [nats], shape ``(3, P)``.

        The policy sees s and s' at once and normalises by this batch; the critics normalise by running statistics.
        """
        networks = self.networks
        with autocast(self.config.precision, self.env.device):
            obs = torch.cat((batch.obs, batch.next_obs), dim=1)
            noise = torch.cat((batch.noise[:, 1], torch.zeros_like(batch.noise[:, 1])), dim=1)
            action, log_prob = (x[:, : batch.obs.shape[1]] for x in networks.actor.sample(obs, noise, self.alive))
            logits = networks.critic(batch.obs, action)
        value = (logits.softmax(-1) * networks.atoms).sum(-1).amin(1)
        loss = actor_loss(log_prob, value, networks.log_alpha.detach().exp())
        entropy = -log_prob.detach().mean(1)
        return torch.stack((loss, temperature_loss(networks.log_alpha, entropy, self._target_entropy), entropy))

    def critic_losses(self, batch: Batch) -> Tensor:
        """Gives J_Q, and the mean value that the target critics give to s', shape ``(2, P)``.

        Critics and targets see (s, a) and (s', a') at once and normalise by this batch; the policy that a' comes from
        normalises by its running statistics.
        """
        networks, size = self.networks, batch.obs.shape[1]
        with autocast(self.config.precision, self.env.device):
            with torch.no_grad():
                next_action, log_prob = networks.actor.sample(batch.next_obs, batch.noise[:, 0])
                obs = torch.cat((batch.obs, batch.next_obs), dim=1)
                action = torch.cat((batch.action, next_action), dim=1)
                next_logits = networks.target(obs, action, self.alive)[:, :, size:]
            logits = networks.critic(obs, action, self.alive)[:, :, :size]
        with torch.no_grad():
            distribution = least_distribution(next_logits.softmax(-1), networks.atoms)
            entropy_cost = (networks.log_alpha.exp() * log_prob).unsqueeze(-1)  # alpha log pi(a'|s')
            gamma = self.setting_per_world("gamma", log_prob.dtype)
            discount = (gamma * (~batch.terminated).to(log_prob.dtype)).unsqueeze(-1)
            values = batch.reward.unsqueeze(-1) + discount * (networks.atoms - entropy_cost)
            target = project_distribution(distribution, values, networks.atoms)
            value = (distribution * networks.atoms).sum(-1).mean(1)
        return torch.stack((cross_entropy(logits, target), value))

    def _improve_policy(self, batch: Batch) -> Tensor:
        """Takes one step of policy and temperature. Returns loss, entropy, norm and temperature, ``(4, P)``."""
        networks, params = self.networks, self._actor_optimiser.params
        self._actor_optimiser.zero_grad()
        self._temperature_optimiser.zero_grad()
        losses = self.actor_losses(batch)
        losses[:2].sum().backward(inputs=[*params, networks.log_alpha])
        norm = self._actor_optimiser.clip_grad_norm(None)
        alive = self._guard.check(self._guard.iteration, losses.detach().T, norm)
        temperature = networks.log_alpha.detach().exp().squeeze(1)
        self._actor_optimiser.step(alive)
        project_weights(networks.actor, alive)
        self._temperature_optimiser.step(alive)
        loss, _, entropy = losses.detach()
        return torch.stack((loss, entropy, norm, temperature))

    def _improve_critics(self, batch: Batch) -> Tensor:
        """Takes one step of the critics, which their target follows. Returns loss, value and norm, ``(3, P)``."""
        networks = self.networks
        self._critic_optimiser.zero_grad()
        losses = self.critic_losses(batch)
        losses[0].sum().backward()
        norm = self._critic_optimiser.clip_grad_norm(None)
        alive = self._guard.check(self._guard.iteration, losses[0].detach(), norm)
        self._critic_optimiser.step(alive)
        project_weights(networks.critic)
        polyak_update(networks.target.parameters(), networks.critic.parameters(), self.setting("tau"), alive)
        return torch.cat((losses.detach(), norm.unsqueeze(0)))

    def state_dict(self) -> dict[str, Any]:
        """Gives everything that is needed to go on exactly from here, the replay included."""
        return super().state_dict() | {"actor_metrics": self._last_actor_metrics}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` saved."""
        super().load_state_dict(state)
        self._last_actor_metrics.copy_(state["actor_metrics"])

    def parts(self) -> dict[str, Any]:
        """The parts that have a state, by name."""
        return super().parts() | {
            "networks": self.networks,
            "actor_optimiser": self._actor_optimiser,
            "critic_optimiser": self._critic_optimiser,
            "temperature_optimiser": self._temperature_optimiser,
            "reward_scale": self._reward_scale,
            "held_noise": self._held_noise,
        }
