"""``pwm-bench bench survival``: kills runs and whole sweeps at random, and compares what they come to in the end with
an undisturbed sweep.

Two sweeps, of one or two runs at a time, work on one results folder. At random moments one of their processes, a sweep
or a run, gets SIGKILL, or SIGTERM now and then; a sweep that has ended is started again. When everything is finished,
the next round begins in an empty folder, until there were enough kills.

Most processes are forked from this one, which has imported everything, so that they are killed at work and not while
Python imports torch. One sweep in ten is the command line as a person types it.
"""

from __future__ import annotations

import importlib
import os
import random
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import Any, Protocol

from pwm_bench.cli.showing import terminal
from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs.kinds import job_class
from pwm_bench.runs.progress import ProgressEvent
from pwm_bench.store.results import FINISHED, Results, RunDirectory
from pwm_bench.store.verify import verify
from pwm_bench.studies.registry import load_study
from pwm_bench.sweeps import sweep
from pwm_bench.sweeps.executors import local
from pwm_bench.sweeps.executors.capacity import Capacity
from pwm_bench.sweeps.executors.forked import Forked, ForkExecutor
from pwm_bench.sweeps.graph import Study
from pwm_bench.sweeps.sweep import Item

__all__ = ["Outcome", "compare", "main", "snapshot", "soak"]

_CLOCKS = ("train_seconds", "cpu_seconds", "wall_seconds")
_SWEEPS = 2
_JOBS = (1, 2)  # runs side by side, in each of them
_TYPED = 0.1  # share of sweeps that are started as a person does it
_POLITE = 0.25  # share of SIGTERM
_MOST_PAUSE = 1.0  # between two kills, of the time that a run takes
_OPTIONS = ("--checkpoint-seconds", "0.1")
_GIVE_UP = 600.0  # seconds without a kill and without an end


@dataclass(slots=True)
class Outcome:
    """What a soak came to.

    Attributes:
        kills: by victim (``sweep`` or ``run``) and name of the signal.
        kinds: kills of runs, by the kind of work that was hit.
        rounds: finished sweeps of the study.
        runs: finished runs that were compared.
        resumes: times that a run was gone on with.
        typed: sweeps that were started by the command line.
        problems: one line for each run that is not as the undisturbed one.
        seconds: that it took.
    """

    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    runs: int = 0
    resumes: int = 0
    typed: int = 0
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0


class _Process(Protocol):
    pid: int

    def poll(self) -> int | None: ...
    def send_signal(self, number: int) -> None: ...


def main(
    *, quick: bool = False, kills: int | None = None, minutes: float = 30.0, seed: int = 0, study: str = "survival"
) -> int:
    """Soaks a study and prints a table.

    Args:
        quick: 20 kills, unless told otherwise.
        kills: how many; 200 by default.
        minutes: no more kills after so long.
        seed: of the random choices.
        study: whose runs take seconds; ``every-kind`` has all kinds of work.

    Returns:
        1 if anything was lost, or too few kills were made.
    """
    from rich.table import Table

    from pwm_bench.bench.timing import machine_line

    console = terminal()
    wanted = kills or (20 if quick else 200)
    graph = load_study(study)
    with tempfile.TemporaryDirectory(prefix="pwm-bench-survival-") as folder, console.status("") as status:

        def told(outcome: Outcome) -> None:
            status.update(f"{sum(outcome.kills.values())} of {wanted} kills, {outcome.rounds} rounds finished")

        outcome = soak(graph, Path(folder), kills=wanted, seconds=60.0 * minutes, seed=seed, told=told)
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    total = sum(outcome.kills.values())
    table.add_row("kills", f"{total}")
    for (victim, name), number in sorted(outcome.kills.items()):
        table.add_row(f"  {victim}s, {name}", f"{number}")
    for kind, number in sorted(outcome.kinds.items()):
        table.add_row(f"  of {kind}", f"{number}")
    table.add_row("sweeps started by the command line", f"{outcome.typed}")
    table.add_row("times that a run was resumed", f"{outcome.resumes}")
    table.add_row("rounds", f"{outcome.rounds}")
    table.add_row("runs finished and compared", f"{outcome.runs}")
    table.add_row("identical to the undisturbed sweep", "no" if outcome.problems else "yes")
    table.add_row("minutes", f"{outcome.seconds / 60:.1f}")
    console.print(f"{machine_line()}\n", highlight=False)
    console.print(f"random kills of {_SWEEPS} sweeps at a time, study {study}", style="bold")
    console.print(table)
    for problem in outcome.problems:
        console.print(problem, style="red", soft_wrap=True, markup=False, highlight=False)
    if total < wanted:
        console.print(f"time was up after {total} of {wanted} kills; give more --minutes", style="yellow")
    return 1 if outcome.problems or total < wanted else 0


