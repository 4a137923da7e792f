"""Runs that evaluate ways to act with one world model, each on the same episodes of the real tasks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pwm_bench import configs
from pwm_bench.jobs.offline_spec import model_digest
from pwm_bench.jobs.planning import Act, make_arm
from pwm_bench.learning.learner import Counters
from pwm_bench.pwm.extraction.train import Extractor
from pwm_bench.runs.entries import evaluation_line
from pwm_bench.runs.job import EvaluationResult
from pwm_bench.runs.outcome import Outcome
from pwm_bench.runs.whole import Books, execute_whole
from pwm_bench.store.results import Results
from pwm_bench.store.schema import Member
from pwm_bench.store.spec import Spec
from pwm_bench.world_model.multitask.networks import MultitaskModel
from pwm_bench.world_model.multitask.planner import PlannerConfig

__all__ = ["EvaluateSpec", "evaluate_arms"]


@dataclass(frozen=True, kw_only=True)
class EvaluateSpec(Spec):
    """One way to act, evaluated in the real tasks."""

    kind: ClassVar[str] = "evaluate"
    algorithm: str
    """One of `pwm_bench.jobs.planning.ARMS`."""
    tasks: tuple[str, ...]
    config: Mapping[str, Any]
    """Constants of the planner; empty where nothing is planned."""
    inputs: Mapping[str, Mapping[str, str]]
    """The world model, and the policies where they act; see `pwm_bench.store.spec.Spec`."""
    evaluation_episodes: int
    """Episodes in each task."""
    label: str = "multitask"
    """What the set of tasks is called."""
    study: str = "extract"

    def to_dict(self) -> dict[str, Any]:
        """The fields as they are recorded."""
        return {
            "task": self.label,
            "simulator": "suite",
            "algorithm": self.algorithm,
            "env_steps": 0,
            "tasks": list(self.tasks),
            "seeds": [0],
            "config": dict(self.config),
            "inputs": {name: dict(one) for name, one in self.inputs.items()},
            "evaluation_episodes": self.evaluation_episodes,
            "study": self.study,
        }


def evaluate_arms(
    model: MultitaskModel,
    tasks: Sequence[str],
    arms: Sequence[str],
    results: Results,
    *,
    evaluate: Callable[[Act], EvaluationResult],
    study: str,
    episodes: int,
    label: str = "multitask",
    experts: Extractor | None = None,
    planner: PlannerConfig | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> dict[str, Outcome]:
    """Evaluates each way to act in a run of its own; what is finished is not done again.

    One that fails does not keep the others from being evaluated; an interruption does.

    Args:
        model: the world model.
        tasks: K names.
        arms: some of `pwm_bench.jobs.planning.ARMS`.
        results: where the runs go.
        evaluate: plays E episodes of each task.
        study: folder of the runs.
        episodes: E.
        label: what the set of tasks is called.
        experts: PWM's policies, if an arm needs them.
        planner: constants of the planner.
        told: given the name of each arm as it begins.

    Returns:
        How each arm's run ended, in order.

    Raises:
        UsageError: see `make_arm`; or the results folder cannot be written.
    """
    results.check_writable()
    device = next(model.parameters()).device
    inputs = {"model": {"path": "", "digest": model_digest(model)}}
    outcomes: dict[str, Outcome] = {}
    ways = {
        arm: make_arm(arm, model, tasks, episodes=episodes, experts=experts, planner=planner) for arm in arms
    }  # all at first: what is missing is said before hours of work
    for arm, act in ways.items():
        policies = {}
        if arm.startswith("pwm") and experts is not None:
            policies = {"policies": {"path": "", "digest": _policies_digest(experts)}}
        spec = EvaluateSpec(
            algorithm=arm,
            tasks=tuple(tasks),
            config=configs.to_json(planner or PlannerConfig()) if arm.endswith("planning") else {},
            inputs=inputs | policies,
            evaluation_episodes=episodes,
            label=label,
            study=study,
        )

        def work(books: Books, arm: str = arm, act: Act = act) -> None:
            told(arm)
            _evaluate(books, evaluate, act)

        members = tuple(Member(seed=0, task=task) for task in tasks)
        outcomes[arm] = execute_whole(spec, results, work, device=device, members=members, gradient_source="learned")
        if outcomes[arm].record.status == "interrupted":
            break
    return outcomes


def _evaluate(books: Books, evaluate: Callable[[Act], EvaluationResult], act: Act) -> None:
    with books.clocks.phase("evaluate"):
        result = evaluate(act)
    line = evaluation_line(result, index=0, counters=Counters(), times=books.clocks.read())
    books.directory.evaluations.truncate(0)
    books.directory.evaluations.append(line.model_dump())
    for member, episodes in zip(books.record.members, result.returns, strict=True):
        member.final_return = sum(episodes) / len(episodes)


def _policies_digest(experts: Extractor) -> str:
    digest = hashlib.sha256()
    for value in experts.policy.actor.state_dict().values():
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
