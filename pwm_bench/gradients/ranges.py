"""The ranges that metrics of gradients cannot leave, where their intervals over seeds are cut."""

from __future__ import annotations

__all__ = ["range_of"]

_INFINITE = float("inf")
_COSINE = "cosine"
_SHARE_OF_BEST = "_of_best"
_SHARES = ("alpha", "nonfinite")
_SIZES = (
    "norm_ratio", "bias", "variance", "esnr", "esnr_parameterwise", "relative_standard_error", "self_error",
    "lipschitz_random", "lipschitz_gradient", "curvature_random", "curvature_gradient", "jacobian_norm",
    "latent_error", "reward_error", "return_error", "value_error",
)  # fmt: skip
"""Lengths, variances and errors."""


def range_of(metric: str) -> tuple[float, float]:
    """Least and greatest possible value of a metric of `pwm_bench.gradients.metrics`, or of what surrounds an estimate;
    infinite where there is none, as for metrics that are not known."""
    if metric == _COSINE or metric.startswith(f"{_COSINE}_with_"):
        return -1.0, 1.0
    if metric.endswith(_SHARE_OF_BEST) or metric == "explained_variance":
        return -_INFINITE, 1.0
    if metric in _SHARES:
        return 0.0, 1.0
    return (0.0 if metric in _SIZES else -_INFINITE), _INFINITE
