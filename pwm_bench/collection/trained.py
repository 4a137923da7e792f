"""Policies of learners that acted in one task, kept in a folder: what `pwm_bench.jobs.behaviour` leaves for collecting.

behaviour.json          task, learner, settings, seed, and how many stages there are
stage-0/, stage-1/ ...  the learner's state after equal shares of its training, see `pwm_bench.store.checkpoint`
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pwm_bench import configs, registry
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.suites.single import SuiteTaskEnv
from pwm_bench.learning.choices import differentiates_simulator
from pwm_bench.store import checkpoint
from pwm_bench.store.files import write_atomic
from pwm_bench.store.plain import read_plain
from pwm_bench.store.seal import read_sealed, seal

__all__ = ["Act", "build", "check_learner", "describe", "load_policies", "stage_path"]

Act = Callable[[np.ndarray], np.ndarray]
"""The task's own observation ``(d,)`` to an action ``(a,)``."""

_DESCRIPTION = "behaviour.json"


def check_learner(algorithm: str) -> None:
    """Checks that an algorithm can train in the suites.

    Raises:
        UsageError: it doesn't exist, or needs what the suites do not have.
    """
    if lacking := _lacking(algorithm):
        able = [own for own in registry.ALGORITHMS.own if not _lacking(own)]
        raise UsageError(f"learner '{algorithm}' needs {lacking}; use {' or '.join(able)}")


def _lacking(algorithm: str) -> str:
    """What a learner needs and the suites do not have, in words."""
    package = registry.learner_package(algorithm)
    if differentiates_simulator(package.gradient_source):
        return "a differentiable simulator"
    if getattr(package, "needs_reward", False):
        return "the reward as a function of observation and action, which the tasks of suites do not have"
    return ""


def build(
    task: str,
    learner: str,
    config: Mapping[str, Any],
    *,
    env_steps: int,
    seed: int,
    num_workers: int = 0,
    device: torch.device | str = "cpu",
) -> tuple[SuiteTaskEnv, Any]:
    """A learner and the worlds of its task.

    Args:
        task: a task of a suite.
        learner: an algorithm, see `check_learner`.
        config: its settings, or changes of its recipe.
        env_steps: environment steps of the whole training.
        seed: of the learner and of the worlds.
        num_workers: processes for the worlds.
        device: of the learner.
    """
    package = registry.learner_package(learner)
    settings = configs.override(package.recipe(task, "suite"), config)
    env = SuiteTaskEnv(task, num_envs=settings.num_envs, seeds=[seed], num_workers=num_workers, device=device)
    try:
        return env, package.Learner(env, settings, seeds=[seed], total_env_steps=env_steps)
    except BaseException:
        env.close()
        raise


def stage_path(folder: Path, stage: int) -> Path:
    """Where the policy of a stage lies."""
    return folder / f"stage-{stage}"


def describe(folder: Path, **fields: Any) -> None:
    """Writes what `load_policies` must know beside the stages: the arguments of `build`, ``stages`` and ``spec_id``."""
    write_atomic(folder / _DESCRIPTION, seal(dict(sorted(fields.items())), indent=2))


def load_policies(folder: Path, task: str) -> list[Act]:
    """The deterministic policies of all stages.

    Args:
        folder: as such a run has left it.
        task: that the policies must be of.

    Raises:
        UsageError: missing, damaged, or of another task.
    """
    try:
        about = read_sealed(read_plain(folder / _DESCRIPTION))
        stages, spec_id = about.pop("stages"), about.pop("spec_id")
        env, learner = build(**about)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder}: holds no trained policies ({error}); name what such a run has left") from None
    with env:
        if about["task"] != task:
            raise UsageError(f"{folder}: its policies are of '{about['task']}', not of '{task}'")
        policies = []
        for stage in range(stages):
            path = stage_path(folder, stage)
            state = checkpoint.load(path, spec_id=spec_id).state
            with checkpoint.restoring(path):
                learner.load_state_dict(state | {"env": env.state_dict()})  # to act, the worlds needn't be there
            policies.append(_policy(learner, env))
        return policies


def _policy(learner: Any, env: SuiteTaskEnv) -> Act:
    """The learner's deterministic policy as it is now."""
    # All but the worlds and what an off-policy learner has stored, which may be gigabytes.
    frozen = copy.deepcopy(learner, {id(env): env, id(getattr(learner, "_replay", None)): None})

    @torch.no_grad()
    def act(obs: np.ndarray) -> np.ndarray:
        return frozen.act(torch.from_numpy(obs).view(1, 1, -1).float()).view(-1).clamp(-1.0, 1.0).cpu().numpy()

    return act
