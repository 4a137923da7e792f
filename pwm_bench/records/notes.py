"""What stands under a table: everything a reader must know to take its numbers rightly."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from pwm_bench.records.frames import Loaded
from pwm_bench.records.statistics import Normalisation

__all__ = ["COST_NOTE", "table_notes"]

COST_NOTE = "Steps (of the environment) and gradient steps are per seed; times and steps/s are of all seeds together."
"""Only tables that show cost need it."""
_MEANINGS = {"score": "success (Meta-World) or return / 1000 (dm_control)"}


def table_notes(
    frame: pd.DataFrame,
    loaded: Loaded,
    metric: str,
    match: str,
    budgets: Sequence[str],
    scales: Normalisation,
    threshold: float | None,
) -> tuple[str, ...]:
    """The statistic, the normalisation, how budgets match, checks of gradients, devices, and what was left out.

    Args:
        frame: of `frames.members_frame`.
        loaded: the study.
        metric: of the table.
        match: one of `tables.MATCHES`.
        budgets: the common budgets, in words.
        scales: of the scores.
        threshold: that was timed, if any.
    """
    episodes = sorted({int(run.record.spec["evaluation_episodes"]) for run in loaded.runs})
    per_seed = " or ".join(map(str, episodes)) or "no"
    notes = [
        f"Score: {_MEANINGS.get(metric, metric.replace('_', ' '))} of the deterministic policy, mean of {per_seed} "
        "evaluation episodes per seed; IQM over seeds with a 95 % bootstrap interval.",
        {
            "none": "Budgets are not matched: each row is taken at its own end.",
            "env_steps": f"Matched by environment steps: {'; '.join(budgets) or 'nothing finished yet'}.",
            "wall_time": f"Matched by training time: {'; '.join(budgets) or 'nothing finished yet'}.",
        }[match],
        COST_NOTE,
    ]
    if scales.note:
        notes.insert(1, scales.note)
    if threshold is not None:
        notes.append(
            f"Steps and time to {threshold:,g}: first evaluation that scores it, median over seeds; 'never' where most "
            "seeds do not."
        )
    checks = {
        f"{run.record.spec['task']} in {run.record.spec['simulator']}": run.record.gradient_check
        for run in loaded.runs
        if run.record.gradient_check is not None
    }
    if checks:
        found = "; ".join(f"{name} {c.relative_error:.0e} ({c.precision})" for name, c in sorted(checks.items()))
        notes.append(f"Simulator gradients, relative error against central differences: {found}.")
    devices = sorted({device for device in frame.get("device", ()) if device})
    if devices:
        mixed = " (times of different devices do not compare)" if len(devices) > 1 else ""
        notes.append(f"Device: {'; '.join(devices)}{mixed}.")
    notes += [f"Left out: {message}" for message in loaded.damaged]
    return tuple(notes)
