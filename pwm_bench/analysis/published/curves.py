"""Published learning curves, seed by seed.

``data/curves.parquet`` has a row a seed: source, algorithm, task, setting, seed, and the points of its curve
(``env_steps`` and ``seconds``, either of which the source may lack, and ``value``). ``data/series.csv`` says what the
curves of a source, algorithm and setting have in common; data/README.md explains its columns.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pwm_bench.analysis.naming import algorithm_name
from pwm_bench.analysis.published.numbers import CAVEATS, content, data_folder
from pwm_bench.envs.errors import UsageError
from pwm_bench.names import published_task
from pwm_bench.statistics import on_axis

__all__ = ["Seed", "Series", "load_curves"]

Array = NDArray[np.float64]
_KEY = ("source", "algorithm", "setting")


@dataclass(frozen=True, slots=True)
class Seed:
    """One seed's curve.

    Attributes:
        name: as the source calls it.
        env_steps: of the points, as many as actions were taken; None where only time is known, shape ``(n,)``.
        seconds: wall time of the points [s]; None where only steps are known, shape ``(n,)``.
        value: return, or fraction of successes, at the points, shape ``(n,)``.
    """

    name: str
    env_steps: Array | None
    seconds: Array | None
    value: Array


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """The published curves of one algorithm on one task in one setting.

    Attributes:
        algorithm: its name in print.
        task: as publications name it.
        setting: of the source.
        shown: what sets it apart, in words; mostly empty.
        simulator: ``dflex``, ``dm_control``, ``metaworld`` or ``playground``.
        metric: ``return`` or ``success``.
        main: whether it is a publication's own result on the task itself: no ablation, no other set-up.
        seeds: their curves.
        source: file, or repository and commit.
        caveats: keys of `numbers.CAVEATS`.
    """

    algorithm: str
    task: str
    setting: str
    shown: str
    simulator: str
    metric: str
    main: bool
    seeds: tuple[Seed, ...]
    source: str
    caveats: tuple[str, ...]

    def at(self, env_steps: float) -> Array:
        """Each seed's value at a number of environment steps, linear between its points.

        Returns:
            Shape ``(seeds,)``; NaN where a curve begins later or ends earlier, since nothing is extrapolated.
        """
        return np.array([
            np.nan if seed.env_steps is None else on_axis(seed.env_steps, seed.value, [env_steps])[0]
            for seed in self.seeds
        ])  # fmt: skip

    def first_evaluation(self) -> float:
        """Environment steps of the first evaluation after one of untrained policies at step 0, the latest of the seeds;
        NaN where no such evaluation is published."""
        begin = [seed.env_steps for seed in self.seeds if seed.env_steps is not None and seed.env_steps[0] == 0.0]
        return max((float(steps[steps > 0.0][0]) for steps in begin if steps[-1] > 0.0), default=np.nan)

    def footnotes(self) -> tuple[str, ...]:
        """Its caveats as sentences."""
        return tuple(CAVEATS[key] for key in self.caveats)


def load_curves(task: str) -> tuple[Series, ...]:
    """All published curves on a task of ours, those of the publications' main results first.

    Raises:
        UsageError: the files are not there, or damaged.
    """
    return _all().get(published_task(task), ())


@functools.cache
def _all() -> Mapping[str, tuple[Series, ...]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    about = _series()
    file = data_folder() / "curves.parquet"
    held: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    try:
        with pa.BufferReader(content(file.name)) as stream:
            for row in pq.read_table(stream).to_pylist():
                held.setdefault((row["task"], *(row[name] for name in _KEY)), []).append(row)
        found: dict[str, list[Series]] = {}
        for (task, *key), rows in held.items():
            found.setdefault(task, []).append(_one(task, about[tuple(key)], rows))
    except (pa.ArrowException, KeyError, ValueError, TypeError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{file}: damaged published curves; restore the file from the repository") from None
    return {task: tuple(sorted(series, key=lambda one: not one.main)) for task, series in found.items()}


def _series() -> dict[tuple[str, ...], dict[str, str]]:
    file = data_folder() / "series.csv"
    try:
        rows = list(csv.DictReader(content(file.name).decode().splitlines()))
        return {tuple(row[name] for name in _KEY): row for row in rows}
    except KeyError:
        raise UsageError(f"{file}: damaged published curves; restore the file from the repository") from None


def _one(task: str, about: Mapping[str, str], rows: list[dict[str, Any]]) -> Series:
    return Series(
        algorithm=algorithm_name(about["algorithm"]),
        task=task,
        setting=about["setting"],
        shown=about["shown"],
        simulator=about["simulator"],
        metric="success" if about["simulator"] == "metaworld" else "return",
        main=about["main"] == "yes",
        seeds=tuple(_seeds(rows, int(about["action_repeat"]))),
        source=about["source"],
        caveats=tuple(about["caveats"].split()),
    )


def _seeds(rows: list[dict[str, Any]], repeat: int) -> Iterator[Seed]:
    """The curve without points that are not numbers: what a source logged before any episode had ended."""
    for row in rows:
        value = np.array(row["value"], dtype=np.float64)
        known = np.isfinite(value)
        steps, seconds = (
            None if points is None else np.array(points, dtype=np.float64)[known]
            for points in (row["env_steps"], row["seconds"])
        )
        yield Seed(row["seed"], None if steps is None else steps / repeat, seconds, value[known])
