"""A whole study: what is finished is skipped, what was cut off goes on, the rest is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.sweeps.devices import gpu_of, settle_devices
from pwm_bench.sweeps.estimate import expected_gpu_memory, sort_of
from pwm_bench.sweeps.executors import EXECUTORS, make_executor, opened
from pwm_bench.sweeps.executors.capacity import AtOnce, Capacity
from pwm_bench.sweeps.graph import Study
from pwm_bench.sweeps.reporters import REPORTERS, reporting
from pwm_bench.sweeps.stale import POLICIES, settle_stale
from pwm_bench.sweeps.sweep import Item, Observer, SweepResult, plan, sweep

if TYPE_CHECKING:
    from pwm_bench.store.results import Results

__all__ = ["Watch", "carry_out_study", "check_how"]

Watch = Callable[[list[Item], str], AbstractContextManager[Observer]]
"""Given what will be done and what there is to say of stale runs: who is told how it goes."""


def carry_out_study(
    study: Study,
    results: Results,
    *,
    watch: Watch,
    device: str | None = None,
    limit: int | None = None,
    jobs: int | None = None,
    retry: bool = False,
    wait: bool = False,
    stale: str = "keep",
    executor: str = "local",
    executor_settings: Mapping[str, Any] | None = None,
    reporters: Sequence[str] = (),
    checkpoint_seconds: float = 60.0,
    tensorboard: bool = False,
) -> SweepResult:
    """Does what is left of a study.

    Args:
        study: the runs.
        results: where they lie.
        watch: called once it is known what will be done.
        device: replaces the specs' device.
        limit: at most this many runs are carried out.
        jobs: at most this many at once; by cores and memory, a GPU's too, by default.
        retry: also carry out again what failed or ran out of memory before.
        wait: when nothing else is left, wait for what other processes are at, and take over what they leave.
        stale: what becomes of finished runs of other code, one of `sweep.stale.POLICIES`.
        executor: what carries runs out, one of `sweep.executors.EXECUTORS`.
        executor_settings: of its own, e.g. the ``address`` of a cluster.
        reporters: who is told as well, some of `sweep.reporters.REPORTERS`.
        checkpoint_seconds: time between two checkpoints of a run.
        tensorboard: also write curves for tensorboard.

    Raises:
        UsageError: unknown names, impossible values, an unwritable folder, or an absent GPU.
    """
    if not checkpoint_seconds >= 0:
        raise UsageError(f"checkpoint_seconds={checkpoint_seconds}: must not be negative")
    check_how(stale=stale, limit=limit, executor=executor, reporters=reporters)
    results.check_writable()
    said = settle_stale(study, results, stale)
    items = plan(study, results, device=device, limit=limit, retry=retry)
    elsewhere = getattr(EXECUTORS.load(executor), "schedules", False)
    gpus = settle_devices(items) if any(item.to_do for item in items) and not elsewhere else {}
    there = [item.spec for item in items if gpu_of(item.spec, gpus) and (item.to_do or item.plan == "wait")]
    memory = expected_gpu_memory(there, results)
    admits = AtOnce(jobs) if elsewhere else Capacity(jobs, gpus, lambda spec: memory.get(sort_of(spec)))
    shared = gpus if jobs != 1 and len(there) > 1 else {}  # a run alone has a process whose memory is its own
    options = ("--checkpoint-seconds", str(checkpoint_seconds), *(("--tensorboard",) * tensorboard))
    with (
        opened(make_executor(executor, results.root, options, executor_settings or {}, shared)) as does,
        watch(items, said) as observer,
        reporting(observer, reporters, results.root) as everyone,
    ):
        return sweep(items, results, does, everyone, admits=admits, limit=limit, retry=retry, wait=wait)


def check_how(*, stale: str, limit: int | None, executor: str, reporters: Sequence[str]) -> None:
    """Makes sure that a study could be carried out as it is asked for; see `carry_out_study`.

    Raises:
        UsageError: an unknown name, or an impossible value.
    """
    if stale not in POLICIES:
        raise unknown("policy for stale runs", stale, POLICIES)
    if limit is not None and limit < 0:
        raise UsageError(f"--limit {limit}: must not be negative")
    EXECUTORS.check(executor)
    REPORTERS.check(*reporters)
