"""``pwm-bench bench learners``: what an iteration of each learner costs, and what a population saves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from rich.table import Table

from pwm_bench import envs
from pwm_bench.bench.timing import interleaved_medians, machine_line
from pwm_bench.cli.showing import terminal
from pwm_bench.learning.learner import Learner
from pwm_bench.registry import ALGORITHMS, learner_package

__all__ = ["main"]

_TASK, _SIMULATOR = "hopper", "warp"
_POPULATION = 5
_MOST_WARM_UP = 100


def main(*, quick: bool = False) -> None:
    """Prints environment steps per second alone and as a population of five.

    Args:
        quick: fewer repetitions.
    """
    console = terminal()
    device = envs.resolve_device("auto", _SIMULATOR)
    console.print(f"{machine_line(str(device))}\n", highlight=False)
    table = Table(title=f"Training on {_TASK} in {_SIMULATOR}, recipe settings", title_justify="left")
    table.add_column("algorithm")
    for column in (
        "worlds",
        "env steps/s, 1 seed",
        f"env steps/s, {_POPULATION} seeds together",
        f"cost of {_POPULATION} seeds together, in single runs",
    ):
        table.add_column(column, justify="right")
    for algorithm in ALGORITHMS.own:
        with console.status(f"{algorithm}"):
            table.add_row(algorithm, *_measure(algorithm, device, repeats=2 if quick else 5))
    console.print(table)


def _measure(algorithm: str, device: torch.device, repeats: int) -> tuple[str, str, str, str]:
    package = learner_package(algorithm)
    if device.type == "cpu" and package.cpu_threads is not None:
        torch.set_num_threads(package.cpu_threads)
    config = package.recipe(_TASK, _SIMULATOR)
    works: dict[str, Callable[[], object]] = {}
    steps = {}
    for seeds in (1, _POPULATION):
        learner = _learner(algorithm, config, tuple(range(seeds)), device)
        before = learner.counters.env_steps
        learner.update()
        steps[str(seeds)] = (learner.counters.env_steps - before) * seeds
        works[str(seeds)] = learner.update
    seconds = interleaved_medians(works, repeats=repeats, at_least=0.0)
    single, together = seconds["1"], seconds[str(_POPULATION)]
    return (
        str(config.num_envs),
        f"{steps['1'] / single:,.0f}",
        f"{steps[str(_POPULATION)] / together:,.0f}",
        f"{together / single:.2f}",
    )


def _learner(algorithm: str, config: Any, seeds: tuple[int, ...], device: torch.device) -> Learner:
    env = envs.make(_TASK, _SIMULATOR, num_envs=config.num_envs * len(seeds), seed=seeds, device=device)
    if hasattr(config, "pretrain_updates"):
        config = dataclasses.replace(config, pretrain_updates=0)
    learner = learner_package(algorithm).Learner(env, config, seeds=seeds, total_env_steps=10_000_000)
    for _ in range(_MOST_WARM_UP):  # until an iteration trains everything
        if bool(torch.isfinite(learner.update()["actor_loss"]).all()):
            break
    return learner
