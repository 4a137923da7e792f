"""Hints are commands that do what they say when copied."""

from __future__ import annotations

import io
import shlex
from pathlib import Path

import pytest
import tyro
from rich.console import Console

from pwm_bench.cli.commands.run import Run
from pwm_bench.cli.commands.sweep import Sweep
from pwm_bench.cli.commands.table import Table
from pwm_bench.hints import at, show_hints, typed


@pytest.mark.parametrize(
    ("command", "positional"),
    [
        (Sweep(study="hopper"), ("study",)),
        (
            Sweep(study="a study", scale=0.02, task=("hopper", "ant"), results=Path("my results"), device="cpu",
                  limit=3, retry=True, checkpoint_seconds=5.0, data=Path("d")),
            ("study",),
        ),
        (Table(studies=("a", "b"), normalise="ppo", algorithm=("shac",), with_published=True), ("studies",)),
        (Run(task="hopper", algorithm="shac", env_steps=3e5, set=("a=1", "b=x y")), ()),
    ],
)  # fmt: skip
def test_a_typed_command_parses_to_itself(command, positional):
    words = shlex.split(typed("name", command, positional=positional))
    assert words[:2] == ["pwm-bench", "name"]
    assert tyro.cli(type(command), args=words[2:], config=(tyro.conf.OmitArgPrefixes,)) == command


def test_only_what_was_given_is_repeated():
    assert typed("sweep", Sweep(study="hopper"), positional=("study",)) == "pwm-bench sweep hopper"
    command = Sweep(study="hopper", wait=True, results=Path("/r"))
    again = typed("sweep", command, positional=("study",), without=("wait",))
    assert again == "pwm-bench sweep hopper --results /r"


def test_the_results_folder_is_named_where_it_is_not_the_default(monkeypatch):
    monkeypatch.delenv("PWM_BENCH_RESULTS", raising=False)
    assert at(Path("results")) == ""
    assert at(Path("/other place")) == " --results '/other place'"
    monkeypatch.setenv("PWM_BENCH_RESULTS", "/other place")
    assert at(Path("/other place")) == ""
    assert at(Path("results")) == " --results results"


def test_a_narrow_terminal_cuts_no_command():
    console = Console(width=40, file=io.StringIO(), force_terminal=True)
    command = f"pwm-bench table quickstart --match env_steps --results /{'long/' * 12}"
    show_hints(console, [("compare at equal budgets", command)])
    assert command in console.file.getvalue()
