from __future__ import annotations

import csv
import io
import re

import pytest
from rich.console import Console

from pwm_bench.records.formats import render, to_rich
from pwm_bench.records.frames import load_study
from pwm_bench.records.store import Results
from pwm_bench.records.tables import summarise
from tests.pwm_bench.records.factories import write_run


@pytest.fixture
def summary(tmp_path):
    write_run(tmp_path, "aaa", curves=[[0.0, 1234.0], [0.0, 1236.0]], steps=[0, 300_000], seconds=[0.0, 75.0])
    write_run(
        tmp_path,
        "bbb",
        algorithm="ppo",
        curves=[[0.0, -3.21]],
        steps=[0, 2_500_000],
        seconds=[0.0, 4000.0],
        simulator="mjx",
    )
    write_run(
        tmp_path, "ccc", algorithm="pwm", curves=[[1.0]], steps=[0], seconds=[0.0], status="failed",
        reason="ValueError: 50% of a_b & {c}",
    )  # fmt: skip
    return summarise(load_study(Results(tmp_path), "s"), study="s")


def screen(summary, width, **options) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(to_rich(summary, width=width, **options))
    return console.export_text()


@pytest.mark.parametrize("width", [80, 120, 160])
def test_a_terminal_shows_every_number_whole(summary, width):
    text = screen(summary, width)
    assert max(len(line) for line in text.splitlines()) <= width
    for cell in (
        "1,235",
        "[1,234, 1,236]",
        "300k",
        "-3.21",
        "2.5M",
        "1.2 min",
        "1.1 h",
        "8k",
        "failed",
        "hopper in warp",
    ):
        assert cell in text, cell
    assert "…" not in text
    assert "ValueError: 50% of a_b & {c}" in " ".join(text.split())
    assert text.count("compile") == 1


def test_narrow_terminals_get_two_tables_and_wide_ones_one(summary):
    assert "s: return · cost" in screen(summary, 80)
    assert "cost" not in screen(summary, 160)


def test_trace_names_the_runs(summary):
    assert "runs aaa" not in screen(summary, 120)
    assert "hopper in warp, shac: runs aaa" in screen(summary, 120, trace=True)
    for format in ("markdown", "latex"):
        assert "runs aaa" not in render(summary, format)
        assert "runs aaa" in render(summary, format, trace=True)


def test_markdown_is_a_table(summary):
    lines = [line for line in render(summary, "markdown").splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 3
    assert len({line.count("|") for line in lines}) == 1
    assert "| hopper in mjx | ppo | score | 1 | 2.5M | -3.21 | – |" in render(summary, "markdown")


def test_latex_is_escaped_and_balanced(summary):
    text = render(summary, "latex")
    assert text.count("\\begin{") == text.count("\\end{") == 2
    for rule in ("toprule", "midrule", "bottomrule"):
        assert f"\\{rule}" in text
    assert "50\\% of a\\_b \\& \\{c\\}" in text
    assert "\\textbf{1,235}" in text
    assert "$-$3.21" in text
    body = text[text.index("\\toprule") : text.index("\\bottomrule")]
    counts = {line.count(" & ") for line in body.splitlines() if " & " in line}
    assert counts == {13}
    assert not re.search(r"(?<!\\)[_#]", text.partition("\\begin")[2])
    unescaped = re.sub(r"\\[{}]", "", text)
    assert unescaped.count("{") == unescaped.count("}")


def test_csv_keeps_full_precision_and_the_runs(summary):
    rows = list(csv.DictReader(io.StringIO(render(summary, "csv"))))
    by_name = {row["algorithm"]: row for row in rows}
    assert float(by_name["shac"]["iqm"]) == 1235.0
    assert by_name["shac"]["runs"] == "aaa"
    assert float(by_name["ppo"]["iqm"]) == pytest.approx(-3.21, abs=1e-15)
    assert by_name["ppo"]["low"] == ""
    assert by_name["pwm"]["iqm"] == ""
    assert by_name["pwm"]["status"] == "failed: ValueError: 50% of a_b & {c}"
