"""Carrying out a run or a study where a person watches, and saying how it ended."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from pwm_bench.cli.showing import show_extent, terminal
from pwm_bench.runs.stop import stop_request

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from pwm_bench.runs.outcome import Outcome
    from pwm_bench.store.results import Results
    from pwm_bench.store.spec import Spec
    from pwm_bench.sweeps.carry_out import Watch
    from pwm_bench.sweeps.graph import Study
    from pwm_bench.sweeps.sweep import Item, Observer

__all__ = ["carry_out_shown", "show_end", "watched"]


def carry_out_shown(
    spec: Spec,
    results: Results,
    *,
    console: Console | None = None,
    checkpoint_seconds: float = 60.0,
    tensorboard: bool = False,
    reporters: Sequence[str] = (),
) -> Outcome:
    """Brings a run of any kind to its end, and shows how far it is: one line on a terminal, plain lines elsewhere.

    Args:
        spec: what to run.
        results: where its directory lies.
        console: where to show it.
        checkpoint_seconds: time between two checkpoints.
        tensorboard: also write the curves for tensorboard.
        reporters: names of those who are told as well, see `pwm_bench.sweeps.reporters`.

    Raises:
        UsageError: see `pwm_bench.jobs.kinds.carry_out`; or there is no such reporter.
    """
    from pwm_bench.cli.display import make_display
    from pwm_bench.sweeps.reporters import reporting
    from pwm_bench.sweeps.sweep import Item

    item = Item(spec, "begin" if results.run(spec.study, spec.id).status() is None else "resume")
    with (
        make_display(console or terminal(), [item]) as display,
        reporting(display, reporters, results.root) as observer,
        stop_request() as stop,
    ):
        stop.first = lambda _: observer.stopping()
        observer.began(item)
        from pwm_bench.jobs.kinds import carry_out  # after the first line is on the screen: this takes seconds

        outcome = carry_out(
            spec,
            results,
            progress=lambda event: observer.progressed(item, event),
            checkpoint_seconds=checkpoint_seconds,
            tensorboard=tensorboard,
        )
        item.status, item.reason = outcome.record.status, outcome.record.reason or ""
        observer.ended(item)
    return outcome


def watched(console: Console, study: Study, results: Results) -> Watch:
    """The display of a study for `pwm_bench.sweeps.carry_out.carry_out_study`: how much is to do, then how it goes.

    Args:
        console: where to show it.
        study: what is carried out.
        results: where its runs lie.
    """

    @contextmanager
    def shown(items: list[Item], stale: str) -> Iterator[Observer]:
        from pwm_bench.cli.display import make_display

        show_extent(console, study, items, results)
        if stale:
            console.print(stale + "\n", style="yellow", highlight=False, soft_wrap=True, markup=False)
        with make_display(console, items) as display:
            yield display

    return shown


def show_end(console: Console, outcome: Outcome, results: Results, *, before: tuple[str, ...] = ()) -> None:
    """Says how a run ended, what it took, where it lies and whether the same command goes on with it.

    Args:
        console: where to.
        outcome: of the run.
        results: where its directory lies.
        before: lines of the kind's own, after whether the run was finished before.
    """
    from pwm_bench.text import duration

    record = outcome.record
    path = results.run(record.study, record.id).path
    lines = []
    if outcome.skipped:
        from pwm_bench.store.origin import differences

        other = differences(record.provenance)
        lines.append(f"Finished before{f', by other code or packages ({other})' if other else ''}; nothing to do.")
    lines += before
    if record.reason:
        lines.append(f"{record.status}: {record.reason}")
    if record.status in ("failed", "oom"):
        lines.append(f"traceback: {path / 'traceback.txt'}")
    times = record.clocks
    lines.append(
        f"time: train {duration(times.train)}, compile {duration(times.compile)}, evaluate {duration(times.evaluate)}, "
        f"set up {duration(times.setup)}, save {duration(times.save)}"
    )
    lines.append(f"run: {path}")
    if record.status == "interrupted":
        lines.append("go on with the same command")
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)
