"""Run records as data frames."""

from __future__ import annotations

import gc
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic_core import to_json

from pwm_bench.envs.errors import UsageError
from pwm_bench.store.curves import AXES, Curves
from pwm_bench.store.identity import NOT_HASHED
from pwm_bench.store.index import StudyIndex, fingerprint
from pwm_bench.store.reading import Found, read_all, read_run
from pwm_bench.store.results import Results, RunDirectory, no_record
from pwm_bench.store.schema import SCHEMA_VERSION, ClockTimes, RunRecord
from pwm_bench.store.seeds import check_seeds
from pwm_bench.text import setting

__all__ = ["Loaded", "LoadedRun", "load_study", "members_frame", "variant_labels"]

Array = NDArray[np.float64]
_NOT_OF_VARIANT = ("seeds", *NOT_HASHED)
_DIGITS = 8  # of an input's digest: they stand over columns


@dataclass(frozen=True, slots=True)
class LoadedRun:
    """One run as read from disk.

    Attributes:
        record: with the status it really has (a record left behind by a killed process says killed).
        curves: its evaluations.
        study: the folder that it lies in.
        path: its directory.
    """

    record: RunRecord
    curves: Curves
    study: str = ""
    path: Path = Path()

    @property
    def variant(self) -> dict[str, Any]:
        """The spec without what seeds of one experiment may differ in, with dotted names."""
        return _flatten(_of_variant(self.record.spec))


@dataclass(slots=True)
class Loaded:
    """A study as read from disk."""

    runs: list[LoadedRun] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    """One message for each run that could not be read; such runs are left out of every table, and said to be."""
    unscored: list[Path] = field(default_factory=list)
    """Directories of runs that have no population, such as comparisons of gradients: they have no scores."""

    def check_scored(self, study: str) -> None:
        """Makes sure that what was read has scores to show, or is at least no study without any.

        Args:
            study: how the error calls it.

        Raises:
            UsageError: all its runs are without a population.
        """
        if self.unscored and not self.runs and not self.damaged:
            raise UsageError(
                f"study '{study}': its runs have no seeds and no scores; for comparisons of gradients there are "
                f"`pwm-bench table {quote(study)}`, `pwm-bench plot {quote(study)}` and `pwm-bench results export "
                f"{quote(study)}`"
            )


def load_study(results: Results, study: str) -> Loaded:
    """Reads all runs of a study. Damaged ones are reported, not fatal.

    Raises:
        UsageError: there is no such study.
    """
    loaded = Loaded()
    with _without_collection():
        index = StudyIndex(results.study_path(study), schema=SCHEMA_VERSION)
        stamps = {run: fingerprint(*run.read_by_tables) for run in results.runs(study)}
        cached = {run: index.get(run.path.name, stamp) for run, stamp in stamps.items()}
        read = read_all([run for run, entry in cached.items() if entry is None])
        for run, entry in cached.items():
            try:
                found = _loaded(run, entry) if entry is not None else _fresh(run, next(read), stamps[run], index)
                if found is None:
                    loaded.unscored.append(run.path)
                else:
                    loaded.runs.append(LoadedRun(*found, study, run.path))
            except UsageError as error:
                loaded.damaged.append(str(error))
        loaded.damaged += map(no_record, results.lost(study))
        index.save()
    return loaded


def _loaded(run: RunDirectory, entry: Mapping[str, Any]) -> tuple[RunRecord, Curves] | None:
    if not entry:
        return None
    return _as_it_is(run, RunRecord.model_validate(entry["record"]), Curves.from_json(entry["curves"]))


def _fresh(run: RunDirectory, found: Found, stamp: list[int], index: StudyIndex) -> tuple[RunRecord, Curves] | None:
    if isinstance(found, str):
        raise UsageError(found)
    if found is None:
        index.put(run.path.name, stamp, {})
        return None
    values, curves = found
    record = run.validated(values)
    index.put(run.path.name, stamp, {"record": values, "curves": curves})
    return _as_it_is(run, record, Curves.from_json(curves))


def _as_it_is(run: RunDirectory, record: RunRecord, curves: Curves) -> tuple[RunRecord, Curves]:
    if record.status != "running" or run.busy:
        return record, curves
    found = read_run(run)  # it may have ended between the two looks
    if isinstance(found, str):
        raise UsageError(found)
    if found is not None:
        record, curves = run.validated(found[0]), Curves.from_json(found[1])
    if record.status == "running":
        record.status = "killed"
    return record, curves


