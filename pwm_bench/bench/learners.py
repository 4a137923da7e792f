"""``pwm-bench bench learners``: how near its limit each learner is, and what a population saves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pwm_bench import envs
from pwm_bench.bench.extraction import make_extractor, make_model
from pwm_bench.bench.ledger import Value, as_table, begun
from pwm_bench.bench.limits import measure
from pwm_bench.bench.timing import median_seconds, quiet_clock
from pwm_bench.bench.workloads import updater
from pwm_bench.cli.showing import terminal
from pwm_bench.envs.devices import resolve_device
from pwm_bench.envs.simulator import Simulator
from pwm_bench.learning.graphed import GRAPHS
from pwm_bench.learning.learner import Learner
from pwm_bench.learning.threads import one_thread
from pwm_bench.pwm.extraction.config import ExtractionConfig
from pwm_bench.registry import learner_package
from pwm_bench.world_model.multitask.recipes import recipe
from pwm_bench.world_model.multitask.training import Pretrainer

__all__ = ["TASK", "Subject", "main", "make_learner", "population_row", "subjects"]

TASK, _SIMULATOR = "hopper", "warp"
_ALGORITHMS = ("pwm", "shac", "ppo", "sac")
_POPULATION = 5
_MOST_WARM_UP = 100
_SMALL: dict[str, Any] = {
    "num_envs": 4, "horizon": 4, "seed_steps": 1, "batch_size": 8, "pretrain_env_steps": 0, "world_model_updates": 1,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Subject:
    """A learner that is past its beginning.

    Attributes:
        env_steps: of an update; 0 for one that takes none.
        update: trains once, as a run does.
        eager: the same without CUDA graphs.
        simulator: that it steps, if there is one.
    """

    env_steps: int
    update: Callable[[], object]
    eager: Callable[[], object]
    simulator: Simulator | None = None


def main(*, quick: bool = False, device: str | None = None, output: Path | None = None) -> None:
    """Prints how near each learner is to its limit, then the speed with one seed and five.

    Args:
        quick: fewer repetitions, and no large world model.
        device: where to compute; a GPU if there is one.
        output: file for the rows.
    """
    console = terminal()
    where = resolve_device(device or "auto", _SIMULATOR)
    ledger = begun(console, output, str(where))
    with one_thread():  # as the recipes of small networks ask for on a CPU
        clock = quiet_clock(where)
        for name, make in subjects(where, quick=quick).items():
            with console.status(name):
                subject = make()
                found = measure(
                    subject.update, subject.simulator, eager=subject.eager, device=where,
                    repeats=3 if quick else 9, clock=clock, pick=min,
                )  # fmt: skip
            speed = subject.env_steps / found.update if subject.env_steps else None
            ledger.add("limits", **{"learner": name, "env steps/s": speed}, **found.row())
        seconds = "processor seconds of one thread" if clock == "processor" else "seconds"
        title = f"Limits: {TASK} in {_SIMULATOR}, recipe settings, one seed; {seconds}, the least of interleaved runs"
        console.print(as_table(title, ledger.tables()["limits"]))
        for algorithm in _ALGORITHMS:
            with console.status(algorithm):
                ledger.add("populations", **_population(algorithm, str(where), repeats=2 if quick else 5))
    title = f"Populations: {TASK} in {_SIMULATOR}, recipe settings, {seconds}"
    console.print(as_table(title, ledger.tables()["populations"]))


def subjects(device: torch.device, *, quick: bool = False, small: bool = False) -> dict[str, Callable[[], Subject]]:
    """Makers of all that is measured against its limit, by name.

    Args:
        device: of everything.
        quick: without the largest world model.
        small: of sizes for tests.
    """
    makers: dict[str, Callable[[], Subject]] = {}
    for algorithm in _ALGORITHMS:
        makers[algorithm] = partial(_online, algorithm, device, small)
    for size in ("1M",) if small else ("5M",) if quick else ("5M", "48M"):
        makers[f"extraction, {size}"] = partial(_extraction, size, device, small)
    size = "1M" if small else "5M"
    makers[f"pre-training, {size}"] = partial(_pretraining, size, device, small)
    return makers


def make_learner(algorithm: str, seeds: int, device: str | torch.device, *, small: bool = False) -> Any:
    """A learner on the benchmarks' task, past the iterations that do not train everything.

    Args:
        algorithm: its name.
        seeds: how many members.
        device: of everything.
        small: with a few worlds and steps.
    """
    package: Any = learner_package(algorithm)
    config = package.recipe(TASK, _SIMULATOR)
    names = {field.name for field in dataclasses.fields(config)}
    changes = {name: value for name, value in _SMALL.items() if small and name in names}
    if "pretrain_updates" in names:
        changes |= {"pretrain_updates": 0}
    config = dataclasses.replace(config, **changes)
    where = resolve_device(device, _SIMULATOR)
    options: dict[str, Any] = {"threads": torch.get_num_threads()} if where.type == "cpu" else {}
    env = envs.make(
        TASK, _SIMULATOR, num_envs=config.num_envs * seeds, seed=tuple(range(seeds)), device=where, **options
    )
    learner: Learner = package.Learner(env, config, seeds=tuple(range(seeds)), total_env_steps=10_000_000)
    for _ in range(_MOST_WARM_UP):
        if bool(torch.isfinite(learner.update()["actor_loss"]).all()):
            break
    return learner


def population_row(
    algorithm: str, learner: Any, seeds: int, *, graphed: str = "auto", **timing: Any
) -> dict[str, Value]:
    """The speed of a learner of so many seeds, its updates launched as `updater` does."""
    steps, device = _env_steps(learner) * seeds, learner.env.device
    seconds = median_seconds(updater(learner, graphed, device), **timing)
    return {
        "algorithm": algorithm,
        "seeds": seeds,
        "graph": graphed == "on" or (graphed == "auto" and device.type in GRAPHS),
        "env steps/s": steps / seconds,
        "ms/update": 1e3 * seconds,
    }


def _population(algorithm: str, device: str, *, repeats: int) -> dict[str, Value]:
    timing: dict[str, Any] = {"repeats": repeats, "at_least": 0.0, "clock": quiet_clock(device)}
    alone, together = (
        population_row(algorithm, make_learner(algorithm, n, device), n, **timing) for n in (1, _POPULATION)
    )
    return {
        "algorithm": algorithm,
        "env steps/s, 1 seed": alone["env steps/s"],
        f"env steps/s, {_POPULATION} seeds": together["env steps/s"],
        "cost in single runs": float(together["ms/update"] or 0) / float(alone["ms/update"] or 1),
    }


def _online(algorithm: str, device: torch.device, small: bool) -> Subject:
    learner = make_learner(algorithm, 1, device, small=small)
    update = updater(learner, "auto", device)
    return Subject(_env_steps(learner), update, learner.update, learner.env.simulator)


def _env_steps(learner: Any) -> int:
    """Environment steps of a member in an update."""
    before = learner.counters.env_steps
    learner.update()
    return int(learner.counters.env_steps - before)


def _extraction(size: str, device: torch.device, small: bool) -> Subject:
    sizes: dict[str, Any] = {"batch_size": 4, "horizon": 2, "critic_iterations": 1} if small else {}
    extractor = make_extractor(make_model(size, device), 1, ExtractionConfig(**sizes))
    return Subject(0, updater(extractor, "auto", device), extractor.update)


def _pretraining(size: str, device: torch.device, small: bool) -> Subject:
    model = make_model(size, device, values=True)
    changes: dict[str, Any] = {"batch_size": 4, "horizon": 2} if small else {"batch_size": 256}
    config = dataclasses.replace(recipe("tdmpc2"), **changes)
    trainer, sizes = Pretrainer(model, config), model.config
    generator = torch.Generator().manual_seed(0)
    shape = (config.batch_size, config.horizon)
    obs = torch.randn(shape[0], shape[1] + 1, sizes.observation_dim, generator=generator)
    action = 2.0 * torch.rand(*shape, sizes.action_dim, generator=generator) - 1.0
    reward = torch.rand(*shape, generator=generator)
    task = torch.randint(len(sizes.tasks), shape[:1], generator=generator)
    batch = [x.to(device) for x in (obs, action, reward, task)]

    def update() -> object:
        return trainer.step(*batch)

    return Subject(0, update, update)
