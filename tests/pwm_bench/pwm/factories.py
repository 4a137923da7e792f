"""Small PWM configurations and learners."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from pwm_bench.pwm.config import Config
from pwm_bench.pwm.train import Learner
from pwm_bench.testing.toy import toy_env
from pwm_bench.world_model.config import WorldModelConfig

HORIZON, WORLDS = 4, 6


def tiny_model(**changes: Any) -> WorldModelConfig:
    """A world model of some hundred weights."""
    sizes: dict[str, Any] = {
        "latent_dim": 16,
        "encoder_hidden": (12,),
        "dynamics_hidden": (12,),
        "reward_hidden": (12,),
        "horizon": HORIZON,
        "batch_size": 8,
    }
    return WorldModelConfig(**(sizes | changes))


def tiny_config(**changes: Any) -> Config:
    """A configuration whose every part runs within milliseconds."""
    sizes: dict[str, Any] = {
        "num_envs": WORLDS,
        "horizon": HORIZON,
        "world_model": tiny_model(),
        "world_model_updates": 2,
        "replay_capacity": 1000,
        "hidden_actor": (12, 8),
        "hidden_critic": (12,),
        "critic_iterations": 2,
        "critic_minibatches": 2,
        "start_batch": WORLDS,
    }
    return Config(**(sizes | changes))


def toy_learner(
    config: Config | None = None,
    seeds: Sequence[int] = (0, 1),
    dtype: torch.dtype = torch.float64,
    total_env_steps: int = 10_000,
) -> Learner:
    """A learner on the point mass."""
    config = config or tiny_config()
    env = toy_env(config.num_envs * len(seeds), seeds=seeds, dtype=dtype)
    return Learner(env, config, seeds=seeds, total_env_steps=total_env_steps)
