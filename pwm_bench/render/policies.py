"""Who acts in a picture: the policy of a stored run, or a random or motionless one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from pwm_bench import envs
from pwm_bench.envs import random
from pwm_bench.envs.api import DifferentiableEnv
from pwm_bench.envs.contact import GROUND_OPTIONS
from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.envs.suites import SUITE
from pwm_bench.jobs.trained import member_index, trained
from pwm_bench.store.results import RunDirectory

__all__ = ["POLICIES", "Actor", "simple_actor", "trained_actor"]

POLICIES = ("random", "zero")
"""Policies that need no run: uniform in [-1, 1], and no action at all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Actor:
    """A policy with the worlds that it acts in.

    Attributes:
        env: the worlds, one a member of the population.
        act: observations ``(N, observation_dim)`` and number of the control step -> actions ``(N, action_dim)``.
        world: the one to look at.
        label: what a person calls it, e.g. ``"hopper · warp · shac · seed 0"``.
    """

    env: DifferentiableEnv
    act: Callable[[Tensor, int], Tensor]
    world: int
    label: str


def simple_actor(task: str, policy: str, *, simulator: str, seed: int) -> Actor:
    """A policy that needs no run.

    Args:
        task: a name from `pwm_bench.envs.tasks`.
        policy: one of `POLICIES`.
        simulator: a name from `pwm_bench.envs.simulators`.
        seed: of the start and of the random actions.
    """
    if policy not in POLICIES:
        raise unknown("policy", policy, POLICIES)
    env = envs.make(task, simulator, num_envs=1, seed=seed)
    key = random.fold(random.seed_keys([seed], env.device), 1)

    def act(obs: Tensor, step: int) -> Tensor:
        if policy == "zero":
            return obs.new_zeros(1, env.action_dim)
        return 2.0 * random.uniform(random.fold(key, step), env.action_dim, env.dtype) - 1.0

    return Actor(env=env, act=act, world=0, label=f"{task} · {simulator} · {policy} actions")


def trained_actor(
    directory: RunDirectory, *, simulator: str | None = None, seed: int = 0, member: int | None = None
) -> Actor:
    """The deterministic policy of a run.

    Args:
        directory: the run.
        simulator: plays in another simulator than the policy was trained in.
        seed: of the start.
        member: training seed of the population member; by default the one with the highest final return.

    Raises:
        UsageError: no such run, no checkpoint in it, or no such member.
    """
    found = trained(directory)
    about, index = found.about, member_index(found, member, where=directory.path)
    simulator = simulator or about.simulator
    if simulator == SUITE:
        raise UsageError(
            f"{directory.path}: its policies act in '{about.task}', a task of a suite, which is not rendered here; "
            "play it with `pwm_bench.load_policy` and the suite's own renderer"
        )
    elsewhere = simulator != about.simulator
    options = dict(about.simulator_options)
    device = found.device
    if elsewhere:
        options = {name: value for name, value in options.items() if name in GROUND_OPTIONS}
        device = envs.resolve_device("auto", simulator)
    members = len(about.seeds)
    env = envs.make(about.task, simulator, num_envs=members, device=device, seed=[seed] * members, **options)

    def act(obs: Tensor, step: int) -> Tensor:
        return found.act(obs.to(found.device).view(members, 1, -1)).view(members, -1).to(env.device)

    where = f", trained in {about.simulator}" if elsewhere else ""
    label = f"{about.task} · {simulator} · {about.algorithm} · seed {about.seeds[index]}{where}"
    return Actor(env=env, act=act, world=index, label=label)
