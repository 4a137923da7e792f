"""What learns and acts without an environment on the mirror device: extraction, cloning, pre-training, planning."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pwm_bench.baselines.bc import Cloner
from pwm_bench.baselines.bc import Config as CloningConfig
from pwm_bench.learning.expert import Expert
from pwm_bench.learning.graphed import Graphed
from pwm_bench.learning.random import MemberStream
from pwm_bench.pwm.extraction.config import ExtractionConfig
from pwm_bench.pwm.extraction.train import Extractor
from pwm_bench.world_model.dataset import Dataset
from pwm_bench.world_model.multitask.networks import MultitaskModel
from pwm_bench.world_model.multitask.planner import Planner, PlannerConfig, PriorGuide
from pwm_bench.world_model.multitask.recipes import recipe
from pwm_bench.world_model.multitask.training import Pretrainer, Training
from tests.pwm_bench.world_model.multitask.datasets import TASKS, write_linear_data
from tests.pwm_bench.world_model.multitask.factories import ACT, OBS, tiny_model, tiny_weights
from tests.rehearsal.learners import different
from tests.rehearsal.mirror import DEVICE, RecordedGraph, rehearsal, to_cpu
from tests.rehearsal.test_learners import IN_DOUBLE

UPDATES = 4
LAUNCHES = {"extraction of one task": 537, "extraction of three": 558, "cloning of two tasks": 43}
"""Kernels that a GPU launches in an update; a change that adds some must change it."""
SMALL: dict[str, Any] = {
    "batch_size": 8, "horizon": 3, "hidden_actor": (12, 8), "hidden_critic": (12,), "critic_iterations": 2,
}  # fmt: skip


def starts(stream: MemberStream, batch: int) -> Tensor:
    return stream.normal(batch, OBS)


def examples(stream: MemberStream, batch: int) -> tuple[Tensor, Tensor]:
    return stream.normal(batch, OBS), 2.0 * stream.uniform(batch, 2) - 1.0


def extractor(device: torch.device | str, experts: tuple[Expert, ...]) -> Extractor:
    """One with imitation."""
    config = ExtractionConfig(**SMALL, iterations=8, imitation=0.5)
    return Extractor(tiny_model(tiny_weights()).to(device), experts, config, starts=starts, examples=examples)


def cloner(device: torch.device | str, path: Path) -> Cloner:
    config = CloningConfig(iterations=8, batch_size=8, hidden_actor=(12,), normalising_samples=64)
    return Cloner(Dataset(path), [Expert(task.name, 0) for task in TASKS], config, device=device)


def compare(make: Callable[[torch.device | str], Any], name: str) -> None:
    """A learner on the CPU, on the device, and on the device as graphs."""
    agent = make("cpu")
    expected = [agent.update() for _ in range(UPDATES)]
    with rehearsal() as seen:
        mirrored, other = make(DEVICE), make(DEVICE)
        graphed = Graphed(other, RecordedGraph, warm_up=1)
        found = [mirrored.update() for _ in range(UPDATES - 1)]
        mirrored.begin()
        with seen.watching():
            found.append(mirrored.compute())
        launches, copies, doubles = seen.launches.total(), dict(seen.copies), dict(seen.doubles)
        again = [graphed.update() for _ in range(UPDATES)]
        action, wanted = (
            to_cpu(x.act(torch.ones(len(x.experts), 2, 3, device=y))) for x, y in ((mirrored, DEVICE), (agent, "cpu"))
        )
    for ours, theirs, replayed in zip(to_cpu(found), expected, to_cpu(again), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
        assert different(replayed, ours) == []
    torch.testing.assert_close(action, wanted, rtol=1e-4, atol=1e-5)
    assert graphed.captured == 1
    assert copies == {}
    assert [place for place in doubles if not place.split(":")[0].endswith(IN_DOUBLE)] == []
    assert launches == LAUNCHES[name], f"{name}: {launches} launches"


def test_extraction() -> None:
    compare(lambda device: extractor(device, (Expert("b", 0),)), "extraction of one task")
    compare(lambda device: extractor(device, (Expert("a", 0), Expert("b", 0), Expert("c", 5))), "extraction of three")


def test_cloning(tmp_path: Path) -> None:
    write_linear_data(tmp_path, episodes=6)
    compare(lambda device: cloner(device, tmp_path), "cloning of two tasks")


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bfloat16", 2e-2)])
def test_pretraining(precision: str, tolerance: float) -> None:
    """All losses of TD-MPC2's recipe; what is drawn comes from a generator of the CPU on both."""
    batches = MemberStream((3,))

    def batch() -> tuple[Tensor, ...]:
        obs, action, reward = batches.normal(6, 4, OBS)[0], batches.uniform(6, 3, ACT)[0], batches.normal(6, 3)[0]
        return obs, 2.0 * action - 1.0, reward, torch.tensor([0, 1, 2, 2, 1, 0])

    data = [batch() for _ in range(3)]

    def train(device: torch.device | str, seen: Any = None) -> tuple[list[dict[str, Tensor]], MultitaskModel]:
        model = tiny_model(tiny_weights()).to(device)
        trainer = Pretrainer(model, recipe("tdmpc2", precision=precision))
        found = [trainer.step(*(x.to(device) for x in one)) for one in data[:-1]]
        last = [x.to(device) for x in data[-1]]
        trainer.choose()
        if seen is None:
            return [*found, trainer.compute(*last)], model
        with seen.watching():
            return [*found, trainer.compute(*last)], model

    expected, _ = train("cpu")
    with rehearsal() as seen:
        found, _ = train(DEVICE, seen)
        assert seen.copies == {}
        assert seen.doubles == {}
    for ours, theirs in zip(to_cpu(found), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


class _Batches:
    """Batches that are there already."""

    def __init__(self, batches: Iterable[tuple[Tensor, ...]]) -> None:
        self._batches = iter(batches)

    def __next__(self) -> tuple[Tensor, ...]:
        return next(self._batches)

    def state_dict(self) -> dict[str, Any]:
        return {}


def test_steps_of_pretraining_are_graphs() -> None:
    """What is dropped and which Q functions are used differ from step to step, in replays too."""
    stream = MemberStream((3,))
    data = [
        (stream.normal(6, 4, OBS)[0], stream.uniform(6, 3, ACT)[0], stream.normal(6, 3)[0], torch.arange(6) % 3)
        for _ in range(6)
    ]

    def training() -> Training:
        model = tiny_model(tiny_weights()).to(DEVICE)
        batches: Any = _Batches(tuple(x.to(DEVICE) for x in one) for one in data)
        return Training(Pretrainer(model, recipe("tdmpc2")), batches)

    with rehearsal():
        eager, other = training(), training()
        graphed = Graphed(other, RecordedGraph, warm_up=2)
        found = [(eager.update(), graphed.update()) for _ in data]
    for ours, replayed in to_cpu(found):
        assert different(replayed, ours) == []
    assert (graphed.captured, graphed.refused) == (1, 0)
    assert other.counters.gradient_steps == len(data)
    assert len({float(to_cpu(ours["loss"])) for ours, _ in found}) == len(data)
    for mine, theirs in zip(other.trainer.model.parameters(), eager.trainer.model.parameters(), strict=True):
        assert torch.equal(to_cpu(mine.detach()), to_cpu(theirs.detach()))


def test_planning() -> None:
    def act(device: torch.device | str) -> list[Tensor]:
        model, tasks = tiny_model(tiny_weights()).to(device), torch.tensor([0, 2], device=device)
        guide = PriorGuide(model, tasks)
        config = PlannerConfig(horizon=2, samples=16, policy_samples=4, elites=4, iterations=2)
        planner = Planner(model, tasks, guide, config, stream=MemberStream((0, 1), device))
        return [planner.plan(torch.linspace(-1.0, 1.0, 2 * OBS).view(2, OBS).to(device)) for _ in range(2)]

    with rehearsal():
        found = [to_cpu(x) for x in act(DEVICE)]
    torch.testing.assert_close(found, act("cpu"), rtol=1e-4, atol=1e-5)
