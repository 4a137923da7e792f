"""A laid-out table as Markdown."""

from __future__ import annotations

import re

from pwm_bench.analysis.formats.sheet import Cell, Sheet

__all__ = ["escape_markdown", "to_markdown"]


def to_markdown(sheet: Sheet, trace: bool) -> str:
    """GitHub's dialect; footnote letters are raised, notes stand below."""
    blocks = bool(sheet.block_header)
    headers = ((sheet.block_header, *sheet.headers)) if blocks else sheet.headers
    aligns = ("left", *sheet.aligns) if blocks else sheet.aligns
    lines = [
        f"**{escape_markdown(sheet.title)}**",
        "",
        "| " + " | ".join(map(escape_markdown, headers)) + " |",
        "|" + "|".join(" --- " if align == "left" else " ---: " for align in aligns) + "|",
    ]
    for block in sheet.blocks:
        for line in block.lines:
            cells = [_markdown_cell(cell) for cell in line.cells]
            lines.append("| " + " | ".join([escape_markdown(block.title), *cells] if blocks else cells) + " |")
    lines += ["", escape_markdown(" ".join(sheet.notes))]
    lines += [f"\n<sup>{letter}</sup> {escape_markdown(text)}" for letter, text in sheet.footnotes]
    lines += [f"\n{escape_markdown(line)}" for line in sheet.failures]
    if trace:
        lines += ["", *(f"- {escape_markdown(line)}" for line in sheet.traces)]
    return "\n".join(lines) + "\n"


_SPECIAL = re.compile(
    r"[|*`$]|[<&](?=[\w/!?#])|\](?=[(\[:])"  # columns, emphasis, code, mathematics, HTML, links
    r"|\\(?=[!-/:-@\[-`{-~])|(?<!\w)_|_(?!\w)"  # what escapes, and emphasis around a word
)


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it stands, and that can still be read without being set."""
    return _SPECIAL.sub(r"\\\g<0>", text)


def _plain(cell: Cell) -> str:
    text = f"{cell.text} {cell.interval}" if cell.interval else cell.text
    return f"{text} ({', '.join(cell.details)})" if cell.details else text


def _markdown_cell(cell: Cell) -> str:
    text = escape_markdown(_plain(cell))
    text = f"**{text}**" if cell.bold else text
    return f"{text} <sup>{','.join(cell.marks)}</sup>" if cell.marks else text
