"""Help, and what is suggested instead of what was misspelt."""

from __future__ import annotations

import pytest

import pwm_bench
from pwm_bench.cli import main as cli
from pwm_bench.cli.main import main

pytestmark = pytest.mark.usefixtures("toys")


def test_help_names_every_command(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for command in cli._COMMANDS:
        assert f"• {command}" in shown


def test_help_of_a_command_does_not_depend_on_what_is_given_already(capsys):
    assert main(["results", "--help"]) == 0
    whole = capsys.readouterr().out
    assert main(["results", "merge", "folder", "--help"]) == 0
    assert capsys.readouterr().out == whole
    assert "copy runs of other results folders into this one" in whole


def test_what_is_like_a_misspelt_option_comes_from_the_command_itself(capsys):
    assert main(["run", "--task", "hopper", "--algo", "shac"]) == 2
    shown = capsys.readouterr().err
    assert "--algorithm NAME" in shown
    assert "pwm-bench run --help" in shown
    assert "sweep" not in shown


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"pwm-bench {pwm_bench.__version__}\n"
