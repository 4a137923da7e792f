"""Folders that several people write, disks that are full, and signals to all processes of a job at once."""

from __future__ import annotations

import os
import resource
import signal
import stat
from contextlib import contextmanager
from pathlib import Path

import pytest

from pwm_bench.cli.main import main
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.store.results import Results
from tests.pwm_bench.cli.toy_cli import toy_spec
from tests.pwm_bench.jobs.kills import stopped
from tests.pwm_bench.runs.test_interruption import children
from tests.pwm_bench.sweep.test_many_sweeps import wait_for
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
    assert len(list((root / "runs" / "s").iterdir())) == 2


@pytest.mark.parametrize("words", [
    ("table", "s", "--output", "t.csv"), ("results", "export", "s", "--format", "csv"), ("report", "s"),
    ("plot", "s", "--format", "svg"), ("study", "init", "mine.toml"), ("results", "merge", "other"),
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
