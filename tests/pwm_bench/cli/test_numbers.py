"""Numbers on the command line that mean nothing: one line that names the option, and nothing is begun."""

from __future__ import annotations

import dataclasses
import json
import types
import typing

import pytest

from pwm_bench.cli import main as module
from pwm_bench.cli.commands.options import parse_budget
from pwm_bench.cli.main import main

RUN = ("run", "--task", "hopper", "--algorithm", "shac")
POSITIONAL = {
    "run": (), "sweep": ("quickstart",), "table": ("s",), "gradients": ("cartpole",), "plot": ("s",),
    "report": ("s",), "results": ("ls",), "evaluate": ("RUN",), "render": ("RUN", "--out", "x.mp4"),
    "parity": ("hopper",), "collect": ("mw-reach",), "import": ("FILE",), "pretrain": ("DATA",),
    "extract": ("MODEL", "DATA"), "clone": ("DATA",), "compare": ("MODEL",), "bench": ("results",),
}  # fmt: skip


def _numbers(hint: object) -> tuple[type, int] | None:
    """The kind of number that an option takes, and how many; None if it takes none."""
    arguments = typing.get_args(hint)
    if hint in (int, float):
        return typing.cast(type, hint), 1
    if typing.get_origin(hint) is tuple:
        return (arguments[0], 2 if arguments[1] is not Ellipsis else 1) if arguments[0] in (int, float) else None
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return next(filter(None, map(_numbers, arguments)), None)
    return None


def _options() -> list[tuple[str, str, type, int]]:
    found = []
    for name, command in module._COMMANDS.items():
        for field in dataclasses.fields(command):
            numbers = _numbers(typing.get_type_hints(command)[field.name])
            if numbers is not None:
                found.append((name, f"--{field.name.replace('_', '-')}", *numbers))
    return found


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PWM_BENCH_RESULTS", raising=False)


def test_no_option_of_any_command_takes_a_number_that_means_nothing(tmp_path, capsys):
    options = _options()
    assert len(options) > 40
    for name, option, kind, count in options:
        signed = option.removeprefix("--").replace("-", "_") in getattr(module._COMMANDS[name], "may_be_negative", ())
        value = "inf" if kind is float and (signed or len(option) % 2) else "-1"
        assert main([name, *POSITIONAL[name], option, *[value] * count]) == 2, (name, option, value)
        said = capsys.readouterr().err
        assert said.startswith(f"error: {option}="), (name, option, said)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [
    (*RUN, "--env-steps", "1.5"), (*RUN, "--env-steps", "0"),
    (*RUN, "--env-steps", "1e308"), (*RUN, "--seeds", "-1"),
    (*RUN, "--seeds", "1e9"), (*RUN, "--evaluations", "2.5"),
    (*RUN, "--budget", "gradient_steps=inf"), (*RUN, "--budget", "env_steps=-1"),
    (*RUN, "--max-seconds", "0"), (*RUN, "--set", "gamma=1e308"),
    (*RUN, "--set", "num_envs=1e308"), ("sweep", "quickstart", "--scale", "0"),
    ("sweep", "quickstart", "--env-steps", "1.5"), ("sweep", "quickstart", "--jobs", "0"),
    ("sweep", "quickstart", "--limit", "1.5"), ("collect", "mw-reach", "--episodes", "0"),
    ("pretrain", "data", "--steps", "1.5"), ("gradients", "cartpole", "--samples", "0"),
])  # fmt: skip
def test_numbers_that_are_none_of_those_that_there_can_be(words, tmp_path, capsys):
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert words[-1].partition("=")[0] in said or words[-2] in said or words[-2].strip("-").replace("-", "_") in said
    assert not list(tmp_path.rglob("run.json"))


def test_iterations_are_whole(tmp_path, capsys):
    """Of clone and, by the same code, of extract."""
    from tests.pwm_bench.world_model.multitask.datasets import REAL_TASKS, write_linear_data

    write_linear_data(tmp_path / "data", episodes=3, tasks=REAL_TASKS)
    assert main(["clone", "data", "--iterations", "1.5"]) == 2
    assert "iterations=1.5: must be a whole number" in capsys.readouterr().err


def test_large_numbers_are_taken_as_people_write_them(tmp_path, capsys):
    for text, number in (
        ("20000", 20_000),
        ("2e4", 20_000),
        ("20k", 20_000),
        ("0.02M", 20_000),
        ("1.5k", 1500),
        ("16.1k", 16_100),
        ("2.01k", 2010),
    ):
        assert main([*RUN, "--env-steps", text, "--write-spec", "spec.json"]) == 0
        assert json.loads((tmp_path / "spec.json").read_text())["env_steps"] == number
        (tmp_path / "spec.json").unlink()
    assert parse_budget("gradient_steps=5k") == ("gradient_steps", 5000.0)
    capsys.readouterr()
    for text in ("20x", "k", "", "20K", "2e1k"):
        assert main([*RUN, "--env-steps", text]) == 2
        said = " ".join(capsys.readouterr().err.replace("│", " ").split())
        assert f"Error parsing --env-steps: '{text}' is not a number such as 300000, 3e5, 300k or 0.3M" in said
        assert "NoneType" not in said
