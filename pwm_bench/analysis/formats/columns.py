"""The columns that a table can have, and which it shows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pwm_bench.analysis.overall import Overall
from pwm_bench.analysis.tables.scores import Row
from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.text import MISSING, count, duration, number, with_variant

__all__ = ["COLUMNS", "GRIDS", "Align", "Column", "Layout", "algorithm_name", "interval", "plain_status",
           "variant_details"]  # fmt: skip

Align = Literal["left", "right"]


@dataclass(frozen=True, slots=True)
class Column:
    """A quantity.

    Attributes:
        header: as shown; ``{threshold}`` and ``{base}`` are filled in.
        text: a row's cell.
        part: for narrow terminals: scores and cost go to tables of their own, details are left out.
        align: of the cells.
    """

    header: str
    text: Callable[[Row], str]
    part: Literal["score", "detail", "cost"]
    align: Align = "right"


def algorithm_name(row: Row | Overall) -> str:
    """The algorithm with what sets it apart."""
    return with_variant(row.algorithm, row.variant)


def variant_details(row: Row | Overall) -> tuple[str, ...]:
    """What sets the algorithm apart, part by part."""
    return tuple(filter(None, row.variant.split(", ")))


def interval(low: float, high: float, shown: Callable[[float], str] = number) -> str:
    """Both ends, each as ``shown`` writes it, or the sign for nothing."""
    return f"[{shown(low)}, {shown(high)}]" if math.isfinite(low) else MISSING


def plain_status(row: Row) -> str:
    """The status without the reason, and without those that went well where others did not."""
    text = row.status.partition(":")[0]
    first, _, rest = text.partition(" ok, ")
    return rest if rest and first.isdigit() else text


def _reached(steps: float, shown: Callable[[float], str]) -> str:
    return "never" if steps == math.inf else shown(steps)


def _difference(row: Row) -> str:
    if math.isnan(row.difference):
        return MISSING
    ends = interval(row.difference_low, row.difference_high)
    return number(row.difference) if ends == MISSING else f"{number(row.difference)} {ends}"


COLUMNS: dict[str, Column] = {
    "gradient": Column("gradient", lambda row: row.gradient or MISSING, "detail", "left"),
    "seeds": Column("seeds", lambda row: str(row.seeds), "score"),
    "steps": Column("steps", lambda row: count(row.env_steps), "score"),
    "score": Column("score", lambda row: number(row.mean), "score"),
    "interval": Column("95 % CI", lambda row: interval(row.low, row.high), "score"),
    "difference": Column("difference to {base}", _difference, "score"),
    "scores": Column("score of each seed", lambda row: ", ".join(map(number, row.scores)) or MISSING, "detail"),
    "median": Column("median", lambda row: number(row.median), "detail"),
    "area": Column("area", lambda row: number(row.area), "detail"),
    "threshold_steps": Column("steps to {threshold}", lambda row: _reached(row.steps_to_threshold, count), "score"),
    "threshold_time": Column("time to {threshold}", lambda row: _reached(row.seconds_to_threshold, duration), "cost"),
    "untrained": Column("untrained", lambda row: number(row.untrained), "score"),
    "train": Column("train", lambda row: duration(row.train_seconds), "cost"),
    "compile": Column("compile", lambda row: duration(row.compile_seconds), "cost"),
    "evaluate": Column("evaluate", lambda row: duration(row.evaluate_seconds), "cost"),
    "rate": Column("steps/s", lambda row: count(row.steps_per_second), "cost"),
    "gradient_steps": Column("grad steps", lambda row: count(row.gradient_steps), "cost"),
    "policy_gradient_steps": Column("policy steps", lambda row: count(row.policy_gradient_steps), "cost"),
    "cpu": Column("CPU", lambda row: duration(row.cpu_seconds), "cost"),
    "status": Column("status", plain_status, "score", "left"),
}
"""Names for ``--columns``."""

GRIDS = ("task", "algorithm", "simulator")
"""What the columns of a grid can be; its cells are score and interval."""

_DEFAULT = ("gradient", "seeds", "steps", "score", "interval", "untrained", "train", "compile", "evaluate", "rate",
            "gradient_steps", "status")  # fmt: skip
_COLUMN = ("seeds", "steps", "score", "interval")
_PRINTED = ("gradient", "seeds", "steps", "score", "interval", "untrained", "train", "gradient_steps")


@dataclass(frozen=True, slots=True)
class Layout:
    """Rows and columns of a table.

    Attributes:
        rows: what rows are gathered by: blocks of a task with algorithms in them (``"task"``), or the reverse.
        columns: names of `COLUMNS`, or one of `GRIDS`; a choice that suits the format if empty.

    Raises:
        UsageError: unknown names.
    """

    rows: str = "task"
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.rows not in ("task", "algorithm"):
            raise unknown("kind of rows", self.rows, ("task", "algorithm"))
        for name in self.columns:
            if name not in (*COLUMNS, *GRIDS):
                raise unknown("column", name, (*COLUMNS, *GRIDS))
        if len(self.columns) > 1 and set(self.columns) & set(GRIDS):
            raise UsageError(
                f"columns={','.join(self.columns)}: {', '.join(GRIDS)} make a grid and stand alone; "
                "give one of them, or quantities"
            )

    @property
    def grid(self) -> str | None:
        """What the columns of the grid are, if it is one."""
        return self.columns[0] if self.columns and self.columns[0] in GRIDS else None

    def names(self, format: str, *, threshold: bool, failures: bool, base: bool = False) -> tuple[str, ...]:
        """The columns to show.

        Args:
            format: print gets fewer, so that the table fits a ``column`` of a page, or with ``wide`` both.
            threshold: whether the time to a threshold is known.
            failures: whether some row is not ok.
            base: whether there are differences to another row.

        Raises:
            UsageError: differences are asked for, and there are none.
        """
        if "difference" in self.columns and not base:
            raise UsageError("columns=difference: name the row that the others are compared with, such as --base shac")
        if self.grid:
            return self.columns
        names = list(self.columns or {"column": _COLUMN, "wide": _PRINTED}.get(format, _DEFAULT))
        if failures and not self.columns and "status" not in names:
            names.append("status")
        if threshold and not self.columns:
            names[names.index("interval") + 1 : names.index("interval") + 1] = ["threshold_steps", "threshold_time"]
        if base and "difference" not in names:
            names.insert(names.index("interval") + 1 if "interval" in names else len(names), "difference")
        return tuple(names)
