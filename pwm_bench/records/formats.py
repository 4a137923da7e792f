"""A summary as text: for a terminal, Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from pwm_bench.records.tables import Row, Summary
from pwm_bench.text import MISSING, count, duration, number

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

__all__ = ["FORMATS", "render", "to_rich"]

FORMATS = ("rich", "markdown", "latex", "csv")
_WIDE = 150  # terminal columns from which one table holds everything
_NARROW = 100  # and below which what only some readers need is left out


@dataclass(frozen=True, slots=True)
class _Column:
    header: str
    text: Callable[[Row], str]
    part: Literal["name", "score", "detail", "cost"]
    align: Literal["left", "right"] = "right"


def _algorithm(row: Row) -> str:
    return f"{row.algorithm} ({row.variant})" if row.variant else row.algorithm


def _interval(row: Row) -> str:
    return f"[{number(row.low)}, {number(row.high)}]" if math.isfinite(row.low) else MISSING


def _status(row: Row) -> str:
    """Without the reason, and without those that went well where others did not."""
    return re.sub(r"^\d+ ok, ", "", row.status.partition(":")[0])


_COLUMNS = (
    _Column("algorithm", _algorithm, "name", "left"),
    _Column("gradient", lambda row: row.gradient or MISSING, "detail", "left"),
    _Column("seeds", lambda row: str(row.seeds), "score"),
    _Column("steps", lambda row: count(row.env_steps), "score"),
    _Column("IQM", lambda row: number(row.iqm), "score"),
    _Column("95 % CI", _interval, "score"),
    _Column("mean", lambda row: number(row.mean), "detail"),
    _Column("untrained", lambda row: number(row.untrained), "score"),
    _Column("train", lambda row: duration(row.train_seconds), "cost"),
    _Column("compile", lambda row: duration(row.compile_seconds), "cost"),
    _Column("evaluate", lambda row: duration(row.evaluate_seconds), "cost"),
    _Column("steps/s", lambda row: count(row.steps_per_second), "cost"),
    _Column("grad steps", lambda row: count(row.gradient_steps), "cost"),
    _Column("status", _status, "score", "left"),
)


def render(summary: Summary, format: str, *, trace: bool = False) -> str:
    """A summary as Markdown, LaTeX or CSV.

    Args:
        summary: the table.
        format: one of `FORMATS` but ``"rich"``.
        trace: also name the runs behind each row (CSV always does).
    """
    return {"markdown": _markdown, "latex": _latex, "csv": _csv}[format](summary, trace)


def _blocks(summary: Summary) -> Iterator[tuple[str, list[Row]]]:
    for (task, simulator), rows in groupby(summary.rows, key=lambda row: (row.task, row.simulator)):
        yield f"{task} in {simulator}", list(rows)


def _failures(summary: Summary) -> list[str]:
    return [
        f"{row.task} in {row.simulator}, {_algorithm(row)}: {row.status}" for row in summary.rows if ":" in row.status
    ]


def _traces(summary: Summary) -> list[str]:
    return [f"{row.task} in {row.simulator}, {_algorithm(row)}: runs {', '.join(row.runs)}" for row in summary.rows]


def _title(summary: Summary) -> str:
    return f"{summary.study}: {summary.metric.replace('_', ' ')}"


def to_rich(summary: Summary, *, width: int, trace: bool = False) -> Group:
    """A summary for a terminal of ``width`` columns: one table if it fits, scores and cost apart if not."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    if width >= _WIDE:
        parts = [("", list(_COLUMNS))]
    else:
        left_out = {"cost", "detail"} if width < _NARROW else {"cost"}
        scores = [column for column in _COLUMNS if column.part not in left_out]
        parts = [(" · scores", scores), (" · cost", [c for c in _COLUMNS if c.part in ("name", "cost")])]
    items: list[Table | Text] = []
    for suffix, columns in parts:
        table = Table(
            box=box.SIMPLE_HEAD,
            title=_title(summary) + suffix,
            title_style="bold",
            title_justify="left",
            padding=(0, 1, 0, 0),
            pad_edge=False,
        )
        for column in columns:
            table.add_column(column.header, justify=column.align, no_wrap=column.part != "name", overflow="fold")
        for name, rows in _blocks(summary):
            best = max((row.iqm for row in rows if math.isfinite(row.iqm)), default=math.nan)
            table.add_row(Text(name, style="bold cyan"))
            for row in rows:
                cells = [Text(column.text(row)) for column in columns]
                cells[0] = _name_cell(row)
                for cell, column in zip(cells, columns, strict=True):
                    if column.header == "IQM" and row.iqm == best:
                        cell.stylize("bold green")
                    if column.header == "status" and row.status != "ok":
                        cell.stylize("yellow")
                table.add_row(*cells)
            table.add_section()
        items.append(table)
    items += [Text(f"! {line}", style="yellow") for line in _failures(summary)]
    items += [Text(line, style="dim") for line in summary.notes]
    if trace:
        items += [Text(line) for line in ("", *_traces(summary))]
    return Group(*items)


