"""A summary as text and as data: for a terminal, Markdown, LaTeX, CSV, JSON and Parquet."""

from __future__ import annotations

from pwm_bench.records.formats.columns import COLUMNS, Layout
from pwm_bench.records.formats.latex import Print
from pwm_bench.records.formats.printed import printed
from pwm_bench.records.formats.sheet import to_sheet
from pwm_bench.records.formats.terminal import to_rich
from pwm_bench.records.tables import Summary

__all__ = ["COLUMNS", "FORMATS", "Layout", "Print", "render", "to_rich"]

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
    from pwm_bench.records.formats import data, latex, text

    if format == "parquet":
        return data.to_parquet(summary)
    if format in ("csv", "json"):
        return {"csv": data.to_csv, "json": data.to_json}[format](summary)
    if format == "markdown":
        return text.to_markdown(to_sheet(summary, layout or Layout(), format), trace)
    how = how or latex.Print()
    return latex.to_latex(to_sheet(printed(summary), layout or Layout(), "wide" if how.wide else "column"), trace, how)
