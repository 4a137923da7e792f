"""World models of several seeds and of several training horizons, trained on the same experience."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import torch

from envs.api import DifferentiableEnv
from envs.errors import UsageError
from pwm_bench.gradients.learned import TrainedModel, select_member
from pwm_bench.learning.guards import MemberGuard
from pwm_bench.learning.random import MemberStream
from pwm_bench.learning.replay import SequenceReplay
from pwm_bench.world_model.config import WorldModelConfig
from pwm_bench.world_model.networks import WorldModel
from pwm_bench.world_model.training import WorldModelTrainer

__all__ = ["train_population"]

_STEPS_PER_ACTION = 8.0


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

    Half of a seed's worlds draw an action a step, half keep one for 8 steps on average. Models of one seed begin with
    the same weights.

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
    replay = SequenceReplay(members, worlds, steps * worlds, env.observation_dim, env.action_dim, env.device, env.dtype)
    _gather(env, list(models.values()), replay, MemberStream(seeds, env.device, name="gradients/model/data"), steps)
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


@torch.no_grad()
def _gather(
    env: DifferentiableEnv, models: list[WorldModel], replay: SequenceReplay, stream: MemberStream, steps: int
) -> None:
    members, worlds = replay.members, replay.worlds
    restless = (torch.arange(worlds, device=env.device) % 2 == 0).view(1, -1, 1)
    action = torch.zeros(members, worlds, env.action_dim, device=env.device)
    for step in range(steps):
        fresh = 2.0 * stream.uniform(worlds, env.action_dim) - 1.0
        redraw = restless | (stream.uniform(worlds, 1) < 1.0 / _STEPS_PER_ACTION)
        action = fresh if step == 0 else torch.where(redraw, fresh, action)
        obs = env.detach()
        for model in models:
            if model.observation_norm is not None:
                model.observation_norm.update(obs.view(members, worlds, -1))
        after = env.step(action.flatten(0, 1))
        replay.add(
            obs, action.flatten(0, 1), after.reward, after.terminated, after.done, after.final_obs, after.invalid
        )
