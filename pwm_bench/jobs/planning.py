"""The ways to act with one world model: policy prior, planner, PWM's policies, PWM with planning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from envs.errors import UsageError, unknown
from pwm_bench import configs
from pwm_bench.jobs.offline_spec import model_digest
from pwm_bench.learning.expert import Expert
from pwm_bench.learning.random import MemberStream
from pwm_bench.pwm.extraction.config import ExtractionConfig
from pwm_bench.pwm.extraction.guide import ExpertGuide
from pwm_bench.pwm.extraction.train import Extractor
from pwm_bench.store import checkpoint
from pwm_bench.store.results import RunDirectory
from pwm_bench.world_model.multitask.networks import MultitaskModel
from pwm_bench.world_model.multitask.planner import Guide, Planner, PlannerConfig, PriorGuide

__all__ = ["ARMS", "Act", "load_experts", "make_arm"]

ARMS = ("tdmpc2-prior", "tdmpc2-planning", "pwm", "pwm-planning")
Act = Callable[[Tensor], Tensor]
"""Observations of the population's episodes to actions."""


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
        extractor.load_state_dict(checkpoint.load(path / "checkpoint", spec_id=record.id).state["job"])
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
