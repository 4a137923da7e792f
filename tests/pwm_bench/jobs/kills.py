"""Runs of any kind, really killed while they are at work."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from pwm_bench.jobs.kinds import carry_out, job_class
from pwm_bench.runs.progress import ProgressEvent
from pwm_bench.store.results import Results, RunDirectory
from pwm_bench.store.spec import Spec
from pwm_bench.store.verify import verify
from tests.pwm_bench.runs.test_run import lines

NOT_NUMBERS = ("clocks", "memory", "provenance", "attempts", "started_at", "updated_at", "logs", "sha256")


def outcome(directory: RunDirectory) -> tuple:
    """All that a run has come to but for times and places."""
    record = json.loads(directory.read().model_dump_json(exclude=set(NOT_NUMBERS)))
    return record, *lines(directory)


def stopped(spec: Spec, root: Path, monkeypatch: pytest.MonkeyPatch, *, pieces: int) -> None:
    """The same run, asked to stop while it does one of its pieces."""
    job = job_class(spec.kind)
    with monkeypatch.context() as patch:
        advance, left = job.advance, iter(range(pieces - 1))

        def counted(self):
            if next(left, None) is None:
                os.kill(os.getpid(), signal.SIGTERM)
            return advance(self)

        patch.setattr(job, "advance", counted)
        found = carry_out(spec, Results(root), checkpoint_seconds=1e9)
    assert found.record.status == "interrupted"
    assert found.exit_code == 128 + signal.SIGTERM


def undisturbed(spec: Spec, root: Path) -> RunDirectory:
    """The same run, done here and at once."""
    found = carry_out(spec, Results(root))
    assert found.exit_code == 0, found.record.reason
    return Results(root).run(spec.study, spec.id)


def killed(start, spec: Spec, folder: Path, *, kills: int, seed: int = 0) -> RunDirectory:
    """The same run, killed with SIGKILL so many times, each after a random number of snapshots of its work and a random
    moment more, and carried out to its end then."""
    chance = random.Random(seed)
    folder.mkdir()
    (folder / "spec.json").write_text(spec.to_json())
    words = ("run", folder / "spec.json", "--results", folder, "--progress", "json", "--checkpoint-seconds", "0")
    directory = Results(folder).run(spec.study, spec.id)
    done = 0
    while done < kills:
        process = start(*words, toys=False)
        snapshots = chance.randrange(1, 4)
        for line in process.stdout:
            event = ProgressEvent.from_json(line)
            snapshots -= event is not None and event.phase in ("train", "save")
            if snapshots == 0:
                break
        time.sleep(chance.random() * 0.2)
        process.kill()
        process.communicate()
        assert process.returncode in (-signal.SIGKILL, 0)
        if process.returncode == 0:  # it was through before: the others are made in another one
            break
        done += 1
        assert directory.status() == "killed"
    found = carry_out(spec, Results(folder))
    assert found.exit_code == 0, found.record.reason
    assert verify(directory) == []
    return directory
