"""The ways to act with one world model: policy prior, planner, PWM's policies, PWM with planning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.learning.expert import Expert
from pwm_bench.learning.precision import autocast
from pwm_bench.learning.random import MemberStream
from pwm_bench.pwm.extraction.files import load_policies
from pwm_bench.pwm.extraction.guide import ExpertGuide
from pwm_bench.pwm.extraction.train import Extractor
from pwm_bench.store.inputs import Input
from pwm_bench.world_model.multitask.files import load_model
from pwm_bench.world_model.multitask.frozen import TaskModel
from pwm_bench.world_model.multitask.networks import MultitaskModel
from pwm_bench.world_model.multitask.planner import Guide, Planner, PlannerConfig, PriorGuide

__all__ = ["ARMS", "PLANNING", "Act", "make_arm", "needs_policies", "open_policies"]

ARMS = ("tdmpc2-prior", "tdmpc2-planning", "pwm", "pwm-planning")
PLANNING = ("tdmpc2-planning", "pwm-planning")
"""Those of them that plan."""
Act = Callable[[Tensor], Tensor]
"""Observations of the population's episodes to actions."""


def needs_policies(arm: str) -> bool:
    """Whether PWM's policies take part."""
    return arm.startswith("pwm")


def open_policies(
    policies: Path, model: Input, *, device: torch.device | str = "cpu"
) -> tuple[MultitaskModel, Extractor]:
    """The policies of an extraction and the world model that they were trained in, to act with.

    Args:
        policies: artifact ``policies`` of an extraction.
        model: the world model.
        device: where both go.

    Raises:
        UsageError: one of them is damaged or has changed, or the policies are of another world model.
    """
    world = load_model(model.open(), device=device)
    return world, load_policies(policies, world, model_digest=model.digest)


def make_arm(
    name: str,
    model: MultitaskModel,
    tasks: Sequence[str],
    *,
    episodes: int,
    experts: Extractor | None = None,
    planner: PlannerConfig | None = None,
    precision: str = "float32",
) -> Act:
    """A way to act in E episodes of each task that begin together: observations ``(K, E, D)`` to actions.

    Args:
        name: one of `ARMS`.
        model: the world model.
        tasks: K names.
        episodes: E.
        experts: for those that need them; the first seed's of each task acts.
        planner: constants of the planner.
        precision: of matrix products of the planner and of the policy prior, see `autocast`. Policies that act alone
            compute in the precision of their extraction.

    Raises:
        UsageError: no such way, or no experts for a task.
    """
    if name not in ARMS:
        raise unknown("way to act", name, ARMS)
    device = next(model.parameters()).device
    index = torch.tensor([model.config.task_index(task) for task in tasks], device=device)
    if name == "tdmpc2-prior":
        return lambda obs: _prior(model, index, obs, precision)
    worlds = index.repeat_interleave(episodes)
    guide: Guide
    discount = None
    if needs_policies(name):
        if experts is None:
            raise UsageError(f"'{name}' needs PWM's policies: give those of an extraction")
        rows = _rows_of(experts, tasks, device)
        if name == "pwm":
            return lambda obs: _experts_act(experts, rows, obs)
        guide = ExpertGuide(experts.policy, rows, episodes, precision=precision)
        # Rewards in the units, and with the discount, in which the critics have learned what lies beyond the plan.
        view = TaskModel(model, worlds, precision=precision, symlog_rewards=experts.config.symlog_rewards)
        discount = experts.discounts[rows].repeat_interleave(episodes)
    else:
        guide = PriorGuide(model, worlds, precision=precision)
        view = TaskModel(model, worlds, precision=precision)
    worlds_seeds = [Expert(task, episode).stream_seed for task in tasks for episode in range(episodes)]
    stream = MemberStream(worlds_seeds, device, name="planner")  # an episode's own, whatever else is planned beside it
    plan = Planner(model, worlds, guide, planner, stream=stream, view=view, discount=discount)
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
def _prior(model: MultitaskModel, tasks: Tensor, obs: Tensor, precision: str) -> Tensor:
    padded = torch.nn.functional.pad(obs, (0, model.config.observation_dim - obs.shape[-1]))
    with autocast(precision, obs.device):
        latent = model.encode(padded, tasks)
        return model.policy(latent, tasks, latent.new_zeros(*latent.shape[:-1], model.config.action_dim)).mean
