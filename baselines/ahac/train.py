"""The AHAC learner: SHAC with a horizon of each member's own, and critics that train until they have converged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from pwm_bench.baselines.ahac.config import Config
from pwm_bench.baselines.ahac.horizon import AdaptiveHorizon
from pwm_bench.baselines.shac.short_horizon import Rollout
from pwm_bench.baselines.shac.train import ValueLearner
from pwm_bench.envs.api import DifferentiableEnv, Step
from pwm_bench.learning.optim import linear_schedule

__all__ = ["Learner", "converged"]

_CONVERGENCE_WINDOW = 5  # passes whose losses say whether the critics have converged (released code)


def converged(losses: Sequence[Tensor], tolerance: float) -> Tensor:
    """Says whose loss changes by less than ``tolerance`` a pass over the last five passes, bool ``(P,)``.

    Args:
        losses: mean loss of each pass so far, each ``(P,)``.
        tolerance: largest mean change.
    """
    if len(losses) < _CONVERGENCE_WINDOW:
        return torch.zeros_like(losses[0], dtype=torch.bool)
    return (losses[-1] - losses[-_CONVERGENCE_WINDOW]).abs() / (_CONVERGENCE_WINDOW - 1) < tolerance


class Learner(ValueLearner[Config]):
    """AHAC for a population; see docs/ahac.md.

    Every iteration takes ``horizon`` control steps, whatever the members' horizons H: a member's gradient history is
    cut every H of them, and the return of each piece ends in a value. So members with different horizons step together,
    and one with a short horizon averages over more pieces.

    Args:
        env: environment with ``len(seeds) * config.num_envs`` worlds.
        config: hyper-parameters.
        seeds: one a member.
        total_env_steps: control steps per member over which learning rates decay.

    Source: Georgiev et al., "Adaptive Horizon Actor-Critic for policy learning in contact-rich differentiable
    simulation", ICML 2024.
    """

    algorithm: ClassVar[str] = "ahac"

    def __init__(self, env: DifferentiableEnv, config: Config, *, seeds: Sequence[int], total_env_steps: int) -> None:
        super().__init__(env, config, seeds=seeds, total_env_steps=total_env_steps)
        self.adaptive = AdaptiveHorizon(self.members, (config.min_horizon, config.horizon), env.device)
        self._cuts: list[Tensor] = []
        self._stiffness: list[Tensor] = []
        self._horizon_rate = torch.zeros((), device=env.device)

    @property
    def _fixed(self) -> bool:
        """Whether H cannot change, so that the learner is SHAC with other critics."""
        return self.config.min_horizon == self.config.horizon

    def parts(self) -> dict[str, Any]:
        """The parts that have a state, by name."""
        return super().parts() | {"adaptive": self.adaptive}

    def set_learning_rates(self, progress: float) -> None:
        """Sets the step sizes for a fraction of the budget."""
        self._horizon_rate.fill_(linear_schedule(self.config.horizon_learning_rate, 0.0, progress))
        super().set_learning_rates(progress)

    def roll_out(self) -> Rollout:
        """Rolls the policy out, as SHAC does."""
        self._cuts.clear()
        self._stiffness.clear()
        return super().roll_out()

    def take_step(self, t: int, action: Tensor) -> Step:
        """Executes actions, measures how stiff the step was, and cuts the history where a horizon ends."""
        if self._fixed:
            return super().take_step(t, action)
        qvel = self.env.state.qvel.detach()
        step = self.env.step(action)
        cut = self.adaptive.ends(t)
        self._cuts.append(cut.unsqueeze(1).expand(-1, self.worlds))
        with torch.no_grad():
            acceleration = (self.env.state.qvel - qvel).norm(dim=1) / self.env.control_dt
            running = ~step.done.view(self.members, -1)  # elsewhere the velocity is that of a fresh episode
            total = torch.where(running, acceleration.view(self.members, -1), 0.0).sum(1)
            self._stiffness.append(total / running.sum(1).clamp(min=1))
        obs = self.env.cut(self._cuts[-1].flatten())
        return Step(obs, step.reward, step.terminated, step.truncated, step.final_obs, step.invalid)

    def actor_loss(self, rollout: Rollout, next_values: Tensor) -> Tensor:
        """Minus the mean return over the pieces between cuts, each with a value at its end, ``(P,)``."""
        if self._fixed:
            return super().actor_loss(rollout, next_values)
        cut = torch.stack(self._cuts) & ~rollout.terminated
        pieces = Rollout(rollout.obs, rollout.rewards, rollout.terminated, rollout.truncated | cut, rollout.final_obs)
        return super().actor_loss(pieces, next_values)

    def learn(self, rollout: Rollout) -> dict[str, Tensor]:
        """Steps policy, critics and horizon. Returns metrics, each ``(P,)``."""
        metrics = {"horizon": self.adaptive.horizon.clone()} | super().learn(rollout)
        if self._fixed:
            return metrics
        stiffness = torch.stack(self._stiffness)
        self.adaptive.update(stiffness, self.config.stiffness_limit, self._horizon_rate, self.guard.alive)
        return metrics | {"stiffness": stiffness.mean(0)}

    def critic_passes(self, obs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Goes over the data until the loss hardly changes any more; members that are done wait for the others."""
        tolerance = self.config.critic_tolerance
        if tolerance is None:
            return super().critic_passes(obs, targets)
        history: list[Tensor] = []
        training = self.guard.alive.clone()
        passes = torch.zeros(self.members, device=targets.device)
        loss = norm = torch.zeros(self.members, device=targets.device)
        for _ in range(self.config.critic_iterations):
            losses, last_norm = self.critic_pass(obs, targets, training)
            history.append(losses.mean(0))
            loss, norm = torch.where(training, losses[-1], loss), torch.where(training, last_norm, norm)
            passes += training
            training = training & ~converged(history, tolerance)
        return {"critic_loss": loss, "critic_grad_norm": norm, "critic_passes": passes}
