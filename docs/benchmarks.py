"""Writes the tables of `benchmarks.md` from the rows that ``pwm-bench bench ... --output`` kept: no figure is typed.

A table stands between two marks, the first of which names the file in results/reference/bench and the table in it, and
perhaps columns: ``<!-- rows: learners.jsonl limits -->`` and ``<!-- end -->``; ``<!-- machine: learners.jsonl -->``
stands before what the rows were made on. Run it from anywhere: ``python docs/benchmarks.py`` writes the page; with
``--check`` it says whether the page is as the rows are, and ends with 1 if it is not.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from pwm_bench.bench.ledger import as_markdown, read

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
ROWS = ROOT / "results" / "reference" / "bench"

_MARK = re.compile(r"<!-- (rows|machine): (\S+)( [^>]*?)? -->\n.*?<!-- end -->", re.DOTALL)


def written(text: str) -> str:
    """The page with every table as its rows are."""
    return _MARK.sub(_part, text)


def _part(mark: re.Match[str]) -> str:
    kind, file, table = mark[1], mark[2], (mark[3] or "").strip()
    tables = read(ROWS / file)
    if kind == "machine":
        (row,) = tables["machine"]
        content = f"{row['machine']}; commit {str(row['commit'])[:7]}; load {row['load']}."
    else:
        content = as_markdown(tables[table])
    head = mark[0].split("\n", 1)[0]
    return f"{head}\n{content}\n<!-- end -->"


def main(arguments: Sequence[str]) -> int:
    """Writes the page, or checks it."""
    before = PAGE.read_text(encoding="utf-8")
    after = written(before)
    if "--check" in arguments:
        if after != before:
            print(f"{PAGE}: its tables are not as the rows in {ROWS}; run python docs/benchmarks.py")
        return int(after != before)
    PAGE.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
