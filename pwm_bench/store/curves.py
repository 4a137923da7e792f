"""A run's evaluations, reduced to what tables and figures need: the mean over episodes, per evaluation and member."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pwm_bench.envs.errors import UsageError

__all__ = ["AXES", "Curves"]

Array = NDArray[np.float64]
AXES = ("env_steps", "gradient_steps", "policy_gradient_steps", "train_seconds", "cpu_seconds")
_LATER = ("policy_gradient_steps", "cpu_seconds")  # older lines lack them


@dataclass(frozen=True, slots=True)
class Curves:
    """Evaluation curves of one run.

    Attributes:
        axes: name of `AXES` -> position of each evaluation, shape ``(n,)``; NaN where that was not recorded.
        lines: metric -> which evaluations recorded it.
        means: metric -> mean over episodes, shape ``(len(lines), members)``; NaN where an episode has no number.
    """

    axes: Mapping[str, Array]
    lines: Mapping[str, Sequence[int]]
    means: Mapping[str, Array]

    @property
    def metrics(self) -> list[str]:
        """Quantities recorded with the evaluations."""
        return list(self.means)

    def axis(self, name: str, metric: str) -> Array:
        """Positions of the evaluations that recorded a metric."""
        lines, positions = self.lines.get(metric, ()), self.axes[name]
        return positions if len(lines) == len(positions) else positions[list(lines)]

    def values(self, metric: str, member: int) -> Array:
        """A member's curve; empty if the metric was not recorded."""
        return self.means[metric][:, member] if metric in self.means else np.empty(0)

    @classmethod
    def from_lines(cls, lines: Sequence[Mapping[str, Any]], *, members: int, source: object) -> Curves:
        """Reduces the lines of ``evaluations.jsonl``.

        Args:
            lines: as read.
            members: how many the run has.
            source: the file, for messages.

        Raises:
            UsageError: a line lacks something, or is not of that many members.
        """
        try:
            axes = {
                name: np.array([line.get(name) if name in _LATER else line[name] for line in lines], dtype=np.float64)
                for name in AXES
            }
            same = _reduce_alike(lines, members)
            held, means = _reduce(lines, members) if same is None else same
        except (KeyError, TypeError, ValueError, AttributeError):
            raise UsageError(
                f"{source}: holds lines that are no evaluations of {members} members; restore the file, or remove the "
                "run's directory"
            ) from None
        return cls(axes, held, means)

    def to_json(self) -> dict[str, Any]:
        """Values for the cache; `from_json` gives the same numbers back."""
        return {
            "axes": {name: _nulls(values) for name, values in self.axes.items()},
            "lines": {name: list(lines) for name, lines in self.lines.items()},
            "means": {name: _nulls(values) for name, values in self.means.items()},
            "members": next(iter(self.means.values())).shape[1],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Curves:
        """What `to_json` gave."""
        members = content["members"]
        return cls(
            {name: np.array(values, dtype=np.float64) for name, values in content["axes"].items()},
            content["lines"],
            {
                name: np.array(rows, dtype=np.float64).reshape(len(rows), members)
                for name, rows in content["means"].items()
            },
        )


def _reduce_alike(
    lines: Sequence[Mapping[str, Any]], members: int
) -> tuple[dict[str, Sequence[int]], dict[str, Array]] | None:
    """Evaluations that all have the same quantities of as many episodes, as most have: the quick way. None if not."""
    if not lines:
        return None
    extras = lines[0]["extras"].keys()
    if any(line["extras"].keys() != extras for line in lines):
        return None
    columns = [[line["returns"] for line in lines], [line["lengths"] for line in lines]]
    columns += [[line["extras"][name] for line in lines] for name in extras]
    try:
        means = np.array(columns, dtype=np.float64).mean(axis=3)
    except ValueError:
        return None
    if means.shape[1:] != (len(lines), members):
        raise ValueError("members")
    every = range(len(lines))
    names = ("return", "length", *extras)
    return dict.fromkeys(names, every), dict(zip(names, means, strict=True))


def _reduce(lines: Sequence[Mapping[str, Any]], members: int) -> tuple[dict[str, Sequence[int]], dict[str, Array]]:
    held: dict[str, list[int]] = {"return": [], "length": []}
    episodes: dict[str, list[Any]] = {"return": [], "length": []}
    for index, line in enumerate(lines):
        for metric, values in (("return", line["returns"]), ("length", line["lengths"]), *line["extras"].items()):
            held.setdefault(metric, []).append(index)
            episodes.setdefault(metric, []).append(values)
    return dict(held), {metric: _means(values, members) for metric, values in episodes.items()}


def _means(evaluations: Sequence[Sequence[Sequence[float | None]]], members: int) -> Array:
    """Mean over episodes, ``(evaluations, members)``; None counts as NaN."""
    try:
        means = np.array(evaluations, dtype=np.float64).mean(axis=2) if evaluations else np.empty((0, members))
    except ValueError:  # not the same number of episodes everywhere
        rows = [[np.mean(np.array(member, dtype=np.float64)) for member in line] for line in evaluations]
        means = np.array(rows, dtype=np.float64)
    if means.shape != (len(evaluations), members):
        raise ValueError("members")
    return means


def _nulls(values: Array) -> list[Any]:
    held: list[Any] = values.tolist()
    if np.isfinite(values).all():
        return held
    return [_nulls(row) if row.ndim else (float(row) if np.isfinite(row) else None) for row in values]
