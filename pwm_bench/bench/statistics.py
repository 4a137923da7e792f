"""``pwm-bench bench statistics``: whether the intervals and comparisons of the tables hold, by simulation.

Studies with known truth are drawn, and what the tables would print of them is counted: how often the interval covers
the truth, how often equal algorithms are called different, how often different ones are told apart, how often seeds
are said to form two groups. docs/results.md holds the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pwm_bench.cli.showing import plain_table, terminal
from pwm_bench.statistics import (
    compare_with_best,
    estimate_iqm,
    estimate_mean,
    performance_profile,
    probability_of_improvement,
    two_groups,
)
from pwm_bench.statistics.estimate import Estimate

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["DISTRIBUTIONS", "SHARES", "claims", "coverage", "draw_failures", "main", "profile_coverage",
           "share_coverage"]  # fmt: skip

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]
"""Draws scores of a given shape with mean 0 and, but for failures, standard deviation 1."""

_SIGMA = 0.5  # of the logarithm, for lognormal scores
_FAILING = 0.2  # share of seeds that fail where scores have two groups
SEEDS = (2, 3, 5, 10, 20)


def _lognormal(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    square = np.exp(_SIGMA**2)
    return (generator.lognormal(0.0, _SIGMA, size=shape) - np.sqrt(square)) / np.sqrt((square - 1.0) * square)


def draw_failures(distance: float) -> Draw:
    """Scores of which one in five lies lower by ``distance`` standard deviations of its group."""

    def draw(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
        failed = generator.random(shape) < _FAILING
        return generator.normal(size=shape) - distance * (failed - _FAILING)

    return draw


DISTRIBUTIONS: Mapping[str, Draw] = {
    "normal": lambda generator, shape: generator.normal(size=shape),
    "Student's t, 5 degrees": lambda generator, shape: generator.standard_t(5, size=shape) / np.sqrt(5.0 / 3.0),
    "gamma(2)": lambda generator, shape: (generator.gamma(2.0, size=shape) - 2.0) / np.sqrt(2.0),
    "lognormal(0.5)": _lognormal,
    "20 % fail, by 2 sd": draw_failures(2.0),
    "20 % fail, by 5 sd": draw_failures(5.0),
    "20 % fail, by 10 sd": draw_failures(10.0),
}


SHARES: Mapping[str, tuple[float, float]] = {
    "0.5 in the mean": (2.0, 2.0),
    "0.8 in the mean": (8.0, 2.0),
    "0.95 in the mean": (9.5, 0.5),
}
"""Success rates: parameters of the Beta distribution of a seed's true rate."""
_EPISODES = 20  # that a rate is measured over


def share_coverage(shape: tuple[float, float], seeds: int, draws: int, generator: np.random.Generator) -> Array:
    """Share of studies of one task with success rates whose interval, cut at 0 and 1, covers the true mean rate; and of
    those whose interval has no width.

    Args:
        shape: parameters of the Beta distribution of the seeds' true rates.
        seeds: of a study.
        draws: studies.
        generator: draws them.
    """
    successes = generator.binomial(_EPISODES, generator.beta(*shape, size=(draws, seeds)))
    low, high = estimate_mean(successes / _EPISODES, (0.0, 1.0)).interval()
    truth = shape[0] / sum(shape)
    same = (successes == successes[:, :1]).all(axis=1)
    return np.array([np.mean((low <= truth) & (high >= truth)), np.mean(same)])


def coverage(draw: Draw, seeds: int, draws: int, generator: np.random.Generator) -> float:
    """Share of studies of one task whose interval covers the true mean, 0."""
    low, high = estimate_mean(draw(generator, (draws, seeds))).interval()
    return float(np.mean((low <= 0.0) & (high >= 0.0)))


def coverage_over_tasks(tasks: int, seeds: int, draw: Draw, draws: int, generator: np.random.Generator) -> float:
    """Share of studies of several tasks whose interval covers the IQM of all scores that there could be.

    Tasks' means are evenly spaced over two standard deviations of their seeds' scores.
    """
    means = np.linspace(-1.0, 1.0, tasks)
    everything = np.sort(np.concatenate([shift + draw(generator, (200_000,)) for shift in means]))
    quarter = len(everything) // 4
    truth = everything[quarter:-quarter].mean()
    low, high = estimate_iqm([shift + draw(generator, (draws, seeds)) for shift in means]).interval()
    return float(np.mean((low <= truth) & (high >= truth)))


def profile_coverage(tasks: int, seeds: int, share: float, draws: int, generator: np.random.Generator) -> float:
    """Share of studies whose band of a performance profile covers the true share of runs above a threshold.

    Scores are normal; tasks' means are evenly spaced over two standard deviations of their seeds' scores.

    Args:
        tasks: of a study.
        seeds: of a task.
        share: of runs that lie above the threshold in truth.
        draws: studies.
        generator: draws them.
    """
    from scipy import optimize, special

    means = np.linspace(-1.0, 1.0, tasks) if tasks > 1 else np.zeros(1)
    threshold = optimize.brentq(lambda at: special.ndtr(means - at).mean() - share, -9.0, 9.0)
    scores = means[:, None] + generator.normal(size=(draws, tasks, seeds))
    found = [performance_profile(list(study), [threshold]) for study in scores]
    return float(np.mean([one.low[0] <= share <= one.high[0] for one in found]))


def claims(scores: Array) -> Array:
    """Share of each algorithm's studies in which it is told apart from the best.

    Args:
        scores: shape ``(studies, algorithms, seeds)``.

    Returns:
        Whether each was told apart, of shape ``(studies, algorithms)``.
    """
    found = estimate_mean(scores)
    values = zip(found.value, found.error, found.freedom, strict=True)
    studies = [[Estimate(*of_one) for of_one in zip(*study, strict=True)] for study in values]
    return np.stack([~compare_with_best(study).indistinguishable() for study in studies])


