"""What is known about each run: how it ended, where and with what it was made, and the command that makes it again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from pwm_bench.analysis.report.markup import Markup, command, joined, tag
from pwm_bench.analysis.report.table import run_link
from pwm_bench.store.files import own_file
from pwm_bench.store.results import Results
from pwm_bench.store.schema import Provenance, RunRecord
from pwm_bench.store.selection import Selection
from pwm_bench.text import count, duration, number, with_variant

__all__ = ["Variants", "at", "failures_section", "moment", "named", "runs_section", "what"]

_MOST_CONFIGS = 300  # beyond it the page would be mostly configs; each run's spec.json has them
_TRACEBACK_LINES = 12
_UNSAID = {"running": "a process is at it", "killed": "its process was killed; the next sweep goes on with it"}


Variants = Mapping[tuple[str, str], str]
"""Study and id of a run -> what sets it apart from others of its algorithm."""


def failures_section(
    records: Sequence[RunRecord], damaged: Sequence[str], results: Results, variants: Variants
) -> Markup:
    """Everything that did not end well or has not ended, and why; empty where all is well."""
    rows = []
    for record in records:
        diverged = [member for member in record.members if member.status == "diverged"]
        if record.status == "ok" and not diverged:
            continue
        seeds = ", ".join(f"{m.seed} at {count(m.diverged_at)} steps" for m in diverged)
        reason = [tag("div", record.reason or _UNSAID.get(record.status, "no reason recorded"))]
        reason += [tag("div", f"diverged: seed {seeds}", class_="detail")] if seeds else []
        trace = _traceback(results.run(record.study, record.id).traceback)
        reason += [tag("details", tag("summary", "traceback"), tag("pre", trace))] if trace else []
        rows.append(
            tag(
                "tr",
                tag("th", run_link(record.id), scope="row", class_="left"),
                tag("td", what(record, variants), class_="left"),
                tag("td", record.status, class_="left warn" if record.status != "ok" else "left"),
                tag("td", f"{count(record.counts.env_steps)} of {count(record.spec.get('env_steps'))}"),
                tag("td", *reason, class_="left wide"),
            )
        )
    parts: list[Markup] = []
    if rows:
        head = (("run", "left"), ("what", "left"), ("status", "left"), ("steps", "right"), ("reason", "left"))
        cells = (tag("th", text, scope="col", class_=side) for text, side in head)
        table = tag("table", tag("thead", tag("tr", *cells)), tag("tbody", *rows))
        parts.append(tag("div", table, class_="scroll", tabindex=0, role="region", aria_label="Failures"))
    if damaged:
        parts.append(tag("p", f"Could not be read and left out of everything here ({len(damaged)}):"))
        parts.append(tag("ul", *(tag("li", message) for message in damaged), class_="notes"))
    return joined(parts)


def runs_section(records: Sequence[RunRecord], results: Results, variants: Variants) -> Markup:
    """An entry for each run, closed until it is wanted."""
    with_config = len(records) <= _MOST_CONFIGS
    ordered = sorted(records, key=lambda record: (what(record, variants), record.spec.get("seeds", ()), record.id))
    return joined(_entry(record, results, variants, with_config) for record in ordered)


def _entry(record: RunRecord, results: Results, variants: Variants, with_config: bool) -> Markup:
    directory = results.run(record.study, record.id)
    seeds = [member.seed for member in record.members]
    population = f"{'seeds' if len(seeds) > 1 else 'seed'} {_ranges(seeds)}" if seeds else ""
    title = tag(
        "summary",
        tag("span", what(record, variants), class_="what"),
        tag("span", population, class_="detail"),
        tag("span", record.status, class_="status" if record.status == "ok" else "status warn"),
        tag("code", record.id),
    )
    facts = tag("dl", *(joined((tag("dt", name), tag("dd", value))) for name, value in _facts(record)))
    commands = [("Look at it", f"pwm-bench results show {quote(record.id)}{at(results)}")]
    if directory.spec_file.exists():
        commands.append(("Run it again", f"pwm-bench run {_quoted(directory.spec_file)} --results elsewhere"))
    if record.members and directory.checkpoint.exists():
        commands.append(("Render it", f"pwm-bench render {quote(record.id)} --out {quote(record.id)}.mp4{at(results)}"))
    made = tag("dl", *(joined((tag("dt", name), tag("dd", command(text)))) for name, text in commands))
    content = [_members(record)] if record.members else []
    content += [facts, made]
    if with_config:
        config = json.dumps({k: v for k, v in record.spec.items() if k != "study"}, indent=1)
        content.append(tag("details", tag("summary", "spec"), tag("pre", config)))
    return tag("details", title, *content, id=f"run-{record.id}", class_="entry")


def _members(record: RunRecord) -> Markup:
    head = tag("tr", *(tag("th", text, scope="col") for text in ("seed", "untrained", "final return", "status")))
    rows = (
        tag(
            "tr",
            tag("th", member.seed, scope="row"),
            tag("td", number(member.untrained_return)),
            tag("td", number(member.final_return)),
            tag("td", member.status, class_="warn" if member.status != "ok" else None),
        )
        for member in record.members
    )
    return tag("div", tag("table", tag("thead", head), tag("tbody", *rows)), class_="scroll")


def _facts(record: RunRecord) -> list[tuple[str, str]]:
    clocks = {name: getattr(record.clocks, name) for name in type(record.clocks).model_fields}
    counts = record.counts
    memory = f"{record.memory.resident / 2**30:.2f} GiB" + (
        f", GPU {record.memory.gpu / 2**30:.2f} GiB" if record.memory.gpu is not None else ""
    )
    facts = [
        ("reason", record.reason or ""),
        ("gradient from", record.gradient_source or ""),
        ("per seed" if record.members else "counts",
         f"{counts.env_steps:,} environment steps, {counts.gradient_steps:,} gradient steps, "
         f"{counts.imagined_steps:,} imagined steps, {counts.iterations:,} iterations"),
        ("clocks", ", ".join(f"{name} {duration(value)}" for name, value in clocks.items() if value >= 0.05)),
        ("peak memory", memory if record.memory.resident else ""),
        ("started", f"{moment(record.started_at)}, last written {moment(record.updated_at)}"),
        ("attempts", str(record.attempts) if record.attempts > 1 else ""),
        ("task hash", record.task_hash or ""),
    ]  # fmt: skip
    if record.gradient_check is not None:
        check = record.gradient_check
        facts.append(
            ("gradient check", (f"! wrong, above the limit of {check.limit:.0e}: " if check.failed else "") +
                               f"relative error {check.relative_error:.1e}, cosine {check.cosine:.6f}"
                               f"{f' (of the {check.of})' if check.of else ''} over "
                               f"{check.horizon} steps in {check.worlds} worlds ({check.precision})")
        )  # fmt: skip
    facts += _provenance(record.provenance) if record.provenance else []
    return [(name, value) for name, value in facts if value]


def _provenance(made: Provenance) -> list[tuple[str, str]]:
    commit = made.git_commit or "not in a repository"
    return [
        ("commit", f"{commit} with uncommitted changes (hash {made.git_dirty})" if made.git_dirty else commit),
        ("device", f"{made.device}, {made.precision}" + (f", driver {made.driver}" if made.driver else "")),
        ("processor", f"{made.processor}, {made.threads} thread{'s' if made.threads != 1 else ''}"),
        ("system", f"{made.platform}, Python {made.python}"),
        ("packages", ", ".join(f"{name} {version}" for name, version in made.packages.items())),
        ("earlier code", "; ".join(made.earlier)),
        ("earlier machines", "; ".join(made.earlier_machines)),
    ]


def what(record: RunRecord, variants: Variants) -> str:
    """Algorithm with its variant, or kind of work, then task and simulators."""
    spec: Mapping[str, Any] = record.spec
    simulators = spec.get("simulators") or [spec[name] for name in ("simulator",) if spec.get(name)]
    place = " in ".join(filter(None, (str(spec.get("task") or ""), ", ".join(simulators))))
    name = with_variant(str(spec.get("algorithm") or record.kind), variants.get((record.study, record.id), ""))
    return " · ".join(filter(None, (name, place)))


def _ranges(numbers: Sequence[int]) -> str:
    """``0–4, 9``."""
    parts: list[list[int]] = []
    for value in sorted(numbers):
        if parts and value == parts[-1][-1] + 1:
            parts[-1].append(value)
        else:
            parts.append([value])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}–{part[-1]}" for part in parts)


def _traceback(path: Path) -> str:
    if not own_file(path, path.parent):
        return ""
    try:
        lines = path.read_text(errors="replace").rstrip().splitlines()
    except OSError:
        return ""
    return "\n".join((["..."] if len(lines) > _TRACEBACK_LINES else []) + lines[-_TRACEBACK_LINES:])


def moment(text: str) -> str:
    """A record's time for people, to the minute."""
    return f"{text[:16].replace('T', ' ')} UTC" if text.endswith("+00:00") else text


def at(results: Results) -> str:
    """The flag that names the results folder, where it is not the default one."""
    return "" if results.root == Path("results") else f" --results {_quoted(results.root)}"


def named(selection: Selection) -> str:
    """What a command line says of the runs that are selected."""
    kinds = (("task", selection.tasks), ("simulator", selection.simulators), ("algorithm", selection.algorithms))
    narrowed = [word for kind, names in kinds if names for word in (f"--{kind}", *map(quote, names))]
    return " ".join((*map(quote, selection.studies), *narrowed))


def _quoted(path: Path) -> str:
    return quote(path.as_posix())
