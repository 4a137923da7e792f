"""What is drawn of a members frame: panels, labels, strata."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pwm_bench.analysis.budgets import Budgets, Place
from pwm_bench.analysis.naming import IN_PRINT
from pwm_bench.names import simulator_name, task_name
from pwm_bench.store.results import FINISHED
from pwm_bench.text import with_variant

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AVERAGE", "AXES", "CAPTION", "NAME", "SECONDS", "at", "default_axes", "finished", "heading",
           "labelled", "labels", "legend", "numbers", "panels", "places", "row_height", "score_name", "scored",
           "seed_scores", "shown", "uneven_ends", "wrapped"]  # fmt: skip

AXES = {
    "env_steps": ("curve_env_steps", "environment steps per seed"),
    "gradient_steps": ("curve_gradient_steps", "gradient steps per seed"),
    "policy_gradient_steps": ("curve_policy_gradient_steps", "policy-gradient steps per seed"),
    "time": ("curve_train_seconds", "training time"),
    "cpu": ("curve_cpu_seconds", "processor time"),
}
"""What learning is drawn against: column of the frame, and label."""
SECONDS = ("time", "cpu")
"""Those of `AXES` that are times of all seeds together."""

AVERAGE = "Mean over seeds; shaded or whiskers: its 95 % interval by Student's t"
"""What figures and curves show; the computation is `statistics.estimate_mean`."""
CAPTION = f"{AVERAGE}; profiles: by Wilson's method, between an algorithm's lowest and highest score."


def finished(frame: pd.DataFrame) -> pd.DataFrame:
    """The seeds that have ended, with a column ``label``: the algorithm and what sets it apart."""
    return labelled(frame[frame["status"].isin(FINISHED)])


def scored(frame: pd.DataFrame) -> pd.DataFrame:
    """The seeds that have a score at the budget, as tables count them, with a column ``label``.

    Args:
        frame: of `analysis.budgets.at_budget`.
    """
    return labelled(frame[np.isfinite(frame["score"])]) if not frame.empty else frame


def labelled(frame: pd.DataFrame) -> pd.DataFrame:
    """A copy with a column ``label``."""
    names = zip(frame["algorithm"], frame["variant"], strict=True)
    return frame.assign(label=[with_variant(algorithm, variant) for algorithm, variant in names])


def default_axes(frame: pd.DataFrame) -> tuple[str, ...]:
    """Environment steps, or gradient steps where nothing takes those, and cost: processor time where no GPU takes part,
    since it leaves out other work on the machine, and wall time else."""
    taken = [
        name for name in ("env_steps", "gradient_steps") if any(len(x) and x[-1] > 0 for x in frame[AXES[name][0]])
    ]
    cpu = frame[AXES["cpu"][0]]
    counted = not frame["gpu"].any() and all(np.isfinite(seconds).all() for seconds in cpu)
    return ([*taken, "env_steps"][0], "cpu" if counted else "time")


def labels(frame: pd.DataFrame) -> list[str]:
    """All labels, in an order that does not depend on their scores."""
    return sorted(frame["label"].unique())


def panels(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """One part for each task and simulator, with its title."""
    for (task, simulator), block in frame.groupby(["task", "simulator"], sort=True):
        yield f"{task} in {simulator}", block


def heading(block: pd.DataFrame, frame: pd.DataFrame, budgets: Budgets | None = None) -> str:
    """Title of a panel in print, without the simulator where the whole figure has one.

    Args:
        block: the panel's rows, of one task and simulator.
        frame: all rows of the figure.
        budgets: of a figure of scores: named where panels have different ones.
    """
    first = block.iloc[0]
    name = task_name(first["task"])
    name = name if frame["simulator"].nunique() == 1 else f"{name} ({simulator_name(first['simulator'])})"
    if budgets is None or not budgets.several(places(frame)):
        return name
    own = budgets.shown((first["task"], first["simulator"]))
    return f"{name}, {f'at {own}' if own else 'own end'}"


def shown(label: str) -> str:
    """A label in print: ``"SHAC (critic iterations=4)"`` for ``"shac (critic_iterations=4)"``."""
    return IN_PRINT.row(label)


def seed_scores(block: pd.DataFrame, label: str) -> NDArray[np.float64]:
    """Scores of one label's seeds at the budget."""
    return block.loc[block["label"] == label, "score"].to_numpy(dtype=np.float64)


