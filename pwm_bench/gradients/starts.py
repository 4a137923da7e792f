"""Start states, and what a trained policy does from them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pwm_bench.envs.api import DifferentiableEnv
from pwm_bench.envs.simulator import State
from pwm_bench.gradients.simulated import SimulatedWorld
from pwm_bench.learning.random import MemberStream

__all__ = ["Act", "actions_taken", "visited_states"]

Act = Callable[[Tensor], Tensor]
"""A trained policy: observations ``(N, observation_dim)`` to actions without noise ``(N, A)``, of the same dtype."""
_VISITED_STEPS = 50


@torch.no_grad()
def visited_states(
    env: DifferentiableEnv,
    states: int,
    *,
    amplitude: float = 1.0,
    seed: int = 0,
    act: Act | None = None,
    noise: float = 0.0,
) -> State:
    """States that random actions lead to: every world is caught at a random moment of its first 50 steps.

    Of a trained policy it is a random moment of as many steps as an episode has, over which the worlds begin anew
    whenever an episode ends: such states are as frequent as the policy makes them.

    Args:
        env: its worlds are stepped, as often as it takes to have enough; float64 keeps the states exact.
        states: S.
        amplitude: random actions are uniform in +- this.
        seed: of actions, noise and moments.
        act: the trained policy, if any.
        noise: standard deviation of the noise on its actions.
    """
    stream = MemberStream((seed,), env.device, name="gradients/starts")
    steps = _VISITED_STEPS if act is None else env.episode_length
    positions: list[Tensor] = []
    velocities: list[Tensor] = []
    while sum(x.shape[0] for x in positions) < states:
        env.reset()
        moment = stream.integers(steps, env.num_envs)[0]
        qpos, qvel = env.state.qpos.clone(), env.state.qvel.clone()
        for t in range(steps):
            if act is None:
                action = (2.0 * stream.uniform(env.num_envs, env.action_dim, dtype=env.dtype)[0] - 1.0) * amplitude
            else:
                drawn = stream.normal(env.num_envs, env.action_dim, dtype=env.dtype)[0]
                action = (act(env.obs) + noise * drawn).clamp(-1.0, 1.0)
            env.step(action)
            now = (moment == t).unsqueeze(1)
            qpos = torch.where(now, env.state.qpos, qpos)
            qvel = torch.where(now, env.state.qvel, qvel)
        positions.append(qpos)
        velocities.append(qvel)
    return State(torch.cat(positions)[:states], torch.cat(velocities)[:states])


@torch.no_grad()
def actions_taken(world: SimulatedWorld, start: State, act: Act, horizon: int) -> Tensor:
    """What a trained policy does without noise from S start states, whether or not an episode would end.

    Args:
        world: the truth, with at least S rows.
        start: start states.
        act: the policy.
        horizon: H.

    Returns:
        actions, shape ``(S, H, A)``.
    """
    states = start.qpos.shape[0]
    index = torch.arange(world.rows, device=world.device).clamp(max=states - 1)
    state = State(start.qpos[index], start.qvel[index])
    obs = world.task.observation(state, state.qpos.new_zeros(world.rows, world.task.action_dim))
    actions = []
    for _ in range(horizon):
        actions.append(act(obs))
        state, obs = world.advance(state, actions[-1])
    return torch.stack(actions, dim=1)[:states]
