"""Gradient studies: one cause varied at a time. ``pwm-bench gradients NAME`` does them.

Lists read the descriptions alone, so what a study is made of is imported when one is made: it takes torch along.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pwm_bench.envs.errors import unknown

if TYPE_CHECKING:
    from pwm_bench.studies.gradient_study import Draft, GradientStudy

__all__ = ["FILED_AS", "STUDIES", "describe", "load"]

FILED_AS = "gradients-"
"""What a gradient study's name is preceded by where it stands among others: training studies may have the same name."""


def exact() -> GradientStudy:
    """First-order gradients against central finite differences in float64: hopper in Warp and MJX, no noise."""
    fields: dict[str, Any] = {"loop": "open", "noise": 0.0, "horizons": (2, 4, 8, 16), "states": 16, "worlds": 256}
    return _study(exact, "simulator", {
        simulator: _comparison("hopper", estimators=("analytic",), simulators=(simulator,), termination=False, **fields)
        for simulator in ("warp", "mjx")
    })  # fmt: skip


def horizon() -> GradientStudy:
    """Hopper in Warp, open and closed loop, horizons from 1 to 64."""
    horizons = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
    return _study(horizon, "loop", {
        loop: _comparison("hopper", loop=loop, horizons=horizons) for loop in ("open", "closed")
    })  # fmt: skip


def stiffness() -> GradientStudy:
    """Hopper in Warp, closed loop, ground contacts from soft (2e3 N/m) to stiff (1e5 N/m), damping a tenth."""
    return _study(stiffness, "contact_stiffness", {
        ke: _comparison(
            "hopper", loop="closed", simulator_options={"contact_stiffness": ke, "contact_damping": ke / 10.0}
        )
        for ke in (2e3, 6e3, 2e4, 1e5)
    })  # fmt: skip


def termination() -> GradientStudy:
    """Hopper in Warp, closed loop: rewards end at a termination, as in training, or go on as if there were none."""
    return _study(termination, "termination", {
        ends: _comparison("hopper", loop="closed", termination=ends) for ends in (True, False)
    })  # fmt: skip


def bootstrap() -> GradientStudy:
    """Hopper in Warp, closed loop: nothing at the end of the horizon, or the value of a network fitted for it."""
    from pwm_bench.gradients.values import ValueTraining

    return _study(bootstrap, "bootstrap", {
        name: _comparison("hopper", loop="closed", bootstrap=value)
        for name, value in (("none", None), ("fitted", ValueTraining()))
    })  # fmt: skip


def batch() -> GradientStudy:
    """Hopper in Warp, closed loop: samples for each start state from 8 to 512."""
    return _study(batch, "samples", {
        samples: _comparison("hopper", loop="closed", samples=samples) for samples in (8, 32, 128, 512)
    })  # fmt: skip


def noise() -> GradientStudy:
    """Hopper in Warp, closed loop: deviation of the exploration noise from 0.05 to 0.5."""
    return _study(noise, "noise", {
        sigma: _comparison("hopper", loop="closed", noise=sigma) for sigma in (0.05, 0.1, 0.2, 0.5)
    })  # fmt: skip


def substeps() -> GradientStudy:
    """Hopper in Warp, closed loop: 8 to 64 substeps in a control step."""
    return _study(substeps, "substeps", {
        number: _comparison("hopper", loop="closed", simulator_options={"substeps": number})
        for number in (8, 16, 32, 64)
    })  # fmt: skip


def regularisation() -> GradientStudy:
    """Hopper in Warp, closed loop: world models with SimNorm, LayerNorm and Mish, plain ReLU, or spectral norm, three
    seeds of each."""
    # A smaller comparison and more of them: what is asked here is what differs between models, not between states.
    small: dict[str, Any] = {"states": 16, "samples": 64, "reference_samples": 256, "horizons": (4, 8, 16)}
    study = _study(regularisation, "regularisation", {
        kind: _with_model(regularisation=kind).replace(estimators=("analytic", "model", "model_detached"), **small)
        for kind in ("simnorm", "layernorm", "relu", "spectral")
    })  # fmt: skip
    return dataclasses.replace(study, model_seeds=(0, 1, 2))


def model_training() -> GradientStudy:
    """Hopper in Warp, closed loop: world models after 300 to 10,000 updates."""
    from pwm_bench.gradients.models import ModelTraining

    return _study(model_training, "updates", {
        updates: _comparison("hopper", loop="closed", model=ModelTraining(updates=updates))
        for updates in (300, 1000, 3000, 10_000)
    })  # fmt: skip


def model_horizon() -> GradientStudy:
    """Hopper in Warp, closed loop: world models trained on unrolls of 3 and 16 steps."""
    return _study(model_horizon, "model_horizon", {steps: _with_model(horizon=steps) for steps in (3, 16)})


def at_policy() -> GradientStudy:
    """Hopper in Warp where PWM's policy goes at the end of its training, with PWM's world model and critic: the runs of
    `hopper-model-updates`, with half to four times as many updates of the model, five seeds of each."""
    from pwm_bench.jobs.train_spec import RunSpec
    from pwm_bench.studies.locomotion import HOPPER_SEEDS, MODEL_UPDATES, load_study

    runs = [spec for spec in load_study("hopper-model-updates").specs if isinstance(spec, RunSpec)]
    study = _study(at_policy, "updates", {
        updates: _comparison("hopper", model=run, policy=run, bootstrap="critic")
        for updates, run in zip(MODEL_UPDATES, runs, strict=True)
    })  # fmt: skip
    return dataclasses.replace(study, members=dict(enumerate(HOPPER_SEEDS)))


def smoke() -> GradientStudy:
    """Everything at a size that shows nothing but that it works: cartpole in Warp, half a minute."""
    from pwm_bench.gradients.models import ModelTraining

    small: dict[str, Any] = {
        "states": 8,
        "samples": 32,
        "reference_samples": 128,
        "horizons": (2, 8, 16),
        "worlds": 128,
    }
    training = ModelTraining(env_steps=4000, updates=200)
    return _study(smoke, "loop", {
        loop: _comparison("cartpole", loop=loop, model=training, **small) for loop in ("open", "closed")
    })  # fmt: skip


STUDIES: dict[str, Callable[[], GradientStudy]] = {
    function.__name__.replace("_", "-"): function
    for function in (
        smoke,
        exact,
        horizon,
        stiffness,
        termination,
        bootstrap,
        batch,
        noise,
        substeps,
        regularisation,
        model_training,
        model_horizon,
        at_policy,
    )
}


def describe(name: str) -> str:
    """One line about a study, without building it."""
    return " ".join((STUDIES[name].__doc__ or "").split())


def load(name: str) -> GradientStudy:
    """Builds a study by name.

    Raises:
        UsageError: if there is none (the nearest name is suggested).
    """
    if name not in STUDIES:
        raise unknown("gradient study", name, STUDIES)
    return STUDIES[name]()


def _comparison(task: str, **fields: Any) -> Draft:
    from pwm_bench.studies.comparisons import comparison

    return comparison(task, **fields)


def _with_model(**changes: Any) -> Draft:
    from pwm_bench.gradients.models import ModelTraining, with_model

    return _comparison("hopper", loop="closed", model=with_model(ModelTraining(), **changes))


def _study(function: Callable[[], GradientStudy], cause: str, comparisons: dict[Any, Draft]) -> GradientStudy:
    from pwm_bench.studies.gradient_study import GradientStudy

    return GradientStudy(
        name=function.__name__.replace("_", "-"),
        description=" ".join((function.__doc__ or "").split()),
        cause=cause,
        comparisons={str(value): c for value, c in comparisons.items()},
    )
