"""Gradient comparisons and landscapes as they are asked for: a study's with changes, or those of a task."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pwm_bench import envs
from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.gradients.model_inputs import MODEL, model_input
from pwm_bench.gradients.models import ModelTraining
from pwm_bench.gradients.offered import ESTIMATORS, with_prerequisites
from pwm_bench.gradients.slices import SliceSpec
from pwm_bench.gradients.spec import POLICY
from pwm_bench.jobs.train_model import TrainModelSpec
from pwm_bench.store.inputs import Input
from pwm_bench.store.results import RunDirectory
from pwm_bench.store.schema import RunRecord
from pwm_bench.studies import gradients as studies
from pwm_bench.studies.gradient_study import Draft, GradientStudy, model_run
from pwm_bench.studies.sizes import at_size
from pwm_bench.sweeps.graph import Study

__all__ = ["asked_for", "comparison", "default_estimators", "landscape", "load_graph"]

LOOPS = ("open", "closed")


def default_estimators(loop: str) -> tuple[str, ...]:
    """Estimators of a comparison in which nothing else was asked for: ours that have a meaning in the loop."""
    return tuple(name for name in ESTIMATORS.own if loop in ESTIMATORS.load(name).loops)


def comparison(task: str, **fields: Any) -> Draft:
    """A comparison of a task with the estimators and the world model that it has by default.

    Args:
        task: which.
        fields: of `pwm_bench.gradients.spec.Comparison`, and ``model`` and ``policy``, see `Draft`.

    Raises:
        UsageError: see `pwm_bench.gradients.spec.Comparison`.
    """
    loop = fields.get("loop", "open")
    if loop not in LOOPS:
        raise unknown("loop", loop, LOOPS)
    fields.setdefault("estimators", default_estimators(loop))
    if any("model" in one.needs for one in with_prerequisites(tuple(fields["estimators"])).values()):
        fields.setdefault("model", ModelTraining())
    model, policy = fields.pop("model", None), fields.pop("policy", None)
    return Draft({"task": task, **fields}, model, policy)


def landscape(task: str, model: Input | ModelTraining | None = None, **fields: Any) -> Study:
    """A landscape of a task, with the world model that it reads.

    Args:
        task: which.
        model: that of a PWM run, or how a model is trained; a small one by default.
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
    members: Sequence[int] = (0,),
    others: Sequence[str] = (),
    **changes: Any,
) -> GradientStudy:
    """A gradient study, or the comparison of a task, with what is changed of it.

    Args:
        target: a study of `pwm_bench.studies.gradients.STUDIES`, or a task.
        size: one of `pwm_bench.studies.sizes.SIZES`; what is changed by hand takes precedence.
        model_seeds: repeat every comparison with world models of these seeds.
        members: seeds, by position, of the runs whose model or policy is given; several repeat every comparison.
        others: names that may be meant where this is asked, for the error to suggest.
        changes: of `pwm_bench.gradients.spec.Comparison`, and ``model`` and ``policy``, see `Draft`. Options of the
            simulator and of a model's training are added to a study's own, others replace them.

    Raises:
        UsageError: unknown names, or impossible values.
    """
    run, seeds_of_run = _run_of(changes, members)
    if target not in studies.STUDIES:
        envs.TASKS.check(target, others=(*studies.STUDIES, *others), what="task or gradient study")
        draft = comparison(target, **changes)
        draft = draft.replace(**_sized(draft, size, changes))
        return GradientStudy(
            name=target,
            description=draft.comparison().label,
            comparisons={"": draft},
            model_seeds=tuple(model_seeds),
            members=seeds_of_run,
            about=run,
        )
    study = studies.load(target)
    changed = {
        value: draft.replace(**_sized(draft, size, changes), **_merged(draft, changes))
        for value, draft in study.comparisons.items()
    }
    seeds = tuple(model_seeds) or (() if isinstance(changes.get("model"), Input) else study.model_seeds)
    return dataclasses.replace(
        study, comparisons=changed, model_seeds=seeds, members=seeds_of_run or study.members, about=run
    )


def _run_of(changes: Mapping[str, Any], members: Sequence[int]) -> tuple[dict[str, str], dict[int, int]]:
    """What tables call the run whose model or policy is given, and which of its seeds: position -> seed. Nothing where
    there is no such run, or it has no seeds.

    Raises:
        UsageError: it has no such seed.
    """
    named, seeds = {}, {}
    for what in (MODEL, POLICY):
        given = changes.get(what)
        run = _run_behind(given) if isinstance(given, Input) else None
        if run is None:
            continue
        named[what] = run.variant.name if run.variant else run.id
        for member in members:
            if not 0 <= member < len(run.members):
                raise UsageError(f"member={member}: run {run.id} has members 0 to {len(run.members) - 1}")
            seeds[member] = run.members[member].seed
    if len(set(named.values())) == 1:  # model and policy of one run
        named = {"run": next(iter(named.values()))}
    return named, seeds


def _run_behind(one: Input) -> RunRecord | None:
    """The record of the run that left an input, if it has seeds; None for a file by itself."""
    folder = Path(one.path).parent
    if not (folder / "run.json").exists():
        return None
    record = RunDirectory(folder).read()
    return record if record.members else None


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


def load_graph(name: str, *, size: str | None = None) -> Study:
    """The runs of a study.

    Args:
        name: of the study, preceded by `pwm_bench.studies.gradients.FILED_AS`.
        size: one of `pwm_bench.studies.sizes.SIZES`; the study's own by default.

    Raises:
        UsageError: there is no such study or size.
    """
    study = studies.load(name.removeprefix(studies.FILED_AS))
    if size is None:
        return study.graph()
    sized = {value: draft.replace(**at_size(draft.comparison(), size)) for value, draft in study.comparisons.items()}
    return dataclasses.replace(study, comparisons=sized).graph()
