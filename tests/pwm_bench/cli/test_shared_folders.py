"""Folders that several people write, disks that are full, and signals to all processes of a job at once."""

from __future__ import annotations

import math
import os
import resource
import signal
import stat
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from pwm_bench.cli.main import main
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.runs.curves import CurveWriter
from pwm_bench.store.results import Results
from pwm_bench.store.schema import Counts
from tests.pwm_bench.cli.toy_cli import toy_spec
from tests.pwm_bench.jobs.kills import stopped
from tests.pwm_bench.runs.test_interruption import children
from tests.pwm_bench.sweeps.test_many_sweeps import wait_for
from tests.pwm_bench.world_model.multitask.datasets import write_linear_data

pytestmark = pytest.mark.usefixtures("toys")


@contextmanager
def umask(value: int):
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def no_room():
    """No file may grow: every write fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def finished(tmp_path):
    """Two finished runs in a results folder."""
    root = tmp_path / "results"
    for rate in (0.02, 0.03):
        assert carry_out(toy_spec(study="s", overrides={"learning_rate": rate}), Results(root)).exit_code == 0
    return root


def test_what_is_written_can_be_changed_by_the_group_where_the_umask_says_so(tmp_path, monkeypatch):
    """All that runs, tables, figures, pages, exports and merges leave, of another's private files too."""
    root, theirs = tmp_path / "results", tmp_path / "theirs"
    root.mkdir()
    root.chmod(0o2775)  # what is made in it belongs to the group
    with umask(0o077):
        carry_out(toy_spec(study="s", seeds=(5,)), Results(theirs))
    with umask(0o002):
        carry_out(toy_spec(study="s"), Results(root))
        stopped(toy_spec(study="t", env_steps=2000), root, monkeypatch, pieces=3)
        for words in (
            ("table", "s", "--output", str(root / "tables" / "t.md")), ("report", "s"),
            ("plot", "s", "--format", "svg"), ("results", "export", "s", "--format", "csv"),
            ("results", "merge", str(theirs)),
        ):  # fmt: skip
            assert main([*words, "--results", str(root)]) == 0, words
        write_linear_data(root / "data", episodes=1)
    private = [path for path in root.rglob("*") if not path.stat().st_mode & stat.S_IWGRP]
    assert not private
    folders = [path for path in root.rglob("*") if path.is_dir()]
    assert not [path for path in folders if not path.stat().st_mode & stat.S_ISGID]
    assert len(list((root / "runs" / "s").iterdir())) == 2


@pytest.mark.parametrize("words", [
    ("table", "s", "--output", "t.csv"), ("results", "export", "s", "--format", "csv"), ("report", "s"),
    ("plot", "s", "--format", "svg"), ("study", "init", "mine.toml"), ("results", "merge", "other"),
    ("run", "--task", "point_mass", "--simulator", "toy", "--algorithm", "fake", "--env-steps", "40", "--seeds", "7"),
])  # fmt: skip
def test_a_full_disk_is_one_line(finished, tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    carry_out(toy_spec(study="u"), Results("other"))
    before = {path for path in tmp_path.rglob("*") if path.is_file() and path.name != "lock"}
    place = () if words[0] == "study" else ("--results", str(finished))
    capsys.readouterr()
    with no_room():
        code = main([*words, *place])
    said = capsys.readouterr()
    assert code in (1, 2)
    assert "Traceback" not in said.err
    assert "File too large" in said.out + said.err or "full" in said.err, said
    assert len(said.err.splitlines()) <= 1, said.err
    after = {path for path in tmp_path.rglob("*") if path.is_file() and path.name != "lock"}
    assert not [path for path in after - before if path.suffix == ".tmp" or path.stat().st_size == 0], after - before


def test_curves_on_a_full_disk_are_an_error_and_no_thread_s_traceback(tmp_path, capfd):
    event_files = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    curves = CurveWriter(tmp_path, counts=Counts(env_steps=3))
    curves.add("a", [1.5, None], ["seed 0", "seed 1"], Counts(env_steps=4))
    with no_room(), pytest.raises(OSError, match="File too large"):
        curves.add("a", [2.5, 3.5], ["seed 0", "seed 1"], Counts(env_steps=5))
    curves.add("a", [4.5, math.nan], ["seed 0", "seed 1"], Counts(env_steps=6))
    curves.close()
    assert capfd.readouterr() == ("", "")
    (file,) = tmp_path.iterdir()
    first, start, *points = event_files.LegacyEventFileLoader(str(file)).Load()
    assert (first.file_version, start.step, start.session_log.status) == ("brain.Event:2", 3, start.session_log.START)
    found = [(event.step, one.tag, one.simple_value) for event in points for one in event.summary.value]
    assert {(4, "a/seed 0", 1.5), (6, "a/seed 0", 4.5)} <= set(found)


def test_what_a_process_prints_after_a_command_that_could_not_print_is_not_lost(tmp_path, monkeypatch, capsys):
    """As in a notebook or a test whose output goes to a file: the command's stand-in for a full disk ends with it."""
    with (tmp_path / "log").open("w") as log:
        monkeypatch.setattr(sys, "stdout", log)
        with no_room():
            assert main(["list", "tasks"]) == 1
        print("afterwards")
    assert (tmp_path / "log").read_text() == "afterwards\n"
    assert capsys.readouterr().err == "error: standard output can't be written ([Errno 27] File too large)\n"


def test_a_signal_to_all_processes_of_a_job_saves_all_runs(start, tmp_path):
    """As schedulers send it: to the sweep, and to its runs as well."""
    if not Path("/proc/self/task").exists():
        pytest.skip("finds processes in /proc")
    process = start("sweep", "shared", "--results", tmp_path, "--jobs", "2")
    wait_for(lambda: len(children(process.pid)) == 2)
    for pid in (process.pid, *children(process.pid)):
        os.kill(pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (128 + signal.SIGTERM, "")
    assert [run.status() for run in Results(tmp_path).runs("shared")] == ["interrupted"] * 2
