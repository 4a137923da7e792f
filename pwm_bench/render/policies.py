"""Who acts in a picture: the policy of a stored run, or a random or motionless one."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from pwm_bench import envs
from pwm_bench.envs import random
from pwm_bench.envs.api import DifferentiableEnv
from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.jobs.evaluation import make_env
from pwm_bench.jobs.train import TrainJob
from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.store import checkpoint
from pwm_bench.store.results import Results, RunDirectory

__all__ = ["POLICIES", "Actor", "find_run", "simple_actor", "trained_actor"]

POLICIES = ("random", "zero")
"""Policies that need no run: uniform in [-1, 1], and no action at all."""

_TASK_OPTIONS = ("contact_stiffness", "contact_damping")  # options that every simulator takes


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
    """The deterministic policy of a run, from its last checkpoint.

    Args:
        directory: the run.
        simulator: plays in another simulator than the policy was trained in.
        seed: of the start.
        member: training seed of the population member; by default the one with the highest final return.

    Raises:
        UsageError: no such run, no checkpoint in it, or no such member.
    """
    record = directory.read()
    if not record.members:
        raise UsageError(
            f"{directory.path}: is of kind {record.kind}, which has no policy; name a run that trained one"
        )
    if not checkpoint.exists(directory.checkpoint):
        raise UsageError(
            f"{directory.path}: has no checkpoint, so its policy is lost (published records leave it out); "
            f"train it again: pwm-bench run {directory.spec_file}"
        )
    spec = RunSpec.from_dict(record.spec)
    index = _member_index(record.members, member, directory.path)
    state = checkpoint.load(directory.checkpoint, spec_id=record.id).state
    job = TrainJob(replace(spec, device="auto", evaluation_episodes=1))
    job.load_state_dict(state["job"])
    elsewhere = simulator is not None and simulator != spec.simulator
    if elsewhere:
        assert simulator is not None
        options = {name: spec.simulator_options[name] for name in _TASK_OPTIONS if name in spec.simulator_options}
        spec = replace(spec, simulator=simulator, simulator_options=options)
        device = envs.resolve_device("auto", simulator)
    else:
        device = job.device
    members = len(spec.seeds)
    env = make_env(spec, device, seeds=[seed] * members, worlds=1)

    def act(obs: Tensor, step: int) -> Tensor:
        return job.learner.act(obs.to(job.device).view(members, 1, -1)).view(members, -1).to(env.device)

    trained = f", trained in {record.spec['simulator']}" if elsewhere else ""
    label = f"{spec.label} · seed {spec.seeds[index]}{trained}"
    return Actor(env=env, act=act, world=index, label=label)


def find_run(name: str, results: Results) -> RunDirectory:
    """The run that a name stands for: a run directory's path, or a run id (or its beginning) in a results folder.

    Raises:
        UsageError: if there is none, or more than one.
    """
    if Path(name).is_dir():
        return RunDirectory(Path(name))
    runs = {d.path.name: d for study in results.studies() for d in results.runs(study)}
    if name in runs:
        return runs[name]
    found = [run for run in runs if len(name) >= 4 and run.startswith(name)]
    if len(found) == 1:
        return runs[found[0]]
    if found:
        raise UsageError(f"run '{name}': could be {' or '.join(found)}; write one more digit")
    near = difflib.get_close_matches(name, [*envs.tasks(), *runs], n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    raise UsageError(
        f"'{name}' is neither a task, a run's directory nor a run in {results.root}: {hint}"
        f"tasks: {', '.join(envs.tasks())}; runs: pwm-bench list runs"
    )


def _member_index(members: list, seed: int | None, path: Path) -> int:
    seeds = [member.seed for member in members]
    if seed is None:
        returns = [float("-inf") if m.final_return is None else m.final_return for m in members]
        return returns.index(max(returns))
    if seed not in seeds:
        raise UsageError(f"--member {seed}: {path} has the seeds {', '.join(map(str, seeds))}")
    return seeds.index(seed)
