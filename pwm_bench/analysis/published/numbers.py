"""Published numbers: what publications print, or what their released curves end with.

They are CSV files in the folder ``data``, whose README explains the columns.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import math
from dataclasses import dataclass, fields
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from pwm_bench.envs.errors import UsageError

__all__ = ["CAVEATS", "Published", "content", "data_folder", "load_published"]

_FILES = ("ablations", "extraction", "locomotion", "mt30", "mt80", "stiff_hopper", "times")

CAVEATS = {
    "action_repeat": "Its steps count an action repeat of 2; here they are divided by it, as ours count actions.",
    "best_of_seed": "Mean over seeds of each seed's highest value during training, not of its last.",
    "budget": "Budget not matched; theirs stands in the row where the source has it.",
    "collapsed": "One of the seeds collapsed and is included.",
    "common_axis": "The source gives the curves interpolated onto a common axis.",
    "corrupt": "A value in the source is corrupt and left out.",
    "derived": "Published as a multiple of PPO's peak, rounded to two decimals; multiplied out here.",
    "derived_steps": "Its steps are epochs x environments x horizon of its configuration, not logged.",
    "dflex": "Run in dflex itself: the robots, rewards and terminations are the same here, and in Warp the motion too.",
    "digitised": "Read off a vector figure.",
    "duplicate": "The source has the same file again under another setting.",
    "end_of_curve": "Mean over seeds of the last value of each published curve.",
    "evaluation_time": "The time includes periodic evaluations.",
    "first_evaluation": "The first published evaluation after the untrained policy's, which is later than our budget.",
    "iqm": "IQM over seeds with its bootstrap interval; the mean is not published.",
    "interpolated": "Interpolated at our budget between the points of each seed's published curve.",
    "no_repeat": "Acts at every simulator step, twice as often as tasks of the suites here, which repeat actions; its "
    "steps count actions.",
    "no_unit": "Without a unit in the source.",
    "one_seed": "One seed, so no interval.",
    "peak": "Peak picked: taken at the training step where the IQM over seeds is highest, chosen afterwards.",
    "playground": "MuJoCo Playground: another reward and contact set-up than dm_control.",
    "planning": "Plans at test time.",
    "pretrained": "The released settings train the world model on stored data before the first step (50,000 to 200,000 "
    "updates); whether this curve was made so is not said, and such data are not in its steps.",
    "repeats_unknown": "Whether its steps count action repeats is not known; they are taken as they are.",
    "second_hand": "Quoted from the paper by a third party.",
    "seed_count": "The paper says ten seeds, the released data hold five.",
    "seed_rows": "The ten 'seeds' are rows of one evaluation file of a single trained model.",
    "smoothed": "From curves that were smoothed and thinned out.",
    "some_seeds": "Only the published seeds that reach this budget.",
    "std": "The standard deviation is approximate.",
    "task_interval": "The interval resamples tasks, not seeds.",
    "third_party": "A rerun by others.",
    "training_return": "Return of training episodes of the exploring policy, not of a separate evaluation.",
    "typed_in": "Typed into the source's notebook; no data.",
    "wall_clock": "Environment steps are not recorded, only wall time.",
}
"""What each key in the column ``caveats`` means, as a footnote."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """A published number. NaN where the source gives none."""

    task: str
    """The name in publications, e.g. ``humanoidsnu``."""
    algorithm: str
    setting: str
    """Variant or scale, e.g. ``MT30, 48M parameters`` or ``1,024 environments``; mostly empty for the main result."""
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
    """95 % interval: of the mean where it was computed from the seeds of a curve, else as published, of the IQM."""
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
        """The mean where there is one, else the IQM."""
        return self.iqm if math.isnan(self.mean) else self.mean

    def footnotes(self) -> tuple[str, ...]:
        """Its caveats as sentences."""
        return tuple(CAVEATS[key] for key in self.caveats)


@functools.cache
def load_published() -> tuple[Published, ...]:
    """All published numbers.

    Raises:
        UsageError: the files are not there, or damaged.
    """
    return tuple(
        _read(data_folder() / f"{name}.csv", row)
        for name in _FILES
        for row in csv.DictReader(content(f"{name}.csv").decode().splitlines())
    )


def data_folder() -> Traversable:
    """Where the package keeps the files."""
    return resources.files("pwm_bench.analysis.published") / "data"


def content(name: str) -> bytes:
    """A file of `data_folder`, once it has the checksum that ``SHA256SUMS`` there says.

    Raises:
        UsageError: it is not there, or is damaged.
    """
    file = data_folder() / name
    try:
        found = file.read_bytes()
        known = {line[66:]: line[:64] for line in (data_folder() / "SHA256SUMS").read_text().splitlines()}
    except FileNotFoundError as error:
        raise UsageError(f"{error.filename}: published results are missing; reinstall pwm-bench") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{data_folder()}: published results cannot be read ({error}); reinstall pwm-bench") from None
    if known.get(name) != hashlib.sha256(found).hexdigest():
        raise UsageError(f"{file}: damaged published results; restore the file from the repository")
    return found


def _read(file: Traversable, row: dict[str, str]) -> Published:
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
