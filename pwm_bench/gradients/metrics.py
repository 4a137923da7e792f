"""How good an estimate is: bias, variance, direction, length, signal to noise, each with an interval over start states.

Over S start states the gradient of the mean return is, in open loop, the list of all states' gradients (each state has
actions of its own) and, in closed loop, their average (all share the policy). Inner products <a, b> below are of these
pooled gradients. With an estimate m, of variance V per sample and n samples, and a reference r, of variance V_r in n_r:

    cosine       <m, r> / sqrt(<m, m> <r, r>)
    norm_ratio   sqrt(<m, m> / <r, r>)
    bias         sqrt( max(0, <m - r, m - r> - tr V / n - tr V_r / n_r) / (<r, r> - tr V_r / n_r) )
    variance     mean over states of tr V
    esnr         mean over states of (<m_s, m_s> - tr V_s / n_s)  /  variance
    esnr_parameterwise   mean over states and parameters of m^2 / (V + 1e-9), as in PWM's released code; states whose
                 samples do not differ are left out
    nonfinite    share of samples that were not finite; the others make up m

A state with a single sample has no variance: it is in no mean over states that needs one, and leaves no bias.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from pwm_bench.gradients.moments import Estimate
from pwm_bench.statistics import bootstrap_interval

__all__ = ["Measured", "compare", "cosine", "gains", "over_states", "relative_error"]

Array = NDArray[np.float64]
_RESAMPLES = 1000


class Measured(NamedTuple):
    """One number, with its interval; ``state`` is -1 for a figure over all start states."""

    metric: str
    value: float
    low: float = float("nan")
    high: float = float("nan")
    state: int = -1


def over_states(metric: str, values: torch.Tensor | Array, *, seed: int = 0) -> Measured:
    """Mean over states of a number that each has, with a bootstrap interval; states without one are left out.

    Args:
        metric: name.
        values: shape ``(S,)``.
        seed: of the resamples.
    """
    numbers = np.asarray(torch.as_tensor(values).double().cpu().numpy(), dtype=np.float64)
    numbers = numbers[~np.isnan(numbers)]
    if not numbers.size:
        return Measured(metric, float("nan"))
    with np.errstate(invalid="ignore"):
        interval = bootstrap_interval(
            [numbers], lambda x: x.mean(axis=-1), np.random.default_rng(seed), resamples=_RESAMPLES
        )
        return Measured(metric, float(numbers.mean()), *interval)


def compare(
    estimate: Estimate, reference: Estimate | None, *, shared: bool, seed: int = 0, per_state: bool = True
) -> list[Measured]:
    """All metrics of an estimate.

    Args:
        estimate: what is measured.
        reference: what it is measured against; None leaves out what needs one.
        shared: whether start states share parameters (closed loop).
        seed: of the bootstrap.
        per_state: also give every state's own numbers.
    """
    total = float((estimate.count + estimate.rejected).sum())
    rejected = estimate.rejected / (estimate.count + estimate.rejected).clamp(min=1.0)
    share = over_states("nonfinite", rejected, seed=seed)
    rows = [share._replace(value=float(estimate.rejected.sum()) / total)]
    usable = torch.isfinite(estimate.mean).all(1)
    if reference is not None:
        usable &= torch.isfinite(reference.mean).all(1)
    kept = torch.nonzero(usable).flatten()
    names = ("cosine", "norm_ratio", "bias", "variance", "esnr", "esnr_parameterwise")
    if not len(kept):
        return rows + [Measured(name, float("nan")) for name in names]
    sums = _Sums(_rows(estimate, kept), None if reference is None else _rows(reference, kept), shared)
    states = len(kept)
    everything = np.ones((1, states))
    alone = np.eye(states) * states  # a resample that holds one state only
    for name, statistic in sums.statistics().items():
        low, high = _interval(statistic, states, seed)
        rows.append(Measured(name, float(statistic(everything)[0]), low, high))
        if per_state:
            values = statistic(alone)
            rows += [Measured(name, float(v), state=int(s)) for v, s in zip(values, kept, strict=True)]
    return rows


def gains(metric: str, values: Mapping[str, torch.Tensor], *, seed: int = 0) -> dict[str, list[Measured]]:
    """What each of several estimators gains, and how much of what the best of them gains.

    Args:
        metric: name of the gain; the share of the best gets ``_of_best`` appended.
        values: estimator -> gains ``(L, S)`` for L step lengths and S states; the length with the largest mean over
            states counts. Lengths and states with a NaN are left out.
        seed: of the bootstrap, which resamples states for all estimators together.

    Returns:
        estimator -> both numbers; the share is NaN where nobody gains anything.
    """
    finite = {name: torch.isfinite(x).any(1) for name, x in values.items()}
    names = [name for name in values if bool(finite[name].any())]
    missing = [Measured(metric, float("nan")), Measured(f"{metric}_of_best", float("nan"))]
    found = dict.fromkeys(values, missing)
    if not names:
        return found
    arrays = [np.asarray(values[name][finite[name]].double().cpu().numpy()) for name in names]
    kept = ~np.isnan(np.concatenate(arrays)).any(0)
    if not kept.any():
        return found
    arrays, states = [x[:, kept] for x in arrays], int(kept.sum())

    def mean_gain(weights: Array) -> Array:
        return np.stack([(weights @ x.T / states).max(1) for x in arrays])

    def share(weights: Array) -> Array:
        every = mean_gain(weights)
        best = every.max(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(best > 0.0, every / best, np.nan)

    for n, name in enumerate(names):
        found[name] = [
            Measured(label, float(function(np.ones((1, states)))[n][0]), *_interval(_pick(function, n), states, seed))
            for label, function in ((metric, mean_gain), (f"{metric}_of_best", share))
        ]
    return found


def _pick(function: Callable[[Array], Array], n: int) -> Callable[[Array], Array]:
    return lambda weights: function(weights)[n]


def cosine(a: Estimate, b: Estimate, *, shared: bool, name: str, seed: int = 0) -> Measured:
    """Cosine between two estimates' pooled gradients."""
    found = [m for m in compare(a, b, shared=shared, seed=seed, per_state=False) if m.metric == "cosine"]
    return found[0]._replace(metric=name)


