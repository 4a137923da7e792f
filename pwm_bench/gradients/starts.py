"""Start states, and the experience that a world model for a comparison is trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from envs.api import DifferentiableEnv
from envs.errors import UsageError
from envs.simulator import State
from pwm_bench import configs
from pwm_bench.gradients.learned import TrainedModel, select_member
from pwm_bench.learning.checks import check_at_least
from pwm_bench.learning.guards import MemberGuard
from pwm_bench.learning.random import MemberStream
from pwm_bench.learning.replay import SequenceReplay
from pwm_bench.pwm.recipes import recipe
from pwm_bench.world_model.config import WorldModelConfig
from pwm_bench.world_model.networks import WorldModel
from pwm_bench.world_model.training import WorldModelTrainer

__all__ = ["ModelTraining", "train_model", "visited_states", "with_model"]

_VISITED_STEPS = 50
_STEPS_PER_ACTION = 8.0


def _small_model() -> WorldModelConfig:
    return recipe("hopper", "warp").world_model


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelTraining:
    """A world model to be trained for a comparison, on random actions.

    Raises:
        UsageError: if a field is out of range.
    """

    env_steps: int = 20_000
    """Environment steps of experience."""
    updates: int = 3_000
    """Gradient steps."""
    num_envs: int = 32
    """Worlds that gather the experience. Half of them keep an action for 8 steps on average, half draw one a step."""
    seed: int = 0
    """Of initial weights, actions and batches."""
    config: WorldModelConfig = field(default_factory=_small_model)
    """Sizes and losses; those that PWM's recipe has for a CPU by default."""

    def __post_init__(self) -> None:
        for name in ("env_steps", "updates", "num_envs"):
            check_at_least(name, getattr(self, name), 1)
        if self.env_steps // self.num_envs < self.config.horizon:
            raise UsageError(
                f"env_steps={self.env_steps}: {self.num_envs} worlds need at least {self.config.horizon} steps each"
            )


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


def train_model(
    training: ModelTraining, env: DifferentiableEnv, progress: Callable[[int], None] | None = None
) -> TrainedModel:
    """Gathers experience and trains a world model on it.

    Args:
        training: how.
        env: ``training.num_envs`` worlds.
        progress: told after each gradient step.

    Raises:
        UsageError: if training diverges.
    """
    config, seeds = training.config, (training.seed,)
    stream = MemberStream(seeds, env.device, name="gradients/model")
    init = MemberStream(seeds, env.device, name="gradients/model/init")
    model = WorldModel(env.observation_dim, env.action_dim, config, stream=init).to(env.dtype)
    steps = training.env_steps // training.num_envs
    replay = SequenceReplay(
        1, env.num_envs, steps * env.num_envs, env.observation_dim, env.action_dim, env.device, env.dtype
    )
    _gather(env, model, replay, stream, steps)
    guard = MemberGuard(1, env.device)
    trainer = WorldModelTrainer(model, config, members=1, guard=guard)
    metrics: dict[str, Tensor] = {}
    for update in range(training.updates):
        metrics = trainer.step(*replay.sample(stream, config.batch_size, config.horizon), iteration=update)
        if progress is not None:
            progress(1)
    if not bool(guard.alive.all()):
        raise UsageError(f"the world model diverged at update {int(guard.diverged_at[0])}: lower its learning_rate")
    description = {
        "trained": configs.to_json(training),
        "losses": {name: float(value[0]) for name, value in metrics.items()},
    }
    return select_member(model, trainer.reward_norm, config, 0, description)


@torch.no_grad()
def _gather(
    env: DifferentiableEnv, model: WorldModel, replay: SequenceReplay, stream: MemberStream, steps: int
) -> None:
    worlds = env.num_envs
    restless = (torch.arange(worlds, device=env.device) % 2 == 0).unsqueeze(1)
    action = 2.0 * stream.uniform(worlds, env.action_dim, dtype=env.dtype)[0] - 1.0
    for _ in range(steps):
        fresh = 2.0 * stream.uniform(worlds, env.action_dim, dtype=env.dtype)[0] - 1.0
        redraw = restless | (stream.uniform(worlds, 1)[0] < 1.0 / _STEPS_PER_ACTION)
        action = torch.where(redraw, fresh, action)
        obs = env.detach()
        if model.observation_norm is not None:
            model.observation_norm.update(obs.unsqueeze(0))
        step = env.step(action)
        replay.add(obs, action, step.reward, step.terminated, step.done, step.final_obs, step.invalid)


def with_model(training: ModelTraining, **changes: object) -> ModelTraining:
    """A training with some fields of its model's config changed."""
    return dataclasses.replace(training, config=dataclasses.replace(training.config, **changes))  # type: ignore[arg-type]
