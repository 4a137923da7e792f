"""The table of tasks."""

from __future__ import annotations

import pytest

from pwm_bench import envs
from pwm_bench.baselines.shac.recipes import recipe
from pwm_bench.cli.main import main
from pwm_bench.envs.tasks import load_task


@pytest.mark.parametrize("width", [80, 120])
def test_table_of_tasks(width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert main(["list", "tasks"]) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert max(len(line) for line in lines) <= width
    assert "…" not in text
    cells = [line.split() for line in lines if line.strip()]
    for name in envs.tasks():
        (sizes, *contacts) = [row for row in cells if row[0] == name]
        assert len(contacts) == (name not in ("cartpole", "double_pendulum", "pendulum"))
        assert "".join(load_task(name).source.split()).startswith("".join(sizes[9:]))
    assert ["hopper", "11", "3", "6", "15.8", "1000", "16", "/", "4", "dflex", "(PWM)"] in cells
    assert ["hopper", "20000", "2000", "1000", "0.9"] in cells
    assert ["walker-run", "24", "6", "500", "mt30,", "mt80"] in cells
    assert ["mw-reach", "39", "4", "100", "mt80,", "mw50"] in cells


def test_settings_of_an_algorithm(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["list", "algorithms", "shac"]) == 0
    text = capsys.readouterr().out
    assert max(len(line) for line in text.splitlines()) <= 80
    assert ["gamma", "0.99", "Discount", "factor."] in [line.split() for line in text.splitlines()]
    assert main(["list", "algorithms", "shac", "--task", "cartpole"]) == 0
    text = capsys.readouterr().out
    assert "A run begins with the column of its --preset" in text
    assert max(len(line) for line in text.splitlines()) <= 80
    rows = {line.split()[0]: line.split()[1:3] for line in text.splitlines() if line.split()}
    assert rows["num_envs"] == [str(recipe("cartpole", "warp", preset).num_envs) for preset in ("cpu", "published")]
    assert main(["list", "algorithms", "--task", "cartpole"]) == 2
    assert "--task cartpole: shows settings" in capsys.readouterr().err
    assert main(["list", "tasks", "shac"]) == 2
    assert "only an algorithm has settings" in capsys.readouterr().err
