"""The common base of learners that act, store transitions, and learn from the stored ones after every control step."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from pwm_bench.envs.api import DifferentiableEnv, Step
from pwm_bench.learning.acting import Policy
from pwm_bench.learning.checks import check_worlds
from pwm_bench.learning.episodes import EpisodeTracker
from pwm_bench.learning.guards import MemberGuard
from pwm_bench.learning.learner import Counters
from pwm_bench.learning.random import MemberStream
from pwm_bench.learning.replay import SequenceReplay
from pwm_bench.learning.staged import StagedLearner
from pwm_bench.learning.tunable import Tunable

__all__ = ["Batch", "OffPolicyConfig", "OffPolicyLearner"]


class Batch(NamedTuple):
    """M transitions to learn from.

    Attributes:
        obs: observations as the networks take them, ``(P, M, obs)``.
        action: actions that were executed, ``(P, M, act)``.
        reward: rewards as the critics learn them, ``(P, M)``.
        next_obs: observations after the step and before any reset, ``(P, M, obs)``.
        terminated: whether the episode ended for good with the step, bool ``(P, M)``.
        noise: noise of the policy's actions at ``next_obs`` and at ``obs``, ``(P, 2, M, act)``.
    """

    obs: Tensor
    action: Tensor
    reward: Tensor
    next_obs: Tensor
    terminated: Tensor
    noise: Tensor


class OffPolicyConfig(Protocol):
    """The settings that the base reads."""

    @property
    def num_envs(self) -> int:
        """Environments per member."""
        ...

    @property
    def horizon(self) -> int:
        """Control steps of every environment in one iteration."""
        ...

    @property
    def updates_per_step(self) -> int:
        """Gradient steps after each control step."""
        ...

    @property
    def batch_size(self) -> int:
        """Transitions of a gradient step."""
        ...

    @property
    def seed_steps(self) -> int:
        """Control steps of every environment with random actions before anything learns."""
        ...

    @property
    def replay_capacity(self) -> int:
        """Transitions kept."""
        ...


class OffPolicyLearner(Tunable, StagedLearner):
    """Base of the off-policy learners, for a population of P members.

    A subclass sets ``policy`` and has `explore` and `learn`; it may note what it needs of observations in `notice` and
    of steps in `notice_step`, and names in `parts` what has to be saved beyond what there is here.

    Args:
        env: environment with P * B worlds; only its forward pass is used.
        config: settings.
        seeds: one a member.

    Raises:
        UsageError: if the environment does not have ``config.num_envs`` worlds for each seed.
    """

    in_parts: ClassVar[bool] = True
    algorithm: ClassVar[str]
    """The learner's name, with which the names of its random streams begin."""
    metrics: ClassVar[tuple[str, ...]]
    """Names of the metrics that `learn` returns."""
    policy: Policy
    tunable: ClassVar[tuple[str, ...]] = (
        "actor_learning_rate", "critic_learning_rate", "temperature_learning_rate", "gamma", "tau",
    )  # fmt: skip

    def __init__(self, env: DifferentiableEnv, config: OffPolicyConfig, *, seeds: Sequence[int]) -> None:
        members, device = len(seeds), env.device
        check_worlds(env.num_envs, members, config.num_envs)
        self.env = env
        self.counters = Counters()
        self._settings = config
        self._shape = (members, config.num_envs)
        self._actions, self._draws, self._noise = (
            MemberStream(seeds, device, name=f"{self.algorithm} {name}") for name in ("actions", "replay", "noise")
        )
        self._replay = SequenceReplay(
            *self._shape, config.replay_capacity, env.observation_dim, env.action_dim, device, torch.float32
        )
        self._episodes = EpisodeTracker(*self._shape, device)
        self._guard = MemberGuard(members, device)
        self._iteration = 0
        env.reset()

    @property
    def alive(self) -> Tensor:
        """Members that have not diverged, bool ``(P,)``."""
        return self._guard.alive

    def act(self, obs: Tensor) -> Tensor:
        """Acts deterministically: observations ``(P, B, obs)`` to actions ``(P, B, act)`` in [-1, 1]."""
        return self.policy(obs)

    def begin(self) -> Hashable:
        """Says which iteration it is. Kinds of updates differ in how many of their steps are random.

        The last update of random steps alone is a kind of its own: learning begins after its last step.
        """
        self._guard.begin(self._iteration)
        self.env.settle()
        steps_taken = self.counters.env_steps // self._settings.num_envs
        random_steps_left = max(0, self._settings.seed_steps - steps_taken)
        return min(random_steps_left, self._settings.horizon + 1)

    def finish(self) -> None:
        """Counts the iteration."""
        self._iteration += 1

    def compute(self) -> dict[str, Tensor]:
        """Takes some control steps in every world and learns after each.

        Returns:
            metrics, each ``(P,)``: means over the gradient steps, NaN where there were none yet.
        """
        config = self._settings
        sums, updates = torch.zeros(len(self.metrics), self._shape[0], device=self.env.device), 0
        seed_steps = config.seed_steps * config.num_envs
        for _ in range(config.horizon):
            self._act(at_random=self.counters.env_steps < seed_steps)
            self.counters.env_steps += config.num_envs
            if self.counters.env_steps >= seed_steps:
                sums += self.carry_out(self.phase(), lambda: {"sums": self.learn()})["sums"]
                updates += config.updates_per_step
        self.env.settle()
        return self._episodes.metrics() | dict(zip(self.metrics, sums / updates, strict=True))

    def explore(self, obs: Tensor) -> Tensor:
        """Gives the actions of training, ``(P, B, act)``, for raw observations ``(P, B, obs)``."""
        raise NotImplementedError

    def phase(self) -> Hashable:
        """Gives what tells kinds of `learn` apart, if there are several."""
        return 0

    def learn(self) -> Tensor:
        """Takes ``updates_per_step`` gradient steps. Returns the sums of `metrics` over them, ``(len(metrics), P)``."""
        raise NotImplementedError

    def normalise(self, obs: Tensor) -> Tensor:
        """Turns raw observations ``(P, ..., obs)`` into what the networks take; leaves them raw by default."""
        return obs

    def scale(self, reward: Tensor) -> Tensor:
        """Turns rewards ``(P, M)`` into what the critics learn; leaves them as they are by default."""
        return reward

    @torch.no_grad()
    def batches(self) -> list[Batch]:
        """Draws the transitions and the noise of the gradient steps after a control step, all at once."""
        parts, size = self._settings.updates_per_step, self._settings.batch_size
        sequences = self._replay.sample(self._draws, parts * size, 1)
        obs, next_obs = self.normalise(sequences.obs).unbind(2)
        reward = self.scale(sequences.reward[:, :, 0])
        fields = (obs, sequences.action[:, :, 0], reward, next_obs, sequences.terminated[:, :, 0])
        noise = self._noise.normal(parts, 2, size, self.env.action_dim)
        minibatches = (x.split(size, dim=1) for x in fields)
        return [Batch(*columns) for columns in zip(*minibatches, noise.unbind(1), strict=True)]

    def notice(self, obs: Tensor) -> None:
        """Takes note of the raw observations ``(P, B, obs)`` that are acted on."""

    def notice_step(self, step: Step) -> None:
        """Takes note of a control step and its results."""

    @torch.no_grad()
    def _act(self, *, at_random: bool) -> None:
        """Takes one control step in every world, at random or by the policy, and stores it."""
        env = self.env
        obs = env.obs.unflatten(0, self._shape).float()
        self.notice(obs)
        if at_random:
            action = 2.0 * self._actions.uniform(self._shape[1], env.action_dim) - 1.0
        else:
            action = self.explore(obs)
        step = env.step(action.flatten(0, 1).to(env.dtype))
        self.notice_step(step)
        # The next observation is the one before any reset, as values have to bootstrap from it.
        self._replay.add(obs, action, step.reward, step.terminated, step.done, step.final_obs, step.invalid)
        self._episodes.update(step.reward, step.done)

    def state_dict(self) -> dict[str, Any]:
        """Gives everything that is needed to go on exactly from here, the replay included."""
        return {"iteration": self._iteration} | {name: part.state_dict() for name, part in self.parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` saved."""
        self._iteration = int(state["iteration"])
        for name, part in self.parts().items():
            part.load_state_dict(state[name])

    def parts(self) -> dict[str, Any]:
        """The parts that have a state, by name."""
        return {
            "env": self.env,
            "counters": self.counters,
            "actions": self._actions,
            "draws": self._draws,
            "noise": self._noise,
            "replay": self._replay,
            "episodes": self._episodes,
            "guard": self._guard,
        }
