"""Learners on a GPU against themselves on the CPU. ``--rehearse-gpu`` runs these tests on the mirror device."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pwm_bench import envs
from pwm_bench.learning.expert import Expert
from pwm_bench.learning.graphed import GRAPHS, graphs_of
from pwm_bench.learning.random import MemberStream
from pwm_bench.pwm.extraction.config import ExtractionConfig
from pwm_bench.pwm.extraction.train import Extractor
from pwm_bench.registry import algorithms
from pwm_bench.store import checkpoint
from tests.pwm_bench.world_model.multitask.factories import OBS, tiny_model, tiny_weights
from tests.rehearsal import learners
from tests.rehearsal.learners import learner
from tests.rehearsal.test_runs import assert_alike_in_company

pytestmark = pytest.mark.gpu

UPDATES = 20
REHEARSED = ("apg",)
"""Algorithms that the rehearsal of these tests makes do with: test_learners.py has all on the mirror device."""
OWN_DRAWS = ("tdmpc2",)
"""Algorithms whose random numbers on a GPU are others: what torch's own generators draw there."""
NUDGE = 1e-6  # about ten roundings of float32


def weights(agent: Any) -> dict[str, Tensor]:
    """A copy on the CPU of what a learner has learnt."""
    return {name: value.to("cpu", copy=True).double() for name, value in learners.weights(agent).items()}


def distance(one: dict[str, Tensor], two: dict[str, Tensor]) -> float:
    """Largest difference between two sets of weights."""
    assert one.keys() == two.keys()
    return max(float((value - two[name]).abs().max()) for name, value in one.items() if value.numel())


@torch.no_grad()
def nudged(agent: Any) -> Any:
    """The learner, its policy's weights changed by some roundings."""
    for number, parameter in enumerate(agent.policy.parameters()):
        parameter.mul_(1.0 + (NUDGE if number % 2 else -NUDGE))
    return agent


def train(agent: Any, updates: int) -> Any:
    """The learner after so many updates."""
    for _ in range(updates):
        agent.update()
    return agent


@pytest.mark.parametrize("algorithm", [name for name in algorithms() if name not in OWN_DRAWS])
def test_twenty_updates_against_the_cpu(algorithm: str, gpu: torch.device, rehearsed: bool) -> None:
    """They may differ by no more than roundings make of themselves in so many updates on the CPU."""
    if rehearsed and algorithm not in REHEARSED:
        pytest.skip(f"rehearsed with {', '.join(REHEARSED)}")
    updates = 2 if rehearsed else UPDATES
    found = train(learner(algorithm, gpu), updates)
    expected = weights(train(learner(algorithm), updates))
    allowed = distance(weights(train(nudged(learner(algorithm)), updates)), expected)
    assert found.alive.to("cpu").all()
    assert distance(weights(found), expected) <= 10.0 * allowed
    start = weights(learner(algorithm))
    assert distance(expected, start) > (0.0 if rehearsed else 100.0 * allowed), "nothing was learnt"


@pytest.mark.parametrize("algorithm", ["apg", "shac", "pwm", "sac"])
def test_resuming_on_another_device(algorithm: str, gpu: torch.device, rehearsed: bool, tmp_path: Path) -> None:
    """A checkpoint of a GPU goes on on the CPU and the other way round, as it would have gone on there."""
    if rehearsed and algorithm not in REHEARSED:
        pytest.skip(f"rehearsed with {', '.join(REHEARSED)}")
    cpu, updates = torch.device("cpu"), 1 if rehearsed else 3
    for number, (before, after) in enumerate(((gpu, cpu), (cpu, gpu))):
        first = train(learner(algorithm, before), updates)
        path = tmp_path / str(number)
        checkpoint.save(path, first.state_dict(), spec_id="gpu")
        second = learner(algorithm, after)
        second.load_state_dict(copy.deepcopy(checkpoint.load(path, spec_id="gpu").state))
        assert distance(weights(second), weights(first)) == 0.0
        assert distance(weights(train(second, updates)), weights(train(first, updates))) < 1e-3
        assert first.counters == second.counters


