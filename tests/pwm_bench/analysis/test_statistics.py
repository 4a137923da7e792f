"""Expected values are worked out by hand or with scipy, not with the code under test."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from scipy import stats

from pwm_bench.statistics import bootstrap_interval, iqm, mean, median


def test_iqm_by_hand():
    assert iqm([1, 2, 3, 4]) == pytest.approx(2.5)  # drops 1 and 4
    assert iqm([100, 1, 2, 3, -50]) == pytest.approx(2.0)  # drops 100 and -50
    assert iqm([1, 2, 9]) == pytest.approx(4.0)  # fewer than four: the mean
    assert iqm([0, 10, 20, 30, 40, 50, 60, 1000]) == pytest.approx(35.0)  # (20 + 30 + 40 + 50) / 4


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 7, 8, 30])
def test_averages_against_independent_implementations(number):
    scores = np.random.default_rng(number).normal(size=number)
    assert iqm(scores) == pytest.approx(stats.trim_mean(scores, 0.25), abs=1e-12)
    assert mean(scores) == pytest.approx(statistics.fmean(scores), abs=1e-12)
    assert median(scores) == pytest.approx(statistics.median(scores), abs=1e-12)


def test_averages_work_along_the_last_axis():
    scores = np.random.default_rng(0).normal(size=(3, 5))
    for average in (iqm, mean, median):
        assert average(scores) == pytest.approx([average(row) for row in scores])


def test_interval_agrees_with_scipys_percentile_bootstrap():
    scores = np.random.default_rng(1).normal(loc=3.0, size=12)
    low, high = bootstrap_interval([scores], mean, np.random.default_rng(0), resamples=20_000)
    reference = stats.bootstrap(
        (scores,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    assert low == pytest.approx(reference.low, abs=0.03)
    assert high == pytest.approx(reference.high, abs=0.03)


def test_interval_of_two_scores_by_enumeration():
    """Resamples of (0, 1) have means 0, 1/2, 1/2, 1, equally likely: the 95 % interval is [0, 1], the 40 % one 1/2."""
    scores = [[0.0, 1.0]]
    assert bootstrap_interval(scores, mean, np.random.default_rng(0)) == (0.0, 1.0)
    assert bootstrap_interval(scores, mean, np.random.default_rng(0), level=0.4) == (0.5, 0.5)


def test_strata_are_resampled_apart():
    """Were they mixed, the mean of the two constant tasks would vary; resampled within tasks it cannot."""
    low, high = bootstrap_interval([[0.0] * 3, [10.0] * 5], mean, np.random.default_rng(0))
    assert (low, high) == (50.0 / 8.0, 50.0 / 8.0)


def test_interval_follows_the_generator_alone():
    scores = [np.random.default_rng(2).normal(size=6)]
    first = bootstrap_interval(scores, iqm, np.random.default_rng(7))
    np.random.seed(0)
    assert bootstrap_interval(scores, iqm, np.random.default_rng(7)) == first
    assert bootstrap_interval(scores, iqm, np.random.default_rng(8)) != first


def test_one_score_has_no_interval():
    assert all(math.isnan(end) for end in bootstrap_interval([[1.0]], mean, np.random.default_rng(0)))


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_impossible_levels(level):
    with pytest.raises(ValueError, match="level"):
        bootstrap_interval([[1.0, 2.0]], mean, np.random.default_rng(0), level=level)
    with pytest.raises(ValueError, match="strata"):
        bootstrap_interval([], mean, np.random.default_rng(0))
