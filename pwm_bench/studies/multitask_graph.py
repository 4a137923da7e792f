"""The graph of a multi-task experiment's runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pwm_bench import configs
from pwm_bench.baselines.bc.config import Config as CloneConfig
from pwm_bench.envs import suites
from pwm_bench.jobs.behaviour import BehaviourSpec
from pwm_bench.jobs.clone import CloneSpec
from pwm_bench.jobs.collect import CollectSpec
from pwm_bench.jobs.compare import CompareSpec
from pwm_bench.jobs.extract import ExtractionSpec
from pwm_bench.jobs.planning import PLANNING, needs_policies
from pwm_bench.jobs.pretrain import PretrainSpec
from pwm_bench.pwm.extraction.config import ExtractionConfig
from pwm_bench.store.inputs import Input, Pending, numbered
from pwm_bench.store.spec import Spec
from pwm_bench.studies.multitask import Multitask
from pwm_bench.sweeps.graph import STAGES, Study
from pwm_bench.world_model.multitask.planner import PlannerConfig

__all__ = ["build"]


def build(
    name: str, recipe: Multitask, *, data: Input | None = None, model: Input | None = None, workers: int | None = None
) -> Study:
    """The graph of a multi-task experiment.

    Args:
        name: of the study.
        recipe: what it is.
        data: instead of collecting.
        model: instead of training one.
        workers: see `load_multitask`.
    """
    tasks = suites.spec(recipe.tasks).names
    nodes = dict(_stages(recipe, tasks, data, model, workers, f"{name}{STAGES}"))
    sets: list[Input | Pending] = [data] if data is not None else []
    sets += [Pending(made, "data") for made in nodes if made.split()[-1] == "data"]
    all_data = numbered("data", sets)
    model_node: Input | Pending = model if model is not None else Pending(_last_model(recipe, data), "model")
    common: dict[str, Any] = {
        "tasks": tasks, "evaluation_episodes": recipe.episodes, "workers": workers, "study": name
    }  # fmt: skip
    learning = common | {"seeds": tuple(range(recipe.seeds)), "evaluations": recipe.evaluations}
    for number, changes in enumerate(recipe.clones, 1):
        cloning = configs.override(CloneConfig(), changes)
        nodes[f"cloning {number}"] = CloneSpec(inputs=all_data, config=cloning, **learning)
    inputs = {"model": model_node, **all_data}
    for number, changes in enumerate(recipe.extracts, 1):
        config = configs.override(ExtractionConfig(), changes)
        nodes[f"experts {number}"] = ExtractionSpec(inputs=inputs, config=config, **learning)
    for arm in recipe.arms:
        experts = {"policies": Pending(f"experts {len(recipe.extracts)}", "policies")} if needs_policies(arm) else {}
        planner = configs.override(PlannerConfig(), recipe.planner) if arm in PLANNING else None
        nodes[arm] = CompareSpec(arm=arm, inputs={"model": model_node, **experts}, config=planner, **common)
    return Study(name=name, description=recipe.description, nodes=nodes, metric="score", columns=("algorithm",))


def _last_model(recipe: Multitask, data: Input | None) -> str:
    rounds = 0 if data is not None else len(recipe.gradient_steps) - 1
    return f"round {rounds} model" if rounds else "model"


def _stages(
    recipe: Multitask,
    tasks: tuple[str, ...],
    data: Input | None,
    model: Input | None,
    workers: int | None,
    study: str,
) -> Iterator[tuple[str, Spec]]:
    """What is made before the runs of the table; rounds only where both data and model are made."""
    common: dict[str, Any] = {"workers": workers, "study": study}
    sets: list[Input | Pending] = [Pending("data", "data") if data is None else data]
    if data is None:
        assert recipe.collect is not None
        behaviours = {}
        if recipe.learner_steps:
            for task in suites.spec(tasks).tasks:
                if task.family != "meta_world":  # which has scripted experts
                    learner = f"learner of {task.name}"
                    yield (
                        learner,
                        BehaviourSpec(task=task.name, learner=recipe.learner, env_steps=recipe.learner_steps, **common),
                    )
                    behaviours[f"policies.{task.name}"] = Pending(learner, "policies")
        yield "data", CollectSpec(tasks=tasks, inputs=behaviours, **common, **recipe.collect)
    if model is not None:
        return
    assert recipe.pretrain is not None
    first, *more = recipe.gradient_steps
    yield "model", PretrainSpec.create(data=sets, gradient_steps=first, study=study, **recipe.pretrain)
    before = "model"
    kept = {name: value for name, value in recipe.pretrain.items() if name not in ("size", "sizes")}
    for number, steps in enumerate(more if data is None else [], 1):
        inputs = {"model": Pending(before, "model"), "data": sets[0]}
        config = configs.override(ExtractionConfig(), recipe.round_extract)
        policies, played, trained = (f"round {number} {what}" for what in ("policies", "data", "model"))
        yield policies, ExtractionSpec(tasks=tasks, inputs=inputs, config=config, evaluations=2, **common)
        acting = {"policies": Pending(policies, "policies"), "model": Pending(before, "model")}
        yield (
            played,
            CollectSpec(tasks=tasks, policy="extracted", inputs=acting, seed=number, **common, **recipe.round_collect),
        )
        sets.append(Pending(played, "data"))
        yield (
            trained,
            PretrainSpec.create(
                data=sets, continues=Pending(before, "model"), gradient_steps=steps, study=study, **kept
            ),
        )
        before = trained
