"""How probable an improvement is, for each pair of a table's algorithms."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from pwm_bench.analysis.formats import Print, pair_sheets, render, to_rich
from pwm_bench.analysis.study_table import StudyTable
from pwm_bench.analysis.tables.scores import summarise
from pwm_bench.statistics.improvement import probability_of_improvement
from pwm_bench.store.results import Results
from pwm_bench.store.selection import Selection
from tests.pwm_bench.store.factories import write_run


def write(root, algorithm, ends, *, task="hopper", simulator="warp"):
    curves = [[0.0, end] for end in ends]
    name = f"{algorithm}{task}{simulator}"
    write_run(root, name, task=task, simulator=simulator, algorithm=algorithm, curves=curves, steps=[0, 10],
              seconds=[0.0, 1.0])  # fmt: skip


def summary_of(root, **options):
    selection = Selection(studies=("s",))
    return summarise(selection.load(Results(root)), study="s", pairs=True, **options)


@pytest.fixture
def root(tmp_path):
    """On hopper, SHAC is above both others and PPO above SAC in eight pairs of nine."""
    for algorithm, ends in (("sac", [1.0, 2.0, 5.0]), ("ppo", [4.0, 6.0, 7.0]), ("shac", [9.0, 10.0, 11.0])):
        write(tmp_path, algorithm, ends)
    return tmp_path


def cells(sheet):
    return {line.cells[0].text: [cell.text for cell in line.cells[1:]] for line in sheet.blocks[0].lines}


def test_each_row_is_compared_with_each_column_the_best_first(root):
    (sheet,) = pair_sheets(summary_of(root))
    assert sheet.title == "s: probability of improvement in warp"
    assert sheet.headers == ("row above column", "shac", "ppo", "sac")
    assert cells(sheet) == {"shac": ["", "1.00", "1.00"], "ppo": ["0.00", "", "0.89"], "sac": ["0.00", "0.11", ""]}
    p = probability_of_improvement([[9.0, 10.0, 11.0]], [[4.0, 6.0, 7.0]])
    better = sheet.blocks[0].lines[0].cells[2]
    assert better.interval == f"[{p.low:.2f}, {p.high:.2f}]"
    assert better.bold == (p.low > 0.5)
    assert not sheet.blocks[0].lines[1].cells[1].bold  # surely below is no improvement
    assert "not corrected for their number" in sheet.notes[0]


def test_only_tasks_that_both_have_count(root):
    write(root, "sac", [3.0, 3.0, 3.0], task="ant")
    write(root, "ppo", [2.0, 2.0, 2.0], task="ant")
    (sheet,) = pair_sheets(summary_of(root))
    assert cells(sheet)["ppo"][1:] == ["0.44", ""]  # over SAC, the mean of 8/9 and 0
    assert sheet.blocks[0].lines[0].cells[2].marks == ("a",)
    assert sheet.footnotes == (("a", "Over 1 of 2 tasks."),)
    assert sheet.notes[1] == "Over the tasks that both have, at most 2."


def test_simulators_have_tables_of_their_own_and_strangers_none(tmp_path):
    write(tmp_path, "sac", [1.0, 2.0])
    write(tmp_path, "ppo", [1.0, 2.0], simulator="mjx")
    write(tmp_path, "shac", [1.0, 2.0], simulator="mjx")
    assert [sheet.title for sheet in pair_sheets(summary_of(tmp_path))] == ["s: probability of improvement in mjx"]
    write(tmp_path, "ppo", [1.0, 2.0], task="ant")
    assert len(pair_sheets(summary_of(tmp_path))) == 1  # in Warp they have no task in common


def test_every_format_has_them_below_the_table_if_asked_for(root):
    summary = summary_of(root)
    console = Console(file=io.StringIO(), width=80)
    console.print(to_rich(summary, width=80))
    latex = str(render(summary, "latex", how=Print(label="tab:s")))
    html = StudyTable(title="s", scores=summary).to_html()
    for text in (console.file.getvalue(), str(render(summary, "markdown")), latex, html):
        assert "robability of improvement in" in text
        assert text.index("mean over seeds") < text.index("robability of improvement in")
    assert "PPO" in latex.partition("improvement in Warp")[2]
    assert latex.count("\\label{tab:s}") == latex.count("\\label{tab:s-pairs}") == 1
    assert json.loads(str(render(summary, "json")))["pairs"][0] == {
        "simulator": "warp", "above": "shac", "below": "ppo", "tasks": 1, "probability": 1.0,
        "low": pytest.approx(0.37, abs=0.1), "high": 1.0,
    }  # fmt: skip
    plain = summarise(Selection(studies=("s",)).load(Results(root)), study="s")
    assert "improvement" not in str(render(plain, "markdown"))
    assert json.loads(str(render(plain, "json")))["pairs"] == []


def test_several_simulators_have_labels_of_their_own(root):
    for algorithm in ("sac", "ppo"):
        write(root, algorithm, [1.0, 2.0], simulator="mjx")
    latex = str(render(summary_of(root), "latex", how=Print(label="tab:s")))
    assert latex.count("\\label{tab:s-pairs}") == latex.count("\\label{tab:s-pairs-2}") == 1
