"""A laid-out table as Markdown and LaTeX."""

from __future__ import annotations

import re

from pwm_bench.records.formats.sheet import Cell, Sheet
from pwm_bench.text import MISSING

__all__ = ["escape_latex", "to_latex", "to_markdown"]


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


_LATEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
          "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", MISSING: "--", "·": r"\textperiodcentered{}",
          "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "×": r"$\times$",
          "±": r"$\pm$", "≥": r"$\geq$", "≤": r"$\leq$", "λ": r"$\lambda$", "γ": r"$\gamma$", "—": "---", "’": "'",
          "µ": r"$\mu$", "°": r"$^\circ$", "\n": " ", "\t": " "}  # fmt: skip


def escape_latex(text: str) -> str:
    """Text that LaTeX prints as it stands. A hyphen before a number becomes a minus sign."""
    escaped = "".join(_LATEX.get(character, character) for character in text)
    escaped = re.sub(r"(?<![\w}-])-(?=\d)", "$-$", escaped)
    # Two of these in a row would be typeset as one quotation mark.
    return escaped.replace("``", "`{}`").replace("''", "'{}'")


_MOST_COLUMNS = 7  # of a table in \small that fits between the margins of LaTeX's own article


def to_latex(sheet: Sheet, trace: bool) -> str:
    """A booktabs table; compiles with the booktabs package alone. Notes and footnotes stand under the rules."""
    columns = len(sheet.headers)
    spec = "".join("l" if align == "left" else "r" for align in sheet.aligns)
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "  \\centering",
        "  \\footnotesize" if columns > _MOST_COLUMNS else "  \\small",
        f"  \\setlength{{\\tabcolsep}}{{{3 if columns > _MOST_COLUMNS else 4}pt}}",
        "  \\setlength{\\belowcaptionskip}{4pt}",  # article has none, and the caption would stand on the rule
        f"  \\caption{{{escape_latex(sheet.title)}}}",
        "  \\makebox[\\linewidth]{%",  # a table wider than the text stands out evenly on both sides
        f"  \\begin{{tabular}}{{{spec}}}",
        "    \\toprule",
        "    " + " & ".join(_latex_header(header, stacked=not sheet.block_header) for header in sheet.headers) + r" \\",
    ]
    for block in sheet.blocks:
        lines.append("    \\midrule")
        if block.title:
            lines.append(f"    \\multicolumn{{{columns}}}{{l}}{{\\textit{{{escape_latex(block.title)}}}}} \\\\")
        lines += ["    " + " & ".join(_latex_cell(cell) for cell in line.cells) + r" \\" for line in block.lines]
    lines += ["    \\bottomrule", "  \\end{tabular}}"]
    notes = [escape_latex(note) for note in (*sheet.notes, *sheet.failures)]
    notes += [f"\\textsuperscript{{{letter}}}\\,{escape_latex(text)}" for letter, text in sheet.footnotes]
    lines += ["", "  \\smallskip", "  \\begin{minipage}{\\linewidth}", "    \\footnotesize"]
    lines += [f"    {note}" for note in notes]
    lines += ["  \\end{minipage}", "\\end{table}"]
    if trace:
        lines += [f"% {line}" for line in sheet.traces]
    return "\n".join(lines) + "\n"


def _latex_header(header: str, *, stacked: bool) -> str:
    """In a grid, what sets an algorithm apart stands under its name: columns are as narrow as their numbers."""
    name, parenthesis, rest = header.partition(" (")
    if not (stacked and parenthesis):
        return _group(escape_latex(header))
    return f"\\shortstack[r]{{{escape_latex(name)}\\\\({escape_latex(rest)}}}"


def _latex_cell(cell: Cell) -> str:
    text = _group(escape_latex(_plain(cell)))
    text = f"\\textbf{{{text}}}" if cell.bold else text
    return f"{text}\\textsuperscript{{{','.join(cell.marks)}}}" if cell.marks else text


def _group(text: str) -> str:
    """A cell must not begin with [ or *, which a preceding line break would take for its argument."""
    return f"{{{text[0]}}}{text[1:]}" if text[:1] in ("[", "*") else text
