"""What happens in a picture: the states of one world under a policy, with the numbers of its title."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from pwm_bench.render.policies import Actor

__all__ = ["Moment", "Rollout", "play"]


@dataclass(frozen=True, slots=True)
class Moment:
    """One state, and what led to it."""

    qpos: np.ndarray
    """Generalised position, ``(nq,)``."""
    step: int
    """Control steps in this episode."""
    episode: int
    """Number of the episode, counted from 1."""
    reward: float
    """Reward of the last step; 0 at the start."""
    total: float
    """Return of the episode so far."""
    velocity: float | None
    """Forward velocity [m/s]; None where the task is not about moving."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """Consecutive states, ``control_dt`` seconds apart."""

    moments: list[Moment]
    control_dt: float


@torch.no_grad()
def play(actor: Actor, steps: int, tick: Callable[[], None] = lambda: None) -> Rollout:
    """Plays a policy from the start of an episode; an episode that ends is followed by another.

    Args:
        actor: the policy and its worlds.
        steps: control steps.
        tick: called after each.
    """
    env, world = actor.env, actor.world
    obs = env.detach()
    episode, count, total = 1, 0, 0.0

    def moment(reward: float) -> Moment:
        velocity = env.task.forward_velocity(obs)
        qpos = env.state.qpos[world].to("cpu", torch.float64, copy=True).numpy()
        speed = None if velocity is None else velocity[world].item()
        return Moment(qpos, count, episode, reward, total, speed)

    moments = [moment(0.0)]
    for number in range(steps):
        step = env.step(actor.act(obs, number))
        obs = step.obs
        reward = step.reward[world].item()
        count, total = count + 1, total + reward
        if bool(step.done[world]):  # the state is already that of the next episode
            episode, count, total, reward = episode + 1, 0, 0.0, 0.0
        moments.append(moment(reward))
        tick()
    return Rollout(moments, env.control_dt)