def soak(
    study: Study,
    folder: Path,
    *,
    kills: int,
    seconds: float,
    seed: int = 0,
    typed: float = _TYPED,
    told: Callable[[Outcome], None] = lambda _: None,
) -> Outcome:
    """Disturbs sweeps of a study until there were enough kills or the time is up, and lets the last one finish.

    Args:
        study: a registered one, whose runs take seconds.
        folder: empty; results go into it.
        kills: how many.
        seconds: no more kills after so long.
        seed: of the random choices.
        typed: share of sweeps that are started by the command line.
        told: given the outcome so far, now and then.

    Raises:
        UsageError: processes cannot be found here (no /proc), or the undisturbed sweep fails.
    """
    if not Path("/proc/self/stat").exists():
        raise UsageError("bench survival: finds processes in /proc, so it needs Linux")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of all processes alike
    for spec in study.specs:  # what a forked process would import
        job_class(spec.kind)
        _ = spec.cpu_threads
    for module in ("pwm_bench.cli.main", "pwm_bench.envs.api", "pwm_bench.envs.mujoco_c.simulator"):
        importlib.import_module(module)
    start = time.monotonic()
    numbers, outcome = random.Random(seed), Outcome()
    undisturbed, begun = Results(folder / "undisturbed"), time.monotonic()
    process = Forked(lambda: _sweep(study, undisturbed.root))
    if process.wait() != 0:
        raise UsageError("bench survival: the undisturbed sweep failed; see `pwm-bench sweep " + study.name + "`")
    expected = {name: snapshot(directory) for name, directory in _directories(study, undisturbed).items()}
    pause = _MOST_PAUSE * (time.monotonic() - begun) / len(study.specs)
    while True:
        results = Results(folder / f"round-{outcome.rounds}")
        left = kills - sum(outcome.kills.values())
        until = start + seconds if left > 0 else 0.0
        _round(study, results, numbers, outcome, pause, kills, until, typed, told)
        found = _directories(study, results)
        outcome.problems += [f"{results.root}: {name} was never begun" for name in expected if name not in found]
        for name, directory in found.items():
            outcome.problems += compare(directory, expected[name])
            if directory.record_file.exists():
                outcome.resumes += directory.peek()[1] - 1
        for filed in {spec.study for spec in study.specs}:
            results.clear_claims(filed)  # as the next sweep would, if the last one was killed
            if (results.study_path(filed) / ".claims").exists():
                outcome.problems.append(f"{results.root}: a claim is still held")
        outcome.runs += len(study.specs)
        outcome.rounds += 1
        told(outcome)
        if sum(outcome.kills.values()) >= kills or time.monotonic() - start > seconds:
            outcome.seconds = time.monotonic() - start
            return outcome


def _directories(study: Study, results: Results) -> dict[str, RunDirectory]:
    """The directories of a study's runs by name, as far as what they read is there."""
    items = sweep.plan(study, results)
    return {item.name: results.run(item.spec.study, item.spec.id) for item in items if item.plan != "wait"}


def _round(
    study: Study,
    results: Results,
    numbers: random.Random,
    outcome: Outcome,
    pause: float,
    kills: int,
    until: float,
    typed: float,
    told: Callable[[Outcome], None],
) -> None:
    """One sweep of the study, disturbed until there were enough kills, to its end."""
    sweeps: list[_Process] = []
    quiet_since = time.monotonic()
    while True:
        sweeps = [process for process in sweeps if process.poll() is None]
        if not _left(study, results):
            break
        while len(sweeps) < _SWEEPS:
            sweeps.append(_start(study, results, numbers.random() < typed, numbers.choice(_JOBS), outcome))
        disturbing = sum(outcome.kills.values()) < kills and time.monotonic() < until
        wait_until = time.monotonic() + (numbers.uniform(0.0, pause) if disturbing else 0.2)
        while time.monotonic() < wait_until and any(process.poll() is None for process in sweeps):
            time.sleep(0.002)
        if disturbing and _kill(sweeps, study, results, numbers, outcome):
            quiet_since = time.monotonic()
            told(outcome)
        if time.monotonic() - quiet_since > _GIVE_UP:
            outcome.problems.append(f"{results.root}: not finished after {_GIVE_UP:.0f} s without a kill")
            for process in sweeps:
                process.send_signal(SIGKILL)
            break
    while any(process.poll() is None for process in sweeps):
        time.sleep(0.01)


def _left(study: Study, results: Results) -> bool:
    """Whether some run is neither finished nor failed for good, or still in someone's hands."""
    items = sweep.plan(study, results)
    return any(item.to_do or item.plan in ("busy", "wait") for item in items)


