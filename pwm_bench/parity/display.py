"""A parity record as tables."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from pwm_bench.parity.schema import ParityRecord
from pwm_bench.text import MISSING, duration, number

__all__ = ["tables"]


def tables(record: ParityRecord) -> Iterator[RenderableType]:
    """The record's parts: headings, tables and remarks."""
    yield from _simulators(record)
    yield from _agreement(record)
    yield from _returns(record)
    if record.contact:
        yield from _contact(record)
    if record.gradients:
        yield from _gradients(record)


def _heading(text: str) -> Text:
    return Text(text, style="bold")


def _table(*columns: str, left: int = 1) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < left else "right")
    return table


def _simulators(record: ParityRecord) -> Iterator[RenderableType]:
    yield _heading(f"{record.task} in its simulators")
    table = _table("simulator", "contact", "obs", "act", "dt", "substeps", "compile", left=2)
    for facts in record.simulators:
        if facts.refused is not None:
            table.add_row(facts.simulator, Text(f"refused: {facts.refused}", style="yellow"))
            continue
        assert facts.control_dt is not None
        table.add_row(
            facts.simulator,
            facts.contact,
            str(facts.observation_dim),
            str(facts.action_dim),
            f"{1000 * facts.control_dt:.2f} ms",
            str(facts.substeps),
            duration(facts.compile_seconds),
        )
    yield table


def _agreement(record: ParityRecord) -> Iterator[RenderableType]:
    yield _heading(f"What must agree with {record.reference}: largest differences")
    table = _table("simulator", "what", "compared", "position", "velocity", "", left=2)
    for reset in record.reset:
        starts = f"{2 * record.worlds} starts"
        table.add_row(reset.simulator, "reset", starts, _small(reset.difference), "", _mark(reset.agrees))
    for air in record.air:
        compared = f"{air.compared} states"
        mark = _mark(air.agrees, air.tolerance)
        table.add_row(air.simulator, "in the air", compared, _small(air.position), _small(air.velocity), mark)
    yield table


def _returns(record: ParityRecord) -> Iterator[RenderableType]:
    yield _heading("Returns of policies that learned nothing")
    table = _table("policy", "simulator", "mean", "95 % interval", "length", "episodes", left=2)
    for row in record.returns:
        interval = MISSING if row.low is None else f"{number(row.low)} to {number(row.high)}"
        broken = f" ({row.invalid} invalid)" if row.invalid else ""
        table.add_row(
            row.policy, row.simulator, number(row.mean), interval, f"{row.length:.0f}", f"{row.episodes}{broken}"
        )
    yield table


def _contact(record: ParityRecord) -> Iterator[RenderableType]:
    points = record.contact[0].points
    yield _heading(f"Distance from {record.reference} after k control steps: rms of positions, median over worlds")
    table = _table("simulator", *(f"k = {point.steps}" for point in points))
    for contact in record.contact:
        table.add_row(contact.simulator, *(_small(point.position) for point in contact.points))
    shares = (Text(f"{100 * point.touching:.0f} %", style="dim") for point in points)
    table.add_row(Text("worlds touched", style="dim"), *shares)
    yield table
    for contact in record.contact:
        before = f"before the first contact or limit at most {_small(contact.before)}"
        yield Text(f"{contact.simulator}: {contact.reason}; {before}", style="dim")
    yield Text()


def _gradients(record: ParityRecord) -> Iterator[RenderableType]:
    horizons = [point.horizon for point in record.gradients[0].norms]
    yield _heading("Gradient of the return with respect to the actions, against the horizon: median over worlds")
    table = _table("", *(f"H = {h}" for h in horizons))
    for row in record.gradients:
        table.add_row(f"norm, {row.simulator}", *(_scientific(point.median) for point in row.norms))
    pairs = dict.fromkeys((angle.first, angle.second) for angle in record.angles)
    for first, second in pairs:
        cosines = [a.cosine for a in record.angles if (a.first, a.second) == (first, second)]
        table.add_row(f"cosine, {first} and {second}", *(MISSING if c is None else f"{c:.3f}" for c in cosines))
    yield table


def _mark(agrees: bool, tolerance: float = 0.0) -> Text:
    words = ("within", "beyond") if tolerance else ("equal", "differs")
    bound = f" {tolerance:.0e}" if tolerance else ""
    return Text(words[0] + bound, style="green") if agrees else Text(words[1] + bound, style="red")


def _small(value: float | None) -> str:
    return MISSING if value is None else "0" if value == 0 else f"{value:.1e}" if value < 0.01 else f"{value:.3f}"


def _scientific(value: float | None) -> str:
    return MISSING if value is None else number(value) if value < 1e4 else f"{value:.1e}"