def _name_cell(row: Row) -> Text:
    """The algorithm, with each difference from its other rows on a line of its own."""
    from rich.text import Text

    cell = Text(f"  {row.algorithm}")
    for difference in filter(None, row.variant.split(", ")):
        cell.append(f"\n    {difference}", style="dim")
    return cell


def _markdown(summary: Summary, trace: bool) -> str:
    columns = [_Column("task", lambda row: f"{row.task} in {row.simulator}", "name", "left"), *_COLUMNS]
    lines = [
        f"**{_title(summary)}**",
        "",
        "| " + " | ".join(column.header for column in columns) + " |",
        "|" + "|".join(" --- " if column.align == "left" else " ---: " for column in columns) + "|",
    ]
    for row in summary.rows:
        lines.append("| " + " | ".join(column.text(row).replace("|", "\\|") for column in columns) + " |")
    lines += ["", " ".join(summary.notes)]
    lines += [f"\n{line}" for line in _failures(summary)]
    if trace:
        lines += ["", *(f"- {line}" for line in _traces(summary))]
    return "\n".join(lines) + "\n"


_LATEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
          "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", MISSING: "--", "·": r"\textperiodcentered{}",
          "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}  # fmt: skip


def _escape(text: str) -> str:
    escaped = "".join(_LATEX.get(character, character) for character in text)
    return re.sub(r"(?<![\w-])-(?=\d)", "$-$", escaped)  # a minus sign, not a hyphen


def _latex(summary: Summary, trace: bool) -> str:
    spec = "".join("l" if column.align == "left" else "r" for column in _COLUMNS)
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "  \\centering",
        f"  \\caption{{{_escape(_title(summary))}. {_escape(' '.join((*summary.notes, *_failures(summary))))}}}",
        f"  \\begin{{tabular}}{{{spec}}}",
        "    \\toprule",
        "    " + " & ".join(_escape(column.header) for column in _COLUMNS) + r" \\",
    ]
    for name, rows in _blocks(summary):
        lines += [
            "    \\midrule",
            f"    \\multicolumn{{{len(_COLUMNS)}}}{{l}}{{\\textit{{{_escape(name)}}}}} \\\\",
        ]
        best = max((row.iqm for row in rows if math.isfinite(row.iqm)), default=math.nan)
        for row in rows:
            cells = [_escape(column.text(row)) for column in _COLUMNS]
            cells = [
                f"\\textbf{{{cell}}}" if column.header == "IQM" and row.iqm == best else cell
                for cell, column in zip(cells, _COLUMNS, strict=True)
            ]
            lines.append("    " + " & ".join(cells) + r" \\")
    lines += ["    \\bottomrule", "  \\end{tabular}", "\\end{table}"]
    if trace:
        lines += [f"% {line}" for line in _traces(summary)]
    return "\n".join(lines) + "\n"


def _csv(summary: Summary, trace: bool) -> str:
    """Full precision, one line a row; empty where there is no number."""
    del trace  # always there
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(Row.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    for row in summary.rows:
        values = asdict(row) | {"runs": " ".join(row.runs)}
        writer.writerow({k: "" if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()})
    return stream.getvalue()
