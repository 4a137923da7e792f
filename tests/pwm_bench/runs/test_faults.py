"""What a run and a sweep can meet, brought about for real: each with its outcome. For disks see `test_disk_faults`, for
single kills `test_survival`; `pwm_bench.bench.survival` kills at random."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pwm_bench.cli.main import main
from pwm_bench.store.results import Results
from tests.pwm_bench.cli.toy_cli import faulty_study, shared_study, toy_spec
from tests.pwm_bench.runs.faults import content, slow_toy, undisturbed
from tests.pwm_bench.runs.test_run import lines
from tests.pwm_bench.runs.test_survival import begin, finish, wait_for_training
from tests.pwm_bench.sweeps.test_many_sweeps import child_of, wait_for

pytestmark = pytest.mark.usefixtures("toys")

CLOCK = r"""
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
/* Each reading of the time of day is an hour before the last one. */
int clock_gettime(clockid_t id, struct timespec *t) {
    static long readings;
    int result = syscall(SYS_clock_gettime, id, t);
    if (id == CLOCK_REALTIME) t->tv_sec -= 3600 * __sync_fetch_and_add(&readings, 1);
    return result;
}
time_t time(time_t *result) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (result) *result = t.tv_sec;
    return t.tv_sec;
}
int gettimeofday(struct timeval *result, void *zone) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    result->tv_sec = t.tv_sec, result->tv_usec = t.tv_nsec / 1000;
    return 0;
}
"""


@pytest.fixture
def backward_clock(tmp_path) -> dict[str, str]:
    """An environment in which the time of day runs backwards."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C compiler, on Linux")
    (tmp_path / "clock.c").write_text(CLOCK)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", tmp_path / "clock.so", tmp_path / "clock.c"], check=True)
    environment = {"LD_PRELOAD": str(tmp_path / "clock.so")}
    script = (
        "import time as t; from datetime import *; a = t.time(), datetime.now(UTC); b = t.time(), datetime.now(UTC)"
    )
    check = [sys.executable, "-c", f"{script}; assert b[0] < a[0] - 3000 and b[1] < a[1]"]
    assert subprocess.run(check, env=os.environ | environment).returncode == 0
    return environment


def test_a_clock_that_runs_backwards(start, tmp_path, backward_clock, monkeypatch):
    """Nothing but the dates in a record depends on the time of day."""
    spec, root = slow_toy(), tmp_path / "results"
    root.mkdir()
    (tmp_path / "spec.json").write_text(spec.to_json())
    arguments = ("run", tmp_path / "spec.json", "--results", root, "--progress", "json", "--checkpoint-seconds", "0.1")
    process = start(*arguments, environment=backward_clock)
    wait_for_training(process, 600)
    process.kill()
    process.communicate()
    process = start(*arguments, environment=backward_clock)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    directory = Results(root).run(spec.study, spec.id)
    record = directory.read()
    assert record.updated_at < record.started_at
    assert (record.status, record.attempts) == ("ok", 2)
    assert min(record.clocks.model_dump().values()) >= 0.0
    assert record.clocks.train < 60.0
    assert lines(directory) == lines(undisturbed(spec, tmp_path / "undisturbed"))
    for words in (["table", "single"], ["plot", "single", "--kind", "timeline"], ["report", "single"],
                  ["results", "verify"]):  # fmt: skip
        assert main([*words, "--results", str(root)]) == 0


