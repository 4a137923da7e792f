"""Expected values are worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from pwm_bench.envs.errors import UsageError
from pwm_bench.statistics import (
    aggregate_iqm,
    aggregate_mean,
    area_under_curve,
    common_axis,
    efficiency_curve,
    normalisation,
    on_axis,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
    stratified_interval,
    time_to_threshold,
)


def generator():
    return np.random.default_rng(3)


def test_optimality_gap_does_not_reward_what_is_beyond_the_optimum():
    assert optimality_gap([0.5, 1.0, 7.0]) == pytest.approx(0.5 / 3)
    assert optimality_gap([1.0, 2.0], optimum=4.0) == pytest.approx(2.5)


def test_probability_of_improvement_by_hand_with_ties_and_unequal_seeds():
    """3 beats 1 and 2, ties with 3; 1 ties with 1: (1 + 1 + 1/2 + 1/2) / 6 on task one, 1 on task two."""
    found = probability_of_improvement([[3.0, 1.0], [9.0]], [[1.0, 2.0, 3.0], [8.0]])
    assert found.value == pytest.approx((3.0 / 6.0 + 1.0) / 2.0)
    assert math.isnan(found.low)  # one seed on task two: nothing can be said


def test_probability_of_improvement_is_mann_whitneys_u():
    x, y = np.random.default_rng(0).integers(0, 9, size=(2, 12)).astype(float)
    u = stats.mannwhitneyu(x, y, alternative="greater").statistic
    found = probability_of_improvement([x], [y])
    assert found.value == pytest.approx(u / 144, abs=1e-12)
    assert probability_of_improvement([y], [x]).value == pytest.approx(1 - found.value, abs=1e-12)
    assert found.low <= found.value <= found.high


def test_probability_of_improvement_needs_the_same_tasks():
    with pytest.raises(ValueError, match="2 tasks of X and 1 of Y"):
        probability_of_improvement([[1.0], [2.0]], [[1.0]])


def test_a_profile_falls_and_counts_scores_strictly_above():
    found = performance_profile([[1.0, 2.0, 3.0, 4.0]], [0.0, 1.0, 2.5, 4.0])
    assert found.value == pytest.approx([1.0, 0.75, 0.5, 0.0])
    assert np.all(found.low <= found.value)
    assert np.all(found.value <= found.high)


def test_aggregates_with_unequal_seeds():
    strata = [np.array([0.0, 1.0]), np.array([4.0, 4.0, 4.0, 4.0])]
    assert aggregate_mean(strata) == pytest.approx((0.5 + 4.0) / 2)  # a task is a task
    assert aggregate_iqm(strata) == pytest.approx((1.0 + 4.0 * 3) / 4)  # of 0 1 4 4 4 4 the ends fall


def test_interval_keeps_the_shape_of_the_statistic():
    curves = np.random.default_rng(0).normal(size=(4, 7))
    low, high = stratified_interval([curves], lambda arrays: arrays[0].mean(axis=1), generator())
    assert low.shape == high.shape == (7,)
    low, _ = stratified_interval([curves[:1]], lambda arrays: arrays[0].mean(axis=1), generator())
    assert low.shape == (7,)
    assert np.isnan(low).all()


def test_infinite_scores_make_an_interval_without_nan():
    low, high = stratified_interval([[1.0, 2.0, np.inf]], lambda a: np.median(a[0], axis=-1), generator())
    assert low in (1.0, 2.0)
    assert high == np.inf


def test_on_axis_by_hand():
    x, y = [0.0, 10.0, 30.0], [5.0, 6.0, 8.0]
    assert on_axis(x, y, [-1, 5, 20, 30, 31]) == pytest.approx([math.nan, 5.5, 7.0, 8.0, math.nan], nan_ok=True)
    assert np.isnan(on_axis([], [], [1.0])).all()


def test_a_curve_with_several_points_at_one_position_jumps_there():
    x, y = [0.0, 10.0, 10.0, 10.0, 20.0], [0.0, 1.0, 7.0, 5.0, 6.0]
    assert on_axis(x, y, [5.0, 10.0, 15.0]) == pytest.approx([0.5, 5.0, 5.5])
    assert on_axis(x[:4], y[:4], np.linspace(0.0, 10.0, 11)) == pytest.approx([*np.arange(0.0, 1.0, 0.1), 5.0])
    assert area_under_curve(x, y) == pytest.approx((5.0 + 55.0) / 20)
    assert area_under_curve(x, y, until=10) == area_under_curve(x[:4], y[:4]) == pytest.approx(0.5)
    assert time_to_threshold(x, y, 5.0) == 10.0


def test_common_axis():
    assert common_axis([[0, 1, 2], [0, 1, 2]]) == pytest.approx([0, 1, 2])
    assert common_axis([[0, 10], [2, 6]], points=3) == pytest.approx([2, 4, 6])
    assert common_axis([[0, 1], [2, 3]]).size == 0
    assert common_axis([[], [2, 3]]).size == common_axis([]).size == 0


def test_efficiency_curve_averages_what_all_seeds_reach():
    found = efficiency_curve([[([0, 10], [0, 10]), ([0, 20], [0, 40])]], points=3)
    assert found.axis == pytest.approx([0, 5, 10])
    assert found.value == pytest.approx([0.0, 7.5, 15.0])
    half = 12.7062 * np.array([0.0, 2.5, 5.0])  # Student's t with one degree of freedom, times |x - y| / 2
    assert found.low == pytest.approx(found.value - half, abs=1e-3)
    assert found.high == pytest.approx(found.value + half, abs=1e-3)


def test_area_by_hand():
    assert area_under_curve([0, 10, 30], [0, 10, 10]) == pytest.approx((50 + 200) / 30)
    assert area_under_curve([0, 10, 30], [0, 10, 10], until=10) == pytest.approx(5.0)
    assert area_under_curve([0, 10, 30], [0, 10, 20], until=20) == pytest.approx((50 + 125) / 20)
    assert math.isnan(area_under_curve([0, 10], [0, 10], until=11))
    assert math.isnan(area_under_curve([5], [0]))


@pytest.mark.parametrize("until", [None, 10.0, 17.0, 40.0])
def test_areas_of_many_curves_are_those_of_each_to_the_bit(until):
    steps = np.array([0.0, 3.0, 4.0, 10.0, 11.0, 16.0, 20.0, 21.0, 25.0, 29.0, 30.0, 33.0])
    curves = np.random.default_rng(0).normal(size=(5, 12))
    each = [area_under_curve(steps, curve, until=until) for curve in curves]
    np.testing.assert_array_equal(area_under_curve(steps, curves, until=until), each)


def test_time_to_threshold_is_that_of_an_evaluation():
    assert time_to_threshold([0, 10, 30], [0, 5, 9], 5) == 10
    assert time_to_threshold([0, 10, 30], [0, 4.9, 9], 5) == 30
    assert time_to_threshold([0, 10, 30], [0, 5, 9], 9.1) == math.inf
    assert time_to_threshold([], [], 1) == math.inf


def test_normalisation_sets():
    ppo = normalisation("ppo")
    assert ppo.apply("hopper", [4742.297, 0.0]) == pytest.approx([1.0, 0.0])
    assert ppo.apply("snu_humanoid", 4246.042) == pytest.approx(1.0)
    assert normalisation("dmc").apply("walker-stand", 250.0) == pytest.approx(0.25)
    assert normalisation("success").apply("mw-reach", 0.3) == pytest.approx(0.3)
    assert normalisation("none").apply("anything", -7.5) == -7.5
    ours = normalisation("random-expert", {"hopper": (-100.0, 100.0)})
    assert ours.apply("hopper", [-100.0, 0.0, 300.0]) == pytest.approx([0.0, 0.5, 2.0])
    assert "hopper -100.0 and 100.0" in ours.said()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: normalisation("pop"), "did you mean 'ppo'"),
        (lambda: normalisation("random-expert"), "no finished runs"),
        (lambda: normalisation("ppo").scale("cartpole"), "no scale for task 'cartpole'"),
        (lambda: normalisation("random-expert", {"a": (1.0, 1.0)}).scale("a"), "no usable scale"),
        (lambda: normalisation("random-expert", {"a": (-5.0, -10.0)}).scale("a"), "no usable scale .-5 to -10."),
    ],
)
def test_normalisation_refuses(make, message):
    with pytest.raises(UsageError, match=message):
        make()
