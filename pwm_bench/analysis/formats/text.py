"""A laid-out table as Markdown."""

from __future__ import annotations

from pwm_bench.analysis.formats.sheet import Cell, Sheet

__all__ = ["to_markdown"]


def to_markdown(sheet: Sheet, trace: bool) -> str:
    """GitHub's dialect; footnote letters are raised, notes stand below."""
    blocks = bool(sheet.block_header)
    headers = ((sheet.block_header, *sheet.headers)) if blocks else sheet.headers
    aligns = ("left", *sheet.aligns) if blocks else sheet.aligns
    lines = [
        f"**{sheet.title}**",
        "",
        "| " + " | ".join(headers) + " |",
        "|" + "|".join(" --- " if align == "left" else " ---: " for align in aligns) + "|",
    ]
    for block in sheet.blocks:
        for line in block.lines:
            cells = [_markdown_cell(cell) for cell in line.cells]
            lines.append("| " + " | ".join([block.title.replace("|", "\\|"), *cells] if blocks else cells) + " |")
    lines += ["", " ".join(sheet.notes)]
    lines += [f"\n<sup>{letter}</sup> {text}" for letter, text in sheet.footnotes]
    lines += [f"\n{line}" for line in sheet.failures]
    if trace:
        lines += ["", *(f"- {line}" for line in sheet.traces)]
    return "\n".join(lines) + "\n"


def _plain(cell: Cell) -> str:
    text = f"{cell.text} {cell.interval}" if cell.interval else cell.text
    return f"{text} ({', '.join(cell.details)})" if cell.details else text


def _markdown_cell(cell: Cell) -> str:
    text = _plain(cell).replace("|", "\\|")
    text = f"**{text}**" if cell.bold else text
    return f"{text} <sup>{','.join(cell.marks)}</sup>" if cell.marks else text
