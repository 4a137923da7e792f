"""``pwm-bench bench interruption``: interrupts commands in their first seconds, and gives the same commands again.

A command, ``run`` or ``sweep``, is started as a person types it. At a random moment it gets SIGINT or SIGTERM; SIGINT
goes to all processes of its group now and then, as from a terminal. Whatever the moment, from the first import to the
last save, no run may be left as failed, and the same command must go on to the numbers of an undisturbed one.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGINT, SIGTERM, Signals

from pwm_bench.bench.survival import compare, snapshot
from pwm_bench.cli.showing import named_lines, terminal, titled
from pwm_bench.store.results import FINISHED, RESUMABLE, Results, RunDirectory
from pwm_bench.studies.locomotion import load_study
from pwm_bench.sweeps.executors import local
from pwm_bench.sweeps.graph import Study

__all__ = ["Outcome", "interrupt", "main"]

_FIRST_SECONDS = 10.0
_PATIENCE = 600.0
_MOST_TRIES = 3  # for each interruption: a command may be through before it
_IN_ORDER = (0, 1, 128 + SIGINT, 128 + SIGTERM, -SIGINT, -SIGTERM)  # the last ones before Python could heed a signal


@dataclass(slots=True)
class Outcome:
    """What the interruptions came to.

    Attributes:
        interruptions: by command and signal; those that came before the command was through.
        found: runs by their status after an interruption; ``not begun`` where there is none.
        slowest: longest time from a signal to the end of the command [s].
        problems: one line for each thing that is not as it should be.
    """

    interruptions: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Command:
    """A command, and the runs that it does."""

    name: str
    words: tuple[str, ...]
    runs: tuple[str, ...]

    def start(self, root: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*local.COMMAND, *self.words, "--results", str(root)], env=local.environment(), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def directories(self, study: Study, root: Path) -> list[RunDirectory]:
        return [Results(root).run(study.name, run) for run in self.runs]


def main(*, quick: bool = False, interruptions: int | None = None, seed: int = 0) -> int:
    """Interrupts the study ``survival`` and its first run, and prints what became of them.

    Args:
        quick: 6 interruptions, unless told otherwise.
        interruptions: how many; 40 by default.
        seed: of the random choices.

    Returns:
        1 if anything was lost.
    """
    from pwm_bench.bench.timing import machine_line

    console = terminal()
    wanted = interruptions or (6 if quick else 40)
    study = load_study("survival")
    with tempfile.TemporaryDirectory(prefix="pwm-bench-interruption-") as folder, console.status("") as status:

        def told(outcome: Outcome) -> None:
            status.update(f"{outcome.interruptions.total()} of {wanted} interruptions")

        outcome = interrupt(study, Path(folder), count=wanted, seed=seed, told=told)
    console.print(f"{machine_line()}\n")
    console.print(titled(f"interruptions in the first {_FIRST_SECONDS:.0f} s, study {study.name}", ""))
    rows = [("interruptions", f"{outcome.interruptions.total()}")]
    rows += [(f"  {name}", f"{number}") for name, number in sorted(outcome.interruptions.items())]
    rows += [("runs found afterwards", "")]
    rows += [(f"  {name}", f"{number}") for name, number in sorted(outcome.found.items())]
    rows += [("longest time from signal to end", f"{outcome.slowest:.1f} s")]
    rows += [("identical to the undisturbed runs", "no" if outcome.problems else "yes")]
    console.print(named_lines(rows))
    for problem in outcome.problems:
        console.print(problem, style="red", soft_wrap=True)
    return 1 if outcome.problems else 0


def interrupt(
    study: Study,
    folder: Path,
    *,
    count: int,
    seed: int = 0,
    seconds: float = _FIRST_SECONDS,
    told: Callable[[Outcome], None] = lambda _: None,
) -> Outcome:
    """Interrupts commands, each at a random moment, and gives each again until it is through.

    Args:
        study: a registered one, whose runs take seconds.
        folder: empty; results go into it.
        count: interruptions, in turn of a run and of a sweep with two runs side by side.
        seed: of the random choices.
        seconds: no interruption comes later than that.
        told: given the outcome so far, after each.
    """
    for number in (SIGINT, SIGTERM):
        if signal.getsignal(number) == signal.SIG_IGN:  # as for a shell's background jobs, and inherited
            signal.signal(number, signal.SIG_DFL)
    numbers, outcome = random.Random(seed), Outcome()
    first = study.specs[0]
    (folder / "spec.json").write_text(first.to_json())
    commands = (
        _Command("run", ("run", str(folder / "spec.json")), (first.id,)),
        _Command("sweep", ("sweep", study.name, "--jobs", "2"), tuple(spec.id for spec in study.specs)),
    )
    expected, lasts = {}, {}
    for command in commands:
        root, begun = folder / f"undisturbed-{command.name}", time.monotonic()
        _finish(command, root, outcome)
        lasts[command.name] = min(seconds, time.monotonic() - begun)
        for directory in command.directories(study, root):
            expected[directory.path.name] = snapshot(directory)
    for index in range(_MOST_TRIES * count):
        if outcome.interruptions.total() == count:
            break
        command, root = commands[index % len(commands)], folder / f"results-{index}"
        _disturb(command, root, numbers.uniform(0.0, lasts[command.name]), numbers, outcome)
        for directory in command.directories(study, root):
            status = directory.status()
            outcome.found[status or "not begun"] += 1
            if status is not None and status not in FINISHED + RESUMABLE:
                outcome.problems.append(f"{directory.path}: {status}: {directory.read().reason}")
        _finish(command, root, outcome)
        for directory in command.directories(study, root):
            outcome.problems += compare(directory, expected[directory.path.name])
        told(outcome)
    if outcome.interruptions.total() < count:
        outcome.problems.append(f"only {outcome.interruptions.total()} signals came before the end of their command")
    return outcome


def _disturb(command: _Command, root: Path, moment: float, numbers: random.Random, outcome: Outcome) -> None:
    """Starts a command, interrupts it, and waits for its end."""
    number = numbers.choice((SIGINT, SIGTERM))
    from_terminal = number == SIGINT and numbers.random() < 0.5
    process = command.start(root)
    time.sleep(moment)
    if process.poll() is None:
        (os.killpg if from_terminal else os.kill)(process.pid, number)
    begun = time.monotonic()
    where = f"{command.name}, {Signals(number).name} after {moment:.2f} s"
    try:
        _, errors = process.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        outcome.problems.append(f"{where}: had not ended after {_PATIENCE:.0f} s")
        return
    outcome.slowest = max(outcome.slowest, time.monotonic() - begun)
    if process.returncode == 0:
        return
    outcome.interruptions[f"{command.name}s, {Signals(number).name}"] += 1
    if process.returncode not in _IN_ORDER or ("Traceback" in errors and process.returncode > 0):
        last = errors.strip().splitlines()[-1:] or [""]
        outcome.problems.append(f"{where}: ended with {process.returncode}: {last[0]}")


def _finish(command: _Command, root: Path, outcome: Outcome) -> None:
    """Gives a command undisturbed: once must be enough."""
    process = command.start(root)
    _, errors = process.communicate(timeout=_PATIENCE)
    if process.returncode != 0:
        outcome.problems.append(f"{root}: the same command ended with {process.returncode}: {errors.strip()}")
