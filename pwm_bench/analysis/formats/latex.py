"""A laid-out table as LaTeX that fits a column of a two-column class, or with ``wide`` the page.

The widths are estimated (`measure`): the largest of three sizes is taken in which the table fits. A grid that does not
fit has its intervals under the numbers, then as ± where they are symmetric; what is still too wide comes in parts, and
what is too high for a page in several tables.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pwm_bench.analysis.formats.cells import Block, Cell, Line, Sheet, split_variant
from pwm_bench.analysis.formats.measure import COLUMN, PAGE, SIZES, text_width
from pwm_bench.text import MISSING

__all__ = ["Print", "escape_latex", "to_latex"]

_GAP = 3.0  # \tabcolsep [pt]; a gap is two of them
_LINES = 47  # of a table that stays below the height of a page
_HEAD = 4  # lines that a caption or gap, the head and the rules take
_NOTE = 0.85  # height of a line of the notes against one of the table
_MARK = 7.2  # width of a raised letter of a footnote and its comma, at 10 pt [pt]
_HEADING = 70.0  # width of the lines under a name at the head of a column [pt]
_DETAIL = COLUMN - 20.0  # width of what sets a row apart, in lines of their own [pt]


@dataclass(frozen=True, slots=True)
class Print:
    """How a table is set.

    Attributes:
        wide: over both columns of a page.
        label: for references; none if empty.
        caption: LaTeX, taken as it is; the table's title if empty.
    """

    wide: bool = False
    label: str = ""
    caption: str = ""


@dataclass(frozen=True, slots=True)
class _Setting:
    """A way to set the table.

    Attributes:
        size: of `SIZES`.
        intervals: of a grid's cells: ``beside`` the number, ``below`` it, or ``half`` their width below it.
        parts: columns of each tabular; the first is in all of them.
    """

    size: str
    intervals: str
    parts: tuple[tuple[int, ...], ...]


def to_latex(sheet: Sheet, trace: bool, how: Print | None = None) -> str:
    """A booktabs table; compiles with the booktabs package alone. Notes and footnotes stand under the rules."""
    how = how or Print()
    setting = _fitting(sheet, PAGE if how.wide else COLUMN)
    notes = list(_notes(sheet))
    height = _note_lines(notes, how)
    apart = height > 0.6 * _LINES  # so many that they stand in the text, where they may go over a page
    tables = _tables(sheet.blocks, 0.0 if apart else height, setting)
    name = "table*" if how.wide else "table"
    lines = ["% needs \\usepackage{booktabs}"]
    for index, (parts, blocks) in enumerate(tables):
        lines += [f"\\begin{{{name}}}[tbp]", "  \\centering", *_caption(sheet, how, continued=index > 0)]
        lines += [f"  \\{setting.size}", f"  \\setlength{{\\tabcolsep}}{{{_GAP:g}pt}}"]
        for number, columns in enumerate(parts):
            lines += ["", "  \\medskip"] if number else []
            lines += _tabular(sheet, blocks, columns, setting)
        if index == len(tables) - 1 and not apart:
            lines += ["", "  \\smallskip", "  \\begin{minipage}{\\linewidth}", "    \\scriptsize\\raggedright"]
            lines += [f"    {note}\\par" for note in notes]
            lines += ["  \\end{minipage}"]
        lines += [f"\\end{{{name}}}"]
    if apart:
        lines += ["{\\scriptsize\\raggedright\\noindent", *(f"  {note}\\par" for note in notes), "}"]
    if trace:
        lines += [f"% {line}" for line in sheet.traces]
    return "\n".join(lines) + "\n"


def _caption(sheet: Sheet, how: Print, *, continued: bool) -> list[str]:
    """The caption above the table, where booktabs wants it; article leaves no room below a caption."""
    text = how.caption or _breakable(escape_latex(sheet.title))
    label = f"\\label{{{how.label}}}" if how.label and not continued else ""
    return [
        "  \\setlength{\\belowcaptionskip}{4pt}",
        f"  \\caption{{{text}{' (continued)' if continued else ''}}}{label}",
    ]


def _tabular(sheet: Sheet, blocks: Sequence[Block], columns: Sequence[int], setting: _Setting) -> Iterator[str]:
    spec = "".join("l" if sheet.aligns[i] == "left" else "r" for i in columns)
    yield f"  \\begin{{tabular}}{{@{{}}{spec}@{{}}}}"
    yield "    \\toprule"
    stacked = not sheet.block_header
    yield "    " + " & ".join(_header(sheet.headers[i], stacked=stacked) for i in columns) + r" \\"
    for block in blocks:
        yield "    \\midrule"
        if block.title:
            title, details = split_variant(block.title)
            yield f"    \\multicolumn{{{len(columns)}}}{{@{{}}l@{{}}}}{{\\textit{{{escape_latex(title)}}}}} \\\\"
            yield from _details(details, len(columns))
        for line in block.lines:
            yield from _line(line, columns, setting)
    yield "    \\bottomrule"
    yield "  \\end{tabular}"


def _line(line: Line, columns: Sequence[int], setting: _Setting) -> Iterator[str]:
    cells = [line.cells[i] for i in columns]
    below = setting.intervals != "beside" and any(cell.interval for cell in cells)
    end = r" \\[-0.4ex]" if below else r" \\"
    yield "    " + " & ".join(_cell(cell, beside=not below) for cell in cells) + end
    if below:
        small = [_spread(cell, setting.intervals) for cell in cells]
        yield "    " + " & ".join(f"{{\\scriptsize {escape_latex(text)}}}" if text else "" for text in small) + r" \\"
    yield from _details(cells[0].details, len(columns))


def _spread(cell: Cell, intervals: str) -> str:
    return cell.half if intervals == "half" and cell.half else cell.interval


def _fitting(sheet: Sheet, width: float) -> _Setting:
    """The largest size in which it fits; in parts where it fits in none."""
    everything = tuple(range(len(sheet.headers)))
    grid = any(cell.interval for block in sheet.blocks for line in block.lines for cell in line.cells)
    for intervals in ("beside", "below", "half") if grid else ("beside",):
        for size in SIZES:
            widths = _widths(sheet, size, intervals)
            if _total(widths) <= width:
                return _Setting(size, intervals, (everything,))
    intervals = "half" if grid else "beside"
    widths = _widths(sheet, "scriptsize", intervals)
    parts: list[tuple[int, ...]] = []
    held: tuple[int, ...] = (0,)
    for column in everything[1:]:
        if len(held) > 1 and _total([widths[i] for i in (*held, column)]) > width:
            parts.append(held)
            held = (0,)
        held = (*held, column)
    return _Setting("scriptsize", intervals, (*parts, held))


def _widths(sheet: Sheet, size: str, intervals: str) -> list[float]:
    """Width of each column [pt]."""
    scale, small = SIZES[size], SIZES["scriptsize"]
    found = []
    for index, header in enumerate(sheet.headers):
        name, *rest = _heading(header, stacked=not sheet.block_header)
        widest = max([scale * text_width(name), *(small * text_width(text) for text in rest)])
        for block in sheet.blocks:
            for line in block.lines:
                cell = line.cells[index]
                text = f"{cell.text} {cell.interval}" if cell.interval and intervals == "beside" else cell.text
                marks = scale * _MARK * len(cell.marks)
                below = small * text_width(_spread(cell, intervals)) if intervals != "beside" else 0.0
                widest = max(widest, scale * text_width(text, bold=cell.bold) + marks, below)
        found.append(widest)
    return found


def _total(widths: Sequence[float]) -> float:
    return sum(widths) + 2.0 * _GAP * (len(widths) - 1)


_Lines = list[tuple[Block, Line]]
_Tabulars = tuple[tuple[tuple[int, ...], ...], tuple[Block, ...]]
"""Columns of each tabular in a table, and the blocks in all of them."""


def _tables(blocks: Sequence[Block], notes: float, setting: _Setting) -> list[_Tabulars]:
    """What stands in each table, so that none is higher than a page: all parts of one where they fit together, else
    each part in tables of its own, about equally high, the notes being under the last."""
    lines = [(block, line) for block in blocks for line in block.lines]
    height = float(sum(_height(*line, setting) for line in lines))
    parts = len(setting.parts)
    if parts * (height + _HEAD) + notes <= _LINES:
        return [(setting.parts, tuple(blocks))]
    tables: list[_Tabulars] = []
    for index, columns in enumerate(setting.parts):
        below = notes if index == parts - 1 else 0.0
        number = math.ceil((height + below) / (_LINES - _HEAD))
        pieces = list(_pieces(lines, max((height + below) / number, _LINES / 3), number, setting))
        while len(pieces[-1]) > 1 and sum(_height(*line, setting) for line in pieces[-1]) + below > _LINES - _HEAD:
            half = (len(pieces[-1]) + 1) // 2
            pieces[-1:] = [pieces[-1][:half], pieces[-1][half:]]
        tables += [((columns,), _together(piece)) for piece in pieces]
    return tables


def _pieces(lines: _Lines, goal: float, number: int, setting: _Setting) -> Iterator[_Lines]:
    """Lines cut into a number of pieces of a height, between blocks where there is an end of one nearby; into more
    where a page is too low for that."""
    held: _Lines = []
    used, cuts = 0.0, 0
    for block, line in lines:
        height = _height(block, line, setting)
        ends = bool(held) and held[-1][0] is not block
        enough = cuts < number - 1 and (used >= goal or (ends and used > 0.85 * goal))
        if held and (used + height > _LINES - _HEAD or enough):
            yield held
            held, used, cuts = [], 0.0, cuts + 1
        held.append((block, line))
        used += height
    yield held


def _height(block: Block, line: Line, setting: _Setting) -> int:
    """Lines that a line takes; the first of a block has the title and the rule above it."""
    below = setting.intervals != "beside" and any(cell.interval for cell in line.cells)
    return 1 + len(line.cells[0].details) + below + 2 * (line is block.lines[0])


def _together(lines: Sequence[tuple[Block, Line]]) -> tuple[Block, ...]:
    blocks: list[Block] = []
    last: Block | None = None
    for block, line in lines:
        if block is last:
            blocks[-1] = replace(blocks[-1], lines=(*blocks[-1].lines, line))
        else:
            blocks.append(replace(block, lines=(line,)))
            last = block
    return tuple(blocks)


_QUOTED = re.compile(r"(?<![\w'])'(?=\w[^']*')")


def _notes(sheet: Sheet) -> Iterator[str]:
    for note in (*sheet.notes, *sheet.failures):
        yield _breakable(escape_latex(_QUOTED.sub("‘", note)))
    for letter, text in sheet.footnotes:
        yield f"\\textsuperscript{{{letter}}}\\,{_breakable(escape_latex(text))}"


def _note_lines(notes: Sequence[str], how: Print) -> float:
    """Height of the notes in lines of the table."""
    width = (PAGE if how.wide else COLUMN) * 0.93
    plain = (re.sub(r"\\[a-z]+(\{[a-z]*\})?", "", note) for note in notes)
    return _NOTE * sum(int(SIZES["scriptsize"] * text_width(note) / width) + 1 for note in plain)


_LATEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
          "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", MISSING: "--", "·": r"\textperiodcentered{}",
          "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "×": r"$\times$",
          "±": r"$\pm$", "≥": r"$\geq$", "≤": r"$\leq$", "λ": r"$\lambda$", "γ": r"$\gamma$", "—": "---", "’": "'",
          "µ": r"$\mu$", "°": r"$^\circ$", "\n": " ", "\t": " ", "ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}",
          "œ": r"\oe{}", "Œ": r"\OE{}", "ø": r"\o{}", "Ø": r"\O{}", "ł": r"\l{}", "Ł": r"\L{}", "“": "``",
          "”": "''", "‘": "`", "…": r"\dots{}", "→": r"$\to$"}  # fmt: skip
_ACCENTS = dict(zip("\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0327",
                    "`'^~=u.\"rHvc", strict=True))  # fmt: skip
"""Combining marks, and the commands that set them above or below a letter."""


def escape_latex(text: str) -> str:
    """Text that LaTeX prints as it stands, whatever is in it: ASCII, and no command that the text brings along.

    A hyphen before a number becomes a minus sign. A character that no font of pdfLaTeX's has is named, ``[U+65E5]``.
    """
    escaped = "".join(map(_letter, text))
    escaped = re.sub(r"(?<![\w}-])-(?=\d)", "$-$", escaped)
    # Two of these in a row would be typeset as one quotation mark.
    return escaped.replace("``", "`{}`").replace("''", "'{}'")


def _letter(character: str) -> str:
    if character in _LATEX or (character.isascii() and character.isprintable()):
        return _LATEX.get(character, character)
    parts = unicodedata.normalize("NFD", character)
    base, mark = parts[0], parts[1:]
    if mark in _ACCENTS and base.isascii():
        return f"\\{_ACCENTS[mark]}{{{chr(92) + base + '{}' if base in 'ij' else base}}}"
    greek = re.fullmatch(r"GREEK SMALL LETTER (\w+)", unicodedata.name(character, ""))
    if greek and greek[1] not in ("OMICRON", "FINAL SIGMA"):
        return f"$\\{greek[1].lower().replace('lamda', 'lambda')}$"
    return f"[U+{ord(character):04X}]"


def _breakable(escaped: str) -> str:
    """Lets lines break within paths, names and settings, which have no spaces."""
    return re.sub(r"(\\_|/|=)(?=\S)", r"\1\\allowbreak{}", escaped)


def _header(header: str, *, stacked: bool) -> str:
    """What sets an algorithm apart stands under its name: columns are as narrow as their numbers."""
    name, *rest = _heading(header, stacked=stacked)
    if not rest:
        return _group(escape_latex(header))
    below = "".join(f"\\\\\\scriptsize {escape_latex(text)}" for text in rest)
    return f"\\shortstack[r]{{{escape_latex(name)}{below}}}"


def _heading(header: str, *, stacked: bool) -> list[str]:
    """The lines of a heading."""
    name, parenthesis, rest = header.partition(" (")
    if not (stacked and parenthesis):
        return [header]
    return [name, *(line for part in f"({rest}".split(", ") for line in _broken(part, _HEADING))]


def _broken(text: str, width: float) -> list[str]:
    """A name or setting in small letters, in lines that are no wider [pt]."""
    lines, line = [], ""
    for piece in re.findall(r"[^=._/ ]*[=._/ ]*", text):  # such as "world_", "model.", "width=", "9"
        if line and SIZES["scriptsize"] * text_width(line + piece) > width:
            lines.append(line)
            line = ""
        line += piece
    return [*lines, line]


def _details(details: Sequence[str], columns: int) -> Iterator[str]:
    """Lines of their own across a table."""
    for detail in details:
        for text in _broken(detail, _DETAIL):
            yield f"    \\multicolumn{{{columns}}}{{@{{}}l@{{}}}}{{\\quad\\scriptsize {escape_latex(text)}}} \\\\"


def _cell(cell: Cell, *, beside: bool) -> str:
    text = _group(escape_latex(f"{cell.text} {cell.interval}" if cell.interval and beside else cell.text))
    text = f"\\textbf{{{text}}}" if cell.bold else text
    text = f"\\textit{{{text}}}" if cell.published else text
    return f"{text}\\textsuperscript{{{','.join(cell.marks)}}}" if cell.marks else text


def _group(text: str) -> str:
    """A cell must not begin with [ or *, which a preceding line break would take for its argument."""
    return f"{{{text[0]}}}{text[1:]}" if text[:1] in ("[", "*") else text
