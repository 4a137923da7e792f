"""Killing a run of any kind at random moments, by SIGKILL, and what it comes to in the end."""

from __future__ import annotations

import multiprocessing
import random
import shutil
import time
from pathlib import Path
from typing import Any

from pwm_bench.jobs.kinds import carry_out
from pwm_bench.store.results import FINISHED, Results, RunDirectory
from pwm_bench.store.spec import Spec
from tests.pwm_bench.runs.test_run import lines

_CONTEXT = multiprocessing.get_context("forkserver")  # each process begins with everything imported, and torch unused
_CONTEXT.set_forkserver_preload(["torch", "mujoco", "pwm_bench.jobs.kinds", "pwm_bench.jobs.extract"])


def numbers(directory: RunDirectory) -> dict[str, Any]:
    """All that two runs of the same spec must agree in: what they measured, counted and left for others."""
    record = directory.read()
    return {
        "status": record.status,
        "members": record.members,
        "counts": record.counts,
        "details": record.details,
        "artifacts": record.artifacts,
        "lines": lines(directory),
    }


def check_kills(spec: Spec, root: Path, *, kills: int, seed: int = 0) -> None:
    """Kills a run so many times, each at a random moment of its own duration, and lets it go on each time.

    A run that is finished before there were enough kills is compared and begun anew.

    Args:
        spec: of a run of a second or two.
        root: folder for results.
        kills: how many.
        seed: of the moments.
    """
    undisturbed, disturbed = Results(root / "undisturbed"), Results(root / "disturbed")
    began = time.monotonic()
    process = _start(spec, undisturbed.root)
    process.join()
    duration = time.monotonic() - began
    expected = numbers(undisturbed.run(spec.study, spec.id))
    assert expected["status"] == "ok"
    moments, done = random.Random(seed), 0
    directory = disturbed.run(spec.study, spec.id)
    while done < kills:
        process = _start(spec, disturbed.root)
        process.join(moments.uniform(0.0, duration))
        if process.exitcode is None:
            process.kill()
            process.join()
            done += 1
        if directory.status() in FINISHED and done < kills:
            assert numbers(directory) == expected
            shutil.rmtree(directory.path)
    process = _start(spec, disturbed.root)
    process.join()
    assert numbers(directory) == expected


def _start(spec: Spec, root: Path) -> Any:
    process = _CONTEXT.Process(target=_work, args=(spec, root))
    process.start()
    return process


def _work(spec: Spec, root: Path) -> None:
    carry_out(spec, Results(root), checkpoint_seconds=0.0)
