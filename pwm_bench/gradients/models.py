"""The laboratory's world models: trained on random actions in a simulator."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pwm_bench import configs
from pwm_bench.envs.api import DifferentiableEnv
from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.checks import check_at_least
from pwm_bench.learning.guards import MemberGuard
from pwm_bench.learning.random import MemberStream
from pwm_bench.learning.replay import SequenceReplay
from pwm_bench.pwm.recipes import recipe
from pwm_bench.store.files import finite_or_none
from pwm_bench.world_model.config import WorldModelConfig
from pwm_bench.world_model.networks import WorldModel
from pwm_bench.world_model.trained import TrainedModel, select_member
from pwm_bench.world_model.training import WorldModelTrainer

__all__ = ["ModelTrainer", "ModelTraining", "gather", "with_model"]

_STEPS_PER_ACTION = 8.0


def _small_model() -> WorldModelConfig:
    return recipe("hopper", "warp").world_model


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelTraining:
    """How a world model is trained for comparisons: on random actions.

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
    """What initial weights, actions and batches are drawn from."""
    config: WorldModelConfig = field(default_factory=_small_model)
    """Sizes and losses; those that PWM's recipe has for a CPU by default."""

    def __post_init__(self) -> None:
        for name in ("env_steps", "updates", "num_envs"):
            check_at_least(name, getattr(self, name), 1)
        check_at_least("seed", self.seed, 0)
        if self.env_steps // self.num_envs < self.config.horizon:
            raise UsageError(
                f"env_steps={self.env_steps}: {self.num_envs} worlds need at least {self.config.horizon} steps each"
            )


class ModelTrainer:
    """A world model's training, an update at a time.

    Args:
        training: how.
        env: ``training.num_envs`` fresh worlds of the task, stepped by `gather` alone.

    Attributes:
        updates: gradient steps done.
        env_steps: steps of experience that there are; 0 until `gather` is done.
    """

    def __init__(self, training: ModelTraining, env: DifferentiableEnv) -> None:
        config, seeds = training.config, (training.seed,)
        self.training = training
        self.env = env
        self.updates = 0
        self.env_steps = 0
        self._stream = MemberStream(seeds, env.device, name="gradients/model")
        init = MemberStream(seeds, env.device, name="gradients/model/init")
        self._model = WorldModel(env.observation_dim, env.action_dim, config, stream=init).to(env.dtype)
        steps = training.env_steps // training.num_envs
        self._replay = SequenceReplay(
            1, env.num_envs, steps * env.num_envs, env.observation_dim, env.action_dim, env.device, env.dtype,
            horizons=(config.horizon,),
        )  # fmt: skip
        self._guard = MemberGuard(1, env.device)
        self._trainer = WorldModelTrainer(self._model, config, members=1, guard=self._guard)
        self._metrics: dict[str, Tensor] = {}

    def gather(self, progress: Callable[[int, int], None] = lambda done, total: None) -> None:
        """Gathers the experience.

        Args:
            progress: told of steps done and of all; what it raises leaves the training as if it had not begun, once it
                is made anew.
        """
        shape = (self.env.num_envs, self.env.action_dim)
        kept = 2.0 * self._stream.uniform(*shape, dtype=self.env.dtype) - 1.0
        gather(self.env, [self._model], self._replay, self._stream, kept=kept, progress=progress)
        self.env_steps = self._replay.length * self.env.num_envs

    def update(self) -> dict[str, Tensor]:
        """Takes a gradient step.

        Returns:
            losses, each ``(1,)``.
        """
        config = self.training.config
        batch = self._replay.sample(self._stream, config.batch_size, config.horizon)
        self._metrics = self._trainer.step(*batch, iteration=self.updates)
        self.updates += 1
        return self._metrics

    def trained(self) -> TrainedModel:
        """The model as it is now.

        Raises:
            RuntimeError: it has diverged.
        """
        if not bool(self._guard.alive.all()):
            raise RuntimeError(
                f"the world model diverged at update {int(self._guard.diverged_at[0])}: lower its learning_rate"
            )
        losses = finite_or_none({name: float(value[0]) for name, value in self._metrics.items()})
        description = {"trained": configs.to_json(self.training), "losses": losses}
        return select_member(self._model, self._trainer.reward_norm, self.training.config, 0, description)

    def state_dict(self) -> dict[str, Any]:
        """Where it is; before there is experience, that is at the beginning."""
        if not self.env_steps:
            return {"env_steps": 0}
        return {
            "env_steps": self.env_steps,
            "updates": self.updates,
            "model": self._model.state_dict(),
            "trainer": self._trainer.state_dict(),
            "replay": self._replay.state_dict(),
            "stream": self._stream.state_dict(),
            "guard": self._guard.state_dict(),
            "metrics": self._metrics,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes back to where `state_dict` was called."""
        self.env_steps = state["env_steps"]
        if not self.env_steps:
            return
        self.updates = state["updates"]
        self._model.load_state_dict(state["model"])
        self._trainer.load_state_dict(state["trainer"])
        self._replay.load_state_dict(state["replay"])
        self._stream.load_state_dict(state["stream"])
        self._guard.load_state_dict(state["guard"])
        self._metrics = dict(state["metrics"])


@torch.no_grad()
def gather(
    env: DifferentiableEnv,
    models: list[WorldModel],
    replay: SequenceReplay,
    stream: MemberStream,
    *,
    kept: Tensor | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Fills a replay with random actions: half of a member's worlds draw one a step, half keep one for 8 on average.

    Args:
        env: the worlds of P members, in order of members.
        models: their running statistics of observations take in what is seen.
        replay: of P members.
        stream: of the actions.
        kept: what the worlds that keep an action begin with, ``(P, worlds, action_dim)``; what they draw by default.
        progress: told of steps done and of all.
    """
    members, worlds, steps = replay.members, replay.worlds, replay.length
    restless = (torch.arange(worlds, device=env.device) % 2 == 0).view(1, -1, 1)
    for step in range(steps):
        progress(step, steps)
        fresh = 2.0 * stream.uniform(worlds, env.action_dim, dtype=env.dtype) - 1.0
        redraw = restless | (stream.uniform(worlds, 1) < 1.0 / _STEPS_PER_ACTION)
        kept = fresh if kept is None else torch.where(redraw, fresh, kept)
        obs = env.detach()
        for model in models:
            if model.observation_norm is not None:
                model.observation_norm.update(obs.view(members, worlds, -1))
        own = kept.flatten(0, 1)
        after = env.step(own)
        replay.add(obs, own, after.reward, after.terminated, after.done, after.final_obs, after.invalid)


def with_model(training: ModelTraining, **changes: object) -> ModelTraining:
    """A training with some fields of its model's config changed."""
    return dataclasses.replace(training, config=dataclasses.replace(training.config, **changes))  # type: ignore[arg-type]
