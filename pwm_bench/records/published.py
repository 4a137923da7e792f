"""Published results, to be laid beside our own and never mixed into them.

The numbers are CSV files in ``results/published``; its README explains the columns. They are read from the checkout, or
from where the installer has put them.
"""

from __future__ import annotations

import csv
import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from envs.errors import UsageError
from pwm_bench.records.statistics.normalise import PPO_PEAK, Normalisation, published_name

__all__ = ["CAVEATS", "Published", "beside", "load_published"]

_ALGORITHMS = ("PWM", "SHAC", "AHAC", "PPO", "SAC", "TD-MPC2")

CAVEATS = {
    "best_of_seed": "Mean over seeds of each seed's highest value during training, not of its last.",
    "budget": "Budget not matched; theirs stands in the row where the source has it.",
    "collapsed": "One of the seeds collapsed and is included.",
    "corrupt": "A value in the source is corrupt and left out.",
    "derived": "Published as a multiple of PPO's peak, rounded to two decimals; multiplied out here.",
    "dflex": "Different simulator (dflex), with its own contact model, rewards and termination.",
    "digitised": "Read off a vector figure.",
    "duplicate": "The source has the same file again under another setting.",
    "evaluation_time": "The time includes periodic evaluations.",
    "no_unit": "Without a unit in the source.",
    "one_seed": "One seed, so no interval.",
    "peak": "Peak picked: taken at the training step where the IQM over seeds is highest, chosen afterwards.",
    "planning": "Plans at test time.",
    "second_hand": "Quoted from the paper by a third party.",
    "seed_count": "The paper says ten seeds, the released data hold five.",
    "seed_rows": "The ten 'seeds' are rows of one evaluation file of a single trained model.",
    "smoothed": "From curves that were smoothed and thinned out.",
    "std": "The standard deviation is approximate.",
    "task_interval": "The interval resamples tasks, not seeds.",
    "third_party": "A rerun by others.",
    "training_return": "Return of training episodes, not of a separate evaluation.",
    "typed_in": "Typed into the source's notebook; no data.",
    "wall_clock": "Environment steps are not recorded, only wall time.",
}
"""What each key in the column ``caveats`` means, as a footnote."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """A published number. NaN where the source gives none."""

    task: str
    """As publications name it, e.g. ``humanoidsnu``."""
    algorithm: str
    setting: str
    """Variant or scale, e.g. ``48M parameters, planning``; empty for the main result."""
    metric: str
    """``return``, ``return_ppo`` (divided by PPO's peak), ``score`` (return / 1000, or success), ``seconds``, ..."""
    selection: str
    """Which moment of training: ``final``, ``peak``, ``best of each seed``, ``at ...``."""
    seeds: int | None
    mean: float
    std: float
    iqm: float
    low: float
    high: float
    """95 % interval of the IQM."""
    env_steps: float
    """Where the curve ends, or the value was taken."""
    seconds: float
    """Wall time, likewise."""
    source: str
    caveats: tuple[str, ...]
    """Keys of `CAVEATS`."""
    note: str

    @property
    def value(self) -> float:
        """The IQM where there is one, else the mean."""
        return self.mean if math.isnan(self.iqm) else self.iqm

    def footnotes(self) -> tuple[str, ...]:
        """Its caveats as sentences."""
        return tuple(CAVEATS[key] for key in self.caveats)


@functools.cache
def load_published() -> tuple[Published, ...]:
    """All published numbers.

    Raises:
        UsageError: the files are not there, or damaged.
    """
    return tuple(_read(file, row) for file in _files() for row in csv.DictReader(file.read_text().splitlines()))


def beside(task: str, *, metric: str, normalisation: Normalisation) -> list[Published]:
    """The published numbers to show beside our rows of a task: one for each algorithm, the highest first.

    Main results only: no ablations, no reruns by others. The last value where the source has one, else the peak.
    Numbers come in the units of the table.

    Args:
        task: our name.
        metric: of the table; only returns, success and scores (return / 1000, or success) are published.
        normalisation: of the table; ``none`` gives returns.
    """
    name = published_name(task)
    if metric not in ("return", "success", "score"):
        return []
    rows = [row for row in load_published() if row.task == name]
    chosen: dict[tuple[str, str], Published] = {}
    for row in sorted(rows, key=_preference):
        if row.algorithm not in _ALGORITHMS or row.selection not in ("final", "peak") or not math.isfinite(row.value):
            continue
        if not _main(row):
            continue
        shown = _score(row) if metric == "score" else _in_units(row, name, normalisation)
        if shown is not None:
            chosen.setdefault((row.algorithm, row.setting), shown)
    return sorted(chosen.values(), key=lambda row: (row.setting.split(",")[0], -row.value))


def _main(row: Published) -> bool:
    """Not an ablation, a rerun, or a number of unknown origin. PWM is a policy; planning with it is an ablation."""
    multitask = row.setting.startswith("MT") and not (row.algorithm == "PWM" and "planning" in row.caveats)
    usable = row.seeds is not None and not {"third_party", "second_hand", "corrupt"} & set(row.caveats)
    return usable and (multitask or not row.setting)


def _preference(row: Published) -> tuple[bool, bool]:
    return (row.selection != "final", row.metric == "return_ppo")


def _score(row: Published) -> Published | None:
    return row if row.metric == "score" else None


def _in_units(row: Published, name: str, normalisation: Normalisation) -> Published | None:
    """The number as a return, then normalised; None if it is no score."""
    if row.metric == "return_ppo" and name in PPO_PEAK:
        row = _scaled(row, 0.0, 1.0 / PPO_PEAK[name])
        row = replace(row, metric="return", caveats=(*row.caveats, "derived"))
    if name.startswith("mw-"):
        return row if row.metric == "score" and normalisation.name in ("none", "success") else None
    if row.metric != "return":
        return None
    if normalisation.name in ("none", "success"):
        return row
    try:
        low, high = normalisation.scale(name)
    except UsageError:
        return None
    return _scaled(row, low, high - low)


def _scaled(row: Published, low: float, span: float) -> Published:
    moved = {name: (getattr(row, name) - low) / span for name in ("mean", "iqm", "low", "high")}
    return replace(row, **moved, std=row.std / span)


def _files() -> list[Path]:
    beside_package = Path(__file__).resolve().parents[2] / "results" / "published"
    files = sorted(beside_package.glob("*.csv")) or sorted(_installed())
    if not files:
        raise UsageError("published results: the CSV files of results/published are missing; reinstall pwm-bench")
    return files


def _installed() -> Iterator[Path]:
    import importlib.metadata

    try:
        entries = importlib.metadata.files("pwm-bench") or []
    except importlib.metadata.PackageNotFoundError:
        return
    for entry in entries:
        if entry.suffix == ".csv" and entry.parent.name == "published":
            yield Path(str(entry.locate()))


def _read(file: Path, row: dict[str, str]) -> Published:
    try:
        values: dict[str, Any] = {
            field.name: float(row[field.name] or "nan") if field.type == "float" else row[field.name]
            for field in fields(Published)
        }
        values["seeds"] = int(row["seeds"]) if row["seeds"] else None
        values["caveats"] = tuple(row["caveats"].split())
        return Published(**values)
    except (KeyError, ValueError, TypeError):
        raise UsageError(f"{file}: damaged published results; restore the file from the repository") from None
