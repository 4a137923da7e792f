"""A summary whose algorithms, tasks and simulators have their names in print."""

from __future__ import annotations

from dataclasses import replace

from pwm_bench.analysis.naming import algorithm_name
from pwm_bench.analysis.tables.scores import Summary
from pwm_bench.names import simulator_name, task_name

__all__ = ["printed"]


def printed(summary: Summary) -> Summary:
    """The same numbers under the names of `pwm_bench.names`."""
    return replace(
        summary,
        rows=tuple(
            replace(
                row,
                task=task_name(row.task),
                simulator=simulator_name(row.simulator),
                algorithm=algorithm_name(row.algorithm),
            )
            for row in summary.rows
        ),
        overall=tuple(
            replace(
                row,
                simulator=simulator_name(row.simulator),
                algorithm=algorithm_name(row.algorithm),
                tasks=tuple(map(task_name, row.tasks)),
            )
            for row in summary.overall
        ),
        published={
            (task_name(task), simulator_name(simulator)): entries
            for (task, simulator), entries in summary.published.items()
        },
    )