def _start(study: Study, results: Results, typed: bool, jobs: int, outcome: Outcome) -> _Process:
    if not typed:
        return Forked(lambda: _sweep(study, results.root, jobs))
    outcome.typed += 1
    return subprocess.Popen(
        [*local.COMMAND, "sweep", study.name, "--results", str(results.root), "--jobs", f"{jobs}", "--wait", *_OPTIONS],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def _sweep(study: Study, root: Path, jobs: int = 1) -> int:
    """What a forked sweep does: all that ``pwm-bench sweep`` does but for the display."""
    results = Results(root)
    results.check_writable()
    from pwm_bench.cli.main import main

    executor = ForkExecutor(root, main, options=_OPTIONS)
    items, admits = sweep.plan(study, results), Capacity(jobs)
    return sweep.sweep(items, results, executor, _Nobody(), admits=admits, wait=True).exit_code


def _kill(sweeps: list[_Process], study: Study, results: Results, numbers: random.Random, outcome: Outcome) -> bool:
    """Signals a process at random, a sweep or a run. Returns whether there was one."""
    runs = _runs(sweeps, study, results)
    kind = "run" if runs and numbers.random() < 0.6 else "sweep"
    number = SIGTERM if numbers.random() < _POLITE else SIGKILL
    if kind == "run":
        pid = numbers.choice(sorted(runs))
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        if runs[pid]:
            outcome.kinds[runs[pid]] += 1
    else:
        living = [process for process in sweeps if process.poll() is None]
        if not living:
            return False
        numbers.choice(living).send_signal(number)
    outcome.kills[kind, Signals(number).name] += 1
    return True


def _runs(sweeps: list[_Process], study: Study, results: Results) -> dict[int, str]:
    """Processes at work on runs, the sweeps' own and those whose sweep was killed, each with the kind of work that it
    does; "" while it does none yet."""
    mine = {process.pid for process in sweeps}
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue
        if int(parent) in mine and state != "Z":
            found[int(entry.name)] = ""
    for name, directory in _directories(study, results).items():
        if directory.busy:
            try:
                found[int((directory.path / "lock").read_text().split()[0])] = study.nodes[name].kind
            except (OSError, ValueError, IndexError):
                continue
    return {pid: kind for pid, kind in found.items() if pid != os.getpid() and _is_ours(pid, results)}


def _is_ours(pid: int, results: Results) -> bool:
    """Whether a process was forked from this one or works on these results: a number in a file may be out of date."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        return command == Path("/proc/self/cmdline").read_bytes() or str(results.root).encode() in command
    except OSError:
        return False


def snapshot(directory: RunDirectory) -> dict[str, Any]:
    """Everything of a finished run that may not depend on how often it was killed: every number in its logs and its
    record but for times and memory, the weights in its checkpoint to the bit, and which files there are."""
    import json

    record = directory.read()
    header = json.loads((directory.checkpoint / "state.json").read_bytes())
    kept = ("status", "reason", "task_hash", "gradient_source", "gradient_check", "members", "counts", "artifacts")
    spec = {name: value for name, value in record.spec.items() if name != "inputs"}
    return {
        "spec": spec | {"inputs": {name: one["digest"] for name, one in record.spec.get("inputs", {}).items()}},
        "metrics": [_timeless(line) for line in directory.metrics.read()],
        "evaluations": [_timeless(line) for line in directory.evaluations.read()],
        "record": record.model_dump(include=set(kept)),
        "weights": header["tensors"]["sha256"],
        "files": sorted(str(file.relative_to(directory.path)) for file in directory.path.rglob("*")),
    }


def _timeless(line: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name not in _CLOCKS}


def compare(directory: RunDirectory, expected: dict[str, Any]) -> list[str]:
    """What a run has that is not in an undisturbed one's `snapshot`, one line each."""
    try:
        status = directory.status()
        if status not in FINISHED:
            reason = directory.read().reason if status else "was never begun"
            return [f"{directory.path}: {status}: {reason}"]
        found = snapshot(directory)
    except (UsageError, OSError) as error:
        return [f"{directory.path}: {error}"]
    problems = [f"{directory.path}: other {name}" for name in expected if found[name] != expected[name]]
    return problems + verify(directory)


class _Nobody:
    """Watches nothing."""

    def began(self, item: Item) -> None: ...
    def progressed(self, item: Item, event: ProgressEvent) -> None: ...
    def ended(self, item: Item) -> None: ...
    def elsewhere(self, item: Item) -> None: ...
    def waiting(self, number: int) -> None: ...
    def stopping(self) -> None: ...
