"""What has nothing to do with a run does not end it: real processes in odd surroundings, each of which ends ok."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pwm_bench.store.results import Results
from tests.pwm_bench.cli.toy_cli import shared_study
from tests.pwm_bench.conftest import ROOT
from tests.pwm_bench.runs.faults import slow_toy
from tests.pwm_bench.sweeps.test_many_sweeps import wait_for

pytestmark = pytest.mark.usefixtures("toys")


def words(command: str, folder: Path) -> tuple[list[str], list]:
    """The words of a command, and the run directories that it works on."""
    root = folder / "results"
    if command == "sweep":
        runs = [Results(root).run("shared", shared_study().specs[0].id)]
        return ["sweep", "shared", "--limit", "1", "--results", str(root)], runs
    spec = slow_toy()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spec.json").write_text(spec.to_json())
    return ["run", str(folder / "spec.json"), "--results", str(root)], [Results(root).run(spec.study, spec.id)]


def finished(runs) -> bool:
    return [run.status() for run in runs] == ["ok"] * len(runs)


@pytest.mark.parametrize(
    ("command", "shell"),
    [("run", "exec > /dev/full"), ("sweep", "exec > /dev/full"), ("run", "exec >&-"), ("run", "exec >&- 2>&-")],
    ids=["full", "full, sweep", "closed", "both closed"],
)
def test_output_that_cannot_be_written(start, tmp_path, command, shell):
    arguments, runs = words(command, tmp_path)
    process = start(*arguments, shell=shell)
    _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    assert finished(runs)
    for file in (file for run in runs for file in run.path.rglob("*") if file.is_file()):
        assert b"begins" not in file.read_bytes()  # a descriptor that was closed is the next file's otherwise


@pytest.mark.parametrize("command", ["run", "sweep"])
def test_a_reader_that_leaves(start, tmp_path, command):
    """As ``| head -1`` does."""
    arguments, runs = words(command, tmp_path)
    process = start(*arguments)
    assert process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=120) == 0
    assert process.stderr.read() == ""
    assert finished(runs)


@pytest.mark.parametrize("command", ["run", "sweep"])
def test_a_terminal_that_closes_under_nohup(start, tmp_path, command):
    arguments, runs = words(command, tmp_path)
    process = start(*arguments, shell="trap '' HUP")
    wait_for(lambda: runs[0].status() == "running")
    for pid in {process.pid, int((runs[0].path / "lock").read_text().split()[0])}:
        os.kill(pid, signal.SIGHUP)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert finished(runs)


@pytest.mark.parametrize("command", ["run", "sweep"])
def test_an_ascii_locale_and_markup_in_a_path(start, tmp_path, command):
    arguments, runs = words(command, tmp_path / "é" / "[x]" / "[" / "red]")
    process = start(*arguments, environment={"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "point_mass ? toy ? fake" in output
    assert f"{os.sep}[x]{os.sep}[{os.sep}red]{os.sep}results{os.sep}runs" in output
    assert finished(runs)


def test_an_editors_lock_in_the_checkout(tmp_path):
    """A link to nowhere that ends in ``.py``, beside every module that is looked at as a file."""
    code = tmp_path / "code"
    for package in ("pwm_bench", "envs", "baselines", "tests"):
        shutil.copytree(ROOT / package, code / package, ignore=shutil.ignore_patterns("__pycache__"))
    git = ["git", "-C", str(code), "-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run([*git, *arguments], check=True)
    for package in ("pwm_bench", "envs/mjx"):
        (code / package / ".#spec.py").symlink_to("someone@somewhere.1234:1")
    arguments, (run,) = words("run", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "tests.pwm_bench.cli.toy_cli", *arguments], cwd=code, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(code)}, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = run.read()
    assert record.status == "ok"
    assert record.provenance.git_commit
    assert record.provenance.git_dirty is None


@pytest.mark.parametrize("shell", ["exec > /dev/full", ""], ids=["full", "head"])
def test_a_command_whose_output_is_its_result_says_that_it_is_lost(start, tmp_path, shell):
    process = start("list", toys=False, shell=shell)
    if shell:
        assert process.wait(timeout=60) == 1
        assert "standard output can't be written" in process.stderr.read()
    else:
        process.stdout.close()
        assert process.wait(timeout=60) == 141
        assert process.stderr.read() == ""


def test_a_working_folder_with_packages_of_the_same_names(tmp_path):
    """Neither the command nor the processes that it starts take them for ours."""
    for name in ("envs", "baselines"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('this is not the one')\n")
    command = [sys.executable, "-m", "pwm_bench", "sweep", "survival", "--limit", "1", "--simulator", "mujoco_c"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=300
    )
    assert done.returncode == 0, done.stderr
    statuses = [run.status() for run in Results(tmp_path / "results").runs("survival")]
    assert statuses == ["ok"]
