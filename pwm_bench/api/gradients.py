"""Gradient estimators against each other and against a trusted reference, from Python."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pwm_bench.envs.errors import UsageError
from pwm_bench.hints import default_results

if TYPE_CHECKING:
    from pwm_bench.analysis.study_table import StudyTable
    from pwm_bench.runs.progress import ProgressEvent

__all__ = ["compare_gradients"]

_BY_OTHERS = ("inputs", "setting", "study", "member", "policy_member")
"""Fields of a comparison that follow from other arguments."""


def compare_gradients(
    target: str,
    *,
    size: str | None = None,
    model_seeds: Sequence[int] = (),
    members: Sequence[int] = (0,),
    metric: str | None = None,
    results: Path | str | None = None,
    callback: Callable[[str, ProgressEvent], None] | None = None,
    **changes: Any,
) -> StudyTable:
    """Measures gradient estimators at the same states, each against a trusted reference, in this process.

    Args:
        target: a task, or one of the studies that vary one cause, see ``pwm-bench gradients``.
        size: ``"full"``, or ``"cpu"``: fewer states, samples and horizons. What is changed by hand takes precedence.
        model_seeds: repeat every comparison with world models of these seeds.
        members: seeds, by position, of the runs whose ``model`` or ``policy`` is given; several repeat the comparison.
        metric: what the table shows: cosine (the default), esnr, bias, norm_ratio, ...
        results: the results folder; ``$PWM_BENCH_RESULTS``, or ``results`` here.
        callback: told a run's name and how it goes.
        changes: of `pwm_bench.gradients.spec.Comparison`, e.g. ``simulators``, ``estimators``, ``horizons``, ``loop``,
            ``states``, ``samples``, ``noise``; the ``model`` (also the directory of a PWM run), and the ``policy``
            (the directory of a run) at whose states and actions gradients are taken, see
            `pwm_bench.studies.gradient_study.Draft`.

    Returns:
        the table of all comparisons of this target; all metrics and intervals are in ``pwm_bench.load(table.title)``.

    Raises:
        UsageError: unknown names, impossible values, or an unwritable folder.
        RunFailedError: a comparison or a world model that it reads failed.
        KeyboardInterrupt: it was stopped, and saved.
    """
    from pwm_bench.analysis.study_table import study_table
    from pwm_bench.api.runs import Run, RunFailedError, threads_kept
    from pwm_bench.api.sweeps import watched
    from pwm_bench.envs.errors import unknown
    from pwm_bench.gradients.model_inputs import MODEL
    from pwm_bench.gradients.spec import POLICY, Comparison
    from pwm_bench.store.inputs import find_input
    from pwm_bench.store.results import Results
    from pwm_bench.store.selection import Selection
    from pwm_bench.studies.comparisons import asked_for
    from pwm_bench.sweeps.carry_out import carry_out_study

    fields = [field.name for field in dataclasses.fields(Comparison)]
    known = ["model", "policy", *(name for name in fields if name not in _BY_OTHERS)]
    for name in changes:
        if name not in known:
            raise unknown("setting of a comparison", name, known)
    if isinstance(changes.get("model"), str | Path):
        changes["model"] = find_input(changes["model"], MODEL)
    if isinstance(changes.get("policy"), str | Path):
        changes["policy"] = find_input(changes["policy"], POLICY)
    study = asked_for(target, size=size, model_seeds=model_seeds, members=members, **changes)
    store = Results(default_results() if results is None else results)
    with threads_kept(), watched(callback) as watch:
        outcome = carry_out_study(study.graph(), store, watch=watch, executor="inline", jobs=1, retry=True)
    if outcome.stopped_by is not None:
        raise KeyboardInterrupt(f"stopped by {outcome.stopped_by.name}; the same call goes on from there")
    for item in outcome.items:
        if item.status in ("failed", "oom"):
            directory = store.run(item.spec.study, item.spec.id)
            raise RunFailedError(Run((directory,), (directory.read(),)))
        if item.status in ("refused", "damaged") or item.plan in ("busy", "wait"):
            raise UsageError(f"{item.name}: {item.reason}")
    return study_table(store, Selection(studies=(study.folder,)), metric=metric)
