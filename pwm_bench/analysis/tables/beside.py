"""Published numbers beside a study's rows, place by place."""

from __future__ import annotations

from collections.abc import Mapping

from pwm_bench.analysis.published import Published, beside
from pwm_bench.statistics import Normalisation
from pwm_bench.store.frames import Loaded
from pwm_bench.text import count

__all__ = ["published_beside"]

Place = tuple[str, str]
"""Task and simulator."""


def published_beside(
    loaded: Loaded, budgets: Mapping[Place, float | None], *, metric: str, scales: Normalisation, choice: str
) -> tuple[dict[Place, tuple[Published, ...]], tuple[str, ...]]:
    """The published numbers for each task and simulator of a table, and what must be said of them.

    Args:
        loaded: the study.
        budgets: (task, simulator) -> environment steps at which our scores are taken; None for each run's own end.
        metric: of the table.
        scales: of the table.
        choice: one of `published.CHOICES`.
    """
    together = _together(loaded)
    rows: dict[Place, tuple[Published, ...]] = {}
    absent: dict[str, list[str]] = {}
    for (task, simulator), steps in budgets.items():
        found = beside(
            task, metric=metric, normalisation=scales, env_steps=steps, tasks=together.get(task, 1), choice=choice
        )
        rows[task, simulator] = found.rows
        if found.absent:
            at = f"{task} at {count(steps)} steps" if steps is not None else task
            absent.setdefault(", ".join(found.absent), []).append(at)
    if not any(rows.values()) and not absent:
        return rows, ("No published numbers for these tasks and this metric.",)
    notes = ["Published rows are other people's numbers: they are in no average, no rank and no comparison here."]
    notes += [f"Published, but without a curve there: {names} ({'; '.join(dict.fromkeys(places))})."
              for names, places in absent.items()]  # fmt: skip
    return rows, tuple(notes)


def _together(loaded: Loaded) -> dict[str, int]:
    """Task -> how many tasks the runs that trained on it trained on together."""
    found: dict[str, int] = {}
    for run in loaded.runs:
        tasks = {member.task for member in run.record.members if member.task}
        for task in tasks:
            found[task] = max(found.get(task, 1), len(tasks))
    return found