@pytest.mark.parametrize("state", ["running", "finished"])
@pytest.mark.parametrize(
    "tail", ['{"index": 1, "env_st', "\0" * 300, '{"index": \0\0\n'], ids=["torn", "zeros", "line"]
)
def test_a_corrupted_last_line(start, tmp_path, capsys, state, tail):
    """Of a run that was cut off: it is cut away, and the run goes on to the same numbers. Of a finished one: the run is
    left out of tables, which say so, and `verify` finds it."""
    spec, root = slow_toy(), tmp_path / "results"
    other = undisturbed(spec, tmp_path / "undisturbed")
    directory = Results(root).run(spec.study, spec.id)
    if state == "running":
        process = begin(start, spec, root)
        wait_for_training(process, 600)
        process.kill()
        process.communicate()
    else:
        undisturbed(spec, root)
    for log in (directory.metrics, directory.evaluations):
        with open(log.path, "a") as file:
            file.write(tail)
    if state == "running":
        undisturbed(spec, root)
    altered = state == "finished"
    assert main(["table", "single", "--results", str(root)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert ("Left out" in shown) == altered
    assert ("has another digest than the record says" in shown) == altered
    assert main(["results", "verify", "--results", str(root)]) == (1 if altered else 0)
    shown = capsys.readouterr().out
    if altered:
        assert str(directory.evaluations.path) in shown
    else:
        assert lines(directory) == lines(other)


def test_a_half_written_checkpoint(start, tmp_path):
    """A kill leaves none, since a new one takes the old one's place whole. One that a broken disk left is refused by
    name, stops no other run, and is kept; without it the run begins again and comes to the same numbers."""
    study, root = shared_study(), tmp_path / "results"
    spec = study.specs[0]
    directory = Results(root).run("shared", spec.id)
    process = begin(start, spec, root)
    wait_for_training(process, 100)
    process.kill()
    process.communicate()
    tensors = next(directory.checkpoint.glob("*.safetensors"))
    tensors.write_bytes(tensors.read_bytes()[:100])
    (directory.checkpoint / ".state.json.x.tmp").write_text('{"version": 1, "te')
    before = content(directory.path)
    process = start("sweep", "shared", "--results", root, "--limit", "2")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "refused" in output
    assert "truncated" in output
    assert Results(root).run("shared", study.specs[1].id).status() == "ok"
    after = content(directory.path)
    assert before[tensors] == after[tensors]
    assert before[directory.evaluations.path] == after[directory.evaluations.path]
    shutil.rmtree(directory.checkpoint)
    undisturbed(spec, root)
    assert lines(directory) == lines(undisturbed(spec, tmp_path / "undisturbed"))


def test_a_run_without_memory_and_others_beside_it(start, tmp_path):
    """Under a limit on memory one run of five asks for too much; one diverges, one raises. Each is a row, and the two
    healthy ones are as if alone."""
    root, study = tmp_path / "results", faulty_study()
    process = start("sweep", "faulty", "--results", root, shell=f"ulimit -v {_address_space() // 1024}")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    records = [Results(root).run("faulty", spec.id).read() for spec in study.specs]
    assert [record.status for record in records] == ["ok", "oom", "ok", "failed", "ok"]
    assert "allocate" in (records[1].reason or "")
    assert records[2].reason == "seed 1 diverged at 60 env steps"
    assert "told to fail" in (records[3].reason or "")
    for words in ("oom: RuntimeError", "failed: RuntimeError: the fake was told to fail", "1 ok, 1 diverged: seed 1"):
        assert words in " ".join(output.split())
    healthy = Results(root).run("faulty", study.specs[0].id)
    assert lines(healthy) == lines(undisturbed(study.specs[0], tmp_path / "undisturbed"))
    again = start("sweep", "faulty", "--results", root)
    output, _ = again.communicate(timeout=60)
    assert "0 to do now" in output


def _address_space() -> int:
    """Enough for an ordinary run, and not for one that takes 4 GB more [bytes]."""
    script = (
        "import torch, pwm_bench.testing.toy, pwm_bench.jobs.train; print(open('/proc/self/statm').read().split()[0])"
    )
    try:
        text = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("how much memory a process takes is asked of /proc")
    return int(text.split()[-1]) * os.sysconf("SC_PAGE_SIZE") + 2 * 2**30


@pytest.fixture
def memory_group():
    """A control group of 1 GB: the file that a process joins it by."""
    for group, limit, size in (
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", 2**30),
        ("/sys/fs/cgroup", "memory.max", 2**30),
    ):
        folder = Path(group) / f"pwm-bench-test-{os.getpid()}"
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            (folder / limit).write_text(str(size))
            yield folder / "cgroup.procs"
            return
        except OSError:
            continue
        finally:
            wait_for(lambda folder=folder: not (folder / "cgroup.procs").read_text().strip(), 10.0)
            folder.rmdir()
    pytest.skip("control groups cannot be made here")


def test_the_kernels_out_of_memory_killer(start, tmp_path, memory_group):
    """It takes the run and not the sweep, which says why and goes on."""
    root, study = tmp_path / "results", faulty_study()
    process = start("sweep", "faulty", "--results", root, shell=f"echo $$ > {memory_group}")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1, errors
    records = [Results(root).run("faulty", spec.id).read() for spec in study.specs]
    assert [record.status for record in records] == ["ok", "oom", "ok", "failed", "ok"]
    assert records[1].reason == "killed by the kernel: out of memory"


def test_a_member_that_diverges_in_a_run_that_is_killed(start, tmp_path):
    """It is marked and frozen once and for all; the other member's numbers are those of a run without it."""
    spec, root = slow_toy(fault="nan", fault_iteration=20), tmp_path / "results"
    process = begin(start, spec, root)
    wait_for_training(process, 1000)
    process.kill()
    process.communicate()
    finish(start, spec, root)
    directory = Results(root).run(spec.study, spec.id)
    record = directory.read()
    assert [(m.status, m.diverged_at) for m in record.members] == [("ok", None), ("diverged", 400)]
    assert lines(directory) == lines(undisturbed(spec, tmp_path / "undisturbed"))
    healthy = undisturbed(slow_toy(), tmp_path / "healthy")
    mine, other = (
        [(line["returns"][0], line["lengths"][0]) for line in d.evaluations.read()] for d in (directory, healthy)
    )
    assert mine == other
    last = directory.metrics.read()[-1]
    assert last["alive"] == [True, False]
    assert last["values"]["actor_grad_norm"][1] == 0.0
    json.loads(directory.evaluations.path.read_text().splitlines()[-1], parse_constant=pytest.fail)


@pytest.mark.parametrize(("nap", "notice"), [(0.02, 30.0), (0.4, 0.0)], ids=["enough", "none"])
def test_a_batch_system_gives_notice_and_kills(start, tmp_path, nap, notice):
    """SIGTERM, and SIGKILL to what is left after the notice: a run saves within it, or goes on from the checkpoint
    before. ``nap`` is the length of an iteration [s]."""
    steps = 2000 if nap < 0.1 else 200
    spec, root = toy_spec(env_steps=steps, overrides={"nap": nap}), tmp_path / "results"
    directory = Results(root).run(spec.study, spec.id)
    process = begin(start, spec, root)
    wait_for_training(process, steps // 5)
    process.send_signal(signal.SIGTERM)
    begun = time.monotonic()
    try:
        process.communicate(timeout=notice)
        assert time.monotonic() - begun < notice
        assert process.returncode == 143
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    assert directory.status() == ("interrupted" if notice > 1.0 else "killed")
    undisturbed(spec, root)
    assert directory.read().attempts == 2
    assert lines(directory) == lines(undisturbed(toy_spec(env_steps=steps), tmp_path / "undisturbed"))


def test_a_sweep_in_a_batch_job(start, tmp_path):
    """The job's processes are all signalled, twice; the sweep ends within the notice, and the same command goes on."""
    root, study = tmp_path / "results", shared_study()
    first = Results(root).run("shared", study.specs[0].id)
    process = start("sweep", "shared", "--results", root, "--jobs", "1")
    wait_for(lambda: first.status() == "running")
    for _ in range(2):
        for pid in (process.pid, child_of(first)):
            os.kill(pid, signal.SIGTERM)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 143, errors
    assert "go on where this stopped" in output
    assert first.status() == "interrupted"
    assert len(list(Results(root).runs("shared"))) == 1
    again = start("sweep", "shared", "--results", root, "--limit", "1")
    assert again.wait(timeout=60) == 0
    assert first.status() == "ok"
    assert lines(first) == lines(undisturbed(study.specs[0], tmp_path / "undisturbed"))
