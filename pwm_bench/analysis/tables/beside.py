"""Published numbers beside a study's rows, place by place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pwm_bench.analysis.budgets import Place
from pwm_bench.analysis.naming import Names
from pwm_bench.analysis.published import Published, beside
from pwm_bench.statistics import Normalisation
from pwm_bench.store.frames import Loaded
from pwm_bench.text import count

__all__ = ["Theirs", "published_beside", "published_notes"]


@dataclass(frozen=True, slots=True)
class Theirs:
    """Published numbers beside a table.

    Attributes:
        rows: (task, simulator) -> the numbers.
        absent: names of algorithms, with a comma between them -> tasks and budgets at which these have no curve.
    """

    rows: Mapping[Place, tuple[Published, ...]]
    absent: Mapping[str, Sequence[tuple[str, float | None]]]


def published_beside(
    loaded: Loaded, budgets: Mapping[Place, float | None], *, metric: str, scales: Normalisation, choice: str
) -> Theirs:
    """The published numbers for each task and simulator of a table.

    Args:
        loaded: the study.
        budgets: (task, simulator) -> environment steps at which our scores are taken; None for each run's own end.
        metric: of the table.
        scales: of the table.
        choice: one of `published.CHOICES`.
    """
    together = _together(loaded)
    rows: dict[Place, tuple[Published, ...]] = {}
    absent: dict[str, list[tuple[str, float | None]]] = {}
    for (task, simulator), steps in budgets.items():
        found = beside(
            task, metric=metric, normalisation=scales, env_steps=steps, tasks=together.get(task, 1), choice=choice
        )
        rows[task, simulator] = found.rows
        if found.absent:
            absent.setdefault(", ".join(found.absent), []).append((task, steps))
    return Theirs(rows, absent)


def published_notes(theirs: Theirs, names: Names) -> tuple[str, ...]:
    """What must be said of published numbers.

    Args:
        theirs: the numbers.
        names: of tasks.
    """
    if not any(theirs.rows.values()) and not theirs.absent:
        return ("No published numbers for these tasks and this metric.",)
    notes = ["Published rows are other people's numbers: they are in no average, no rank and no comparison here."]
    for algorithms, held in theirs.absent.items():
        at = (names.task(task) + ("" if steps is None else f" at {count(steps)} steps") for task, steps in held)
        notes.append(f"Published, but without a curve there: {algorithms} ({'; '.join(dict.fromkeys(at))}).")
    return tuple(notes)


def _together(loaded: Loaded) -> dict[str, int]:
    """Task -> how many tasks the runs that trained on it trained on together."""
    found: dict[str, int] = {}
    for run in loaded.runs:
        tasks = {member.task for member in run.record.members if member.task}
        for task in tasks:
            found[task] = max(found.get(task, 1), len(tasks))
    return found
