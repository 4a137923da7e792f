"""Small learners for the tests of SAC."""

from __future__ import annotations

import torch

from pwm_bench.baselines.sac import Config, Learner
from pwm_bench.testing.toy import toy_env

SMALL = Config(
    num_envs=4, horizon=5, batch_size=16, seed_steps=2, replay_capacity=400, hidden_actor=(8,), hidden_critic=(8,)
)
BUDGET = 100_000


def make(seeds, config=SMALL, **kwargs) -> Learner:
    env = toy_env(num_envs=config.num_envs * len(seeds), seeds=seeds, **kwargs)
    return Learner(env, config, seeds=seeds, total_env_steps=BUDGET)


def weights(sac: Learner) -> list[torch.Tensor]:
    return [p.detach().clone() for p in sac.networks.parameters()]


def stored(sac: Learner) -> dict[str, torch.Tensor]:
    """Everything in the replay, rows of transitions."""
    state = sac._replay.state_dict()
    names = ("obs", "action", "reward", "next_obs", "terminated")
    return {name: state[name].flatten(0, 1) for name in names}
