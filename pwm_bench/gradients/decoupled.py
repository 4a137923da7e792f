"""The simulator's return with a world model's derivatives: states and rewards are real, Jacobians are the model's.

With the real observation o_t of the rollout and z_t = E(o_t)::

    z_{t+1} has the value E(o_{t+1}) and the derivative of D(z_t, a_t),   r_t that of the task and of R(z_t, a_t)

It is DMO's gradient for a model that predicts latents. It is the gradient of no function, so nothing checks it but a
chain of Jacobians worked out apart.
Source: "First order model-based RL through decoupled backpropagation", CoRL 2025 (arXiv 2509.00215).
"""

from __future__ import annotations

import torch
from torch import Tensor

from pwm_bench.envs.simulator import State
from pwm_bench.gradients.controls import Control
from pwm_bench.gradients.landscape import Rollout
from pwm_bench.gradients.learned import LearnedWorld
from pwm_bench.gradients.simulated import SimulatedWorld

__all__ = ["DecoupledWorld"]


class DecoupledWorld:
    """A task's return in a simulator, to be differentiated through a world model.

    Args:
        real: the simulator; it need not be differentiable.
        learned: the model, of the same precision and number of rows.
    """

    differentiable = True
    name = "decoupled"

    def __init__(self, real: SimulatedWorld, learned: LearnedWorld) -> None:
        self.real, self.learned = real, learned
        self.rows, self.device, self.dtype = real.rows, real.device, real.dtype

    def require_gradient(self) -> None:
        """A model always has one."""

    def rollout(self, start: State, control: Control, theta: Tensor, noise: Tensor) -> Rollout:
        """See `Landscape.rollout`; the policy sees latents."""
        task, trained = self.real.task, self.learned.trained
        state = start
        obs = task.observation(state, noise.new_zeros(noise.shape[1:]))
        latent = trained.encode(obs).detach()
        alive = torch.ones(self.rows, dtype=torch.bool, device=self.device)
        policy = control.policy(theta)
        rewards, features = [], []
        reached: list[tuple[Tensor, Tensor]] = []
        for t, step_noise in enumerate(noise):
            action = torch.clamp(policy(t, latent) + step_noise, -1.0, 1.0)
            z, a = latent.unsqueeze(0), action.unsqueeze(0)
            predicted = trained.reward_scale * trained.model.reward(z, a).squeeze(0)
            with torch.no_grad():
                real_reward = task.reward(obs, action)
            rewards.append(torch.where(alive, _with_value(predicted, real_reward), 0.0))
            features.append(latent)
            if t == noise.shape[0] - 1 and self.learned.value is None:
                break
            following = trained.model.next(z, a).squeeze(0)
            with torch.no_grad():
                state, obs = self.real.advance(state, action, alive)
                if self.real.termination:
                    alive = alive & ~self.real.terminated(obs)
                real_latent = trained.encode(obs)
            latent = _with_value(following, real_latent)
            reached.append((latent, alive))
        if self.learned.value is None:
            return Rollout(rewards, torch.stack(features))
        value = self.learned.value

        def beyond(horizon: int) -> Tensor:
            latent, alive = reached[horizon - 1]
            return torch.where(alive, value(latent), 0.0)

        return Rollout(rewards, torch.stack(features), beyond)


def _with_value(predicted: Tensor, real: Tensor) -> Tensor:
    """The value of ``real``, to the bit, and the derivative of ``predicted``."""
    return real + (predicted - predicted.detach())
