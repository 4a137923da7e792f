"""How far ours is from what was recorded, entry by entry, against what is allowed; in numbers and in words."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pwm_bench.parity.golden.file import GoldenFile
from pwm_bench.parity.golden.record import Check
from pwm_bench.store.files import finite_or_none

__all__ = ["judge", "judge_gradient", "relative"]


def relative(tolerance: float, values: np.ndarray) -> np.ndarray:
    """What is allowed relative to max(1, |value|)."""
    return tolerance * np.maximum(1.0, np.abs(values))


def judge_gradient(name: str, golden: GoldenFile, ours: np.ndarray, precision: str, tolerance: float | None) -> Check:
    """Compares gradients (H, W, A) with the recorded true one, relative to its norm in each world.

    Without a tolerance the error is shown and not judged.
    """
    published = golden.arrays[f"gradient_H{golden.horizon}_full64"]
    scale = np.maximum(np.sqrt((published**2).sum((0, 2))), np.finfo(float).tiny)
    errors = np.sqrt(((ours - published) ** 2).sum((0, 2))) / scale
    along = np.sqrt(((ours - published) ** 2).sum(2)) / scale
    errors = np.where(np.isfinite(errors), errors, np.inf)
    worst = int(errors.argmax())
    step = int(np.abs(ours - published)[:, worst].max(1).argmax())
    error = float(errors[worst])
    return Check(
        name=name,
        run=f"H = {golden.horizon}",
        precision=precision,
        compared=golden.horizon,
        error=finite_or_none(error),
        tolerance=tolerance,
        fraction=None if tolerance is None else finite_or_none(error / tolerance),
        over_time=finite_or_none(along.max(1).tolist()),
        agrees=tolerance is None or error <= tolerance,
        words=f"world {worst}, most of it at the action of step {step + 1}; norm {_norm(ours, worst):.6g}, published "
        f"{scale[worst]:.6g}",
    )


def _norm(gradient: np.ndarray, world: int) -> float:
    return float(np.sqrt((gradient[:, world] ** 2).sum()))


def judge(
    name: str,
    run: str,
    precision: str,
    ours: np.ndarray,
    published: np.ndarray,
    tolerance: np.ndarray,
    names: Callable[[int], str],
    steps: range,
    when: str = "after step",
) -> Check:
    """Compares arrays (S, W) or (S, W, n), entry by entry; what is not finite counts as infinitely far.

    Args:
        name: what is compared.
        run: how ours was computed.
        precision: in which arithmetic.
        ours: our values.
        published: the recorded ones.
        tolerance: what is allowed, a scalar or of a shape that broadcasts to theirs.
        names: says what entry n is.
        steps: number of each of the S rows, as the words call it.
        when: preposition and noun before that number.
    """
    ours, published = (a.reshape(*a.shape[:2], -1) for a in (ours, published))
    error = np.abs(ours - published)
    error = np.where(np.isnan(error), np.inf, error)
    allowed = np.broadcast_to(tolerance.reshape(*tolerance.shape[:2], -1) if tolerance.ndim else tolerance, error.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        fraction = np.where(error == 0.0, 0.0, error / allowed)
    step, world, entry = np.unravel_index(fraction.argmax(), fraction.shape)
    beyond = (fraction > 1.0).any((1, 2))
    values = [float(a[step, world, entry]) for a in (ours, published)]
    words = f"{names(int(entry))} {when} {steps[int(step)]} in world {world}: "
    words += f"ours {values[0]:.7g}, published {values[1]:.7g}"
    if beyond.any():
        words += f"; beyond the tolerance first {when} {steps[int(beyond.argmax())]}"
    return Check(
        name=name,
        run=run,
        precision=precision,
        compared=len(steps),
        error=finite_or_none(float(error.max())),
        tolerance=float(allowed[np.unravel_index(error.argmax(), error.shape)]),
        fraction=finite_or_none(float(fraction.max())),
        over_time=finite_or_none(error.max((1, 2)).tolist()),
        agrees=not beyond.any(),
        words=words if error.max() else "equal",
    )
