"""Policies for collecting data in tasks without a scripted expert: any learner that needs no simulator's gradient.

A policy is kept from several stages of training, because data of good behaviour alone teaches a world model little of
what happens elsewhere. Stages are saved beside the dataset, so an interrupted collection trains none twice.
"""

from __future__ import annotations

import copy
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from envs.errors import UsageError, unknown
from envs.suites.single import SuiteTaskEnv
from pwm_bench import configs, registry
from pwm_bench.store import checkpoint

__all__ = ["Act", "check_learner", "train"]

Act = Callable[[np.ndarray], np.ndarray]
"""The task's own observation ``(d,)`` to an action ``(a,)``."""

_NUM_ENVS = 16
_SAVE_SECONDS = 60.0


def check_learner(algorithm: str) -> None:
    """Checks that an algorithm can train in the suites.

    Raises:
        UsageError: it doesn't exist, or needs the simulator's gradient.
    """
    able = [a for a in registry.algorithms() if registry.learner_package(a).gradient_source != "simulator"]
    if algorithm in registry.ALGORITHMS and algorithm not in able:
        raise UsageError(f"--learner {algorithm}: needs a differentiable simulator; use {' or '.join(able)}")
    if algorithm not in able:
        raise unknown("learner", algorithm, able)


def train(
    task: str,
    algorithm: str,
    folder: Path,
    *,
    steps: int,
    stages: int,
    seed: int,
    num_workers: int,
    report: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> list[Act] | None:
    """Trains a policy in a task, or loads what an earlier call has trained.

    Args:
        task: a task of a suite.
        algorithm: a learner, see `check_learner`.
        folder: where stages and the state of an interrupted training are kept.
        steps: environment steps.
        stages: policies kept, after equal shares of the steps.
        seed: of the learner and of the worlds.
        num_workers: processes for the worlds.
        report: called with the steps taken and all.
        stop: asked after every update; once true, the state is saved.

    Returns:
        The deterministic policies of all stages, or None if it was stopped.
    """
    package = registry.learner_package(algorithm)
    config = configs.override(package.recipe(task, "suite"), {"num_envs": _NUM_ENVS})
    key = f"{task} {algorithm} {steps} {stages} {seed}"
    paths = [folder / f"{task}-{algorithm}-stage-{stage}" for stage in range(stages)]
    running = folder / f"{task}-{algorithm}-running"
    with SuiteTaskEnv(task, num_envs=config.num_envs, seeds=[seed], num_workers=num_workers) as env:
        learner = package.Learner(env, config, seeds=[seed], total_env_steps=steps)
        policies: list[Act] = []
        for path in paths:
            if checkpoint.exists(path):
                state = checkpoint.load(path, spec_id=key).state
                learner.load_state_dict(state | {"env": env.state_dict()})  # to act, the worlds needn't be there
                policies.append(_policy(learner, env))
        if len(policies) == stages:
            return policies
        if checkpoint.exists(running):
            learner.load_state_dict(checkpoint.load(running, spec_id=key).state)
        elif policies:
            learner.load_state_dict(checkpoint.load(paths[len(policies) - 1], spec_id=key).state)
        saved = time.monotonic()
        while len(policies) < stages:
            done = learner.counters.env_steps
            if report is not None:
                report(min(done, steps), steps)
            if done >= steps * (len(policies) + 1) / stages:
                checkpoint.save(paths[len(policies)], learner.state_dict(), spec_id=key)
                policies.append(_policy(learner, env))
                continue
            if stop() or time.monotonic() - saved > _SAVE_SECONDS:
                checkpoint.save(running, learner.state_dict(), spec_id=key)
                saved = time.monotonic()
                if stop():
                    return None
            learner.update()
    shutil.rmtree(running, ignore_errors=True)
    return policies


def _policy(learner: Any, env: SuiteTaskEnv) -> Act:
    """The learner's deterministic policy as it is now."""
    # All but the worlds and what an off-policy learner has stored, which may be gigabytes.
    frozen = copy.deepcopy(learner, {id(env): env, id(getattr(learner, "_replay", None)): None})

    @torch.no_grad()
    def act(obs: np.ndarray) -> np.ndarray:
        return frozen.act(torch.from_numpy(obs).view(1, 1, -1).float()).view(-1).clamp(-1.0, 1.0).cpu().numpy()

    return act
