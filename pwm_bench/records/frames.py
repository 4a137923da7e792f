"""Run records as data frames."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from envs.errors import UsageError
from pwm_bench.records.schema import RunRecord
from pwm_bench.records.store import Results

__all__ = ["Loaded", "LoadedRun", "load_study", "members_frame"]

_NOT_OF_VARIANT = ("seeds", "device", "study")


@dataclass(frozen=True, slots=True)
class LoadedRun:
    """One run as read from disk.

    Attributes:
        record: with the status it really has (a record left behind by a killed process says killed).
        evaluations: lines of ``evaluations.jsonl``.
    """

    record: RunRecord
    evaluations: list[dict[str, Any]]

    @property
    def variant(self) -> dict[str, Any]:
        """The spec without what seeds of one experiment may differ in, with dotted names."""
        return _flatten({k: v for k, v in self.record.spec.items() if k not in _NOT_OF_VARIANT})


@dataclass(slots=True)
class Loaded:
    """A study as read from disk."""

    runs: list[LoadedRun] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    """One message for each run that could not be read; such runs are left out of every table, and said to be."""


def load_study(results: Results, study: str) -> Loaded:
    """Reads all runs of a study. Damaged ones are reported, not fatal.

    Raises:
        UsageError: there is no such study.
    """
    loaded = Loaded()
    for directory in results.runs(study):
        try:
            record = directory.read()
            record.status = directory.status() or record.status  # type: ignore[assignment]
            loaded.runs.append(LoadedRun(record, directory.evaluations.read()))
        except UsageError as error:
            loaded.damaged.append(str(error))
    return loaded


def members_frame(runs: Iterable[LoadedRun], *, metric: str = "return") -> pd.DataFrame:
    """One row per run and member.

    Args:
        runs: as loaded.
        metric: ``"return"``, ``"length"``, or another quantity recorded with the evaluations.

    Returns:
        Columns: what ran (``run_id``, ``task``, ``simulator``, ``algorithm``, ``variant``, ``gradient``, ``seed``),
        how it went (``status``, ``reason``, ``attempts``, ``device``), work per member (``env_steps``,
        ``gradient_steps``, ``imagined_steps``), clocks of the whole run [s] (``setup_seconds`` ...), and the
        evaluation curve: ``curve_env_steps``, ``curve_gradient_steps``, ``curve_train_seconds`` and ``curve_value``
        (mean over episodes), each an array, with ``untrained`` and ``final`` the ends of the last.

    Raises:
        UsageError: the metric was not recorded by any run.
    """
    runs = list(runs)
    known = sorted({"return", "length"} | {name for run in runs for line in run.evaluations for name in line["extras"]})
    if metric not in known:
        raise UsageError(f"metric={metric}: not recorded in this study; choices: {', '.join(known)}")
    labels = _variant_labels(runs)
    rows = []
    for run, label in zip(runs, labels, strict=True):
        record, spec = run.record, run.record.spec
        lines = [line for line in run.evaluations if metric in ("return", "length") or metric in line["extras"]]
        axes = {
            f"curve_{name}": np.array([line[name] for line in lines], dtype=np.float64)
            for name in ("env_steps", "gradient_steps", "train_seconds")
        }
        for index, member in enumerate(record.members):
            values = np.array([_episode_mean(line, metric, index) for line in lines], dtype=np.float64)
            rows.append(
                {
                    "run_id": record.run_id,
                    "task": spec["task"],
                    "simulator": spec["simulator"],
                    "algorithm": spec["algorithm"],
                    "variant": label,
                    "gradient": record.gradient_source or "",
                    "seed": member.seed,
                    "status": "diverged" if member.status == "diverged" else record.status,
                    "reason": record.reason or "",
                    "attempts": record.attempts,
                    "device": record.provenance.device if record.provenance else "",
                    "env_steps": record.counts.env_steps,
                    "gradient_steps": record.counts.gradient_steps,
                    "imagined_steps": record.counts.imagined_steps,
                    **{f"{name}_seconds": value for name, value in record.clocks.model_dump().items()},
                    **axes,
                    "curve_value": values,
                    "untrained": values[0] if values.size else np.nan,
                    "final": values[-1] if values.size else np.nan,
                }
            )
    return pd.DataFrame(rows)


def _episode_mean(line: Mapping[str, Any], metric: str, member: int) -> float:
    column = {"return": line["returns"], "length": line["lengths"]}.get(metric) or line["extras"][metric]
    return float(np.mean([np.nan if value is None else value for value in column[member]]))


def _variant_labels(runs: list[LoadedRun]) -> list[str]:
    """What tells runs of the same task, simulator and algorithm apart, e.g. ``"gamma=0.95"``; mostly nothing."""
    variants = [run.variant for run in runs]
    groups: dict[tuple[str, str, str], dict[str, set[str]]] = {}
    counts: dict[tuple[str, str, str], int] = {}
    for variant in variants:
        key = _group(variant)
        counts[key] = counts.get(key, 0) + 1
        seen = groups.setdefault(key, {})
        for name, value in variant.items():
            seen.setdefault(name, set()).add(json.dumps(value))
    present: dict[tuple[str, str, str], dict[str, int]] = {}
    for variant in variants:
        having = present.setdefault(_group(variant), {})
        for name in variant:
            having[name] = having.get(name, 0) + 1
    differing = {
        key: [n for n in sorted(seen) if len(seen[n] | ({"null"} if present[key][n] < counts[key] else set())) > 1]
        for key, seen in groups.items()
    }
    return [
        ", ".join(f"{name.removeprefix('config.')}={variant.get(name)}" for name in differing[_group(variant)])
        for variant in variants
    ]


def _group(variant: Mapping[str, Any]) -> tuple[str, str, str]:
    return variant["task"], variant["simulator"], variant["algorithm"]


def _flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= _flatten(item, f"{prefix}{key}.") if isinstance(item, Mapping) else {f"{prefix}{key}": item}
    return flat
