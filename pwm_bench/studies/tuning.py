"""The study of tuned learners: as they are, with one setting for all tasks, and with the best setting of each task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.jobs.tuning import Range
from pwm_bench.store.inputs import Pending, numbered
from pwm_bench.store.spec import Spec
from pwm_bench.sweeps.graph import STAGES, Study

__all__ = ["DESCRIPTION", "NAME", "SPACE", "tuning"]

NAME = "tuning"
DESCRIPTION = (
    "SHAC, PPO and PWM on hopper, cheetah and ant at 100,000 steps: by default, with the one of 16 settings that does "
    "best over the tasks, and with the best for each task, on five fresh seeds."
)
SPACE: Mapping[str, Range] = {
    "actor_learning_rate": Range(low=1e-4, high=1e-2, scale="log"),
    "critic_learning_rate": Range(low=1e-4, high=1e-2, scale="log"),
    "gamma": Range(low=0.95, high=0.998, scale="log1m"),
    "lam": Range(low=0.8, high=0.99, scale="log1m"),
}
"""What all of them are tuned in."""
CHANGES: Mapping[str, Mapping[str, Any]] = {"ppo": {"schedule": "linear"}}
"""Algorithm -> how its recipe is changed in all rows. PPO's own schedule finds a learning rate by itself within an
iteration or two, whatever the first: a rate that is tuned needs one that keeps it."""
_SETTINGS = 16
_STEPS = 100_000
_FRESH_SEEDS = (100, 101, 102, 103, 104)  # tuning has the seeds from 0


def tuning(
    tasks: Sequence[str] = ("hopper", "cheetah", "ant"),
    algorithms: Sequence[str] = ("shac", "ppo", "pwm"),
    *,
    name: str = NAME,
    settings: int = _SETTINGS,
    env_steps: int = _STEPS,
    seeds: Sequence[int] = _FRESH_SEEDS,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    **fields: Any,
) -> Study:
    """The graph: a tuning of each algorithm on each task, and three runs on fresh seeds that differ in what they read.

    Args:
        tasks: of `pwm_bench.envs.tasks`.
        algorithms: whose members may differ in the settings of `SPACE`.
        name: of the study.
        settings: tried of each algorithm, the same number for all.
        env_steps: of every run, per member.
        seeds: fresh ones.
        overrides: algorithm -> changes of its recipe; `CHANGES` by default.
        fields: other fields of all runs.
    """
    from pwm_bench.jobs.tune import TuneSpec  # it takes torch along, and lists read the description alone

    nodes: dict[str, Spec] = {}
    for algorithm in algorithms:
        changes = (CHANGES if overrides is None else overrides).get(algorithm, {})
        common: dict[str, Any] = {
            "algorithm": algorithm, "simulator": "warp", "env_steps": env_steps, "overrides": changes, **fields
        }  # fmt: skip
        tuned = {task: f"{task} · tuning of {algorithm}" for task in tasks}
        for task, node in tuned.items():
            nodes[node] = TuneSpec.create(
                task=task, space=SPACE, seeds=tuple(range(settings)), study=f"{name}{STAGES}", **common
            )
        for task in tasks:
            fresh = common | {"task": task, "seeds": tuple(seeds), "study": name}
            every = numbered("tuning", [Pending(node, "tuning") for node in tuned.values()])
            nodes[f"{task} · {algorithm}"] = RunSpec.create(**fresh)
            nodes[f"{task} · {algorithm} · one setting for all tasks"] = RunSpec.create(inputs=every, **fresh)
            if len(tasks) > 1:
                own = {"tuning": Pending(tuned[task], "tuning")}
                nodes[f"{task} · {algorithm} · tuned for the task"] = RunSpec.create(inputs=own, **fresh)
    return Study(name=name, description=DESCRIPTION, nodes=nodes)
