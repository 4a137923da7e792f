"""Puts the page together."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from pwm_bench.analysis.report.comparisons import Comparisons, records_of
from pwm_bench.analysis.report.curves import curve_data
from pwm_bench.analysis.report.markup import Markup, command, escape, fill, joined, script_json, tag
from pwm_bench.analysis.report.media import Media, gradients_section
from pwm_bench.analysis.report.runs import at, failures_section, moment, named, runs_section, what
from pwm_bench.analysis.report.table import summary_section
from pwm_bench.analysis.scored import Match, bounds_of, normalise_frame, recorded, recorded_quantity
from pwm_bench.analysis.study_table import only_gradients
from pwm_bench.analysis.tables.scores import summarise
from pwm_bench.envs.errors import UsageError
from pwm_bench.store.frames import Loaded, members_frame, variant_labels
from pwm_bench.store.results import FINISHED, Results
from pwm_bench.store.schema import RunRecord
from pwm_bench.store.selection import Selection

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Options", "build"]

_OF_SCORES = ("match", "budget", "across_machines", "normalise", "threshold", "published", "gradients")
_SCRIPTS = ("format.js", "scale.js", "chart.js", "page.js")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the page shows; those before ``videos`` are those of `analysis.tables.scores.summarise`."""

    metric: str = "return"
    match: Match = "env_steps"
    budget: float | None = None
    across_machines: bool = False
    normalise: str = "none"
    threshold: float | None = None
    published: str | None = None
    videos: Sequence[Path] = ()
    """Files beside those found in run directories."""
    gradients: Sequence[str] = ()
    """Gradient studies; the one of the study's own name, if there is one, where empty."""
    megabytes: float = 20.0
    """Most that videos and figures may take [MB]."""


def build(results: Results, selection: Selection, options: Options, *, left_out: list[str] | None = None) -> str:
    """One or several studies as one HTML page. The same records give the same text.

    Args:
        results: the results folder.
        selection: which studies, and what of them.
        options: what the page shows.
        left_out: takes a message for each run that is not in the page, which says so too.

    Raises:
        UsageError: no such study, an impossible option, or a file that cannot be read.
    """
    if not options.megabytes >= 0:
        raise UsageError(f"--megabytes {options.megabytes}: must not be negative")
    loaded, study = selection.load(results), selection.title
    media = Media(int(options.megabytes * 1e6))
    given = media.given(options.videos)
    records, damaged = records_of(loaded)
    labelled = zip(loaded.runs, variant_labels(loaded.runs), strict=True)
    variants = {(run.record.study, run.record.id): label for run, label in labelled}
    if only_gradients(loaded):
        _refuse_options_of_scores(options, study)
        comparisons = Comparisons(results, selection, loaded)
        damaged += comparisons.left_out
        data: dict[str, Any] = {"panels": []}
        first = [
            ("summary", "Tables", comparisons.tables(None if options.metric == Options.metric else options.metric)),
            ("figures", "Figures", comparisons.figures(media)),
        ]
    else:
        summary = summarise(
            loaded, study=study, metric=options.metric, match=options.match, budget=options.budget,
            across_machines=options.across_machines, normalise=options.normalise, threshold=options.threshold,
            pairs=True, published=options.published,
        )  # fmt: skip
        wanted = options.gradients or selection.studies
        gradients = gradients_section(results, wanted, media, required=bool(options.gradients))
        for run in loaded.runs:
            given += media.beside(run.path, what(run.record, variants))
        data = _curves(loaded, options)
        data["command"] = f"pwm-bench plot {named(selection)} --kind curves{at(results)}"
        data["normalise"] = {"metric": options.metric, "name": options.normalise}
        first = [
            ("summary", "Summary", summary_section(summary, _table_command(results, selection, options))),
            ("curves", "Learning curves", _charts() if data["panels"] else _nothing()),
            ("gradients", "Gradients", gradients),
        ]
    if left_out is not None:
        left_out += damaged
    failures = failures_section(records, damaged, results, variants)
    sections = [
        *first,
        ("videos", "Videos", tag("div", *given, class_="gallery") if given else ""),
        ("failures", "Failures and unfinished runs", failures or tag("p", "None: every run and seed ended well.")),
        ("runs", "Runs", joined((_left_out(media), runs_section(records, results, variants)))),
    ]
    shown = [(name, title, content) for name, title, content in sections if content]
    script = "\n".join(_asset(name) for name in _SCRIPTS)
    return fill(
        _asset("page.html"),
        {
            "title": escape(f"{study} · pwm-bench report"),
            "heading": escape(study),
            "policy": _policy(script),
            "style": _asset("page.css"),
            "subtitle": _subtitle(records, damaged),
            "contents": joined(
                tag("li", tag("a", title.partition(" and ")[0], href=f"#{name}")) for name, title, _ in shown
            ),
            "sections": joined(
                tag("section", tag("h2", title, id=f"{name}-title"), content, id=name, aria_labelledby=f"{name}-title")
                for name, title, content in shown
            ),
            "command": command(_report_command(results, selection, options)),
            "data": script_json(data),
            "script": script,
        },
    )


