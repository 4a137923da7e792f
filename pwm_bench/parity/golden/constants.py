"""Constants of a robot, quantity by quantity and joint by joint, and where two robots' differ.

Places, axes and inertias are taken in the world (z up) in the posture where every coordinate is zero, so that the
frames and the tree in which a model is written do not matter. A quantity of a link bears the name of the joint that
moves it; what is welded to a link counts as part of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

__all__ = ["UNLIMITED", "Constants", "Row", "compare_constants", "rigid_sum"]

Constants = dict[tuple[str, str], np.ndarray | str]
"""(quantity, of what) -> value. SI units."""

UNLIMITED = 999.0
"""A bound beyond this [rad, m] limits nothing; the published models write 1e3 and 1e6."""

_ROUNDING = 1e-6  # relative: the published constants are float32, and are summed over welded links
_SETS = ("contact points",)  # rows in any order
_OF_POINTS = ("contact stiffness", "contact damping", "friction damping", "friction")
_ABSENT = "none"


@dataclass(frozen=True, slots=True)
class Row:
    """One constant, ours against the published one."""

    quantity: str
    where: str
    ours: str
    theirs: str
    error: float
    """Largest difference of an entry relative to the largest entry (to 1 for lengths and axes); infinite where the
    values cannot be compared."""
    agrees: bool

    @property
    def words(self) -> str:
        """The misfit in a sentence."""
        return f"{self.quantity} of {self.where}: ours {self.ours}, published {self.theirs}"


def compare_constants(ours: Constants, theirs: Constants) -> list[Row]:
    """Every constant that either side has, in the order of the published ones."""
    rows = []
    for quantity, where in dict.fromkeys((*theirs, *ours)):
        mine, published = ours.get((quantity, where)), theirs.get((quantity, where))
        if quantity in _SETS and isinstance(mine, np.ndarray) and isinstance(published, np.ndarray):
            rows.append(_compare_points(quantity, where, mine, published))
            continue
        if quantity in _OF_POINTS and (mine is None or published is None):
            continue  # the row on contact points says that one side has none
        error = _error(quantity, mine, published)
        rows.append(Row(quantity, where, _text(mine), _text(published), error, error <= _ROUNDING))
    return rows


def rigid_sum(masses: np.ndarray, centers: np.ndarray, inertias: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Mass, centre of mass and inertia about it of rigidly joined parts (n,), (n, 3), (n, 3, 3) in common axes."""
    mass = float(masses.sum())
    center = masses @ centers / mass if mass else np.zeros(3)
    arms = centers - center
    squares = (arms**2).sum(1)[:, None, None] * np.eye(3) - arms[:, :, None] * arms[:, None]
    return mass, center, inertias.sum(0) + np.einsum("n,nij->ij", masses, squares)


def _error(quantity: str, mine: np.ndarray | str | None, published: np.ndarray | str | None) -> float:
    if not isinstance(mine, np.ndarray) or not isinstance(published, np.ndarray):
        return 0.0 if isinstance(mine, str) and mine == published else np.inf
    if mine.shape != published.shape:
        return np.inf
    same = mine == published  # infinities too
    if same.all():
        return 0.0
    lengths = ("joint axis", "joint position", "centre of mass", "muscle path")
    scale = max(1.0 if quantity in lengths else 0.0, float(np.abs(published[np.isfinite(published)]).max(initial=0.0)))
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.where(same, 0.0, np.abs(mine - published)).max() / scale
    return float(error) if np.isfinite(error) else np.inf


def _compare_points(quantity: str, where: str, mine: np.ndarray, published: np.ndarray) -> Row:
    """Sets of rows, each matched with its nearest partner; what has none is named."""
    distance = np.abs(mine[:, None] - published[None]).max(2, initial=0.0)
    pairs = np.column_stack(linear_sum_assignment(distance))
    errors = distance[tuple(pairs.T)]
    good = pairs[errors <= _ROUNDING]
    extra = np.delete(mine, good[:, 0], axis=0)
    missing = np.delete(published, good[:, 1], axis=0)
    agrees = not len(extra) and not len(missing)
    counts = [str(len(mine)), str(len(published))]
    for side, rest, word in ((0, extra, "only here"), (1, missing, "missing here")):
        if len(rest):
            counts[side] += f" ({word}: {'; '.join(_text(row) for row in rest[:3])}{' ...' if len(rest) > 3 else ''})"
    same_number = len(mine) == len(published)
    error = float(errors.max(initial=0.0)) if same_number else np.inf
    return Row(quantity, where, counts[0], counts[1], error, agrees)


def _text(value: np.ndarray | str | None) -> str:
    if value is None:
        return _ABSENT
    if isinstance(value, str):
        return value
    if value.ndim > 1 and value.shape == (3, 3):
        value = value[np.triu_indices(3)]
    if value.ndim > 1:
        return f"{len(value)} rows"
    smallest = 1e-7 * np.abs(value[np.isfinite(value)]).max(initial=0.0)
    numbers = [f"{0.0 if abs(x) < smallest else x:.7g}" for x in value]
    return numbers[0] if len(numbers) == 1 else f"({', '.join(numbers)})"
