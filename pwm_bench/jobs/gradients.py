"""Runs about gradients: comparisons of estimators, and the problems that are none. They leave ``gradients.parquet``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import envs
from pwm_bench.gradients.keeping import Ledger, ProblemSpec
from pwm_bench.gradients.measure import Measurement, Tell
from pwm_bench.gradients.rows import FILE, write_table
from pwm_bench.gradients.spec import Comparison
from pwm_bench.gradients.starts import ModelTraining
from pwm_bench.gradients.study import agreement
from pwm_bench.runs.outcome import Outcome
from pwm_bench.runs.whole import Books, execute_whole
from pwm_bench.store.files import finite_or_none
from pwm_bench.store.results import Results

__all__ = ["compare_gradients", "study_problem"]

_COMPILE = "compile"  # the phase that has a clock of its own


def compare_gradients(
    comparison: Comparison,
    results: Results,
    *,
    setting: Mapping[str, Any] | None = None,
    tell: Tell | None = None,
) -> Outcome:
    """Compares estimators, unless that is done.

    Args:
        comparison: what.
        results: where.
        setting: what distinguishes this comparison from the others of its study.
        tell: told of progress; the phase's name begins with the simulator's.

    Raises:
        UsageError: a world model can't be had, or the simulator refuses the task.
    """
    device = envs.resolve_device(comparison.device, *comparison.simulators)
    placed = comparison.replace(device=str(device))

    def work(books: Books) -> None:
        measurements: list[Measurement] = []
        start = value = None
        for simulator in placed.simulators:
            measurement = Measurement(placed, simulator, start, value, _prefixed(tell, simulator))
            measurement.run()
            start = measurement.start
            if not isinstance(placed.model, ModelTraining):  # else the next has latents of its own
                value = measurement.value
            measurements.append(measurement)
        rows = [row for m in measurements for row in m.rows] + agreement(placed, measurements)
        books.record.details |= {
            "models": {m.simulator: finite_or_none(m.model.description) for m in measurements if m.model is not None},
            "values": {m.simulator: finite_or_none(m.value.description) for m in measurements if m.value is not None},
        }
        _close(books, rows, {m.simulator: m.clocks for m in measurements})

    details = {"setting": dict(setting or {})}
    return execute_whole(placed, results, work, device=device, precision=placed.precision, details=details)


def study_problem(
    spec: ProblemSpec, results: Results, measure: Callable[[Ledger], None], *, tell: Tell | None = None
) -> Outcome:
    """Studies a problem, unless that is done.

    Args:
        spec: of the study.
        results: where.
        measure: fills the ledger.
        tell: told of progress.

    Raises:
        UsageError: what the study says of bad input; or there is no such device.
    """
    device = envs.resolve_device(spec.device, *spec.computing_simulators)

    def work(books: Books) -> None:
        ledger = Ledger(tell) if tell is not None else Ledger()
        measure(ledger)
        books.record.details["models"] = finite_or_none(ledger.models)
        _close(books, ledger.rows, {spec.kind: ledger.clocks})

    return execute_whole(spec, results, work, device=device, precision="float64", details={"setting": {}})


def _close(books: Books, rows: list[dict[str, Any]], clocks: Mapping[str, Mapping[str, float]]) -> None:
    """Writes the rows, and where the time went."""
    write_table(books.directory.path / FILE, rows)
    books.artifact("gradients", FILE)
    compiling = sum(phases.get(_COMPILE, 0.0) for phases in clocks.values())
    books.clocks.move(compiling, origin="train", target="compile")
    books.record.details["phases"] = {
        simulator: {name: round(seconds, 3) for name, seconds in phases.items()} for simulator, phases in clocks.items()
    }


def _prefixed(tell: Tell | None, simulator: str) -> Tell:
    if tell is None:
        return lambda phase, done, total: None
    return lambda phase, done, total: tell(f"{simulator} · {phase}", done, total)
