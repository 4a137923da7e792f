"""How wide text comes out in print, so that a table can be made to fit before LaTeX sees it.

Widths are those of Computer Modern, which is wider than the fonts of most journals. Source: the metrics of cmr10
(D. E. Knuth, "Computer Modern Typefaces", 1986), in thousandths of 10 pt; smaller sizes scale by their digits' widths.
"""

from __future__ import annotations

__all__ = ["COLUMN", "PAGE", "SIZES", "text_width"]

COLUMN = 220.0
"""Width of a column of the two-column classes in use [pt]; the narrowest is article's on A4, 221 pt."""
PAGE = 450.0
"""Width of both [pt]."""
SIZES = {"small": 0.925, "footnotesize": 0.85, "scriptsize": 0.797}
"""LaTeX's commands for sizes -> width of text against 10 pt."""

_WIDE = {"m": 833, "w": 722, "f": 306, "i": 278, "j": 306, "l": 278, "r": 392, "s": 394, "t": 389, "c": 444, "e": 444,
         "z": 444, "a": 500, "g": 500, "o": 500, "I": 361, "J": 514, "L": 625, "M": 917, "W": 1028, "S": 556, "Z": 611,
         " ": 333, "-": 333, "–": 500, "(": 389, ")": 389, "%": 833, "=": 778, "±": 778, "×": 778, "≥": 778, "≤": 778,
         "_": 600, "<": 778, ">": 778, "+": 778, "−": 778}  # fmt: skip
_NARROW = ".,:;[]'|"
_BOLD = 1.16


def text_width(text: str, *, bold: bool = False) -> float:
    """Width of a line of text at 10 pt [pt]."""
    return sum(map(_character, text)) * (_BOLD if bold else 1.0)


def _character(character: str) -> float:
    if character in _NARROW:
        return 2.78
    usual = 500 if character.isdigit() else 770 if character.isupper() else 556
    return _WIDE.get(character, usual) / 100.0
