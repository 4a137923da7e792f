"""Statistics over seeds: robust averages, intervals that resample seeds within tasks, comparisons, and curves.

They follow Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice" (NeurIPS 2021), whose
library is rliable. Every random choice comes from the generator given. A *stratum* is the scores of one task, one per
seed; strata may differ in length.
"""

from __future__ import annotations

from pwm_bench.records.statistics.averages import (
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
from pwm_bench.records.statistics.bootstrap import bootstrap_interval, iqm_interval, resample, stratified_interval
from pwm_bench.records.statistics.compare import (
    Estimate,
    average_profile,
    performance_profile,
    probability_of_improvement,
)
from pwm_bench.records.statistics.curves import (
    Curve,
    area_under_curve,
    common_axis,
    efficiency_curve,
    on_axis,
    time_to_threshold,
    value_at,
)
from pwm_bench.records.statistics.normalise import NORMALISATIONS, Normalisation, normalisation

__all__ = [
    "AGGREGATES",
    "NORMALISATIONS",
    "Curve",
    "Estimate",
    "Normalisation",
    "aggregate_iqm",
    "aggregate_mean",
    "aggregate_median",
    "aggregate_optimality_gap",
    "area_under_curve",
    "average_profile",
    "bootstrap_interval",
    "common_axis",
    "efficiency_curve",
    "iqm",
    "iqm_interval",
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
    "value_at",
]