def main(*, quick: bool = False, seed: int = 0) -> None:
    """Prints the tables.

    Args:
        quick: 2,000 draws and 500 studies instead of 40,000 and 5,000.
        seed: of the draws.
    """
    console = terminal()
    draws, studies = (2_000, 500) if quick else (40_000, 5_000)
    console.print(f"draws for intervals: {draws:,}; studies for comparisons: {studies:,}; seed: {seed}\n")
    generator = np.random.default_rng(seed)
    for table in (
        _interval_table(draws, generator),
        _iqm_table(draws, generator),
        _comparison_table(studies, generator),
        _improvement_table(studies, generator),
        _groups_table(studies, generator),
        _shares_table(draws, np.random.default_rng((seed, 1))),
        _profile_table(draws // 4, np.random.default_rng((seed, 2))),
    ):
        console.print(table)


def _interval_table(draws: int, generator: np.random.Generator) -> Table:
    table = plain_table("Coverage of the 95 % interval of one task", "scores", *(f"{n} seeds" for n in SEEDS))
    for name, draw in DISTRIBUTIONS.items():
        table.add_row(name, *(f"{coverage(draw, n, draws, generator):.3f}" for n in SEEDS))
    return table


def _iqm_table(draws: int, generator: np.random.Generator) -> Table:
    names = ("normal", "lognormal(0.5)", "20 % fail, by 5 sd")
    table = plain_table("Coverage of the 95 % interval of the IQM over tasks", "tasks, seeds", *names)
    for tasks, seeds in product((2, 5, 14), (3, 5, 10)):
        found = (coverage_over_tasks(tasks, seeds, DISTRIBUTIONS[name], draws // 4, generator) for name in names)
        table.add_row(f"{tasks}, {seeds}", *(f"{value:.3f}" for value in found))
    return table


def _comparison_table(studies: int, generator: np.random.Generator) -> Table:
    table = plain_table(
        "Who is better: studies in which equal algorithms are called different, and power at 3 sd",
        "algorithms, seeds", "equal, normal", "equal, lognormal(0.5)", "equal, sd 1 to 4", "one better", "one worse",
    )  # fmt: skip
    for algorithms, seeds in product((4, 11), (3, 5, 10)):
        shape = (studies, algorithms, seeds)
        spread = np.linspace(1.0, 4.0, algorithms)[:, None]
        equal = (generator.normal(size=shape), _lognormal(generator, shape), generator.normal(size=shape) * spread)
        errors = [claims(scores).any(axis=1).mean() for scores in equal]
        better, worse = generator.normal(size=shape), generator.normal(size=shape)
        better[:, 0] += 3.0
        worse[:, 0] -= 3.0
        power = [claims(better)[:, 1:].mean(), claims(worse)[:, 0].mean()]
        table.add_row(f"{algorithms}, {seeds}", *(f"{value:.3f}" for value in (*errors, *power)))
    return table


def _improvement_table(studies: int, generator: np.random.Generator) -> Table:
    from scipy import special

    distances = (0.0, 1.0, 3.0)
    table = plain_table("Coverage of the 95 % interval of the probability of improvement", "tasks, seeds", *(
        f"{distance:g} sd apart" for distance in distances
    ))  # fmt: skip
    for tasks, seeds in ((1, 3), (1, 5), (1, 10), (5, 3), (5, 5)):
        cells = []
        for distance in distances:
            truth = special.ndtr(distance / np.sqrt(2.0))
            x, y = generator.normal(size=(2, studies, tasks, seeds))
            found = [probability_of_improvement(a + distance, b) for a, b in zip(x, y, strict=True)]
            cells.append(np.mean([one.low <= truth <= one.high for one in found]))
        table.add_row(f"{tasks}, {seeds}", *(f"{cell:.3f}" for cell in cells))
    return table


def _groups_table(studies: int, generator: np.random.Generator) -> Table:
    table = plain_table("Share of studies whose seeds are said to form two groups", "scores", *(
        f"{n} seeds" for n in SEEDS[2:]
    ))  # fmt: skip
    for name, draw in DISTRIBUTIONS.items():
        found = [
            np.mean([two_groups(scores) is not None for scores in draw(generator, (studies, n))]) for n in SEEDS[2:]
        ]
        table.add_row(name, *(f"{value:.3f}" for value in found))
    return table


def _shares_table(draws: int, generator: np.random.Generator) -> Table:
    table = plain_table(
        f"Coverage of the 95 % interval of a success rate over {_EPISODES} episodes, cut at 0 and 1 (without width)",
        "seeds' rates", *(f"{n} seeds" for n in SEEDS),
    )  # fmt: skip
    for name, shape in SHARES.items():
        found = (share_coverage(shape, n, draws, generator) for n in SEEDS)
        table.add_row(name, *(f"{covered:.3f} ({same:.3f})" for covered, same in found))
    return table


def _profile_table(draws: int, generator: np.random.Generator) -> Table:
    shares = (0.5, 0.75, 0.9)
    table = plain_table("Coverage of the 95 % band of a performance profile, at one threshold", "tasks, seeds", *(
        f"{share:g} above it" for share in shares
    ))  # fmt: skip
    for tasks, seeds in product((1, 5), (3, 5, 10)):
        found = (profile_coverage(tasks, seeds, share, draws, generator) for share in shares)
        table.add_row(f"{tasks}, {seeds}", *(f"{value:.3f}" for value in found))
    return table