@pytest.fixture
def graphs(gpu: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Updates can be captured on the device; when rehearsed, by writing operations down."""
    if gpu.type != "cuda":
        from tests.rehearsal.recording import RecordedGraph

        monkeypatch.setitem(GRAPHS, gpu.type, lambda device: RecordedGraph)


def as_graph(agent: Any, device: torch.device, updates: int) -> list[dict[str, Tensor]]:
    """The metrics of so many updates after the capture of one, and of those before it."""
    graphed = graphs_of(agent, "on", device)
    assert graphed is not None
    metrics = [graphed.update() for _ in range(updates)]
    assert (graphed.captured, graphed.refused) == (1, 0)
    return metrics


def assert_equal(found: list[dict[str, Tensor]], expected: list[dict[str, Tensor]]) -> None:
    """Metrics are the same to the bit, NaN aside."""
    for number, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        for name, value in theirs.items():
            same = torch.equal(*(x.to("cpu", copy=True).nan_to_num() for x in (ours[name], value)))
            assert same, f"{name} after update {number}"


@pytest.mark.parametrize("algorithm", algorithms())
def test_a_captured_update_is_the_eager_one(algorithm: str, gpu: torch.device, rehearsed: bool, graphs: None) -> None:
    if rehearsed and algorithm not in REHEARSED:
        pytest.skip(f"rehearsed with {', '.join(REHEARSED)}")
    updates = 5 if rehearsed else 8
    eager, other = learner(algorithm, gpu), learner(algorithm, gpu)
    assert_equal(as_graph(other, gpu, updates), [eager.update() for _ in range(updates)])
    assert distance(weights(other), weights(eager)) == 0.0
    assert other.counters == eager.counters


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_captured_extraction_is_the_eager_one(
    precision: str, gpu: torch.device, rehearsed: bool, graphs: None
) -> None:
    if rehearsed and precision == "bfloat16":
        pytest.skip("the mirror device has no autocast of all operations")
    updates = 5 if rehearsed else 8
    eager, other = (extractor(gpu, 2, precision) for _ in range(2))
    assert_equal(as_graph(other, gpu, updates), [eager.update() for _ in range(updates)])


@pytest.mark.parametrize("tasks", [1, 3])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_extraction_against_the_cpu(tasks: int, precision: str, gpu: torch.device, rehearsed: bool) -> None:
    if rehearsed and precision == "bfloat16":
        pytest.skip("the CPU rounds bfloat16 products in places of its own")
    found = {}
    for device in (torch.device("cpu"), gpu):
        agent = extractor(device, tasks, precision)
        metrics = [agent.update() for _ in range(2 if rehearsed else UPDATES)]
        found[device.type] = {
            name: torch.stack([values[name].to("cpu") for values in metrics]).float()
            for name in ("actor_loss", "critic_loss", "actor_grad_norm")
        }
    tolerance = 1e-3 if precision == "float32" else 0.1
    for name, values in found["cpu"].items():
        torch.testing.assert_close(found[gpu.type][name], values, rtol=tolerance, atol=tolerance, msg=name)


def extractor(device: torch.device, tasks: int, precision: str) -> Extractor:
    """An extraction of a second."""
    config = ExtractionConfig(
        batch_size=16, horizon=4, hidden_actor=(24, 16), hidden_critic=(24,), critic_iterations=2,
        precision=precision,  # type: ignore[arg-type]
    )  # fmt: skip
    model = tiny_model(tiny_weights(0)).to(device)
    return Extractor(model, [Expert(name, 0) for name in "abc"[:tasks]], config, starts=starts)


def starts(stream: MemberStream, batch: int) -> Tensor:
    """Start states of an extraction, drawn on the CPU."""
    return stream.normal(batch, OBS)


def test_runs_that_share_the_gpu(
    gpu: torch.device, rehearsed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `sweep --executor-set share=true` does; test_runs.py has it on the mirror device."""
    if rehearsed:
        pytest.skip("rehearsed in test_runs.py")
    monkeypatch.setitem(envs.TASKS.own, "point_mass", "pwm_bench.testing.toy:PointMass")
    monkeypatch.setitem(envs.SIMULATORS.own, "toy", "pwm_bench.testing.toy:SimulatorToy")
    assert_alike_in_company(str(gpu), tmp_path)
