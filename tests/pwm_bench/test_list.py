"""The table of tasks."""

from __future__ import annotations

import pytest

import envs
from pwm_bench.cli import main


def test_table_of_tasks(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["list", "tasks"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines) <= 120
    cells = {line.split()[0]: line.split() for line in lines if line.strip()}
    assert set(envs.tasks()) <= set(cells)
    hopper = "hopper 11 3 6 15.8 1000 16 / 4 20000 2000 1000 0.9 dflex (PWM)"
    assert cells["hopper"] == hopper.split()
    assert cells["cartpole"][-6:] == ["–", "–", "–", "–", "dflex", "(PWM)"]
