"""A parity record as tables."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from pwm_bench.parity.schema import ParityRecord
from pwm_bench.text import MISSING, duration, number

__all__ = ["heading", "mark", "small", "table", "tables"]


def tables(record: ParityRecord) -> Iterator[RenderableType]:
    """The record's parts: headings, tables and remarks."""
    yield from _simulators(record)
    yield from _agreement(record)
    yield from _returns(record)
    if record.contact:
        yield from _contact(record)
    if record.gradients:
        yield from _gradients(record)


def heading(text: str) -> Text:
    """The line above a table."""
    return Text(text, style="bold")


def table(*columns: str, left: int = 1) -> Table:
    """A table whose first ``left`` columns are words and whose others are numbers."""
    rows = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for index, column in enumerate(columns):
        rows.add_column(column, justify="left" if index < left else "right")
    return rows


def _simulators(record: ParityRecord) -> Iterator[RenderableType]:
    yield heading(f"{record.task} in its simulators")
    rows = table("simulator", "contact", "obs", "act", "dt", "substeps", "compile", left=2)
    for facts in record.simulators:
        if facts.refused is not None:
            rows.add_row(facts.simulator, Text(f"refused: {facts.refused}", style="yellow"))
            continue
        assert facts.control_dt is not None
        rows.add_row(
            facts.simulator,
            facts.contact,
            str(facts.observation_dim),
            str(facts.action_dim),
            f"{1000 * facts.control_dt:.2f} ms",
            str(facts.substeps),
            duration(facts.compile_seconds),
        )
    yield rows


def _agreement(record: ParityRecord) -> Iterator[RenderableType]:
    yield heading(f"What must agree with {record.reference}: largest differences")
    rows = table("simulator", "what", "compared", "position", "velocity", "", left=2)
    for reset in record.reset:
        starts = f"{2 * record.worlds} starts"
        rows.add_row(reset.simulator, "reset", starts, small(reset.difference), "", mark(reset.agrees))
    for air in record.air:
        compared = f"{air.compared} states"
        verdict = mark(air.agrees, air.tolerance)
        rows.add_row(air.simulator, "in the air", compared, small(air.position), small(air.velocity), verdict)
    yield rows


def _returns(record: ParityRecord) -> Iterator[RenderableType]:
    yield heading("Returns of policies that learned nothing")
    rows = table("policy", "simulator", "mean", "95 % interval", "length", "episodes", left=2)
    for row in record.returns:
        interval = MISSING if row.low is None else f"{number(row.low)} to {number(row.high)}"
        broken = f" ({row.invalid} invalid)" if row.invalid else ""
        rows.add_row(
            row.policy, row.simulator, number(row.mean), interval, f"{row.length:.0f}", f"{row.episodes}{broken}"
        )
    yield rows


def _contact(record: ParityRecord) -> Iterator[RenderableType]:
    points = record.contact[0].points
    yield heading(f"Distance from {record.reference} after k control steps: rms of positions, median over worlds")
    rows = table("simulator", *(f"k = {point.steps}" for point in points))
    for contact in record.contact:
        rows.add_row(contact.simulator, *(small(point.position) for point in contact.points))
    shares = (Text(f"{100 * point.touching:.0f} %", style="dim") for point in points)
    rows.add_row(Text("worlds touched", style="dim"), *shares)
    yield rows
    for contact in record.contact:
        before = f"before the first contact or limit at most {small(contact.before)}"
        yield Text(f"{contact.simulator}: {contact.reason}; {before}", style="dim")
    yield Text()


def _gradients(record: ParityRecord) -> Iterator[RenderableType]:
    horizons = [point.horizon for point in record.gradients[0].norms]
    yield heading("Gradient of the return with respect to the actions, against the horizon: median over worlds")
    rows = table("", *(f"H = {h}" for h in horizons))
    for row in record.gradients:
        rows.add_row(f"norm, {row.simulator}", *(_scientific(point.median) for point in row.norms))
    pairs = dict.fromkeys((angle.first, angle.second) for angle in record.angles)
    for first, second in pairs:
        cosines = [a.cosine for a in record.angles if (a.first, a.second) == (first, second)]
        rows.add_row(f"cosine, {first} and {second}", *(MISSING if c is None else f"{c:.3f}" for c in cosines))
    yield rows


def mark(agrees: bool, tolerance: float = 0.0, *, show: bool = True) -> Text:
    """A verdict in a word and a colour, with the tolerance if there is one and it is to be shown."""
    words = ("within", "beyond") if tolerance else ("equal", "differs")
    bound = f" {tolerance:.0e}" if tolerance and show else ""
    return Text(words[0] + bound, style="green") if agrees else Text(words[1] + bound, style="red")


def small(value: float | None) -> str:
    """A difference with two digits."""
    return MISSING if value is None else "0" if value == 0 else f"{value:.1e}" if value < 0.01 else f"{value:.3f}"


def _scientific(value: float | None) -> str:
    return MISSING if value is None else number(value) if value < 1e4 else f"{value:.1e}"
