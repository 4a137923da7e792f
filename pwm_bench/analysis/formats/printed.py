"""A summary whose algorithms, tasks, simulators and settings have their names in print, in its notes too."""

from __future__ import annotations

from dataclasses import replace

from pwm_bench.analysis.naming import IN_PRINT
from pwm_bench.analysis.tables.scores import Summary

__all__ = ["printed"]


def printed(summary: Summary) -> Summary:
    """The same numbers under the names of publications."""
    names = IN_PRINT
    notes, warnings = summary.annotate(names)
    return replace(
        summary,
        rows=tuple(
            replace(
                row,
                task=names.task(row.task),
                simulator=names.simulator(row.simulator),
                algorithm=names.algorithm(row.algorithm),
                variant=names.settings(row.variant),
            )
            for row in summary.rows
        ),
        notes=notes,
        overall=tuple(
            replace(
                row,
                simulator=names.simulator(row.simulator),
                algorithm=names.algorithm(row.algorithm),
                variant=names.settings(row.variant),
                tasks=tuple(map(names.task, row.tasks)),
            )
            for row in summary.overall
        ),
        published={
            (names.task(task), names.simulator(simulator)): entries
            for (task, simulator), entries in summary.published.items()
        },
        warnings=warnings,
        base=None if summary.base is None else names.row(summary.base),
    )
