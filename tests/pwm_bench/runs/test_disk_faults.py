"""Disks that are full, limited, read-only or gone, brought about for real: each with its outcome."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pwm_bench.cli.main import main
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.store.results import Results
from tests.pwm_bench.cli.toy_cli import shared_study, toy_spec
from tests.pwm_bench.runs.faults import ROOT, content, slow_toy, undisturbed
from tests.pwm_bench.runs.test_run import lines
from tests.pwm_bench.runs.test_survival import begin, wait_for_training

pytestmark = pytest.mark.usefixtures("toys")


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 2 MB."""
    if not ROOT:
        pytest.skip("only root can mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", disk], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def fill(disk: Path, *, leave: int) -> Path:
    """Takes all space but ``leave`` bytes."""
    ballast = disk / "ballast"
    free = shutil.disk_usage(disk).free
    ballast.write_bytes(bytes(max(0, free - leave)))
    return ballast


@pytest.mark.parametrize("room", [pytest.param(0, marks=pytest.mark.slow), 12_000])
def test_a_full_disk(start, tmp_path, small_disk, room):
    """The first run is whole, the second is named with its reason, and goes on to the same numbers once there is room.
    ``room``: not even for a record; for a record, and not for much more."""
    root, study = small_disk / "results", shared_study()
    first, second = (Results(root).run("shared", spec.id) for spec in study.specs[:2])
    options = ("--results", root, "--limit", "1", "--checkpoint-seconds", "0")
    process = start("sweep", "shared", *options)
    assert process.wait(timeout=60) == 0
    before = content(first.path)
    ballast = fill(small_disk, leave=room)
    process = start("sweep", "shared", *options)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1, output
    assert errors == ""
    assert "No space left on device" in output
    assert content(first.path) == before
    assert second.status() in (None, "killed", "failed")
    assert main(["table", "shared", "--results", str(root)]) == 0
    ballast.unlink()
    process = start("sweep", "shared", *options, "--retry")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert lines(second) == lines(undisturbed(study.specs[1], tmp_path / "undisturbed"))
    assert not list(second.path.rglob("*.tmp"))
    assert content(first.path) == before


def test_a_file_that_may_not_grow(start, tmp_path):
    """As a quota does it: the run fails by name, and goes on to the same numbers."""
    spec, root = slow_toy(), tmp_path / "results"
    root.mkdir()
    (tmp_path / "spec.json").write_text(spec.to_json())
    arguments = ("run", tmp_path / "spec.json", "--results", root, "--progress", "none")
    process = start(*arguments, "--checkpoint-seconds", "0.1", shell="ulimit -f 8")  # of 512 or 1024 bytes
    _, errors = process.communicate(timeout=60)
    directory = Results(root).run(spec.study, spec.id)
    assert process.returncode == 1
    assert errors.splitlines()[-1] == "failed: OSError: [Errno 27] File too large"
    assert directory.status() == "failed"
    assert 0 < directory.read().counts.env_steps < 2000
    undisturbed(spec, root)
    assert lines(directory) == lines(undisturbed(spec, tmp_path / "undisturbed"))


@pytest.fixture
def read_only(tmp_path):
    """Makes a folder read-only, for root too."""
    undo = []

    def make(folder: Path) -> None:
        if not ROOT:
            folder.chmod(0o555)
            undo.append(lambda: folder.chmod(0o755))
            return
        for options in (["--bind", folder, folder], ["-o", "remount,bind,ro", folder]):
            if subprocess.run(["mount", *options], capture_output=True).returncode:
                pytest.skip("root may write anywhere, and mounting is not allowed here")
        undo.append(lambda: subprocess.run(["umount", "-l", folder], check=True))

    yield make
    for action in undo:
        action()


def test_a_read_only_folder(start, tmp_path, read_only):
    """Nothing begins, in one line; what is there can be read."""
    root = tmp_path / "results"
    finished = undisturbed(toy_spec(study="shared"), root)
    before = content(root)
    read_only(root)
    (tmp_path / "spec.json").write_text(toy_spec(env_steps=500).to_json())
    for arguments in (["run", tmp_path / "spec.json"], ["sweep", "shared"]):
        process = start(*arguments, "--results", root)
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 2, output
        assert errors.startswith(f"error: {root}: cannot be written (")
        assert errors.count("\n") == 1
    assert not finished.busy
    for words in (["table", "shared"], ["results", "ls", "--all"], ["results", "verify"]):
        assert main([*words, "--results", str(root)]) == 0
    assert content(root) == before


def test_a_folder_that_vanishes_under_a_run(start, tmp_path):
    """As when a network drive is gone: the run ends with a reason; once the folder is back it goes on."""
    spec, root = slow_toy(), tmp_path / "results"
    process = begin(start, spec, root)
    wait_for_training(process, 400)
    directory = Results(root).run(spec.study, spec.id)
    directory.path.rename(tmp_path / "away")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "No such file or directory" in errors.splitlines()[-1]
    assert not directory.path.exists()
    (tmp_path / "away").rename(directory.path)
    assert directory.status() == "killed"
    undisturbed(spec, root)
    assert lines(directory) == lines(undisturbed(spec, tmp_path / "undisturbed"))


def test_a_checkpoint_does_not_bring_a_vanished_folder_back_without_its_logs(tmp_path):
    spec, results = toy_spec(), Results(tmp_path / "results")
    directory = results.run(spec.study, spec.id)

    def vanish(event):
        if event.phase == "save" and directory.path.exists():
            directory.path.rename(tmp_path / "away")

    record = carry_out(spec, results, checkpoint_seconds=0.0, progress=vanish).record
    assert record.status == "failed"
    assert "No such file or directory" in record.reason
    assert not directory.path.exists()
