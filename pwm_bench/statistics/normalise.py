"""Normalisation sets: what a raw score is divided by so that tasks can be averaged.

Every set maps a score to ``(score - low) / (high - low)`` with a pair ``(low, high)`` per task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.names import published_task

__all__ = ["NORMALISATIONS", "PPO_PEAK", "Normalisation", "normalisation"]

NORMALISATIONS = ("none", "ppo", "random-expert", "dmc", "success")

PPO_PEAK = {
    "hopper": 4742.297,
    "hopper_stiff": 4742.297,  # as published: by PPO on the hopper that is not stiff
    "ant": 6604.663,
    "anymal": 12028.992,
    "humanoid": 7292.786,
    "humanoidsnu": 4246.042,
}
"""Peak over training of the IQM of ten PPO seeds in dflex: the published constants of PWM's locomotion figures."""


@dataclass(frozen=True, slots=True)
class Normalisation:
    """A set of scales.

    Attributes:
        name: of `NORMALISATIONS`.
        bounds: task -> the scores that become 0 and 1; ``"*"`` stands for every task.
        note: says where the scales come from, but for the ends of each task's.
        absent: tasks of the table that are left out of it, since there is no scale for them.
    """

    name: str
    bounds: Mapping[str, tuple[float, float]]
    note: str
    absent: tuple[str, ...] = ()

    def without(self, tasks: Sequence[str]) -> Normalisation:
        """The same, with these tasks named as left out."""
        return replace(self, absent=tuple(sorted(tasks)))

    def said(self, name: Callable[[str], str] = str) -> str:
        """What a table says of its scales; empty where scores are as they were measured.

        Args:
            name: of a task.
        """
        found = [self.note] if self.note else []
        if self.name == "random-expert":
            ends = (f"{name(task)} {low:,.1f} and {high:,.1f}" for task, (low, high) in sorted(self.bounds.items()))
            found = [f"{self.note} ({'; '.join(ends)})."]
        if self.absent:
            found.append(f"Left out, since '{self.name}' has no scale for them: {', '.join(map(name, self.absent))}.")
        return " ".join(found)

    def knows(self, task: str) -> bool:
        """Whether there is a usable scale for a task."""
        try:
            self.scale(task)
        except UsageError:
            return False
        return True

    def scale(self, task: str) -> tuple[float, float]:
        """The scores that become 0 and 1.

        Raises:
            UsageError: the set says nothing about the task.
        """
        pair = self.bounds.get(task) or self.bounds.get(published_task(task)) or self.bounds.get("*")
        if pair is None:
            raise UsageError(
                f"normalise={self.name}: has no scale for task '{task}', only for {', '.join(sorted(self.bounds))}; "
                "use none or random-expert"
            )
        if not np.isfinite(pair).all() or pair[0] >= pair[1]:  # else worse scores would be higher
            raise UsageError(f"normalise={self.name}: task '{task}' has no usable scale ({pair[0]:g} to {pair[1]:g})")
        return pair

    def apply(self, task: str, scores: ArrayLike) -> NDArray[np.float64]:
        """Normalised scores.

        Raises:
            UsageError: as `scale`.
        """
        low, high = self.scale(task)
        return (np.asarray(scores, dtype=np.float64) - low) / (high - low)


def normalisation(name: str, bounds: Mapping[str, tuple[float, float]] | None = None) -> Normalisation:
    """A set by name.

    Args:
        name: of `NORMALISATIONS`.
        bounds: task -> (score of random play, score of an expert), for ``"random-expert"`` only.

    Raises:
        UsageError: unknown name, or ``"random-expert"`` without bounds.
    """
    if name not in NORMALISATIONS:
        raise unknown("normalisation", name, NORMALISATIONS)
    if name == "random-expert":
        if not bounds:
            raise UsageError("normalise=random-expert: no finished runs to take its scales from; use none")
        note = "Normalised per task: 0 is untrained policies, 1 the best algorithm at the end of its runs"
        return Normalisation(name, bounds, note)
    return {
        "none": Normalisation("none", {"*": (0.0, 1.0)}, ""),
        "ppo": Normalisation(
            "ppo",
            {task: (0.0, peak) for task, peak in PPO_PEAK.items()},
            "Normalised by the published peak of PPO in dflex, the highest IQM of ten seeds in training: 1 does "
            "not mean PPO's score here.",
        ),
        "dmc": Normalisation("dmc", {"*": (0.0, 1000.0)}, "Normalised by the largest possible return, 1000."),
        "success": Normalisation("success", {"*": (0.0, 1.0)}, "Scores between 0 and 1 are taken as they are."),
    }[name]
