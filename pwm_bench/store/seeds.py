"""A seed counts once: no table, figure or export takes two runs of the same task, simulator, settings and seed."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from pwm_bench.envs.errors import UsageError
from pwm_bench.hints import at

__all__ = ["check_seeds"]

_KEY = ["task", "simulator", "algorithm", "variant", "seed"]


def check_seeds(frame: pd.DataFrame, runs: Mapping[str, Path]) -> None:
    """Refuses runs that have a seed in common.

    Args:
        frame: members, with ``run_id`` and ``study``.
        runs: (study/run id) -> directory of the run.

    Raises:
        UsageError: naming two runs, and the command that sets aside what is there twice.
    """
    if frame.empty:
        return
    frame = frame.drop_duplicates([*_KEY, "study", "run_id"])  # a comparison may hold several experts of a task
    if not frame.duplicated(_KEY).any():
        return
    twice = frame[frame.duplicated(_KEY, keep=False)]
    first = twice.sort_values([*_KEY, "run_id"]).iloc[0]
    same = twice[(twice[_KEY] == first[_KEY]).all(axis=1)]
    names = [f"{study}/{run}" for study, run in zip(same["study"], same["run_id"], strict=True)]
    superfluous = _superfluous(frame, twice)
    root = runs[superfluous[0]].parents[2]
    remedy = f"pwm-bench results remove {shlex.join(superfluous)}{at(root)}"
    what = f"{first['algorithm']} on {first['task']} in {first['simulator']}"
    raise UsageError(
        f"seed {first['seed']} of {what} is there twice, in the runs {' and '.join(sorted(names)[:2])}; a seed counts "
        f"once: set one of them aside with `{remedy}`"
    )


def _superfluous(frame: pd.DataFrame, twice: pd.DataFrame) -> Sequence[str]:
    """Runs without which every seed is there once, unfinished ones and those with few other seeds first."""
    counts = frame.groupby(_KEY, sort=False)["seed"].transform("size")
    frame = frame.assign(run=frame["study"] + "/" + frame["run_id"], once=counts == 1)
    held = {run: set(map(tuple, rows[_KEY].to_numpy())) for run, rows in frame.groupby("run")}
    alone = frame.groupby("run")["once"].sum()
    finished = frame.groupby("run")["status"].agg(lambda statuses: statuses.isin(("ok", "diverged")).all())
    suspects = sorted(
        set(twice["study"] + "/" + twice["run_id"]),
        key=lambda run: (alone[run] > 0, finished[run], alone[run], len(held[run]), run),
    )
    removed: list[str] = []
    for run in suspects:
        others = [seeds for other, seeds in held.items() if other != run and other not in removed]
        if any(held[run] & seeds for seeds in others):
            removed.append(run)
    return removed
