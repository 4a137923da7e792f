"""Summary tables: one row per task, simulator and algorithm, every number traceable to its runs.

Published numbers ride along in a list of their own and enter nothing that is computed here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pwm_bench.analysis.budgets import Place
from pwm_bench.analysis.naming import IDS, Names
from pwm_bench.analysis.overall import Overall, overall
from pwm_bench.analysis.published import Published
from pwm_bench.analysis.rows import Row, make_rows
from pwm_bench.analysis.scored import Match, read_scores
from pwm_bench.analysis.tables.beside import published_beside, published_notes
from pwm_bench.analysis.tables.notes import difference_note, gradient_warnings, overall_note, table_notes
from pwm_bench.store.frames import Loaded

__all__ = ["Row", "Summary", "summarise"]


Annotations = tuple[tuple[str, ...], tuple[str, ...]]
"""Notes and warnings."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """A study's table.

    Attributes:
        rows: sorted by task, simulator and score.
        notes: what a reader must know: statistic, matching, devices, damaged runs.
        overall: aggregates over tasks, where scores are normalised and an algorithm has more than one task.
        published: (task, simulator) -> published numbers on the task, at our budget and in the table's units.
        threshold: what ``steps_to_threshold`` is about.
        match: unit of the budgets, or ``"none"``.
    """

    study: str
    metric: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    overall: tuple[Overall, ...] = ()
    published: Mapping[Place, tuple[Published, ...]] = field(default_factory=dict)
    normalised: str = "none"
    threshold: float | None = None
    match: Match = "env_steps"
    warnings: tuple[str, ...] = ()
    """What makes numbers doubtful: gradients that have failed their check."""
    pairs: bool = False
    """Whether how probable an improvement is stands below, for each pair of algorithms."""
    base: str | None = None
    """The row that the others are compared with, by its name."""
    annotate: Callable[[Names], Annotations] = field(repr=False, compare=False)
    """Notes and warnings with other names of algorithms, tasks and settings."""


def summarise(
    loaded: Loaded,
    *,
    study: str,
    metric: str = "return",
    match: Match = "env_steps",
    budget: float | None = None,
    across_machines: bool = False,
    pairs: bool = False,
    base: str | None = None,
    normalise: str = "none",
    threshold: float | None = None,
    published: str | None = None,
) -> Summary:
    """Makes a study's summary.

    Args:
        loaded: the study's runs.
        study: its name.
        metric: see `read_scores`.
        match: see there.
        budget: see there.
        across_machines: see there.
        pairs: also show how probable it is for each pair of algorithms that the first scores above the second.
        base: also show the difference to this algorithm, such as ``"shac"`` or ``"pwm (five models)"``.
        normalise: see `read_scores`.
        threshold: score whose first reaching is timed, in the units of the table.
        published: also give published numbers of each task, at the budget where there is one: one of
            `published.CHOICES`.

    Raises:
        UsageError: unknown metric, match or normalisation, a normalisation that knows none of the tasks, a budget
            without a unit, a base that is no row, processor seconds that do not compare, or a study whose runs have no
            scores.
    """
    loaded.check_scored(study)
    scores = read_scores(
        loaded, metric=metric, match=match, budget=budget, across_machines=across_machines, normalise=normalise
    )
    frame, unit = scores.frame, scores.budgets.unit
    rows = [] if frame.empty else make_rows(frame, unit=unit, threshold=threshold, bounds=scores.bounds, base=base)
    over_tasks = overall(rows, scores.bounds) if normalise != "none" or scores.known.share else ()
    theirs = None
    if published is not None:
        steps = {place: found if match == "env_steps" else None for place, found in scores.budgets.places.items()}
        theirs = published_beside(loaded, steps, metric=metric, scales=scores.scales, choice=published)

    def annotate(names: Names) -> Annotations:
        notes = table_notes(rows, loaded, metric, scores, threshold, names)
        notes += (overall_note(over_tasks),) if over_tasks else ()
        notes += scores.machines
        notes += (difference_note(names.row(base)),) if base is not None else ()
        notes += published_notes(theirs, names) if theirs else ()
        return notes, gradient_warnings(loaded, names)

    notes, warnings = annotate(IDS)
    return Summary(
        study=study,
        metric=metric,
        rows=tuple(rows),
        notes=notes,
        overall=over_tasks,
        published=theirs.rows if theirs else {},
        normalised=normalise,
        threshold=threshold,
        match=match,
        warnings=warnings,
        pairs=pairs,
        base=base,
        annotate=annotate,
    )
