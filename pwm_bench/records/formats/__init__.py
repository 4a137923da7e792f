"""A summary as text and as data: for a terminal, Markdown, LaTeX, CSV, JSON and Parquet."""

from __future__ import annotations

from pwm_bench.records.formats.columns import COLUMNS, Layout
from pwm_bench.records.formats.sheet import to_sheet
from pwm_bench.records.formats.terminal import to_rich
from pwm_bench.records.tables import Summary

__all__ = ["COLUMNS", "FORMATS", "Layout", "render", "to_rich"]

FORMATS = ("rich", "markdown", "latex", "csv", "json", "parquet")


def render(summary: Summary, format: str, *, trace: bool = False, layout: Layout | None = None) -> str | bytes:
    """A summary as Markdown, LaTeX, CSV, JSON (text) or Parquet (bytes).

    Args:
        summary: the table.
        format: one of `FORMATS` but ``"rich"``.
        trace: also name the runs behind each row (CSV, JSON and Parquet always do).
        layout: rows and columns of Markdown and LaTeX; data formats hold everything.
    """
    from pwm_bench.records.formats import data, text

    if format == "parquet":
        return data.to_parquet(summary)
    if format in ("csv", "json"):
        return {"csv": data.to_csv, "json": data.to_json}[format](summary)
    sheet = to_sheet(summary, layout or Layout(), format)
    return {"markdown": text.to_markdown, "latex": text.to_latex}[format](sheet, trace)
