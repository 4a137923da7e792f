"""Gradient studies: one cause varied at a time. ``pwm-bench gradients NAME`` does them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pwm_bench import envs
from pwm_bench.envs.errors import unknown
from pwm_bench.gradients.models import ModelTraining, with_model
from pwm_bench.gradients.offered import ESTIMATORS, with_prerequisites
from pwm_bench.gradients.slices import SliceSpec
from pwm_bench.gradients.spec import MODEL, model_input
from pwm_bench.gradients.values import ValueTraining
from pwm_bench.jobs.train_model import TrainModelSpec
from pwm_bench.store.inputs import Input
from pwm_bench.studies.gradient_study import FILED_AS, Draft, GradientStudy, model_run
from pwm_bench.studies.sizes import at_size
from pwm_bench.sweep.graph import Study

__all__ = ["STUDIES", "asked_for", "comparison", "default_estimators", "describe", "landscape", "load", "load_graph"]

LOOPS = ("open", "closed")


def default_estimators(loop: str) -> tuple[str, ...]:
    """Estimators of a comparison in which nothing else was asked for: ours that have a meaning in the loop."""
    return tuple(name for name in ESTIMATORS.own if loop in ESTIMATORS.load(name).loops)


def comparison(task: str, **fields: Any) -> Draft:
    """A comparison of a task with the estimators and the world model that it has by default.

    Args:
        task: which.
        fields: of `pwm_bench.gradients.spec.Comparison`, and the ``model``, see `Draft`.

    Raises:
        UsageError: see `pwm_bench.gradients.spec.Comparison`.
    """
    loop = fields.get("loop", "open")
    if loop not in LOOPS:
        raise unknown("loop", loop, LOOPS)
    fields.setdefault("estimators", default_estimators(loop))
    if any("model" in one.needs for one in with_prerequisites(tuple(fields["estimators"])).values()):
        fields.setdefault("model", ModelTraining())
    model = fields.pop("model", None)
    return Draft({"task": task, **fields}, model)


def landscape(task: str, model: Input | ModelTraining | None = None, **fields: Any) -> Study:
    """A landscape of a task, with the world model that it reads.

    Args:
        task: which.
        model: the weights of a PWM run, or how a model is trained; a small one by default.
        fields: of `pwm_bench.gradients.slices.SliceSpec`.

    Raises:
        UsageError: see `pwm_bench.gradients.slices.SliceSpec`.
    """
    if isinstance(model, Input):
        spec = SliceSpec(task=task, inputs={MODEL: model}, **fields)
        return Study(name=spec.study, description=spec.label, specs=(spec,))
    shared = {name: fields[name] for name in ("simulator", "simulator_options", "seed", "device") if name in fields}
    training = TrainModelSpec(task=task, training=model or ModelTraining(), **shared)
    name, pending = model_run(training)
    spec = SliceSpec(task=task, inputs={model_input(training.simulator): pending}, **fields)
    return Study(name=spec.study, description=spec.label, nodes={name: training, spec.label: spec})


def asked_for(
    target: str,
    *,
    size: str | None = None,
    model_seeds: Sequence[int] = (),
    others: Sequence[str] = (),
    **changes: Any,
) -> GradientStudy:
    """A gradient study, or the comparison of a task, with what is changed of it.

    Args:
        target: a study of `STUDIES`, or a task.
        size: one of `pwm_bench.studies.sizes.SIZES`; what is changed by hand takes precedence.
        model_seeds: repeat every comparison with world models of these seeds.
        others: names that may be meant where this is asked, for the error to suggest.
        changes: of `pwm_bench.gradients.spec.Comparison`, and the ``model``, see `Draft`. Options of the simulator and
            of a model's training are added to a study's own, others replace them.

    Raises:
        UsageError: unknown names, or impossible values.
    """
    if target not in STUDIES:
        envs.TASKS.check(target, others=(*STUDIES, *others), what="task or gradient study")
        draft = comparison(target, **changes)
        draft = draft.replace(**_sized(draft, size, changes))
        return GradientStudy(
            name=target,
            description=draft.comparison().label,
            comparisons={"": draft},
            model_seeds=tuple(model_seeds),
        )
    study = load(target)
    changed = {
        value: draft.replace(**_sized(draft, size, changes), **_merged(draft, changes))
        for value, draft in study.comparisons.items()
    }
    seeds = tuple(model_seeds) or (() if isinstance(changes.get("model"), Input) else study.model_seeds)
    return dataclasses.replace(study, comparisons=changed, model_seeds=seeds)


def _sized(draft: Draft, size: str | None, changes: Mapping[str, Any]) -> dict[str, Any]:
    """What a size changes, but for what is given by hand."""
    if size is None:
        return {}
    return {name: value for name, value in at_size(draft.comparison(), size).items() if name not in changes}


def _merged(draft: Draft, changes: dict[str, Any]) -> dict[str, Any]:
    model = changes.get("model")
    if isinstance(model, ModelTraining) and isinstance(draft.model, ModelTraining):
        changes = changes | {"model": dataclasses.replace(draft.model, updates=model.updates)}
    if "simulator_options" in changes:
        options = dict(draft.fields.get("simulator_options", {})) | changes["simulator_options"]
        return changes | {"simulator_options": options}
    return changes


def exact() -> GradientStudy:
    """First-order gradients against central finite differences in float64: hopper in Warp and MJX, no noise."""
    fields: dict[str, Any] = {"loop": "open", "noise": 0.0, "horizons": (2, 4, 8, 16), "states": 16, "worlds": 256}
    return _study(exact, "simulator", {
        simulator: comparison("hopper", estimators=("analytic",), simulators=(simulator,), termination=False, **fields)
        for simulator in ("warp", "mjx")
    })  # fmt: skip


def horizon() -> GradientStudy:
    """Hopper in Warp, open and closed loop, horizons from 1 to 64."""
    horizons = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
    return _study(horizon, "loop", {
        loop: comparison("hopper", loop=loop, horizons=horizons) for loop in ("open", "closed")
    })  # fmt: skip


def stiffness() -> GradientStudy:
    """Hopper in Warp, closed loop, ground contacts from soft (2e3 N/m) to stiff (1e5 N/m), damping a tenth."""
    return _study(stiffness, "contact_stiffness", {
        ke: comparison(
            "hopper", loop="closed", simulator_options={"contact_stiffness": ke, "contact_damping": ke / 10.0}
        )
        for ke in (2e3, 6e3, 2e4, 1e5)
    })  # fmt: skip


def termination() -> GradientStudy:
    """Hopper in Warp, closed loop: rewards end at a termination, as in training, or go on as if there were none."""
    return _study(termination, "termination", {
        ends: comparison("hopper", loop="closed", termination=ends) for ends in (True, False)
    })  # fmt: skip


def bootstrap() -> GradientStudy:
    """Hopper in Warp, closed loop: nothing at the end of the horizon, or the value of a network fitted for it."""
    return _study(bootstrap, "bootstrap", {
        name: comparison("hopper", loop="closed", bootstrap=value)
        for name, value in (("none", None), ("fitted", ValueTraining()))
    })  # fmt: skip


def batch() -> GradientStudy:
    """Hopper in Warp, closed loop: samples for each start state from 8 to 512."""
    return _study(batch, "samples", {
        samples: comparison("hopper", loop="closed", samples=samples) for samples in (8, 32, 128, 512)
    })  # fmt: skip


def noise() -> GradientStudy:
    """Hopper in Warp, closed loop: deviation of the exploration noise from 0.05 to 0.5."""
    return _study(noise, "noise", {
        sigma: comparison("hopper", loop="closed", noise=sigma) for sigma in (0.05, 0.1, 0.2, 0.5)
    })  # fmt: skip


def substeps() -> GradientStudy:
    """Hopper in Warp, closed loop: 8 to 64 substeps in a control step."""
    return _study(substeps, "substeps", {
        number: comparison("hopper", loop="closed", simulator_options={"substeps": number})
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
    return _study(model_training, "updates", {
        updates: comparison("hopper", loop="closed", model=ModelTraining(updates=updates))
        for updates in (300, 1000, 3000, 10_000)
    })  # fmt: skip


def model_horizon() -> GradientStudy:
    """Hopper in Warp, closed loop: world models trained on unrolls of 3 and 16 steps."""
    return _study(model_horizon, "model_horizon", {steps: _with_model(horizon=steps) for steps in (3, 16)})


def smoke() -> GradientStudy:
    """Everything at a size that shows nothing but that it works: cartpole in Warp, half a minute."""
    small: dict[str, Any] = {
        "states": 8,
        "samples": 32,
        "reference_samples": 128,
        "horizons": (2, 8, 16),
        "worlds": 128,
    }
    training = ModelTraining(env_steps=4000, updates=200)
    return _study(smoke, "loop", {
        loop: comparison("cartpole", loop=loop, model=training, **small) for loop in ("open", "closed")
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


def load_graph(name: str, *, size: str | None = None) -> Study:
    """The runs of a study.

    Args:
        name: of the study, preceded by `FILED_AS`.
        size: one of `pwm_bench.studies.sizes.SIZES`; the study's own by default.

    Raises:
        UsageError: there is no such study or size.
    """
    study = load(name.removeprefix(FILED_AS))
    if size is None:
        return study.graph()
    sized = {value: draft.replace(**at_size(draft.comparison(), size)) for value, draft in study.comparisons.items()}
    return dataclasses.replace(study, comparisons=sized).graph()


def _with_model(**changes: Any) -> Draft:
    return comparison("hopper", loop="closed", model=with_model(ModelTraining(), **changes))


def _study(function: Callable[[], GradientStudy], cause: str, comparisons: dict[Any, Draft]) -> GradientStudy:
    return GradientStudy(
        name=function.__name__.replace("_", "-"),
        description=" ".join((function.__doc__ or "").split()),
        cause=cause,
        comparisons={str(value): c for value, c in comparisons.items()},
    )
