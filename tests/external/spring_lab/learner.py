"""A learner of one's own: ascent on the reward of short rollouts, through the simulator."""

from dataclasses import dataclass

import torch

from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.acting import Policy
from pwm_bench.learning.actors import GaussianActor
from pwm_bench.learning.episodes import EpisodeTracker
from pwm_bench.learning.guards import MemberGuard
from pwm_bench.learning.learner import Counters
from pwm_bench.learning.optim import PopulationAdam
from pwm_bench.learning.random import MemberStream

label, look = "Plain", 13
gradient_source = "simulator"
cpu_threads = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Settings."""

    num_envs: int = 16
    """Worlds per member."""
    horizon: int = 16
    """Control steps of a rollout."""
    hidden_actor: tuple[int, ...] = (32,)
    actor_learning_rate: float = 5e-3

    def __post_init__(self):
        if not self.actor_learning_rate > 0.0:
            raise UsageError(f"actor_learning_rate={self.actor_learning_rate}: must be positive")

    @property
    def scheduled(self):
        return False


def recipe(task, simulator, preset="cpu"):
    return Config() if preset == "cpu" else Config(num_envs=64, hidden_actor=(64, 64))


def make_policy(config, observation_dim, action_dim, *, stream):
    return Policy(GaussianActor(stream.members, observation_dim, action_dim, config.hidden_actor, stream=stream))


class Learner:
    """A population of P members, each on its own worlds; nothing depends on the company."""

    def __init__(self, env, config, *, seeds, total_env_steps):
        self.env, self.config, self.members = env, config, len(seeds)
        stream = MemberStream(seeds, env.device, name="plain/init")
        self.policy = make_policy(config, env.observation_dim, env.action_dim, stream=stream)
        self.noise = MemberStream(seeds, env.device, name="plain/noise")
        self.optimiser = PopulationAdam(
            self.policy.actor.parameters(), config.actor_learning_rate, (0.9, 0.99), members=self.members
        )
        self.episodes = EpisodeTracker(self.members, config.num_envs, env.device)
        self.guard, self.counters, self.iteration = MemberGuard(self.members, env.device), Counters(), 0
        env.reset()

    @property
    def alive(self):
        return self.guard.alive

    def update(self):
        shape, total = (self.members, self.config.num_envs), torch.zeros((), device=self.env.device)
        obs = self.env.detach()
        earned = total.expand(self.members)
        for _ in range(self.config.horizon):
            noise = self.noise.normal(self.config.num_envs, self.env.action_dim)
            action = self.policy.actor.sample(obs.view(*shape, -1), noise)
            step = self.env.step(action.flatten(0, 1))
            earned = earned + step.reward.view(shape).mean(1)
            self.episodes.update(step.reward.detach(), step.done)
            obs = step.obs
        self.optimiser.zero_grad()
        (-earned.sum()).backward()
        norm = self.optimiser.clip_grad_norm(1.0)
        alive = self.guard.check(self.iteration, norm, earned.detach())
        self.optimiser.step(alive)
        self.iteration += 1
        self.counters.env_steps += self.config.num_envs * self.config.horizon
        self.counters.gradient_steps += 1
        self.counters.policy_gradient_steps += 1
        return {**self.episodes.metrics(), "actor_grad_norm": norm, "earned": earned.detach()}

    def act(self, obs):
        return self.policy(obs)

    def _parts(self):
        names = ("policy", "optimiser", "noise", "episodes", "guard", "counters", "env")
        return {name: getattr(self, name) for name in names}

    def state_dict(self):
        return {name: part.state_dict() for name, part in self._parts().items()} | {"iteration": self.iteration}

    def load_state_dict(self, state):
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.iteration = state["iteration"]