def places(frame: pd.DataFrame) -> list[Place]:
    """Task and simulator of each panel."""
    return list(dict.fromkeys(zip(frame["task"], frame["simulator"], strict=True)))


_LINE = 38
"""Letters of an axis's label in a line."""


def at(what: str, budgets: Budgets, frame: pd.DataFrame, word: str = "at") -> str:
    """The label of an axis, with the budget at which its quantity is read; on two lines where it is long.

    Args:
        what: the quantity.
        budgets: of the figure.
        frame: rows of the figure.
        word: before the budget.
    """
    said = budgets.said(places(frame))
    if not said:
        return f"{what}, each run at its own end"
    return f"{what}{' ' if len(f'{what} {word} {said}') <= _LINE else chr(10)}{word} {said}"


_EVEN = 1.05  # budgets that differ by less are the same but for the length of an iteration


def uneven_ends(frame: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Where seeds end at different budgets: panel -> least and most environment steps of one that has a score."""
    found = {}
    for title, block in panels(frame) if not frame.empty else ():
        ends = [float(axis[-1]) for axis in block[AXES["env_steps"][0]] if len(axis) and axis[-1] > 0.0]
        if ends and max(ends) > _EVEN * min(ends):
            found[title] = (min(ends), max(ends))
    return found


def score_name(metric: str, normalised: str) -> str:
    """Label of a score's axis."""
    name = metric.replace("_", " ")
    return name if normalised == "none" else f"normalised {name}"


NAME = 24
"""Letters of a name in a line beside its row."""


_LEGEND, _KEY = 26, 44
"""Letters of a name in a line of a legend, and of a key to numbers, which fills a column of a page."""


def wrapped(label: str, width: int = _LEGEND) -> str:
    """A long label on several lines: between words, or within a long one after a sign that parts it."""
    lines = []
    for line in textwrap.wrap(label, width, break_on_hyphens=False, break_long_words=False):
        while len(line) > width:
            cut = line.rfind("=", 0, width) + 1 or max(line.rfind(sign, 0, width) + 1 for sign in "_.") or width
            lines.append(line[:cut])
            line = line[cut:]
        lines.append(line)
    return "\n".join(lines) or label


def row_height(names: Iterable[str], width: int = NAME) -> float:
    """What a row with a name beside it needs [inches]."""
    return max([0.32, *(0.08 + 0.135 * (wrapped(name, width).count("\n") + 1) for name in names)])


def numbers(names: Iterable[str], width: int = NAME, *, lines: int = 4) -> dict[str, str]:
    """Numbers that stand for names beside rows, where a name has more lines than a row has room for; else empty.

    Args:
        names: labels.
        width: letters of a line.
        lines: that a row has room for.
    """
    names = list(names)
    most = max((wrapped(shown(name), width).count("\n") + 1 for name in names), default=0)
    return {name: str(number) for number, name in enumerate(names, 1)} if most > lines else {}


def legend(figure: Any, entries: Mapping[str, Any], numbered: Mapping[str, str] | None = None) -> None:
    """One legend for the whole figure, above the axes, with as many columns as fit.

    Args:
        figure: grows by the height of the legend.
        entries: label -> what is drawn beside it.
        numbered: of `numbers`; they stand before the labels.
    """
    width, height = figure.get_size_inches()
    before = {label: f"{number}: " for label, number in (numbered or {}).items()}
    letters = _KEY if before else _LEGEND
    names = [wrapped(before.get(label, "") + shown(label), letters) for label in entries]
    longest = max((len(line) for name in names for line in name.split("\n")), default=1)
    columns = max(1, min(len(names), int(width / (0.5 + 0.062 * longest))))  # of a handle, and of a letter [inches]
    rows = -(-len(names) // columns)
    lines = sum(max(name.count("\n") + 1 for name in names[row::rows]) for row in range(rows))
    figure.set_size_inches(width, height + 0.145 * (lines - 1))  # so that the axes keep their height
    figure.legend(entries.values(), names, loc="outside upper center", ncols=columns, columnspacing=1.4)
