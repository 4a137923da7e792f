"""Against rliable 1.2.0.

Recipe (Python 3.11, numpy 2.4.6, scipy 1.17.1, pandas 2.3.3, arch 7.2.0), with scores as runs x tasks matrices::

    from rliable import library as rly, metrics
    aggregates = lambda s: np.array([metrics.aggregate_iqm(s), metrics.aggregate_mean(s),
                                     metrics.aggregate_median(s), metrics.aggregate_optimality_gap(s)])
    rly.get_interval_estimates({"x": X, "y": Y}, aggregates, reps=50000)
    rly.get_interval_estimates({"xy": (X, Y)}, lambda a, b: np.array([metrics.probability_of_improvement(a, b)]),
                               reps=20000)
    rly.create_performance_profile({"x": X}, TAUS, reps=50000)                                # performance_profile
    rly.create_performance_profile({"x": X}, TAUS, use_score_distribution=False, reps=50000)  # average_profile
    curves = np.stack([X * f for f in (0.25, 0.5, 1.0)], axis=-1)
    rly.get_interval_estimates(
        {"x": curves}, lambda s: np.array([metrics.aggregate_iqm(s[..., i]) for i in range(3)]), reps=20000)

Point estimates agree to 1e-12. Intervals are random on both sides: they agree within a few hundredths.
"""

from __future__ import annotations

import numpy as np
import pytest

from pwm_bench.statistics import (
    AGGREGATES,
    average_profile,
    efficiency_curve,
    performance_profile,
    probability_of_improvement,
    stratified_interval,
)


def scores(runs: int, offset: int) -> np.ndarray:
    return np.array(
        [[((r * 37 + t * 53 + offset * 29) % 101) / 100 + 0.1 * offset for t in range(3)] for r in range(runs)]
    )


X, Y = scores(6, 2).T, scores(5, 1).T  # tasks x runs here
TAUS = [0.1, 0.4, 0.7, 1.0]
EXACT = {"rel": 0, "abs": 1e-12}
NEAR = {"rel": 0, "abs": 0.02}

GOLDEN = {  # name -> (estimate, low, high) for X and for Y
    "IQM": ((0.72, 0.549, 0.894), (0.5911111111111111, 0.4077777777777778, 0.7677777777777778)),
    "mean": ((0.7200000000000001, 0.585, 0.8566666666666666),
             (0.5826666666666667, 0.44333333333333336, 0.7173333333333334)),
    "median": ((0.7199999999999999, 0.56, 0.88), (0.5740000000000001, 0.41600000000000004, 0.744)),
    "optimality gap": ((0.3094444444444444, 0.19444444444444442, 0.42833333333333334),
                       (0.41866666666666663, 0.28400000000000003, 0.5579999999999999)),
}  # fmt: skip


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("which", [0, 1])
def test_aggregates(name, which):
    strata, (value, low, high) = (X, Y)[which], GOLDEN[name][which]
    assert AGGREGATES[name](strata) == pytest.approx(value, **EXACT)
    ends = stratified_interval(strata, AGGREGATES[name], generator(), resamples=20_000)
    assert ends == pytest.approx((low, high), **NEAR)


def test_probability_of_improvement():
    """The bootstrap's interval there is (0.478, 0.856), and its value's distance to both ends the same."""
    found = probability_of_improvement(X, Y)
    assert found.value == pytest.approx(0.6777777777777777, **EXACT)
    assert (found.low, found.high) == pytest.approx((0.478, 0.856), abs=0.06)


def test_performance_profile():
    """The bootstrap's band there is 1 to 1, 0.56 to 0.94, 0.28 to 0.72 and 0.06 to 0.44."""
    found = performance_profile(X, TAUS)
    assert found.value == pytest.approx([1.0, 0.7777777777777778, 0.5, 0.2222222222222222], **EXACT)
    assert found.low == pytest.approx([0.824, 0.548, 0.290, 0.090], abs=1e-3)  # Wilson's of 18, 14, 9 and 4 of 18
    assert found.high == pytest.approx([1.0, 0.910, 0.710, 0.452], abs=1e-3)


def test_profile_of_task_means():
    found = average_profile(X, TAUS, generator(), resamples=20_000)
    assert found.value == pytest.approx([1.0, 1.0, 0.6666666666666666, 0.0], **EXACT)
    assert found.low == pytest.approx([1.0, 1.0, 0.0, 0.0], **EXACT)
    assert found.high == pytest.approx([1.0, 1.0, 1.0, 0.3333333333333333], **EXACT)


def test_sample_efficiency_curve():
    axis = [0.0, 5.0, 10.0]
    strata = [[(axis, np.array([0.25, 0.5, 1.0]) * score) for score in task] for task in X]
    found = efficiency_curve(strata)
    assert found.axis == pytest.approx(axis, **EXACT)
    assert found.value == pytest.approx([0.18, 0.36, 0.72], **EXACT)
