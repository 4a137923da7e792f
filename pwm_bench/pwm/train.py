"""PWM on one task, online: a world model learns from an environment while a policy learns in the world model.

One iteration of `Learner.update`:

1. act H steps in every world and store them,
2. train the world model on stored sequences,
3. imagine H steps in it and step the actor along the gradient of the imagined return,
4. fit the critics to TD(lambda) targets of the same rollouts.

Iterations before ``pretrain_env_steps`` only act; those after it train the world model alone until
``pretrain_updates`` is reached.
Source: Georgiev et al., "PWM: Policy Learning with Multi-Task World Models", ICLR 2025, algorithm 1; the online loop
as in the released single-task code, which differs where `Config` says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from pwm_bench.envs.api import DifferentiableEnv
from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.episodes import EpisodeTracker
from pwm_bench.learning.guards import MemberGuard
from pwm_bench.learning.learner import Counters
from pwm_bench.learning.optim import linear_schedule
from pwm_bench.learning.precision import autocast
from pwm_bench.learning.random import MemberStream
from pwm_bench.learning.replay import SequenceReplay
from pwm_bench.learning.staged import StagedLearner
from pwm_bench.learning.tunable import Tunable
from pwm_bench.pwm.config import Config
from pwm_bench.pwm.imagination import RealStep
from pwm_bench.pwm.model_files import MODEL_FILE, write_models
from pwm_bench.pwm.networks import policy_of
from pwm_bench.pwm.policy_training import Experience, PolicyTrainer
from pwm_bench.world_model.networks import WorldModel
from pwm_bench.world_model.trained import select_member
from pwm_bench.world_model.training import WorldModelTrainer

__all__ = ["Learner"]

_LOG = logging.getLogger("pwm_bench.pwm")
_PRETRAIN_UPDATES_AT_ONCE = 32  # a pre-training iteration stays short, so that progress shows and checkpoints come

_NEW_RANDOM_ACTION = 1.0 / 8.0  # chance in each step

_METRICS = (
    "world_model_loss",
    "dynamics_loss",
    "reward_loss",
    "termination_loss",
    "world_model_grad_norm",
    "actor_loss",
    "actor_grad_norm",
    "imagined_return",
    "critic_loss",
    "critic_grad_norm",
)


class _Chunk(NamedTuple):
    """H steps just taken in the environment.

    Imagination from the first observation with the same noise takes nearly the same actions (its policy sees predicted
    latents, and the model has learned in between), so its episodes end where these did.
    """

    obs: Tensor  # before the first, (P, B, observation_dim)
    noise: Tensor  # of the actions, (P, H, B, action_dim)
    steps: list[RealStep]
    experience: list[tuple[Tensor, ...]]  # the fields of `Experience`, one step each


def _recorded(steps: Sequence[RealStep]) -> Callable[[Tensor], RealStep]:
    """A ``real_step`` for `imagine` that gives the steps in their order, whatever the actions are."""
    remaining = iter(steps)
    return lambda _action: next(remaining)


def _pad(x: Tensor, rows: int) -> Tensor:
    """Appends zero (false) rows to axis 1."""
    return torch.cat((x, x.new_zeros(x.shape[0], rows, *x.shape[2:])), dim=1)


class Learner(StagedLearner, Tunable):
    """Trains a population of PWM agents, each on its share of an environment's worlds.

    Args:
        env: environment with ``len(seeds) * config.num_envs`` worlds.
        config: settings.
        seeds: one seed a member.
        total_env_steps: budget per member; learning rates fall linearly over it.

    Raises:
        UsageError: if the environment's members or worlds are not those of the seeds and the configuration, or the
            replay may have no episode to draw.
    """

    in_parts: ClassVar[bool] = True
    tunable = ("actor_learning_rate", "critic_learning_rate", "gamma", "lam", "world_model.learning_rate")

    def __init__(self, env: DifferentiableEnv, config: Config, *, seeds: Sequence[int], total_env_steps: int) -> None:
        members, worlds = len(seeds), config.num_envs
        if env.num_members != members or env.num_envs != members * worlds:
            raise UsageError(
                f"num_envs={env.num_envs}: {members} members of num_envs={worlds} need {members * worlds} worlds"
            )
        config.check_replay(env.episode_length)
        device, dtype = env.device, env.dtype
        self.env = env
        self.config = config
        self.counters = Counters()
        self._total_env_steps = max(total_env_steps, 1)
        self._seeds = tuple(seeds)
        self._members, self._worlds = members, worlds
        self._guard = MemberGuard(members, device)
        self._stream = MemberStream(seeds, device, name="pwm")
        init = MemberStream(seeds, device, name="pwm/init")
        self.world_model = WorldModel(env.observation_dim, env.action_dim, config.world_model, stream=init).to(dtype)
        self._model_trainer = WorldModelTrainer(
            self.world_model, config.world_model, members=members, guard=self._guard, precision=config.precision
        )
        self._policy = PolicyTrainer(
            config,
            self.world_model,
            env.action_dim,
            init=init,
            stream=self._stream,
            guard=self._guard,
            dtype=dtype,
            disagreement=self.world_model.disagreement,
        )
        self.policy = policy_of(config, self.world_model, self._policy.actor)
        horizons = [config.world_model.horizon] + [1] * (config.start_states != "env")
        self._replay = SequenceReplay(
            members, worlds, config.replay_capacity, env.observation_dim, env.action_dim, device, dtype,
            horizons=horizons, sampling=config.replay_sampling,
        )  # fmt: skip
        self._episodes = EpisodeTracker(members, worlds, device)
        self._iteration = 0
        self._pretrain_updates_done = self._pretrain_updates_now = 0
        self._replay_ready = self._warned = False

        # Compilation, in one place. Networks are compiled, not rollouts: unrolled over H steps the graph takes
        # minutes to compile for little gain. Eager and compiled compute the same numbers.
        if config.compile:
            model, policy = self.world_model, self._policy
            for network in (
                model.encoder,
                model.dynamics,
                model.reward_network,
                policy.actor.mean,
                policy.critic.net,
            ):
                network.compile()

    @property
    def alive(self) -> Tensor:
        """Members that have not diverged, bool ``(P,)``."""
        return self._guard.alive

    @torch.no_grad()
    def act(self, obs: Tensor) -> Tensor:
        """Acts without noise: ``(P, B, observation_dim)`` to ``(P, B, action_dim)`` in [-1, 1], for any B."""
        return self.policy(obs)

    def vary(self, values: Mapping[str, Sequence[float]]) -> None:
        """Gives each member values of its own, see `Tunable.vary`."""
        super().vary(values)
        self._policy.gamma, self._policy.lam = (
            self.setting_per_world(name, self.env.dtype) for name in ("gamma", "lam")
        )

    def begin(self) -> Hashable:
        """Sets the step sizes. An iteration gathers data, only trains the model, or is a whole one."""
        self._iteration += 1
        self._guard.begin(self._iteration)
        self.env.settle()
        self._set_learning_rates()
        missing = self.config.pretrain_updates - self._pretrain_updates_done
        self._pretrain_updates_now = min(max(missing, 0), _PRETRAIN_UPDATES_AT_ONCE) if self._ready() else 0
        return self._replay_ready, self._pretrain_updates_now

    def finish(self) -> None:
        """Counts the model's first updates."""
        self._pretrain_updates_done += self._pretrain_updates_now

    def compute(self) -> dict[str, Tensor]:
        """Runs one iteration. Returns metrics, each shape ``(P,)``; NaN for what this iteration did not do."""
        config = self.config
        nothing = torch.full((self._members,), torch.nan, device=self.env.device)
        metrics = dict.fromkeys(_METRICS, nothing) | {"learning_rate": self._policy.learning_rates}
        if not self._replay_ready:
            if config.pretrain_actions == "random":
                self._explore()
            else:
                self._collect()
        elif self._pretrain_updates_now:
            metrics |= self._train_model(self._pretrain_updates_now)
        elif config.open_loop:
            # The rollout that acts is the one that trains, so the model must not change in between.
            obs = self._observations()
            metrics |= self._train_policy(obs, self._noise(self._worlds), self._real_step)
            metrics |= self._train_model(config.world_model_updates)
        else:
            chunk = self._collect()
            metrics |= self._train_model(config.world_model_updates)
            experience = self._experience(chunk) if config.critic_states == "real" else None
            for _ in range(config.policy_updates):
                metrics |= self._train_policy(*self._starts(chunk), experience)
        self.env.settle()
        return metrics | self._episodes.metrics()

    def write_artifacts(self, folder: Path) -> dict[str, str]:
        """Writes the world models and critics, as ``model``; see `pwm_bench.pwm.model_files`."""
        norm, config = self._model_trainer.reward_norm, self.config
        about = {"algorithm": "pwm", "task": self.env.task.name}
        models = [
            select_member(self.world_model, norm, config.world_model, member, about | {"seed": seed})
            for member, seed in enumerate(self._seeds)
        ]
        write_models(folder / MODEL_FILE, models, critic=self._policy.critic, config=config)
        return {"model": MODEL_FILE}

    def _ready(self) -> bool:
        """Whether there is enough data to learn from. Asks the device only until there is."""
        if not self._replay_ready and self.counters.env_steps >= self.config.pretrain_env_steps:
            horizon = self.config.world_model.horizon
            enough = self._replay.stored >= horizon * self._worlds
            self._replay_ready = enough and bool((self._replay.available(horizon) > 0).all())
            self._warn_if_late(horizon)
        return self._replay_ready

    def _warn_if_late(self, horizon: int) -> None:
        """Says once, when half of the budget is gone, that nothing is learned yet, and why."""
        late = 2 * self.counters.env_steps >= self._total_env_steps
        if late and not (self._replay_ready or self._warned):
            self._warned = True
            _LOG.warning(
                "nothing is learned after %d of %d environment steps: some member has no episode of "
                "world_model.horizon=%d steps yet; choose a shorter horizon",
                self.counters.env_steps,
                self._total_env_steps,
                horizon,
            )

    def _set_learning_rates(self) -> None:
        config = self.config
        progress = self.counters.env_steps / self._total_env_steps
        names = ("world_model.learning_rate", "actor_learning_rate", "critic_learning_rate")
        starts = (self.setting(name) for name in names)
        model, actor, critic = (linear_schedule(start, config.final_learning_rate, progress) for start in starts)
        self._model_trainer.set_learning_rate(model)
        self._policy.set_learning_rates(actor, critic)

    def _observations(self) -> Tensor:
        return self.env.detach().unflatten(0, (self._members, self._worlds))

    def _starts(self, chunk: _Chunk) -> tuple[Tensor, Tensor, Callable[[Tensor], RealStep] | None]:
        """Where the next imagined rollouts start, their noise, and what ends their episodes."""
        config = self.config
        obs, noise, steps = chunk.obs, chunk.noise, chunk.steps
        if config.start_states != "env":
            stored = self._replay.sample(self._stream, config.start_batch, 1).obs[:, :, 0]
            more_noise = self._noise(config.start_batch)
            if config.start_states == "replay":
                return stored, more_noise, None
            obs, noise = torch.cat((obs, stored), 1), torch.cat((noise, more_noise), 2)
            # Rollouts from stored observations follow no real episode, so nothing ends them.
            steps = [RealStep(*(_pad(x, config.start_batch) for x in step)) for step in steps]
        return obs, noise, None if config.world_model.termination else _recorded(steps)

    def _experience(self, chunk: _Chunk) -> Experience:
        """The steps of a chunk for the critics, rewards in the model's units."""
        columns = (torch.stack(column, 1) for column in zip(*chunk.experience, strict=True))
        shape = (self._members, self._worlds)
        experience = Experience(*(x.unflatten(0, shape).transpose(1, 2) for x in columns))
        return experience._replace(rewards=self._model_trainer.normalise(experience.rewards))

    @torch.no_grad()
    def _collect(self) -> _Chunk:
        """Acts H steps, the policy looking at every observation."""
        chunk = _Chunk(self._observations(), self._noise(self._worlds), [], [])
        for step_noise in chunk.noise.unbind(1):
            with autocast(self.config.precision, self.env.device):
                latent = self.world_model.encode(self._observations())
                action = self._policy.actor.sample(latent, step_noise)
            chunk.steps.append(self._real_step(action, chunk.experience))
        return chunk

    @torch.no_grad()
    def _explore(self) -> None:
        """Acts H steps at random; every world keeps its action for a random number of these."""
        shape = (self.config.horizon, self._worlds)
        fresh = 2.0 * self._stream.uniform(*shape, self.env.action_dim, dtype=self.env.dtype) - 1.0
        redraw = self._stream.uniform(*shape, 1) < _NEW_RANDOM_ACTION
        action = fresh[:, 0]
        for t in range(self.config.horizon):
            action = torch.where(redraw[:, t], fresh[:, t], action)
            self._real_step(action)

    @torch.no_grad()
    def _real_step(self, action: Tensor, experience: list[tuple[Tensor, ...]] | None = None) -> RealStep:
        """Executes an action ``(P, B, action_dim)`` in the environment and stores what came of it."""
        obs = self.env.detach()
        frozen = self._replay_ready and not self.config.world_model_updates
        if self.world_model.observation_norm is not None and not frozen:
            seen = obs.unflatten(0, (self._members, self._worlds))
            self.world_model.observation_norm.update(seen, alive=self.alive)
        action = action.flatten(0, 1).to(self.env.dtype)
        with autocast("float32", self.env.device):  # an open-loop rollout calls this within its networks' precision
            step = self.env.step(action)
        self._replay.add(obs, action, step.reward, step.terminated, step.done, step.final_obs, step.invalid)
        self._episodes.update(step.reward, step.done)
        self.counters.env_steps += self._worlds
        if experience is not None:
            experience.append((obs, step.reward, step.terminated, step.truncated, step.final_obs))
        return RealStep(
            *(x.unflatten(0, (self._members, self._worlds)) for x in (step.obs, step.terminated, step.done))
        )

    def _train_model(self, updates: int) -> dict[str, Tensor]:
        return self.carry_out(("model", updates), lambda: self._step_model(updates)) if updates else {}

    def _step_model(self, updates: int) -> dict[str, Tensor]:
        config = self.config.world_model
        metrics: dict[str, Tensor] = {}
        for _ in range(updates):
            batch = self._replay.sample(self._stream, config.batch_size, config.horizon)
            metrics = self._model_trainer.step(*batch, iteration=self._guard.iteration)
        self.counters.gradient_steps += updates
        return metrics

    def _train_policy(
        self,
        obs: Tensor,
        noise: Tensor,
        real_step: Callable[[Tensor], RealStep] | None,
        experience: Experience | None = None,
    ) -> dict[str, Tensor]:
        metrics = self._policy.update(
            obs, noise, iteration=self._guard.iteration, real_step=real_step, experience=experience
        )
        self.counters.gradient_steps += self._policy.gradient_steps
        self.counters.policy_gradient_steps += 1
        self.counters.imagined_steps += obs.shape[1] * self.config.horizon
        return metrics

    def _noise(self, batch: int) -> Tensor:
        return self._stream.normal(self.config.horizon, batch, self.env.action_dim, dtype=self.env.dtype)

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here, the environment and the replay included."""
        return {
            "world_model": self.world_model.state_dict(),
            "model_trainer": self._model_trainer.state_dict(),
            "policy": self._policy.state_dict(),
            "replay": self._replay.state_dict(),
            "episodes": self._episodes.state_dict(),
            "guard": self._guard.state_dict(),
            "stream": self._stream.state_dict(),
            "counters": self.counters.state_dict(),
            "env": self.env.state_dict(),
            "iteration": self._iteration,
            "pretrained_updates": self._pretrain_updates_done,
            "replay_ready": self._replay_ready,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` saved."""
        self.world_model.load_state_dict(state["world_model"])
        self._model_trainer.load_state_dict(state["model_trainer"])
        self._policy.load_state_dict(state["policy"])
        self._replay.load_state_dict(state["replay"])
        self._episodes.load_state_dict(state["episodes"])
        self._guard.load_state_dict(state["guard"])
        self._stream.load_state_dict(state["stream"])
        self.counters.load_state_dict(state["counters"])
        self.env.load_state_dict(state["env"])
        self._iteration = int(state["iteration"])
        self._pretrain_updates_done = int(state["pretrained_updates"])
        self._replay_ready = bool(state["replay_ready"])
