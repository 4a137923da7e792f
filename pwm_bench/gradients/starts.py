"""Start states."""

from __future__ import annotations

import torch
from torch import Tensor

from pwm_bench.envs.api import DifferentiableEnv
from pwm_bench.envs.simulator import State
from pwm_bench.learning.random import MemberStream

__all__ = ["visited_states"]

_VISITED_STEPS = 50


def visited_states(env: DifferentiableEnv, states: int, *, amplitude: float = 1.0, seed: int = 0) -> State:
    """States that random actions lead to: every world is caught at a random moment of its first 50 steps.

    Args:
        env: its worlds are stepped, as often as it takes to have enough; float64 keeps the states exact.
        states: S.
        amplitude: actions are uniform in +- this.
        seed: of actions and moments.
    """
    stream = MemberStream((seed,), env.device, name="gradients/starts")
    positions: list[Tensor] = []
    velocities: list[Tensor] = []
    with torch.no_grad():
        while sum(x.shape[0] for x in positions) < states:
            env.reset()
            moment = stream.integers(_VISITED_STEPS, env.num_envs)[0]
            qpos, qvel = env.state.qpos.clone(), env.state.qvel.clone()
            for t in range(_VISITED_STEPS):
                action = (2.0 * stream.uniform(env.num_envs, env.action_dim, dtype=env.dtype)[0] - 1.0) * amplitude
                env.step(action)
                now = (moment == t).unsqueeze(1)
                qpos = torch.where(now, env.state.qpos, qpos)
                qvel = torch.where(now, env.state.qvel, qvel)
            positions.append(qpos)
            velocities.append(qvel)
    return State(torch.cat(positions)[:states], torch.cat(velocities)[:states])