@contextmanager
def _without_collection() -> Iterator[None]:
    """Switches garbage collection off while many objects are made that all stay: it takes longer than reading them."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            if not gc.get_freeze_count():  # nobody else's: straight to the oldest generation, where few look
                gc.freeze()
                gc.unfreeze()
            gc.enable()


def members_frame(runs: Iterable[LoadedRun], *, metric: str = "return") -> pd.DataFrame:
    """One row per run and member.

    Args:
        runs: as loaded.
        metric: ``"return"``, ``"length"``, or another quantity recorded with the evaluations.

    Returns:
        Columns: what ran (``run_id``, ``study``, ``task``, ``simulator``, ``algorithm``, ``variant``, ``gradient``,
        ``seed``), how it went (``status``, ``reason``, ``attempts``), where (``device``, ``machine`` with its threads,
        ``earlier_machines`` of a run that was resumed on another, whether it is a ``gpu``, ``calibration_seconds``),
        what its learning rates run over (``schedule_unit``, empty without a schedule, and ``schedule_length``), work
        per member (``env_steps``, ``gradient_steps``, ``policy_gradient_steps``, ``imagined_steps``), clocks of the
        whole run [s] (``setup_seconds`` ...), and the evaluation curve: ``curve_env_steps`` and the like for all of
        `curves.AXES`, and ``curve_value`` (mean over episodes; a diverged member's last finite one goes on), each an
        array, with ``untrained`` and ``final`` the ends of the last. Where a run trains nothing, as an evaluation of
        policies that are there, ``untrained`` is NaN.

    Raises:
        UsageError: the metric was not recorded by any run, or a seed is there twice.
    """
    runs = list(runs)
    known = sorted({"return", "length"} | {name for run in runs for name in run.curves.metrics})
    if metric not in known:
        raise UsageError(f"metric={metric}: not recorded in this study; choices: {', '.join(known)}")
    labels = variant_labels(runs)
    shared: list[dict[str, Any]] = []  # what the members of a run have in common
    whose: list[int] = []  # the run of each row
    own: dict[str, list[Any]] = {name: [] for name in ("task", "seed", "status", "curve_value", "untrained", "final")}
    for number, (run, label) in enumerate(zip(runs, labels, strict=True)):
        record, spec = run.record, run.record.spec
        shared.append(
            {
                "run_id": record.id,
                "study": run.study or record.study,
                "simulator": spec["simulator"],
                "algorithm": spec["algorithm"],
                "variant": label,
                "gradient": record.gradient_source or "",
                "reason": record.reason or "",
                "attempts": record.attempts,
                "device": record.provenance.device if record.provenance else "",
                **_machine(record),
                "schedule_unit": record.schedule.unit if record.schedule else "",
                "schedule_length": record.schedule.length if record.schedule else np.nan,
                "env_steps": record.counts.env_steps,
                "gradient_steps": record.counts.gradient_steps,
                "policy_gradient_steps": record.counts.policy_gradient_steps,
                "imagined_steps": record.counts.imagined_steps,
                **{f"{name}_seconds": getattr(record.clocks, name) for name in ClockTimes.model_fields},
                **{f"curve_{name}": run.curves.axis(name, metric) for name in AXES},
            }
        )
        for index, member in enumerate(record.members):
            diverged = member.status == "diverged"
            values = run.curves.values(metric, index)
            values = _last_finite(values) if diverged else values
            whose.append(number)
            own["task"].append(member.task or spec["task"])
            own["seed"].append(member.seed)
            own["status"].append("diverged" if diverged else record.status)
            own["curve_value"].append(values)
            own["untrained"].append(values[0] if values.size and member.untrained_return is not None else np.nan)
            own["final"].append(values[-1] if values.size else np.nan)
    names = list(shared[0]) if shared else []
    columns = {name: [shared[number][name] for number in whose] for name in names}
    frame = pd.DataFrame(columns | own if whose else {})
    check_seeds(frame, {f"{run.study or run.record.study}/{run.record.id}": run.path for run in runs})
    return frame


def _machine(record: RunRecord) -> dict[str, Any]:
    """What must be equal for processor seconds to compare."""
    origin = record.provenance
    if origin is None:
        return {"machine": "", "earlier_machines": "", "gpu": False, "calibration_seconds": np.nan}
    seconds = origin.calibration_seconds
    return {
        "machine": origin.machine,
        "earlier_machines": "; ".join(origin.earlier_machines),
        "gpu": origin.device != origin.processor,
        "calibration_seconds": np.nan if seconds is None else seconds,
    }


def _last_finite(values: Array) -> Array:
    """A curve in which a member that has become unusable has what it had before."""
    known = np.isfinite(values)
    if known.all():
        return values
    last = np.maximum.accumulate(np.where(known, np.arange(len(values)), -1))
    return np.where(last >= 0, values[last], np.nan)


def variant_labels(runs: list[LoadedRun]) -> list[str]:
    """What tells runs of the same task, simulator and algorithm apart: the name that somebody has given them, else the
    kind of work, where there are several, and the settings that differ from those of the others of this kind without a
    name, e.g. ``"gamma=0.95"``; mostly nothing."""
    keys = _without_seeds([run.record.spec for run in runs])
    variants = {key: run.variant for key, run in dict(zip(keys, runs, strict=True)).items()}  # few, of many runs
    kinds = {key: run.record.kind for key, run in zip(keys, runs, strict=True)}
    names: dict[str, set[str]] = {key: set() for key in variants}
    for key, run in zip(keys, runs, strict=True):
        if run.record.variant:
            names[key].add(run.record.variant.name)
    groups: dict[tuple[str, str, str], list[str]] = {}
    for key, variant in variants.items():
        groups.setdefault((variant["task"], variant["simulator"], variant["algorithm"]), []).append(key)
    labels: dict[str, str] = {}
    for members in groups.values():
        called = {key: min(names[key]) for key in members if len(names[key]) == 1}  # one that all its seeds agree on
        labels |= called
        of_kind: dict[str, list[str]] = {}
        for key in members:
            if key not in called:
                of_kind.setdefault(kinds[key], []).append(key)
        for kind, alike in of_kind.items():
            said = f"kind={kind}" if len(of_kind) > 1 else ""
            for key, settings in _settings_apart(variants, alike).items():
                labels[key] = ", ".join(filter(None, (said, settings)))
        times = Counter(labels[key] for key in members)
        for label in [label for label, several in times.items() if several > 1]:
            alike = [key for key in members if labels[key] == label]
            for key, settings in _settings_apart(variants, alike, brief=False).items():
                labels[key] = ", ".join(filter(None, (called.get(key), settings)))
    return [labels[key] for key in keys]


def _settings_apart(
    variants: Mapping[str, Mapping[str, Any]], members: Sequence[str], *, brief: bool = True
) -> dict[str, str]:
    """The settings that tell some variants apart, for each.

    Args:
        variants: settings by dotted names, by variant.
        members: the variants that are compared.
        brief: the value that most of them have is not said of these, so a study of one change at a time names the
            changes.
    """
    others = [variants[key] for key in members]
    names = sorted({name for other in others for name in other})
    values = {n: Counter(json.dumps(other.get(n)) for other in others) for n in names}
    differing = [n for n in names if len(values[n]) > 1]
    usual = {n: _most_common(values[n]) for n in differing} if brief else {}
    # A setting that a run does not have is said to be None where it is for others: these are the same.
    known: dict[str, Any] = {n: None for n in differing if any(n in other and other[n] is None for other in others)}
    found = {}
    for key in members:
        mine = known | dict(variants[key])
        said = [n for n in differing if n in mine and json.dumps(mine[n]) != usual.get(n)]
        found[key] = ", ".join(f"{n.removeprefix('config.')}={setting(mine[n])}" for n in said)
    return found


def _most_common(values: Counter[str]) -> str | None:
    """The value that is held more often than any other; None if there is none."""
    (first, times), (_, second) = values.most_common(2)
    return first if times > second else None


def _without_seeds(specs: Iterable[Mapping[str, Any]]) -> list[str]:
    """The same text for specs that differ in their seeds alone, whatever the order of their names."""
    sorted_of: dict[bytes, str] = {}  # sorting takes long, and few of many specs are written differently
    keys = []
    for spec in specs:
        rest = _of_variant(spec)
        written = to_json(rest, inf_nan_mode="constants")
        if written not in sorted_of:
            sorted_of[written] = json.dumps(rest, sort_keys=True)
        keys.append(sorted_of[written])
    return keys


def _of_variant(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A spec without what seeds of one experiment may differ in; an input is its content, wherever it lies."""
    rest = {name: value for name, value in spec.items() if name not in _NOT_OF_VARIANT}
    if "inputs" in rest:
        rest["inputs"] = {name: one["digest"][:_DIGITS] for name, one in rest["inputs"].items()}
    return rest


def _flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= _flatten(item, f"{prefix}{key}.") if isinstance(item, Mapping) else {f"{prefix}{key}": item}
    return flat
