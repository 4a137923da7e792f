"""The ways to act with one world model, side by side: policy prior, planner, PWM's policies, PWM with planning.

Each is evaluated on the same episodes of the real tasks and leaves a record in the study, so that `pwm-bench table`
shows them together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from envs.errors import UsageError, unknown
from pwm_bench import configs
from pwm_bench.learning.expert import Expert
from pwm_bench.learning.random import MemberStream
from pwm_bench.pwm.extraction.config import ExtractionConfig
from pwm_bench.pwm.extraction.guide import ExpertGuide
from pwm_bench.pwm.extraction.train import Extractor
from pwm_bench.records import checkpoint, provenance
from pwm_bench.records.schema import Evaluation, Member, RunRecord
from pwm_bench.records.store import Results, RunDirectory, now
from pwm_bench.runner.clocks import Clocks
from pwm_bench.runner.evaluation import EvaluationResult
from pwm_bench.runner.offline_spec import model_digest
from pwm_bench.runs.spec import Spec
from pwm_bench.world_model.multitask.networks import MultitaskModel
from pwm_bench.world_model.multitask.planner import Guide, Planner, PlannerConfig, PriorGuide

__all__ = ["ARMS", "compare", "load_experts", "make_arm"]

ARMS = ("tdmpc2-prior", "tdmpc2-planning", "pwm", "pwm-planning")
Act = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class EvaluateSpec(Spec):
    """One way to act, evaluated in the real tasks."""

    kind: ClassVar[str] = "evaluate"
    algorithm: str
    """One of `ARMS`."""
    tasks: tuple[str, ...]
    config: Mapping[str, Any]
    """Constants of the planner; empty where nothing is planned."""
    inputs: Mapping[str, Mapping[str, str]]
    """The world model, and the policies where they act; see `pwm_bench.runs.spec.Spec`."""
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


def load_experts(path: Path, model: MultitaskModel) -> Extractor:
    """The policies of a finished extraction.

    Args:
        path: its run directory.
        model: the world model that they were trained in.

    Raises:
        UsageError: not an extraction, or of another world model.
    """
    record = RunDirectory(path).read()
    if record.kind != "extract":
        raise UsageError(f"{path}: not an extraction; give the run directory that `pwm-bench extract` named")
    source = record.spec["inputs"]["model"]
    if source["digest"] != model_digest(model):
        raise UsageError(f"{path}: its policies were trained in another world model ({source['path']})")
    experts = [Expert(member.task or "", member.seed) for member in record.members]
    config = configs.override(ExtractionConfig(), record.spec["config"] | {"imitation": 0.0})  # nothing is trained
    extractor = Extractor(model, experts, config, starts=_no_starts)
    with checkpoint.restoring(path / "checkpoint"):
        extractor.load_state_dict(checkpoint.load(path / "checkpoint", spec_id=record.id).state["learner"])
    return extractor


def _no_starts(stream: MemberStream, batch: int) -> Tensor:
    raise RuntimeError("these policies are only evaluated")


def make_arm(
    name: str,
    model: MultitaskModel,
    tasks: Sequence[str],
    *,
    episodes: int,
    experts: Extractor | None = None,
    planner: PlannerConfig | None = None,
) -> Act:
    """A way to act in E episodes of each task that begin together: observations ``(K, E, D)`` to actions.

    Args:
        name: one of `ARMS`.
        model: the world model.
        tasks: K names.
        episodes: E.
        experts: for those that need them; the first seed's of each task acts.
        planner: constants of the planner.

    Raises:
        UsageError: no such way, or no experts for a task.
    """
    if name not in ARMS:
        raise unknown("way to act", name, ARMS)
    device = next(model.parameters()).device
    index = torch.tensor([model.config.task_index(task) for task in tasks], device=device)
    worlds = index.repeat_interleave(episodes)
    guide: Guide
    if name.startswith("pwm"):
        if experts is None:
            raise UsageError(f"'{name}' needs PWM's policies: give --experts RUN")
        rows = _rows_of(experts, tasks, device)
        if name == "pwm":
            return lambda obs: _experts_act(experts, rows, obs)
        guide = ExpertGuide(experts.policy, rows, episodes)
    else:
        guide = PriorGuide(model, worlds)
    if name == "tdmpc2-prior":
        return lambda obs: _prior(model, index, obs)
    stream = MemberStream(range(len(worlds)), device, name="planner")
    plan = Planner(model, worlds, guide, planner, stream=stream)
    return lambda obs: plan.plan(obs.flatten(0, 1)).unflatten(0, obs.shape[:2])


def _rows_of(experts: Extractor, tasks: Sequence[str], device: torch.device) -> Tensor:
    """Which expert acts in each task."""
    names = [expert.task for expert in experts.experts]
    for task in tasks:
        if task not in names:
            raise unknown("task of the experts", task, names)
    return torch.tensor([names.index(task) for task in tasks], device=device)


def _experts_act(experts: Extractor, rows: Tensor, obs: Tensor) -> Tensor:
    every = obs.new_zeros(len(experts.experts), *obs.shape[1:])
    every[rows] = obs
    return experts.act(every)[rows]


@torch.no_grad()
def _prior(model: MultitaskModel, tasks: Tensor, obs: Tensor) -> Tensor:
    padded = torch.nn.functional.pad(obs, (0, model.config.observation_dim - obs.shape[-1]))
    latent = model.encode(padded, tasks)
    return model.policy(latent, tasks, latent.new_zeros(*latent.shape[:-1], model.config.action_dim)).mean


def compare(
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
) -> dict[str, RunRecord]:
    """Evaluates each way to act and files a record of it; what is filed already is not done again.

    Args:
        model: the world model.
        tasks: K names.
        arms: some of `ARMS`.
        results: where the records go.
        evaluate: plays E episodes of each task.
        study: folder of the records.
        episodes: E.
        label: what the set of tasks is called.
        experts: PWM's policies, if an arm needs them.
        planner: constants of the planner.
        told: given the name of each arm as it begins.

    Raises:
        UsageError: see `make_arm`; or the results folder cannot be written.
    """
    results.check_writable()
    inputs = {"model": {"path": "", "digest": model_digest(model)}}
    records: dict[str, RunRecord] = {}
    ways = {
        arm: make_arm(arm, model, tasks, episodes=episodes, experts=experts, planner=planner) for arm in arms
    }  # all at first: what is missing is said before hours of work
    for arm, act in ways.items():
        if arm.startswith("pwm") and experts is not None:
            read = inputs | {"policies": {"path": "", "digest": _policies_digest(experts)}}
        else:
            read = inputs
        spec = EvaluateSpec(
            algorithm=arm,
            tasks=tuple(tasks),
            config=configs.to_json(planner or PlannerConfig()) if arm.endswith("planning") else {},
            inputs=read,
            evaluation_episodes=episodes,
            label=label,
            study=study,
        )
        directory = results.run(study, spec.id)
        with directory.lock():
            if directory.status() == "ok":
                records[arm] = directory.read()
                continue
            told(arm)
            records[arm] = _record(directory, spec, evaluate, act, next(model.parameters()).device)
    return records


def _record(
    directory: RunDirectory,
    spec: EvaluateSpec,
    evaluate: Callable[[Act], EvaluationResult],
    act: Act,
    device: torch.device,
) -> RunRecord:
    started, clocks = now(), Clocks(device)
    with clocks.phase("evaluate"):
        result = evaluate(act)
    times = clocks.read()
    directory.evaluations.truncate(0)
    line = Evaluation(
        index=0,
        env_steps=0,
        gradient_steps=0,
        policy_gradient_steps=0,
        train_seconds=0.0,
        cpu_seconds=0.0,
        wall_seconds=times.total,
        returns=result.returns,
        lengths=result.lengths,
        invalid=result.invalid,
        extras=result.extras,
    )
    directory.evaluations.append(line.model_dump())
    means = [sum(row) / len(row) for row in result.returns]
    record = RunRecord(
        kind=spec.kind,
        id=spec.id,
        study=spec.study,
        spec=spec.to_dict(),
        status="ok",
        gradient_source="learned",
        members=[Member(seed=0, task=task, final_return=mean) for task, mean in zip(spec.tasks, means, strict=True)],
        clocks=times,
        provenance=provenance.collect(str(device), "float32"),
        started_at=started,
        updated_at=started,
    )
    directory.write(record)
    return record


def _policies_digest(experts: Extractor) -> str:
    digest = hashlib.sha256()
    for value in experts.policy.actor.state_dict().values():
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
