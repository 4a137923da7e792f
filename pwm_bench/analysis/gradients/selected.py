"""Rows of the runs about gradients that a command is asked for."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.gradients.rows import FILE, load_rows
from pwm_bench.store.frames import Loaded
from pwm_bench.store.results import FINISHED, Results, RunDirectory
from pwm_bench.store.selection import Selection

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["left_out_of_scores", "selected_rows"]


def selected_rows(results: Results, selection: Selection, loaded: Loaded) -> tuple[pd.DataFrame, list[str]]:
    """The rows of all finished runs about gradients.

    Args:
        results: the results folder.
        selection: which studies, tasks and simulators.
        loaded: what it selects.

    Returns:
        The rows as `pwm_bench.gradients.rows.load_rows` gives them, with the ``study`` in front, and a message for each
        run that has none to show.

    Raises:
        UsageError: no run is finished, a name that no run has, algorithms are asked for, or all files are damaged.
    """
    import pandas as pd

    if selection.algorithms:
        raise UsageError(
            f"--algorithm {' '.join(selection.algorithms)}: comparisons of gradients have estimators instead; leave it "
            "out"
        )
    finished: dict[str, None] = {}
    left_out = []
    for directory in map(RunDirectory, loaded.unscored):
        status = directory.status()
        if status not in FINISHED:
            left_out.append(f"{directory.path}: {status}; the command that began it goes on with it")
        elif (directory.path / FILE).exists():
            finished[directory.path.parent.name] = None
        elif not directory.read().artifacts:  # else it is what others read, such as a model; or `load_rows` names it
            left_out.append(f"{directory.path}: {status}, without rows")
    if not finished:
        raise UsageError(
            f"study '{selection.title}': there are no scores, and no comparison is finished; see `pwm-bench results "
            f"ls {shlex.join(selection.studies)}`"
        )
    frames = [load_rows(results, study, damaged=left_out).assign(study=study) for study in finished]
    frame = pd.concat(frames, ignore_index=True)
    frame.insert(0, "study", frame.pop("study"))
    return _narrowed(frame, selection), [message for message in left_out if message not in loaded.damaged]


def left_out_of_scores(loaded: Loaded) -> list[str]:
    """A message for each study whose runs about gradients a table of scores leaves out."""
    studies = [path.parent.name for path in loaded.unscored if (path / FILE).exists()]
    return [
        f"left out: {studies.count(study)} runs about gradients of study '{study}', which have no scores"
        for study in dict.fromkeys(studies)
    ]


def _narrowed(frame: pd.DataFrame, selection: Selection) -> pd.DataFrame:
    wanted: tuple[tuple[str, Sequence[str]], ...] = (("task", selection.tasks), ("simulator", selection.simulators))
    for column, names in wanted:
        for name in names:
            if name not in set(frame[column]):
                raise unknown(f"{column} of study '{selection.title}'", name, sorted(set(frame[column])))
        if names:
            frame = frame[frame[column].isin(list(names))]
    if frame.empty:
        raise UsageError(f"study '{selection.title}' has no comparison of that task and simulator together")
    return frame
