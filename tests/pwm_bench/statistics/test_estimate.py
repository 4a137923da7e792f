"""Intervals and comparisons: against scipy, by hand, and by small simulations; `bench statistics` runs large ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from pwm_bench.bench.statistics import (
    DISTRIBUTIONS,
    SHARES,
    claims,
    coverage,
    coverage_over_tasks,
    draw_failures,
    profile_coverage,
    share_coverage,
)
from pwm_bench.statistics import (
    compare_with_best,
    estimate_iqm,
    estimate_mean,
    interval,
    probability_of_improvement,
    two_groups,
)


@pytest.mark.parametrize("level", [0.5, 0.95])
@pytest.mark.parametrize("number", [2, 3, 5, 20])
def test_interval_of_the_mean_is_students(number, level):
    scores = np.random.default_rng(number).normal(3.0, 2.0, size=number)
    expected = stats.t.interval(level, number - 1, loc=scores.mean(), scale=stats.sem(scores))
    assert interval(scores, level) == pytest.approx(expected, rel=1e-12)


def test_interval_by_hand():
    low, high = interval([1.0, 2.0, 3.0])  # deviation 1, t(2) = 4.302653
    assert (low, high) == pytest.approx((2.0 - 4.302653 / math.sqrt(3), 2.0 + 4.302653 / math.sqrt(3)), abs=1e-6)
    assert interval([4.0, 4.0, 4.0]) == (4.0, 4.0)
    assert all(math.isnan(end) for end in interval([4.0]))


@pytest.mark.parametrize("scores", [[], [[1.0, 2.0]], [1.0, math.nan], [1.0, math.inf]])
def test_interval_refuses(scores):
    with pytest.raises(ValueError, match="scores"):
        interval(scores)


@pytest.mark.parametrize(("name", "least"), [("normal", 0.94), ("Student's t, 5 degrees", 0.94), ("gamma(2)", 0.9)])
@pytest.mark.parametrize("seeds", [3, 5])
def test_intervals_cover(name, least, seeds):
    assert coverage(DISTRIBUTIONS[name], seeds, 20_000, np.random.default_rng(0)) >= least - 0.005


def test_intervals_of_success_rates_are_cut_and_cover_less_near_the_bound():
    low, high = estimate_mean([0.0, 0.1, 0.5], (0.0, 1.0)).interval()
    assert (float(low), float(high)) == (0.0, pytest.approx(interval([0.0, 0.1, 0.5])[1]))
    assert [float(end) for end in estimate_iqm([[0.9, 1.0]] * 2, (0.0, 1.0)).interval()][1] == 1.0
    middle, near = (share_coverage(SHARES[name], 3, 5_000, np.random.default_rng(0))
                    for name in ("0.5 in the mean", "0.95 in the mean"))  # fmt: skip
    assert middle[0] >= 0.93
    assert 0.78 < near[0] < 0.86
    assert near[1] == pytest.approx(0.187, abs=0.02)  # all three seeds the same


@pytest.mark.parametrize("seeds", [3, 5])
def test_intervals_over_tasks_cover(seeds):
    assert coverage_over_tasks(5, seeds, DISTRIBUTIONS["normal"], 5_000, np.random.default_rng(0)) >= 0.925


def test_iqm_of_one_task_of_few_seeds_is_the_mean_with_its_interval():
    found, same = estimate_iqm([[1.0, 2.0, 6.0]]), estimate_mean([1.0, 2.0, 6.0])
    for name in ("value", "error", "freedom"):
        assert float(getattr(found, name)) == pytest.approx(float(getattr(same, name)))


def test_iqm_error_by_hand():
    """Of 0 1 2 3 and 10 11 12 13 the ends 0 1 and 12 13 fall; winsorised, tasks are 2 2 2 3 and 10 11 11 11."""
    found = estimate_iqm([[0.0, 1.0, 2.0, 3.0], [10.0, 11.0, 12.0, 13.0]])
    assert found.value == pytest.approx((2 + 3 + 10 + 11) / 4)
    part = (4 / 8) ** 2 * 0.25 / 4  # the variance of either is 1/4
    assert found.error == pytest.approx(math.sqrt(2 * part) / 0.5)
    assert found.freedom == pytest.approx(6.0)
    assert math.isnan(estimate_iqm([[0.0, 1.0], [3.0]]).error)


def test_two_algorithms_are_compared_by_welchs_test():
    """With two there is nothing to correct for but the choice of the best, which a two-sided test allows for."""
    x, y = np.random.default_rng(5).normal(size=(2, 8)) + np.array([[0.0], [1.4]])
    found = compare_with_best([estimate_mean(x), estimate_mean(y)])
    assert found.best == 1
    expected = stats.ttest_ind(x, y, equal_var=False).pvalue
    assert 0.005 < expected < 0.2
    assert found.p_values == pytest.approx([expected, 1.0], abs=0.004 + 0.1 * expected)


def test_what_is_called_different():
    strata = [[1.0, 1.1, 0.9, 1.0], [1.0, 1.2, 0.8, 1.1], [0.0, 0.1, -0.1, 0.05], [9.0]]
    found = compare_with_best([estimate_mean(scores) for scores in strata])
    assert found.best == 1  # a single seed is not compared, whatever it scores
    assert found.indistinguishable().tolist() == [True, True, False, False]
    assert math.isnan(found.p_values[3])


def test_a_single_comparable_algorithm_is_not_the_best_of_anything():
    found = compare_with_best([estimate_mean([1.0, 2.0]), estimate_mean([1.0])])
    assert found.best is None
    assert not found.indistinguishable().any()


def test_order_does_not_matter_for_comparisons():
    estimates = [estimate_mean(x) for x in np.random.default_rng(0).normal(size=(5, 4))]
    estimates.append(estimate_mean(np.arange(9.0)))
    order = [3, 5, 0, 4, 1, 2]
    shuffled = compare_with_best([estimates[i] for i in order]).p_values
    assert shuffled.tolist() == compare_with_best(estimates).p_values[order].tolist()


def test_a_difference_between_rows_that_do_not_vary_needs_as_many_seeds_as_a_permutation_test():
    def differs(seeds: int) -> list[bool]:
        rates = [estimate_mean([rate] * seeds) for rate in (0.95, 0.95, 0.5)]
        return compare_with_best(rates).indistinguishable().tolist()

    assert differs(2) == [True, True, True]
    assert differs(3) == [True, True, True]
    assert differs(6) == [True, True, False]


def test_rows_that_do_not_vary_take_the_variance_of_the_others():
    rates = [[1.0, 1.0, 1.0], [0.9, 0.95, 0.85], [0.95, 0.95, 0.95], [0.0, 0.0, 0.0]]
    assert compare_with_best(list(map(estimate_mean, rates))).indistinguishable().tolist() == [True, True, True, False]


@pytest.mark.parametrize(("seeds", "rate", "episodes"), [(2, 0.98, 20), (3, 0.95, 10), (3, 0.5, 1), (5, 0.95, 10)])
def test_equal_success_rates_of_few_seeds_are_seldom_called_different(seeds, rate, episodes):
    """All seeds of a row often score the same there, which is no proof that the algorithm does not vary."""
    successes = np.random.default_rng(1).binomial(episodes, rate, size=(500, 8, seeds)) / episodes
    assert claims(successes).any(axis=1).mean() <= 0.08


@pytest.mark.parametrize(("algorithms", "seeds", "power"), [(4, 5, 0.8), (11, 5, 0.5)])
def test_equal_algorithms_are_seldom_called_different_and_unequal_ones_mostly(algorithms, seeds, power):
    generator = np.random.default_rng(1)
    equal = generator.normal(size=(2_000, algorithms, seeds))
    assert claims(equal).any(axis=1).mean() <= 0.056 + 0.01  # of so few studies
    apart = generator.normal(size=(500, algorithms, seeds))
    apart[:, 0] += 3.0
    assert claims(apart)[:, 1:].mean() >= power


def test_seeds_in_two_groups_are_found_and_shown():
    low, high = two_groups([1840.0, 310.0, 1902.0, 322.0, 1877.0]) or ((), ())
    assert (list(low), list(high)) == ([310.0, 322.0], [1840.0, 1877.0, 1902.0])
    for one in ([1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 9.0], [1.0]):
        assert two_groups(one) is None
    assert two_groups([0.0, 0.0, 1.0, 1.0]) is not None


def test_one_group_is_seldom_taken_for_two():
    generator = np.random.default_rng(2)
    found = [two_groups(scores) is not None for scores in generator.normal(size=(2_000, 5))]
    assert 0.03 < np.mean(found) < 0.07
    failing = draw_failures(10.0)(generator, (2_000, 10))
    assert np.mean([two_groups(scores) is not None for scores in failing]) > 0.8
    tables = generator.normal(size=(500, 10, 5))
    assert np.mean([any(two_groups(scores, rows=10) for scores in table) for table in tables]) < 0.08


def test_improvement_says_something_of_separate_seeds():
    found = probability_of_improvement([[4.0, 5.0, 6.0]], [[1.0, 2.0, 3.0]])
    assert (found.value, found.high) == (1.0, 1.0)
    assert 0.2 < found.low < 0.7
    other = probability_of_improvement([[1.0, 2.0, 3.0]], [[4.0, 5.0, 6.0]])
    assert (other.low, other.high) == pytest.approx((0.0, 1.0 - found.low))
    tasks = probability_of_improvement([[4.0, 5.0, 6.0]] * 5, [[1.0, 2.0, 3.0]] * 5)
    assert found.low < tasks.low < 1.0


def test_improvement_covers():
    generator, truth = np.random.default_rng(3), stats.norm.cdf(1.0 / math.sqrt(2.0))
    x, y = generator.normal(size=(2, 400, 2, 3))
    found = [probability_of_improvement(a + 1.0, b) for a, b in zip(x, y, strict=True)]
    assert np.mean([one.low <= truth <= one.high for one in found]) >= 0.92


@pytest.mark.parametrize(("tasks", "seeds", "share"), [(1, 3, 0.75), (1, 5, 0.9), (5, 3, 0.5)])
def test_the_band_of_a_profile_covers(tasks: int, seeds: int, share: float) -> None:
    """The bootstrap's covers 55, 38 and 85 % there."""
    assert profile_coverage(tasks, seeds, share, 1_000, np.random.default_rng(0)) > 0.9
