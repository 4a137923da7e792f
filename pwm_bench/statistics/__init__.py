"""Statistics over seeds: estimates with intervals, comparisons, matched budgets, curves, normalisation.

Pure functions of numbers and data frames; nothing here reads or writes a file. A *stratum* is the scores of one task,
one per seed; strata may differ in length. Every random choice comes from a generator that is given, or from a fixed
seed.
"""

from __future__ import annotations

from pwm_bench.statistics.averages import (
    AGGREGATES,
    aggregate_iqm,
    aggregate_mean,
    aggregate_median,
    aggregate_optimality_gap,
    iqm,
    mean,
    median,
    optimality_gap,
)
from pwm_bench.statistics.bootstrap import bootstrap_interval, resample, stratified_interval
from pwm_bench.statistics.comparison import Comparison, compare_with_best
from pwm_bench.statistics.curves import (
    Curve,
    area_under_curve,
    common_axis,
    efficiency_curve,
    on_axis,
    time_to_threshold,
)
from pwm_bench.statistics.estimate import UNBOUNDED, Estimate, estimate_iqm, estimate_mean, interval
from pwm_bench.statistics.groups import two_groups
from pwm_bench.statistics.improvement import Improvement, probability_of_improvement
from pwm_bench.statistics.normalise import NORMALISATIONS, Normalisation, normalisation
from pwm_bench.statistics.profiles import Profile, average_profile, performance_profile

__all__ = [
    "AGGREGATES",
    "NORMALISATIONS",
    "UNBOUNDED",
    "Comparison",
    "Curve",
    "Estimate",
    "Improvement",
    "Normalisation",
    "Profile",
    "aggregate_iqm",
    "aggregate_mean",
    "aggregate_median",
    "aggregate_optimality_gap",
    "area_under_curve",
    "average_profile",
    "bootstrap_interval",
    "common_axis",
    "compare_with_best",
    "efficiency_curve",
    "estimate_iqm",
    "estimate_mean",
    "interval",
    "iqm",
    "mean",
    "median",
    "normalisation",
    "on_axis",
    "optimality_gap",
    "performance_profile",
    "probability_of_improvement",
    "resample",
    "stratified_interval",
    "time_to_threshold",
    "two_groups",
]
