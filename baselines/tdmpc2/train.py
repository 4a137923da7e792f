"""TD-MPC2 learning online: the released loop over the multi-task model, with a single task.

With t counting control steps from 0 and S = ``seed_steps``, step t

1. acts at random if t <= S, else by the planner with its exploration noise,
2. takes ``updates_per_step`` updates if t > S,
3. stores the transition; an episode may be drawn from once it is over, so the updates of its last step do not see it,
4. takes the S updates that fall due at once if t = S.

The released code takes the latter before it stores step S. That differs only where an episode ends with this step.

A control step is one of the environment: in the suites it is two control steps of the simulator, and published curves
count the latter.
Source: Hansen, Su and Wang, "TD-MPC2: scalable, robust world models for continuous control", ICLR 2024, with the loop
and the constants of the released code.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from pwm_bench.baselines.tdmpc2.agent import Agent
from pwm_bench.baselines.tdmpc2.config import Config
from pwm_bench.envs.api import DifferentiableEnv
from pwm_bench.learning.checks import check_worlds
from pwm_bench.learning.episodes import EpisodeTracker
from pwm_bench.learning.guards import MemberGuard
from pwm_bench.learning.learner import Counters
from pwm_bench.learning.random import MemberStream
from pwm_bench.learning.replay import SequenceBatch, SequenceReplay
from pwm_bench.learning.staged import StagedLearner
from pwm_bench.world_model.multitask.files import save_model

__all__ = ["Learner"]

_AT_ONCE = 25  # updates in an iteration of those that fall due after the seed steps: it stays short
_METRICS = (
    "loss",
    "consistency_loss",
    "reward_loss",
    "value_loss",
    "grad_norm",
    "policy_loss",
    "policy_grad_norm",
    "q_scale",
)


class _Work(NamedTuple):
    """The work of one iteration."""

    random: int = 0
    """Control steps with random actions."""
    planned: int = 0
    """Control steps that are planned, each with its updates."""
    at_once: int = 0
    """Updates, of those that fell due after the seed steps."""


class Learner(StagedLearner):
    """A population of P members. Each has a model of its own, and these are updated one after the other: the weights of
    the multi-task model have no axis for members.

    Args:
        env: environment with one world for each seed; only its forward pass is used.
        config: settings.
        seeds: one a member.
        total_env_steps: budget per member; nothing but the size of the replay depends on it.

    Raises:
        UsageError: if the environment has other worlds, the seed steps are fewer than an episode's, or the replay holds
            too few transitions to draw from at any time.
    """

    in_parts: ClassVar[bool] = True
    policy = None
    """None, since the planner acts, which remembers its last plan."""

    def __init__(self, env: DifferentiableEnv, config: Config, *, seeds: Sequence[int], total_env_steps: int) -> None:
        members, device = len(seeds), env.device
        check_worlds(env.num_envs, members, config.num_envs)
        self.env = env
        self.config = config
        self.counters = Counters()
        self.seed_steps = config.random_steps(env.episode_length)
        config.check_replay(env.episode_length)
        sizes = config.model(env.task.name, env.observation_dim, env.action_dim, env.episode_length)
        self._seeds = tuple(seeds)
        self.agents = [Agent(config, sizes, seed=seed, device=device) for seed in seeds]
        self.replay = SequenceReplay(
            members,
            1,
            min(config.replay_capacity, max(total_env_steps, self.seed_steps) + config.horizon),
            env.observation_dim,
            env.action_dim,
            device,
            torch.float32,
            horizons=(config.training.horizon,),
            sampling=config.replay_sampling,
            whole_episodes=True,
        )
        self._actions, self._draws = (MemberStream(seeds, device, name=f"tdmpc2/{x}") for x in ("actions", "replay"))
        self._episodes = EpisodeTracker(members, 1, device)
        self._guard = MemberGuard(members, device)
        self._iteration = 0
        self._work = _Work()
        # Plans read observations from the same memory every time, so that they can be captured in a CUDA graph.
        self._planned_obs = torch.zeros(members, env.observation_dim, device=device)
        self.generators = [generator for agent in self.agents for generator in agent.trainer.generators]
        self._metrics = (*_METRICS, *(("termination_loss",) if config.episodic else ()))
        env.reset()

    @property
    def alive(self) -> Tensor:
        """Members that have not diverged, bool ``(P,)``."""
        return self._guard.alive

    def act(self, obs: Tensor) -> Tensor:
        """Plans anew, from no earlier plan: observations ``(P, B, obs)`` to actions ``(P, B, act)``."""
        return self.acting()(obs)

    def acting(self) -> Callable[[Tensor], Tensor]:
        """Gives a function that acts in episodes that begin together now, ``(P, B, obs)`` to ``(P, B, act)``.

        Each of its plans begins where the last one left off.
        """
        planners: list[Any] = []

        @torch.no_grad()
        def act(obs: Tensor) -> Tensor:
            if not planners:
                planners.extend(agent.plan_for(obs.shape[1], "evaluation")[1] for agent in self.agents)
            return torch.stack([planner.plan(rows) for planner, rows in zip(planners, obs.float(), strict=True)])

        return act

    def begin(self) -> Hashable:
        """Says which iteration it is and chooses the Q functions that are asked in it. Kinds of updates differ in how
        many control steps are at random or planned, and how many of the updates that fell due at once are taken."""
        self._iteration += 1
        self._guard.begin(self._iteration)
        self.env.settle()
        self._work = work = self._next()
        updates = work.at_once + work.planned * self.config.updates_per_step
        for agent in self.agents:
            agent.choose(plans=work.planned, updates=updates)
        return work

    def _next(self) -> _Work:
        """Gives the work of the next iteration. Step S is the last of its iteration, whatever the horizon."""
        t, seed_steps, horizon = self.counters.env_steps, self.seed_steps, self.config.horizon
        if t <= seed_steps:
            return _Work(random=min(horizon, seed_steps + 1 - t))
        due = seed_steps - self.counters.policy_gradient_steps
        return _Work(at_once=min(due, _AT_ONCE)) if due > 0 else _Work(planned=horizon)

    def compute(self) -> dict[str, Tensor]:
        """Takes some control steps and learns after each, or takes some of the updates that fell due at once.

        Returns:
            metrics, each ``(P,)``: means over the updates, NaN where there were none.
        """
        work = self._work
        losses: list[Tensor] = []
        for _ in range(work.random):
            losses += self._step(2.0 * self._actions.uniform(self.env.action_dim) - 1.0, updates=0)
        for _ in range(work.planned):
            self._planned_obs.copy_(self.env.obs)
            action = self.carry_out(("plan", work), self._plan)["action"]
            losses += self._step(action, updates=self.config.updates_per_step)
        losses += [self._improve() for _ in range(work.at_once)]
        self.env.settle()
        not_done = torch.full((len(self._metrics), len(self.agents)), torch.nan, device=self.env.device)
        means = torch.stack(losses).mean(0) if losses else not_done
        return self._episodes.metrics() | dict(zip(self._metrics, means, strict=True))

    @torch.no_grad()
    def _plan(self) -> dict[str, Tensor]:
        """Plans the next action of every member, ``(P, act)``, with exploration noise."""
        observations = self._planned_obs.unsqueeze(1)
        plans = (agent.planner.compute(obs, explore=True) for agent, obs in zip(self.agents, observations, strict=True))
        return {"action": torch.cat(list(plans))}

    def _step(self, action: Tensor, *, updates: int) -> list[Tensor]:
        """Takes one control step of every member, and updates before it is stored. Returns the updates' metrics."""
        obs = self.env.obs
        step = self.env.step(action.to(self.env.dtype))
        losses = [self._improve() for _ in range(updates)]
        self.replay.add(obs, action, step.reward, step.terminated, step.done, step.final_obs, step.invalid)
        self._episodes.update(step.reward, step.done)
        for agent, done in zip(self.agents, step.done.unsqueeze(1), strict=True):
            agent.planner.forget(done)
        self.counters.env_steps += 1
        return losses

    def _improve(self) -> Tensor:
        """Takes one update of every member. Returns the values of its metrics, shape ``(len(self._metrics), P)``."""
        return self.carry_out(("update", self._work), self._learn)["metrics"]

    def _learn(self) -> dict[str, Tensor]:
        """Updates every member on sequences from the replay, as a part that can be captured by itself."""
        training = self.config.training
        batch = self.replay.sample(self._draws, training.batch_size, training.horizon)
        columns = []  # the metrics of each member
        for member, agent in enumerate(self.agents):
            rows = SequenceBatch(*(x[member] for x in batch))
            metrics = agent.learn(rows.obs, rows.action, rows.reward, rows.terminated, self._guard.alive[member])
            checked = (metrics[name] for name in ("loss", "grad_norm", "policy_grad_norm"))
            self._guard.check_member(member, self._guard.iteration, *checked)
            columns.append(torch.stack([metrics[name].float() for name in self._metrics]))
        self.counters.gradient_steps += 2
        self.counters.policy_gradient_steps += 1
        return {"metrics": torch.stack(columns, 1)}

    def write_artifacts(self, folder: Path) -> dict[str, str]:
        """Writes the world models with their Q functions and policy priors, as `pwm_bench.world_model.multitask.files`
        has them: ``model``, or with several members ``model.SEED`` of each."""
        several = len(self.agents) > 1
        names = [f"model.{seed}" if several else "model" for seed in self._seeds]
        for name, agent in zip(names, self.agents, strict=True):
            save_model(folder / name, agent.model)
        return {name: name for name in names}

    def state_dict(self) -> dict[str, Any]:
        """Gives everything that is needed to go on exactly from here, environment and replay included."""
        state = {name: part.state_dict() for name, part in self._parts().items()}
        members = [agent.state_dict() for agent in self.agents]
        return state | {"agents": _together(members), "iteration": self._iteration}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` saved."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        for member, agent in enumerate(self.agents):
            agent.load_state_dict(_apart(state["agents"], member))
        self._iteration = int(state["iteration"])

    def _parts(self) -> dict[str, Any]:
        """The parts that have a state, by name, beside the agents."""
        return {
            "env": self.env,
            "counters": self.counters,
            "replay": self.replay,
            "actions": self._actions,
            "draws": self._draws,
            "episodes": self._episodes,
            "guard": self._guard,
        }


def _together(states: Sequence[Any]) -> Any:
    """Joins states of the same shape into one whose tensors have the members as first axis; numbers become tensors."""
    first = states[0]
    if isinstance(first, dict):
        return {name: _together([state[name] for state in states]) for name in first}
    return torch.stack([torch.as_tensor(state) for state in states])


def _apart(state: Any, member: int) -> Any:
    """Gives one of the states that `_together` joined; its numbers remain tensors."""
    if isinstance(state, dict):
        return {name: _apart(value, member) for name, value in state.items()}
    return state[member].clone()
