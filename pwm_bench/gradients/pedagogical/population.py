"""World models of several seeds and of several training horizons, trained on the same experience."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import torch

from pwm_bench.envs.api import DifferentiableEnv
from pwm_bench.envs.errors import UsageError
from pwm_bench.gradients.models import gather
from pwm_bench.learning.guards import MemberGuard
from pwm_bench.learning.random import MemberStream
from pwm_bench.learning.replay import SequenceReplay
from pwm_bench.world_model.config import WorldModelConfig
from pwm_bench.world_model.networks import WorldModel
from pwm_bench.world_model.trained import TrainedModel, select_member
from pwm_bench.world_model.training import WorldModelTrainer

__all__ = ["train_population"]


def train_population(
    env: DifferentiableEnv,
    config: WorldModelConfig,
    horizons: Sequence[int],
    seeds: Sequence[int],
    *,
    env_steps: int,
    updates: int,
    progress: Callable[[int], None] | None = None,
) -> Mapping[int, list[TrainedModel]]:
    """Gathers random experience for each seed, and trains one world model a seed and training horizon on it.

    Models of one seed begin with the same weights.

    Args:
        env: P times as many worlds as a seed gets, in order of seeds.
        config: of the models, but for the horizon.
        horizons: steps of the unrolled loss.
        seeds: P.
        env_steps: experience of each seed.
        updates: gradient steps of each model.
        progress: told after each gradient step of a population.

    Returns:
        training horizon -> a model for each seed.

    Raises:
        UsageError: too little experience, or a model diverges.
    """
    members = len(seeds)
    worlds = env.num_envs // members
    steps = env_steps // worlds
    if steps < max(horizons):
        raise UsageError(f"env_steps={env_steps}: {worlds} worlds need at least {max(horizons)} steps each")
    models = {
        h: WorldModel(
            env.observation_dim,
            env.action_dim,
            dataclasses.replace(config, horizon=h),
            stream=MemberStream(seeds, env.device, name="gradients/model/init"),
        )
        for h in horizons
    }
    replay = SequenceReplay(
        members, worlds, steps * worlds, env.observation_dim, env.action_dim, env.device, env.dtype, horizons=horizons,
    )  # fmt: skip
    gather(env, list(models.values()), replay, MemberStream(seeds, env.device, name="gradients/model/data"))
    found = {}
    for h, model in models.items():
        stream = MemberStream(seeds, env.device, name="gradients/model/batches")
        guard = MemberGuard(members, env.device)
        trainer = WorldModelTrainer(model, model_config := dataclasses.replace(config, horizon=h), members=members,
                                    guard=guard)  # fmt: skip
        metrics: dict[str, torch.Tensor] = {}
        for update in range(updates):
            metrics = trainer.step(*replay.sample(stream, config.batch_size, h), iteration=update)
            if progress is not None:
                progress(1)
        if not bool(guard.alive.all()):
            raise UsageError(f"a world model with horizon {h} diverged: lower its learning_rate")
        found[h] = [
            select_member(model, trainer.reward_norm, model_config, m,
                          {name: float(value[m]) for name, value in metrics.items()})
            for m in range(members)
        ]  # fmt: skip
    return found
