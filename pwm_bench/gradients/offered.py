"""The estimators that a comparison can ask for, by name: what each needs, what it differentiates, how it is drawn.

Tables and lists read this of them, so what computes is imported when it does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from pwm_bench.envs.plugins import Registry

if TYPE_CHECKING:
    from torch import Tensor

    from pwm_bench.gradients.landscape import Landscape
    from pwm_bench.gradients.moments import Estimate
    from pwm_bench.gradients.scene import Scene
    from pwm_bench.gradients.spec import Comparison

__all__ = ["ESTIMATORS", "Estimates", "Estimator", "Note", "with_prerequisites"]

Estimates: TypeAlias = "dict[int, Estimate]"
"""Horizon -> what was estimated."""
Note: TypeAlias = "Callable[[int, str, Tensor], None]"
"""Takes further figures of an estimator: horizon, name, and a value for each start state, shape ``(S,)``."""


class Estimator:
    """A way to estimate the gradient of the expected return; it is made without arguments and keeps no state."""

    label: ClassVar[str] = ""
    """Its name in figures and tables; the name it is registered under if empty."""
    short_label: ClassVar[str] = ""
    """The same in 17 characters, for a terminal."""
    look: ClassVar[int | None] = None
    """Its place among the looks of figures, see `pwm_bench.analysis.plots.style`; None takes a free one."""
    needs: ClassVar[frozenset[str]] = frozenset()
    """Any of ``"gradient"`` (the simulator's), ``"model"`` (a world model), ``"noise"`` (exploration)."""
    loops: ClassVar[tuple[str, ...]] = ("open", "closed")
    """Where it has a meaning: for sequences of actions (open), for policies (closed)."""
    least_samples: ClassVar[int] = 1
    after: ClassVar[tuple[str, ...]] = ()
    """Estimators whose estimates it starts from; they are made first."""

    def differentiates(self, scene: Scene) -> Landscape | None:
        """What it differentiates exactly, by which its implementation is checked; None where there is no such thing."""
        return None

    def rollouts(self, spec: Comparison) -> int:
        """How many rollouts it takes."""
        return spec.states * spec.samples

    def estimate(
        self, scene: Scene, others: Mapping[str, Estimates], progress: Callable[[int], None], note: Note
    ) -> Estimates:
        """Estimates the gradient at every start state and horizon.

        Args:
            scene: simulator (``scene.world``), problem (``scene.problem``) and what was asked for (``scene.spec``).
            others: estimates that are there, those of `after` among them.
            progress: told of finished rollouts.
            note: takes further figures.
        """
        raise NotImplementedError


class Analytic(Estimator):
    """First order, through the simulator."""

    label, short_label, look = "analytic (simulator)", "simulator", 0
    needs = frozenset({"gradient"})

    def landscape(self, scene: Scene) -> Landscape:
        """What is differentiated."""
        return scene.world

    def differentiates(self, scene: Scene) -> Landscape | None:
        return self.landscape(scene)

    def rollouts(self, spec: Comparison) -> int:
        return spec.states * (spec.samples if spec.noise > 0.0 else 1)

    def estimate(
        self, scene: Scene, others: Mapping[str, Estimates], progress: Callable[[int], None], note: Note
    ) -> Estimates:
        from pwm_bench.gradients.estimators import first_order

        return first_order(self.landscape(scene), scene.problem, scene.spec.samples, progress=progress)


class Model(Analytic):
    """First order, through the world model."""

    label, short_label, look = "world model", "", 1
    needs = frozenset({"model"})

    def landscape(self, scene: Scene) -> Landscape:
        return scene.learned(False)


class ModelDetached(Analytic):
    """The gradient through the world model, without the way from states through the policy to actions."""

    label, short_label, look = "world model, policy path cut", "model, path cut", 2
    needs = frozenset({"model"})
    loops = ("closed",)  # an action sequence has no policy path to cut

    def landscape(self, scene: Scene) -> Landscape:
        return scene.learned(True)

    def differentiates(self, scene: Scene) -> Landscape | None:
        return None  # it is no gradient of anything


class Decoupled(Analytic):
    """The simulator's states and rewards, the world model's Jacobians."""

    label, short_label, look = "simulator, model's Jacobians", "decoupled", 9
    needs = frozenset({"model"})

    def landscape(self, scene: Scene) -> Landscape:
        from pwm_bench.gradients.decoupled import DecoupledWorld

        return DecoupledWorld(scene.world, scene.learned(False))

    def differentiates(self, scene: Scene) -> Landscape | None:
        return None  # it is no gradient of anything


class Score(Estimator):
    """Likelihood ratio."""

    label, look = "score function", 3
    needs = frozenset({"noise"})

    def estimate(
        self, scene: Scene, others: Mapping[str, Estimates], progress: Callable[[int], None], note: Note
    ) -> Estimates:
        from pwm_bench.gradients.estimators import score

        return score(scene.world, scene.problem, scene.spec.samples, progress=progress)


class Smoothed(Estimator):
    """Antithetic evolution strategies."""

    label, short_label, look = "evolution strategies", "evolution strat.", 4
    needs = frozenset({"noise"})
    least_samples = 2  # pairs

    def estimate(
        self, scene: Scene, others: Mapping[str, Estimates], progress: Callable[[int], None], note: Note
    ) -> Estimates:
        spec = scene.spec
        deviation = spec.noise if spec.loop == "open" else spec.parameter_noise
        from pwm_bench.gradients.estimators import smoothed

        return smoothed(scene.world, scene.problem, spec.samples, deviation=deviation, progress=progress)


class Mixed(Estimator):
    """Analytic and score, weighted by their variances."""

    label = "mixture"
    look = 13  # broken and dark, since it often lies on the analytic gradient's line
    needs = frozenset({"gradient", "noise"})
    least_samples = 2  # a variance
    after = ("analytic", "score")

    def rollouts(self, spec: Comparison) -> int:
        return 2 * spec.states * spec.samples

    def estimate(
        self, scene: Scene, others: Mapping[str, Estimates], progress: Callable[[int], None], note: Note
    ) -> Estimates:
        from pwm_bench.gradients.estimators import mixed, mixture_weight

        weights = {h: mixture_weight(others["analytic"][h], others["score"][h]) for h in scene.spec.horizons}
        for h, alpha in weights.items():
            note(h, "alpha", alpha)
        return mixed(scene.world, scene.problem, scene.spec.samples, weights, progress=progress)


ESTIMATORS = Registry(
    "estimator",
    "pwm_bench.estimators",
    {
        "analytic": f"{__name__}:Analytic",
        "model": f"{__name__}:Model",
        "model_detached": f"{__name__}:ModelDetached",
        "decoupled": f"{__name__}:Decoupled",
        "score": f"{__name__}:Score",
        "smoothed": f"{__name__}:Smoothed",
        "mixed": f"{__name__}:Mixed",
    },
    lambda thing: "" if Estimator in getattr(thing, "__mro__", ()) else "it must be a subclass of Estimator",
)
"""Each is a subclass of `Estimator`."""


def with_prerequisites(names: tuple[str, ...]) -> dict[str, Estimator]:
    """The estimators of these names, in order, each after those that it starts from.

    Raises:
        UsageError: there is no such estimator.
    """
    found: dict[str, Estimator] = {}

    def add(name: str) -> None:
        if name not in found:
            one = ESTIMATORS.load(name)()
            for other in one.after:
                add(other)
            found[name] = one

    for name in names:
        add(name)
    return found
