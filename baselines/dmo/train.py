"""The DMO learner: the simulator says where an action leads, a learned model says how that depends on it.

With s_t and a_t of the rollout and f the model of the difference of observations::

    o_{t+1} = sim(s_t, a_t)                                   the value
    d o_{t+1} = d (o_t + f(n(o_t), a_t))  at the real o_t     the derivative

The chain runs on these observations into the policy, into the task's reward, which is a function of observation and
action, and into the value at the end. All else is SHAC.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from pwm_bench.baselines.dmo.config import Config
from pwm_bench.baselines.dmo.model import DifferenceModel, gaussian_loss
from pwm_bench.baselines.shac.short_horizon import Rollout
from pwm_bench.baselines.shac.train import ValueLearner
from pwm_bench.envs.api import DifferentiableEnv, Step
from pwm_bench.learning.optim import PopulationAdam
from pwm_bench.learning.random import MemberStream
from pwm_bench.learning.replay import SequenceReplay

__all__ = ["Learner"]

_INITIAL_UPDATES_AT_ONCE = 64  # an iteration stays short, so that progress shows and checkpoints come
_POLICY_METRICS = ("actor_loss", "actor_grad_norm", "reward", "critic_loss", "critic_grad_norm", "value", "policy_std")
_MODEL_METRICS = ("model_loss", "model_error", "model_grad_norm")


class Learner(ValueLearner[Config]):
    """DMO for a population; see docs/dmo.md.

    Args:
        env: environment with ``len(seeds) * config.num_envs`` worlds; its simulator need not be differentiable.
        config: hyper-parameters.
        seeds: one a member.
        total_env_steps: control steps per member over which learning rates decay.

    Source: "First order model-based RL through decoupled backpropagation", CoRL 2025 (arXiv 2509.00215).
    """

    algorithm: ClassVar[str] = "dmo"
    differentiates: ClassVar[bool] = False

    def __init__(self, env: DifferentiableEnv, config: Config, *, seeds: Sequence[int], total_env_steps: int) -> None:
        super().__init__(env, config, seeds=seeds, total_env_steps=total_env_steps)
        initial = MemberStream(seeds, env.device, name="dmo/init")
        sizes = (env.observation_dim, env.action_dim, config.hidden_model, config.simnorm_dim)
        self.model = DifferenceModel(*sizes, stream=initial)
        self.model_optimiser = PopulationAdam(self.model.parameters(), config.model_learning_rate, members=self.members)
        self.draws = MemberStream(seeds, env.device, name="dmo/replay")
        self.replay = SequenceReplay(
            self.members,
            self.worlds,
            config.replay_capacity,
            env.observation_dim,
            env.action_dim,
            env.device,
            env.dtype,
        )
        self.model_updates = 0
        self._fit_steps, self._rolls_out = 0, True
        self._chained_obs = env.obs

    def parts(self) -> dict[str, Any]:
        """The parts that have a state, by name."""
        parts = {"model": self.model, "model_optimiser": self.model_optimiser}
        return super().parts() | parts | {"draws": self.draws, "replay": self.replay}

    def state_dict(self) -> dict[str, Any]:
        """Gives everything that is needed to go on exactly from here."""
        return super().state_dict() | {"model_updates": self.model_updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` saved."""
        super().load_state_dict(state)
        self.model_updates = int(state["model_updates"])

    def begin(self) -> Hashable:
        """Sets the step sizes. The first iterations only act, and those after them only fit the model."""
        super().begin()
        filling = self.counters.env_steps < self.config.initial_env_steps
        missing = self.config.initial_model_updates - self.model_updates
        if filling:
            self._fit_steps = 0
        elif missing > 0:
            self._fit_steps = min(missing, _INITIAL_UPDATES_AT_ONCE)
        else:
            self._fit_steps = self.config.model_updates
        self._rolls_out = filling or missing <= 0
        return self._rolls_out, self._fit_steps

    def compute(self) -> dict[str, Tensor]:
        """Fits the model, then rolls out and learns from that. Returns metrics, each ``(P,)``."""
        not_done = torch.full((self.members,), torch.nan, device=self.env.device)
        metrics = dict.fromkeys((*_POLICY_METRICS, *_MODEL_METRICS), not_done)
        if self._fit_steps:
            metrics |= self._fit_model(self._fit_steps)
        if self._rolls_out:
            return metrics | super().compute()
        metrics |= self.episodes.metrics() | {"invalid_worlds": self.env.invalid_count.to(torch.float32)}
        return metrics | {"learning_rate": self.actor_optimiser.lr.clone()}

    def finish(self) -> None:
        """Counts the model's updates, and the iteration if there was one of the policy."""
        self.model_updates += self._fit_steps
        if self._rolls_out:
            super().finish()

    def learn(self, rollout: Rollout) -> dict[str, Tensor]:
        """Steps policy and critics, once the model has been fitted. Returns metrics, each ``(P,)``."""
        return super().learn(rollout) if self._fit_steps else {}

    def take_step(self, t: int, action: Tensor) -> Step:
        """Executes actions in the simulator, and gives its values with the derivatives of the model."""
        env = self.env
        obs = env.obs.detach() if t == 0 else self._chained_obs
        with torch.no_grad():
            step = env.step(action.detach())
            self.replay.add(obs, action, step.reward, step.terminated, step.done, step.final_obs, step.invalid)
        reward = env.task.reward(obs, action.clamp(-1.0, 1.0))
        reward = torch.where(step.invalid, 0.0, reward)
        predicted = self._predict(obs, action)
        final_obs = step.final_obs + (predicted - predicted.detach())  # the simulator's value to the bit
        self._chained_obs = torch.where(step.done.unsqueeze(1), step.obs, final_obs)
        return Step(self._chained_obs, reward, step.terminated, step.truncated, final_obs, step.invalid)

    def _predict(self, obs: Tensor, action: Tensor) -> Tensor:
        """Predicts the next observation, ``(P * B, obs)``, with gradient to its arguments.

        Args:
            obs: raw, shape ``(P * B, obs)``.
            action: in [-1, 1], shape ``(P * B, act)``.
        """
        obs, action = (x.unflatten(0, (self.members, self.worlds)) for x in (obs, action))
        mean, _ = self.model(self.normalise(obs), action)
        predicted: Tensor = (obs + mean).flatten(0, 1)
        return predicted

    def _fit_model(self, updates: int) -> dict[str, Tensor]:
        """Takes gradient steps on stored transitions. Returns metrics: means over the steps."""
        sums = torch.zeros(3, self.members, device=self.env.device)
        for _ in range(updates):
            batch = self.replay.sample(self.draws, self.config.model_batch_size, 1)
            obs, next_obs = batch.obs.unbind(2)
            mean, log_variance = self.model(self.normalise(obs), batch.action[:, :, 0])
            loss = gaussian_loss(mean, log_variance, next_obs - obs)
            self.model_optimiser.zero_grad()
            loss.sum().backward()
            norm = self.model_optimiser.clip_grad_norm(self.config.max_grad_norm_model)
            self.model_optimiser.step(alive=self.guard.check(self.guard.iteration, loss.detach(), norm))
            error = (next_obs - obs - mean.detach()).square().mean((1, 2)).sqrt()
            sums += torch.stack((loss.detach(), error, norm))
        self.counters.gradient_steps += updates
        return dict(zip(_MODEL_METRICS, sums / updates, strict=True))
