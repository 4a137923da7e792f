from __future__ import annotations

import io

from rich.console import Console

from pwm_bench.analysis.formats import Layout, to_rich
from pwm_bench.analysis.tables.scores import summarise
from pwm_bench.store.frames import load_study
from pwm_bench.store.results import Results
from tests.pwm_bench.store.factories import write_run


def test_averages_over_tasks_are_not_in_the_table_of_costs(tmp_path):
    for task in ("hopper", "ant"):
        write_run(tmp_path, task, task=task, curves=[[0.0, 9.0], [0.0, 8.0]], steps=[0, 10], seconds=[0.0, 1.0])
    summary = summarise(load_study(Results(tmp_path), "s"), study="s", normalise="random-expert")
    console = Console(file=io.StringIO(), width=80)
    console.print(to_rich(summary, width=80))
    assert console.file.getvalue().count("2 tasks") == 1  # the name may wrap


def test_chosen_columns_that_are_too_many_come_in_parts(tmp_path):
    """A name is not folded to bits to make room for them, however long the task's name above it."""
    for algorithm in ("shac", "pwm"):
        write_run(tmp_path, algorithm, task="my_lab.task:Push", simulator="my_lab.simulator:Mine", algorithm=algorithm,
                  curves=[[0.0, 9.0], [0.0, 8.0]], steps=[0, 10], seconds=[0.0, 1.0])  # fmt: skip
    summary = summarise(load_study(Results(tmp_path), "s"), study="s", base="pwm")
    layout = Layout(columns=("gradient", "score", "interval", "difference", "scores"))
    for width, tables in ((80, 2), (120, 1)):
        console = Console(file=io.StringIO(), width=width)
        console.print(to_rich(summary, width=width, layout=layout))
        text = console.file.getvalue()
        assert text.count(" algorithm ") == tables
        assert text.count("\n   shac ") == tables
        assert text.count("score of each seed") == text.count("difference to pwm") == 1
