"""The ball-and-wall study: what two kinds of regressor, and descent on them and on the truth, make of a jump.

Estimators (column ``estimator``) are the regressors of `REGRESSORS`, and ``analytic`` and ``score``, which descend on
the true landscape; ``a - b`` is a difference of two regressors with equal seeds. ``simulator`` is the variant.

    fit_rmse            root mean squared error on the training grid [m]
    argmin              where the regressor is smallest on that grid [rad]
    argmin_gap          J there, less the global minimum [m]: what trusting the regressor's optimum costs
    argmin_half(_gap)   the same searched over the first half of the grid only, as the published script does for "ReLU"
    printed(_half)      the published script's figure: the regressor's own value at its argmin, less the grid's minimum
    descent_gap         J where gradient descent ends, less the global minimum, mean over starts [m]
    descent_success     share of starts that end within 1 m of it
    descent_gap_left    the gap of the start at -3 rad, beside the script's mark at -pi, where the truth has no slope
    descent_best_gap    smallest gap met on the way, mean over starts
    start_gap           descent_gap of the start ``at``
    prediction          median over seeds at angle ``at``; low and high span the middle 95 % of seeds
    loss                training loss at iteration ``at``, likewise

Rows with state >= 0 are single seeds. Intervals elsewhere are 95 % bootstrap over seeds; what has no seed has none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.gradients.keeping import Ledger, ProblemSpec, Work
from pwm_bench.gradients.pedagogical.ball_wall import VARIANTS, BallWall, variant
from pwm_bench.gradients.pedagogical.descent import descend, score_gradient
from pwm_bench.gradients.pedagogical.regressors import REGRESSORS, Regressor, fit
from pwm_bench.learning.checks import check_at_least, check_positive
from pwm_bench.learning.random import MemberStream
from pwm_bench.statistics import bootstrap_interval

__all__ = ["BallWallSpec", "BallWallWork"]

_SUCCESS = 1.0
_CURVE = 501
_LEFT = -3.0
_COMPARED = ("fit_rmse", "argmin_gap", "argmin_half_gap", "printed", "descent_gap", "descent_success",
             "descent_gap_left")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class BallWallSpec(ProblemSpec):
    """The study's settings; those of the training are the published script's.

    Raises:
        UsageError: an unknown name or an impossible number.
    """

    kind: ClassVar[str] = "ball-wall"
    seeds: int = 20
    """P, trained as one population."""
    variants: tuple[str, ...] = tuple(VARIANTS)
    """Landscapes; see `pwm_bench.gradients.pedagogical.ball_wall`."""
    regressors: tuple[str, ...] = REGRESSORS
    """Kinds of regressor."""
    grid: int = 1000
    """Angles in [-pi, pi] that are training set and search range of every argmin."""
    epochs: int = 100
    """Each is ``grid // batch_size`` steps."""
    batch_size: int = 56
    """Angles in a minibatch."""
    learning_rate: float = 2e-3
    """Adam's."""
    starts: int = 100
    """Starts of descent, in the middle of equal parts of [-pi, pi]; -3 is one more, reported apart."""
    steps: int = 1000
    """Number of steps of descent."""
    rate: float = 0.005
    """Its step size [rad^2 / m], falling linearly to 0."""
    limit: float = 0.02
    """Its longest step [rad], likewise."""
    samples: int = 32
    """Rollouts in a score-function gradient."""
    deviation: float = 0.1
    """Its smoothing [rad], which the script declares as its policy's and does not use."""

    study: str = "gradients-ball-wall"
    """The folder that it is filed under."""

    def __post_init__(self) -> None:
        ProblemSpec.__post_init__(self)
        for name in ("variants", "regressors"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.variants:
            raise UsageError(f"variants=(): name at least one of {', '.join(VARIANTS)}")
        for name in self.variants:
            variant(name)
        for name in self.regressors:
            if name not in REGRESSORS:
                raise unknown("regressor", name, REGRESSORS)
        for name, least in (("seeds", 1), ("epochs", 1), ("starts", 1), ("steps", 1), ("samples", 2), ("grid", 2)):
            check_at_least(name, getattr(self, name), least)
        if not 1 <= self.batch_size <= self.grid:
            raise UsageError(f"batch_size={self.batch_size}: must be from 1 to grid={self.grid}")
        for name in ("learning_rate", "rate", "limit", "deviation"):
            check_positive(name, getattr(self, name))

    @property
    def population(self) -> tuple[int, ...]:
        """Seeds of the population."""
        return tuple(range(self.seed, self.seed + self.seeds))


class BallWallWork(Work):
    """The study: on each landscape the truth, descent on it, and one regressor after the other.

    Args:
        spec: which.
        device: where.
    """

    def __init__(self, spec: BallWallSpec, device: torch.device) -> None:
        super().__init__()
        self.landscapes = {name: _Landscape(spec, name, self.ledger, device) for name in spec.variants}
        self.pieces = {
            f"{name}: {piece}": function
            for name, landscape in self.landscapes.items()
            for piece, function in landscape.pieces().items()
        }

    def found(self) -> dict[str, Any]:
        """Numbers of each seed, which differences are taken of."""
        return {
            name: {kind: {metric: torch.from_numpy(x) for metric, x in of.items()} for kind, of in one.found.items()}
            for name, one in self.landscapes.items()
        }

    def find(self, state: Mapping[str, Any]) -> None:
        """Takes back what `found` gave."""
        for name, one in self.landscapes.items():
            one.found = {kind: {metric: x.numpy() for metric, x in of.items()} for kind, of in state[name].items()}


class _Landscape:
    def __init__(self, spec: BallWallSpec, name: str, ledger: Ledger, device: torch.device) -> None:
        self.spec, self.name, self.ledger, self.device = spec, name, ledger, device
        self.truth: BallWall = variant(name)
        self.best = self.truth.optimum()
        self.grid = torch.linspace(-math.pi, math.pi, spec.grid, dtype=torch.float64, device=self.device)
        self.values = self.truth.value(self.grid)
        self.curve = torch.linspace(-math.pi, math.pi, _CURVE, dtype=torch.float64, device=self.device)
        middle = (torch.arange(spec.starts, dtype=torch.float64, device=self.device) + 0.5) / spec.starts
        self.starts = torch.cat((middle.new_tensor([_LEFT]), math.pi * (2.0 * middle - 1.0)))
        self.found: dict[str, dict[str, np.ndarray]] = {}

    def pieces(self) -> dict[str, Callable[[], None]]:
        """What there is to do, by name, in order."""
        regressors = {f"fit and descent on {kind}": partial(self._regressor, kind) for kind in self.spec.regressors}
        return {"truth": self._truth, "descent on the truth": self._descents, **regressors,
                "differences": self._differences}  # fmt: skip

    def _truth(self) -> None:
        for metric, value in (("jump", self.truth.jump()), ("optimum", self.best)):
            self._row("truth", metric, value)
        for at, value in zip(self.curve.tolist(), self.truth.value(self.curve).tolist(), strict=True):
            self._row("truth", "prediction", value, at=at)
        smooth = self.truth.smoothed(self.grid.cpu(), self.spec.deviation)
        smooth_gap = float(self.truth.value(self.grid.cpu()[smooth.argmin()])) - self.best
        self._row("score", "smoothed_optimum_gap", smooth_gap, at=self.spec.deviation)

    def _descents(self) -> None:
        spec = self.spec
        self._descend("analytic", self.truth.gradient, 1)
        stream = MemberStream(spec.population, self.device, name="gradients/ball-wall/score")
        score = score_gradient(self.truth.value, stream, samples=spec.samples, deviation=spec.deviation)
        self._descend("score", score, spec.seeds)

    def _differences(self) -> None:
        for a, b in (("simnorm", "normed"), ("simnorm_released", "normed")):
            if a in self.found and b in self.found:
                for metric in _COMPARED:
                    self._over_seeds(f"{a} - {b}", metric, self.found[a][metric] - self.found[b][metric])

    def _regressor(self, kind: str) -> None:
        spec = self.spec
        regressor = Regressor(kind, spec.population, self.device)
        grid, values = self.grid.float(), self.values.float()
        losses = fit(
            regressor, grid, values, spec.population, epochs=spec.epochs, batch_size=spec.batch_size,
            learning_rate=spec.learning_rate, progress=self.ledger.progress(spec.epochs),
        )  # fmt: skip
        with torch.no_grad():
            guess = regressor(grid.expand(spec.seeds, -1)).double()
            shown = regressor(self.curve.float().expand(spec.seeds, -1)).double()
        self._quantiles(kind, "prediction", self.curve.tolist(), shown)
        every = max(1, losses.shape[0] // 100)
        self._quantiles(kind, "loss", list(range(0, losses.shape[0], every)), losses[::every].T.double())
        self._found(kind, "fit_rmse", (guess - self.values).square().mean(1).sqrt())
        for suffix, part in (("", spec.grid), ("_half", spec.grid // 2)):
            lowest, place = guess[:, :part].min(1)
            self._found(kind, f"argmin{suffix}", self.grid[place])
            self._found(kind, f"argmin{suffix}_gap", self.values[place] - self.best)
            self._found(kind, f"printed{suffix}", lowest - self.values.min())
        self._descend(kind, lambda theta: regressor.slope(theta.float()).double(), spec.seeds)

    def _descend(self, name: str, gradient: Callable[[Tensor], Tensor], seeds: int) -> None:
        spec = self.spec
        start = self.starts.expand(seeds, -1)
        end, best = descend(
            gradient, start, steps=spec.steps, rate=spec.rate, limit=spec.limit, bounds=(-math.pi, math.pi),
            watch=self.truth.value,
        )  # fmt: skip
        gap = self.truth.value(end) - self.best
        self._found(name, "descent_gap", gap[:, 1:].mean(1))
        self._found(name, "descent_success", (gap[:, 1:] < _SUCCESS).double().mean(1))
        self._found(name, "descent_best_gap", (best - self.best)[:, 1:].mean(1))
        self._found(name, "descent_gap_left", gap[:, 0])
        for n, at in enumerate(self.starts.tolist()):
            self._over_seeds(name, "start_gap", gap[:, n].cpu().numpy(), at=at, single=False)

    def _found(self, name: str, metric: str, values: Tensor) -> None:
        numbers = values.double().cpu().numpy()
        self.found.setdefault(name, {})[metric] = numbers
        self._over_seeds(name, metric, numbers)

    def _over_seeds(
        self, name: str, metric: str, values: np.ndarray, *, at: float = math.nan, single: bool = True
    ) -> None:
        low, high = bootstrap_interval([values], lambda x: x.mean(-1), np.random.default_rng(self.spec.seed))
        self._row(name, metric, float(values.mean()), low, high, at=at)
        if single and len(values) > 1:
            for seed, value in zip(self.spec.population, values, strict=True):
                self._row(name, metric, float(value), state=seed)

    def _quantiles(self, name: str, metric: str, at: list[float], values: Tensor) -> None:
        marks = values.new_tensor([0.5, 0.025, 0.975])
        for x, (middle, low, high) in zip(at, torch.quantile(values, marks, dim=0).T.tolist(), strict=True):
            self._row(name, metric, middle, low, high, at=x)

    def _row(self, *values: object, **others: object) -> None:
        self.ledger.add(*values, simulator=self.name, **others)  # type: ignore[arg-type]