def _refuse_options_of_scores(options: Options, study: str) -> None:
    """Makes sure that no option that is about scores was given, where there are none."""
    for name in _OF_SCORES:
        if getattr(options, name) != getattr(Options, name):
            raise UsageError(
                f"--{name.replace('_', '-')}: is about scores, and study '{study}' has comparisons of gradients alone; "
                "leave it out"
            )


def _curves(loaded: Loaded, options: Options) -> dict[str, Any]:
    """Curves of all metrics; the chosen one comes first and is normalised as the table's."""
    from pwm_bench.analysis.plots.frames import score_name

    known = {name for run in loaded.runs for name in run.curves.metrics}
    metrics = [options.metric, *sorted(known - {options.metric}, key=lambda name: (name != "return", name))]
    scores: dict[str, pd.DataFrame] = {}
    names: dict[str, str] = {}
    bounds: dict[str, tuple[float, float]] = {}
    for metric in metrics:
        normalised = options.normalise if metric == options.metric else "none"
        frame, _ = recorded(members_frame(loaded.runs, metric=metric), metric)
        scores[metric], _ = normalise_frame(frame, normalised)
        names[metric] = score_name(metric, normalised)
        bounds[metric] = bounds_of(recorded_quantity(frame, metric), normalised)
    if scores[options.metric].empty:
        return {"panels": []}
    return curve_data(scores, names, bounds)


def _charts() -> Markup:
    from pwm_bench.analysis.plots.frames import AVERAGE

    return Markup(fill(_asset("curves.html"), {"average": escape(AVERAGE)}))


def _nothing() -> Markup:
    return tag("p", "No run has finished yet.")


def _left_out(media: Media) -> Markup:
    if not media.left_out:
        return Markup("")
    return tag("p", f"Too large to be taken in, see --megabytes: {', '.join(media.left_out)}.", class_="notes")


def _subtitle(records: Sequence[RunRecord], damaged: Sequence[str]) -> Markup:
    done = sum(record.status in FINISHED for record in records)
    members = [member for record in records for member in record.members]
    kind = "policy" if any(member.task for member in members) else "seed"
    last = max((record.updated_at for record in records), default="")
    parts = [", ".join([_number(len(records), "run"), *([_number(len(members), kind)] if members else [])])]
    parts += [f"{done} finished" if done < len(records) else "all finished"]
    parts += [f"{len(damaged)} damaged"] if damaged else []
    parts += [f"last record {moment(last)}"] if last else []
    return escape(" · ".join(parts))


def _table_command(results: Results, selection: Selection, options: Options) -> str:
    return f"pwm-bench table {named(selection)}{_flags(options)} --pairs --trace{at(results)}"


def _report_command(results: Results, selection: Selection, options: Options) -> str:
    more = "".join(f" --videos {quote(str(path))}" for path in options.videos)
    more += f" --gradients {quote(','.join(options.gradients))}" if options.gradients else ""
    more += f" --megabytes {options.megabytes:g}" if options.megabytes != Options.megabytes else ""
    return f"pwm-bench report {named(selection)}{_flags(options)}{more}{at(results)}"


def _flags(options: Options) -> str:
    flags = [
        f" --{name} {quote(str(getattr(options, name)))}"
        for name in ("metric", "match", "normalise")
        if getattr(options, name) != getattr(Options, name)
    ]
    flags += [f" --budget {options.budget:.15g}"] if options.budget is not None else []
    flags += [" --across-machines"] if options.across_machines else []
    flags += [f" --threshold {options.threshold:g}"] if options.threshold is not None else []
    flags += [f" --published {quote(options.published)}"] if options.published is not None else []
    return "".join(flags)


def _policy(script: str) -> str:
    """Content security policy: the page loads nothing, and runs its own script alone, whatever a record says."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    sources = "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; media-src data:"
    return f"{sources}; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def _asset(name: str) -> Markup:
    return Markup((resources.files("pwm_bench.analysis.report") / "assets" / name).read_text(encoding="utf-8"))


def _number(count: int, thing: str) -> str:
    return f"{count} {thing if count == 1 else thing.removesuffix('y') + 'ies' if thing.endswith('y') else thing + 's'}"