def relative_error(estimate: Estimate, *, shared: bool, seed: int = 0) -> Measured:
    """Standard error of an estimate's pooled gradient over its length: ``relative_standard_error``."""
    kept = torch.nonzero(torch.isfinite(estimate.mean).all(1)).flatten()
    if not len(kept):
        return Measured("relative_standard_error", float("nan"))
    statistic = _Sums(_rows(estimate, kept), None, shared).relative_error
    value = float(statistic(np.ones((1, len(kept))))[0])
    return Measured("relative_standard_error", value, *_interval(statistic, len(kept), seed))


def _rows(estimate: Estimate, kept: torch.Tensor) -> Estimate:
    return Estimate(*(getattr(estimate, name)[kept] for name in ("mean", "variance", "count", "rejected")))


class _Sums:
    """The inner products that all metrics are made of, for any weighting of the states ``(R, S)``."""

    def __init__(self, estimate: Estimate, reference: Estimate | None, shared: bool) -> None:
        def array(x: torch.Tensor) -> Array:
            return np.asarray(x.detach().double().cpu().numpy())

        self._shared = shared
        m = array(estimate.mean)
        self._noise = array(estimate.noise)
        self._variance = array(estimate.variance.sum(1))
        self._own = (m * m).sum(1)
        v = array(estimate.variance)
        with np.errstate(invalid="ignore"):
            per_parameter = np.where((v > 0.0).any(1), (m * m / (v + 1e-9)).mean(1), np.nan)
        self._parameterwise = per_parameter
        self._mm = self._gram(m, m)
        self._against = reference is not None
        if reference is not None:
            r = array(reference.mean)
            self._mr, self._rr = self._gram(m, r), self._gram(r, r)
            self._distance = self._gram(m - r, m - r)  # by way of the others, an error below 1e-8 would be lost
            self._reference_noise = array(reference.noise)

    def statistics(self) -> dict[str, Callable[[Array], Array]]:
        found: dict[str, Callable[[Array], Array]] = {}
        if self._against:
            found |= {"cosine": self._cosine, "norm_ratio": self._norm_ratio, "bias": self._bias}
        return found | {
            "variance": lambda w: self._mean(w, self._variance),
            "esnr": self._esnr,
            "esnr_parameterwise": lambda w: self._mean(w, self._parameterwise),
        }

    def relative_error(self, w: Array) -> Array:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.sqrt(self._chance(w, self._noise) / self._inner(w, self._mm))

    def _gram(self, a: Array, b: Array) -> Array:
        return a @ b.T if self._shared else np.diag((a * b).sum(1))

    def _inner(self, weights: Array, gram: Array) -> Array:
        if self._shared:
            return ((weights @ gram) * weights).sum(1) / weights.shape[1] ** 2
        return weights @ np.diag(gram) / weights.shape[1]

    def _chance(self, weights: Array, noise: Array) -> Array:
        unknown = np.isnan(noise)
        noise = np.where(unknown, 0.0, noise)
        chance = weights**2 @ noise / weights.shape[1] ** 2 if self._shared else weights @ noise / weights.shape[1]
        return np.where(weights[:, unknown].any(1), np.nan, chance)

    @staticmethod
    def _mean(weights: Array, values: Array) -> Array:
        """Mean over the states that have a number."""
        unknown = np.isnan(values)
        with np.errstate(invalid="ignore"):
            return weights @ np.where(unknown, 0.0, values) / (weights.shape[1] - weights[:, unknown].sum(1))

    def _cosine(self, w: Array) -> Array:
        with np.errstate(invalid="ignore", divide="ignore"):
            return self._inner(w, self._mr) / np.sqrt(self._inner(w, self._mm) * self._inner(w, self._rr))

    def _norm_ratio(self, w: Array) -> Array:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.sqrt(self._inner(w, self._mm) / self._inner(w, self._rr))

    def _bias(self, w: Array) -> Array:
        rr = self._inner(w, self._rr)
        chance = self._chance(w, self._reference_noise)
        square = np.maximum(self._inner(w, self._distance) - self._chance(w, self._noise) - chance, 0.0)
        scale = rr - chance
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(scale > 0.0, np.sqrt(square / scale), np.nan)

    def _esnr(self, w: Array) -> Array:
        signal = np.maximum(self._mean(w, self._own - self._noise), 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return signal / self._mean(w, self._variance)


def _interval(statistic: Callable[[Array], Array], states: int, seed: int) -> tuple[float, float]:
    """Resamples states: the "scores" handed to the bootstrap are the states' numbers."""

    def of_sample(sample: Array) -> Array:
        picked = sample.astype(np.int64)
        weights = np.zeros((picked.shape[0], states))
        np.add.at(weights, (np.arange(picked.shape[0])[:, None], picked), 1.0)
        return statistic(weights)

    with np.errstate(invalid="ignore"):
        return bootstrap_interval(
            [np.arange(states, dtype=np.float64)], of_sample, np.random.default_rng(seed), resamples=_RESAMPLES
        )
