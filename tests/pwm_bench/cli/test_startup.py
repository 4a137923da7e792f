"""Commands that people give many times a day import nothing that takes seconds; what is imported is what counts."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from pathlib import Path

import pytest

from pwm_bench import __main__ as program
from pwm_bench.bench.synthetic import make_runs
from pwm_bench.cli import main as cli
from pwm_bench.learning import elementwise
from pwm_bench.learning.choices import ACTIVATIONS
from pwm_bench.runs.garbage import collect_as_usual

ENGINES = {"torch", "jax", "warp", "mujoco", "matplotlib", "gymnasium"}
DATA = {"pandas", "scipy", "numpy", "pydantic", "rich", "typeguard"}


def imported(*commands: tuple[str, ...]) -> list[set[str]]:
    """What each command, in turn in one process, has left imported."""
    script = f"""
import contextlib, io, json, sys
from pwm_bench.cli.main import main
seen = []
for command in {commands!r}:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(list(command)) == 0, command
    assert out.getvalue().strip(), command
    seen.append(sorted({ENGINES | DATA!r} & set(sys.modules)))
print(json.dumps(seen))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [set(names) for names in json.loads(done.stdout)]


def test_commands_of_every_day_import_no_engine(tmp_path: Path) -> None:
    make_runs(tmp_path, 6, episodes=2, evaluations=3)
    results = ("--results", str(tmp_path))
    helped, ls, *others = imported(
        ("--help",),
        ("results", "ls", *results),
        *(("list", kind) for kind in ("studies", "algorithms", "simulators", "estimators", "executors", "reporters")),
        ("sweep", "quickstart", "--dry-run", "--results", str(tmp_path / "none")),
        ("table", "many", *results),
    )
    assert not helped
    assert not ls - {"typeguard"}
    assert not any(seen & ENGINES for seen in others), others
    assert not others[-2] & {"pandas", "scipy"}  # all but the table
    assert "pandas" in others[-1]


def test_configs_know_the_activations_that_there_are() -> None:
    assert tuple(elementwise._ACTIVATIONS) == ACTIVATIONS


@pytest.mark.usefixtures("toys")
def test_garbage_is_collected_seldom_until_a_run_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    usual = gc.get_threshold()
    request.addfinalizer(collect_as_usual)
    run = ("run", "--task", "point_mass", "--simulator", "toy", "--algorithm", "fake", "--env-steps", "200")
    assert cli.main([*run, "--results", str(tmp_path / "a")]) == 0
    assert gc.get_threshold() == usual  # within somebody's process it stays as it is
    monkeypatch.setattr(sys, "argv", ["pwm-bench", "--version"])
    assert program.main() == 0
    assert gc.get_threshold()[0] > 10 * usual[0]
    monkeypatch.setattr(sys, "argv", ["pwm-bench", *run, "--results", str(tmp_path / "b")])
    assert program.main() == 0
    assert gc.get_threshold() == usual
