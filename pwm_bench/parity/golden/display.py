"""A comparison with a recorded file as tables."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from pwm_bench.parity.display import heading, mark, small, table
from pwm_bench.parity.golden.record import Check, GoldenRecord
from pwm_bench.text import MISSING

__all__ = ["tables"]

_NOT_JUDGED = Text("not judged", style="dim")
_SHOWN_MISFITS = 3
_SHOWN_STEPS = (1, 2, 5, 10, 20, 50, 100)


def tables(record: GoldenRecord) -> Iterator[RenderableType]:
    """The record's parts: headings, tables, and every misfit in words."""
    yield heading(f"{record.task} in Warp against {record.simulator}")
    judged = max((check.compared for check in record.checks if check.run == "trajectory"), default=0)
    size = f"{record.worlds} worlds, {record.control_steps} control steps"
    yield Text(f"{record.file}: {size}; simulated: the first {judged}", style="dim")
    yield from _constants(record)
    yield from _checks(record)
    yield from _over_time(record)
    for check in record.checks:
        if not check.agrees:
            yield Text(f"- {_title(check)}: {check.words}", style="red")
    for name in record.absent:
        yield Text(f"not in the file, so not compared: {name}", style="yellow")


def _constants(record: GoldenRecord) -> Iterator[RenderableType]:
    yield Text()
    compared = sum(group.compared for group in record.constants)
    misfits = [group for group in record.constants if not group.agrees]
    if not misfits:
        yield Text(f"Constants: {compared} compared ({len(record.constants)} quantities), all equal", style="green")
        return
    wrong = sum(len(group.misfits) for group in misfits)
    yield Text(f"Constants: {compared} compared, {wrong} differ", style="red")
    for group in misfits:
        for words in group.misfits[:_SHOWN_MISFITS]:
            yield Text(f"- {words}")
        if len(group.misfits) > _SHOWN_MISFITS:
            yield Text(f"- {group.quantity}: {len(group.misfits) - _SHOWN_MISFITS} more", style="dim")


def _checks(record: GoldenRecord) -> Iterator[RenderableType]:
    yield Text()
    rows = table("what", "error", "allowed", "fraction", "")
    for check in record.checks:
        verdict = _NOT_JUDGED if check.tolerance is None else mark(check.agrees, check.tolerance, show=False)
        error = "not finite" if check.error is None else small(check.error)
        fraction = MISSING if check.fraction is None else f"{check.fraction:.2g}"
        rows.add_row(_title(check), error, small(check.tolerance), fraction, verdict)
    yield rows


def _over_time(record: GoldenRecord) -> Iterator[RenderableType]:
    moving = [check for check in record.checks if check.run == "trajectory"]
    if not moving:
        return
    steps = [k for k in _SHOWN_STEPS if k <= max(check.compared for check in moving)]
    yield heading("Largest error after k control steps of the trajectory")
    rows = table("", *(f"k = {k}" for k in steps))
    for check in moving:
        rows.add_row(f"{check.name}, {check.precision}", *(_at(check, k) for k in steps))
    yield rows


def _title(check: Check) -> str:
    return f"{check.name}, {check.run}, {check.precision}"


def _at(check: Check, step: int) -> str:
    return small(check.over_time[step - 1]) if step <= len(check.over_time) else MISSING
