"""The true return: a task on a simulator, from any start states."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.simulator import Simulator, State
from pwm_bench.envs.tasks.base import Task
from pwm_bench.gradients.controls import Control
from pwm_bench.gradients.landscape import Rollout

__all__ = ["SimulatedWorld"]

_LARGEST_STATE = 1e6  # as in `pwm_bench.envs.api`


class SimulatedWorld:
    """A task's return in a simulator; differentiable if the simulator is.

    Unlike in `pwm_bench.envs.api.DifferentiableEnv` nothing resets, no gradient is guarded, and rows start wherever one
    likes.

    Args:
        task: observation, reward and termination.
        simulator: dynamics; its number of worlds is the number of rows.
        encoder: what a closed-loop policy sees of an observation ``(N, observation_dim)``; the observation itself by
            default.
        termination: rewards after the task's termination count as zero. Off: the rollout goes on as if nothing had
            happened, which leaves a smoother objective.
        value: V of what the policy sees, ``(N, F)`` to ``(N,)``, at the end of a horizon; nothing by default. Zero
            after a termination.
    """

    def __init__(
        self,
        task: Task,
        simulator: Simulator,
        *,
        encoder: Callable[[Tensor], Tensor] | None = None,
        termination: bool = True,
        value: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.task = task
        self.simulator = simulator
        self.name = simulator.name
        self.rows = simulator.num_worlds
        self.device = simulator.device
        self.dtype = simulator.dtype
        self.termination = termination
        self.value = value
        self._encode = encoder or (lambda observation: observation)

    @property
    def differentiable(self) -> bool:
        """Whether gradients can be taken."""
        return self.simulator.differentiable

    def require_gradient(self) -> None:
        """Raises a UsageError if the simulator has no gradient."""
        if not self.simulator.differentiable:
            raise UsageError(f"simulator '{self.name}' has no gradient: use another one, or another estimator")

    def rollout(self, start: State, control: Control, theta: Tensor, noise: Tensor) -> Rollout:
        """See `Landscape.rollout`."""
        task, state = self.task, start
        obs = task.observation(state, noise.new_zeros(noise.shape[1:]))
        alive = torch.ones(self.rows, dtype=torch.bool, device=self.device)
        policy = control.policy(theta)
        rewards, features = [], []
        reached: list[tuple[Tensor, Tensor]] = []
        for t, step_noise in enumerate(noise):
            seen = self._encode(obs)
            action = torch.clamp(policy(t, seen) + step_noise, -1.0, 1.0)
            rewards.append(torch.where(alive, task.reward(obs, action), 0.0))
            features.append(seen)
            if t == noise.shape[0] - 1 and self.value is None:
                break
            state, obs = self.advance(state, action, alive)
            if self.termination:
                alive = alive & ~self.terminated(obs)
            reached.append((obs, alive))
        if self.value is None:
            return Rollout(rewards, torch.stack(features))
        value = self.value

        def beyond(horizon: int) -> Tensor:
            obs, alive = reached[horizon - 1]
            return torch.where(alive, value(self._encode(obs)), 0.0)

        return Rollout(rewards, torch.stack(features), beyond)

    @torch.no_grad()
    def terminated(self, obs: Tensor) -> Tensor:
        """Whether the task's episode ends at observations ``(N, observation_dim)``, bool ``(N,)``.

        A row that has left the finite world is lost and has not ended, whatever the task makes of NaN.
        """
        return self.task.terminated(obs) & ~obs.isnan().any(1)

    def advance(self, state: State, action: Tensor, alive: Tensor | None = None) -> tuple[State, Tensor]:
        """One control step. Rows that are not alive stay where they are; rows that blow up become NaN.

        Returns:
            the next state and its observation.
        """
        after = self.simulator.step(state, self.task.control(action))
        if alive is not None and not bool(alive.all()):
            rows = alive.unsqueeze(1)
            after = State(
                torch.where(rows, after.qpos, state.qpos.detach()), torch.where(rows, after.qvel, state.qvel.detach())
            )
        with torch.no_grad():
            lost = ~(torch.maximum(after.qpos.abs().amax(1), after.qvel.abs().amax(1)) < _LARGEST_STATE)
        if bool(lost.any()):
            nan = lost.unsqueeze(1)
            after = State(torch.where(nan, torch.nan, after.qpos), torch.where(nan, torch.nan, after.qvel))
        return after, self.task.observation(after, action)

    @torch.no_grad()
    def trajectory(self, start: State, control: Control, theta: Tensor, horizon: int) -> tuple[State, Tensor, Tensor]:
        """States and actions along the rollout without noise or termination.

        Returns:
            states s_0 .. s_H, shapes ``(H + 1, rows, nq)`` and ``(H + 1, rows, nv)``; actions ``(H, rows, A)``;
            observations ``(H + 1, rows, observation_dim)``.
        """
        state, actions, policy = start, [], control.policy(theta)
        obs = self.task.observation(state, theta.new_zeros(self.rows, self.task.action_dim))
        states, seen = [state], [obs]
        for t in range(horizon):
            action = torch.clamp(policy(t, self._encode(obs)), -1.0, 1.0)
            state, obs = self.advance(state, action)
            states.append(state)
            actions.append(action)
            seen.append(obs)
        stacked = State(torch.stack([s.qpos for s in states]), torch.stack([s.qvel for s in states]))
        return stacked, torch.stack(actions), torch.stack(seen)
