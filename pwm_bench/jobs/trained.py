"""The policies of a run, finished or not, ready to act."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from shlex import quote

import torch
from torch import Tensor

from pwm_bench.envs.devices import resolve_device
from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs.policies import PolicyFile, load_policy, one_member, read_policy
from pwm_bench.jobs.train import TrainJob
from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.learning.acting import Policy
from pwm_bench.runs.failures import classify
from pwm_bench.store import checkpoint
from pwm_bench.store.inputs import find_input
from pwm_bench.store.results import RunDirectory
from pwm_bench.store.schema import RunRecord

__all__ = ["Trained", "member_index", "member_policy", "trained"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """What a run has learned so far.

    Attributes:
        about: where it was trained, by what.
        act: deterministic actions, ``(P, B, observation_dim)`` to ``(P, B, action_dim)``.
        policy: the network; None where the learner acts by something else.
        record: of the run.
        device: where the policies live.
    """

    about: PolicyFile
    act: Callable[[Tensor], Tensor]
    policy: Policy | None
    record: RunRecord
    device: torch.device


def trained(directory: RunDirectory, *, device: str | torch.device = "auto") -> Trained:
    """The policies of a run: what it left when it finished, or else those of its last checkpoint.

    Args:
        directory: the run.
        device: where they go.

    Raises:
        UsageError: no such run, it trains no policy, or nothing of it is left.
    """
    record = directory.read()
    if "policy" in record.artifacts:
        file = find_input(directory.path, "policy").open()
        about = read_policy(file)
        place = resolve_device(device, *(() if about.in_suite else (about.simulator,)))
        about, policy = load_policy(file, device=place)
        return Trained(about=about, act=policy, policy=policy, record=record, device=place)
    if record.kind != "train":
        raise UsageError(
            f"{directory.path}: is of kind {record.kind} and has left no policy; name a finished run that trained one"
        )
    spec = RunSpec.from_dict(record.spec)
    if not checkpoint.exists(directory.checkpoint):
        raise UsageError(
            f"{directory.path}: has no checkpoint, so its policy is lost (published records leave it out); "
            f"train it again: pwm-bench run {quote(str(directory.spec_file))}"
        )
    try:
        job = TrainJob(replace(spec, device=str(device), evaluation_episodes=1))
    except (MemoryError, RuntimeError) as error:
        status, reason = classify(error)
        if status != "oom":
            raise
        raise UsageError(f"{directory.path}: its settings need more memory than there is here ({reason})") from None
    job.load_state_dict(checkpoint.load(directory.checkpoint, spec_id=record.id).state["job"])
    about = PolicyFile.of(spec, job.env, job.gradient_source)
    own: Policy | None = getattr(job.learner, "policy", None)
    return Trained(about=about, act=job.learner.act, policy=own, record=record, device=job.device)


def member_policy(
    directory: RunDirectory, seed: int | None, *, device: str | torch.device = "cpu"
) -> tuple[PolicyFile, Policy]:
    """The policy of one member of a run.

    Args:
        directory: the run.
        seed: its training seed; by default that of the highest final return.
        device: where it goes.

    Raises:
        UsageError: no such run or member, or its learner acts by something else than a network of ours.
    """
    found = trained(directory, device=device)
    if found.policy is None:
        raise UsageError(f"{directory.path}: learner '{found.about.algorithm}' leaves no policy to load")
    return one_member(found.about, found.policy, member_index(found, seed, where=directory.path))


def member_index(found: Trained, seed: int | None, *, where: object) -> int:
    """The place of a member in the population.

    Args:
        found: what a run has learned.
        seed: its training seed; by default that of the highest final return.
        where: how errors call the run.

    Raises:
        UsageError: there is no such member.
    """
    seeds = found.about.seeds
    if seed is None:  # what was brought in has no members whose returns are known
        returns = [float("-inf") if m.final_return is None else m.final_return for m in found.record.members]
        return returns.index(max(returns)) if returns else 0
    if seed not in seeds:
        raise UsageError(f"member {seed}: {where} has the seeds {', '.join(map(str, seeds))}")
    return seeds.index(seed)
