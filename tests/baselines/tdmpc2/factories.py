"""TD-MPC2 at a size of milliseconds, on a point mass with short episodes that may end early."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from pwm_bench.baselines.tdmpc2 import Config, Learner
from pwm_bench.testing.toy import PointMass, toy_env

LENGTH = 8
SMALL = Config(
    horizon=4,
    seed_steps=LENGTH,
    latent_dim=16,
    encoder_hidden=(9,),
    hidden=(11,),
    critic_ensemble=3,
    episodic=True,
    training={"batch_size": 5, "horizon": 2},  # type: ignore[arg-type]  # as JSON has it
    planner={"samples": 16, "elites": 4, "policy_samples": 2, "iterations": 2, "horizon": 2},  # type: ignore[arg-type]
)


class Short(PointMass):
    """A point mass with short episodes."""

    episode_length = LENGTH


class Narrow(Short):
    """One that falls off its table in some of them."""

    def terminated(self, observation: Tensor) -> Tensor:
        return observation[:, :2].abs().amax(1) > 1.1


def make(seeds: Sequence[int] = (0, 1), config: Config = SMALL, **env: Any) -> Learner:
    """A learner of these members."""
    return Learner(toy_env(len(seeds), seeds, **({"task": Narrow()} | env)), config, seeds=seeds, total_env_steps=200)
