"""A summary as text and as data: for a terminal, Markdown, LaTeX, CSV, JSON and Parquet."""

from __future__ import annotations

from dataclasses import replace

from pwm_bench.analysis.formats.columns import COLUMNS, Layout
from pwm_bench.analysis.formats.latex import Print
from pwm_bench.analysis.formats.pairs import pair_sheets
from pwm_bench.analysis.formats.printed import printed
from pwm_bench.analysis.formats.sheet import Sheet, to_sheet
from pwm_bench.analysis.formats.terminal import grid_to_rich, to_rich
from pwm_bench.analysis.tables.scores import Summary

__all__ = ["COLUMNS", "FORMATS", "Layout", "Print", "grid_to_rich", "pair_sheets", "render", "render_sheet", "to_rich"]

FORMATS = ("rich", "markdown", "latex", "csv", "json", "parquet")


def render(
    summary: Summary, format: str, *, trace: bool = False, layout: Layout | None = None, how: Print | None = None
) -> str | bytes:
    """A summary as Markdown, LaTeX, CSV, JSON (text) or Parquet (bytes).

    Args:
        summary: the table.
        format: one of `FORMATS` but ``"rich"``.
        trace: also name the runs behind each row (CSV, JSON and Parquet always do).
        layout: rows and columns of Markdown and LaTeX; data formats hold everything.
        how: LaTeX is set.
    """
    from pwm_bench.analysis.formats import data

    if format == "parquet":
        return data.to_parquet(summary)
    if format in ("csv", "json"):
        return {"csv": data.to_csv, "json": data.to_json}[format](summary)
    how = how or Print()
    if format == "latex":
        summary = printed(summary)
    sheet = to_sheet(summary, layout or Layout(), format if format == "markdown" else "wide" if how.wide else "column")
    texts = [render_sheet(sheet, format, trace=trace, how=how)]
    for number, pairs in enumerate(pair_sheets(summary)):
        label = how.label and f"{how.label}-pairs{f'-{number + 1}' if number else ''}"
        texts.append(render_sheet(pairs, format, how=replace(how, label=label, caption="")))
    return "\n".join(texts)


def render_sheet(sheet: Sheet, format: str, *, trace: bool = False, how: Print | None = None) -> str:
    """A laid-out table as text.

    Args:
        sheet: the table.
        format: ``"markdown"`` or ``"latex"``.
        trace: also name the runs behind each row.
        how: LaTeX is set.
    """
    from pwm_bench.analysis.formats import latex, text

    return text.to_markdown(sheet, trace) if format == "markdown" else latex.to_latex(sheet, trace, how)
