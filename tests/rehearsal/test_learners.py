"""Learners as a GPU would run them: the same numbers, no wait of the host, no more launches than the table has; and as
graphs, by the code that captures and replays them on a GPU."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from pwm_bench.baselines.tdmpc2 import train
from pwm_bench.envs.api import DifferentiableEnv, Step
from pwm_bench.envs.company import ONE_AT_A_TIME
from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.choices import check_graphed
from pwm_bench.learning.graphed import GRAPHS, Graphed, graphs_of
from pwm_bench.learning.guards import MemberGuard
from pwm_bench.registry import algorithms
from pwm_bench.testing.toy import SimulatorToy
from tests.rehearsal.learners import COPIES, LAUNCHES, MORE, SETTINGS, UPDATES, different, learner, weights
from tests.rehearsal.mirror import DEVICE, rehearsal, to_cpu
from tests.rehearsal.one_gpu import gpus
from tests.rehearsal.recording import RecordedGraph

IN_DOUBLE = ("learning/normalise.py", "learning/optim.py", "learning/random.py", "envs/random.py",
             "flashsac/statistics.py", "pwm/policy_training.py")  # fmt: skip
"""Where float64 belongs: running statistics, step counts of Adam, draws of 48 bits."""
TOLERANCE = 1e-4


@pytest.mark.parametrize("algorithm", algorithms())
def test_an_update_on_the_device(algorithm: str) -> None:
    """It gives the CPU's numbers, makes nobody wait, launches what the table says, and goes as a graph to the bit."""
    updates = UPDATES + MORE.get(algorithm, 0)
    agent = learner(algorithm)
    expected = [agent.update() for _ in range(updates)]
    with rehearsal() as seen:
        mirrored, replayed = learner(algorithm, DEVICE), learner(algorithm, DEVICE)
        found = [mirrored.update() for _ in range(updates - 1)]
        with seen.watching():
            found.append(mirrored.update())
        launches, copies, doubles = seen.launches.total(), dict(seen.copies), dict(seen.doubles)
        graphed = Graphed(replayed, RecordedGraph, warm_up=1)
        again = [graphed.update() for _ in range(updates)]
        learnt = to_cpu(weights(mirrored))
        assert different(learnt, to_cpu(weights(replayed))) == []
        assert different(*(to_cpu(x.env.state_dict()) for x in (mirrored, replayed))) == []
    for ours, theirs, other in zip(to_cpu(found), expected, to_cpu(again), strict=True):
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            torch.testing.assert_close(ours[name], value, rtol=TOLERANCE, atol=1e-6, equal_nan=True, msg=name)
        assert different(other, ours) == []
    for name, value in weights(agent).items():
        torch.testing.assert_close(learnt[name], value, rtol=TOLERANCE, atol=1e-6, msg=name)
    assert graphed.captured == 1
    assert replayed.counters == mirrored.counters == agent.counters
    assert copies == COPIES.get(algorithm, {}), f"{algorithm}: copies between host and device in an update"
    assert [place for place in doubles if not place.split(":")[0].endswith(IN_DOUBLE)] == []
    assert launches == LAUNCHES[algorithm], (
        f"{algorithm}: {launches} launches; change the table in tests/rehearsal/learners.py if that is meant"
    )


def as_graphs(
    algorithm: str,
    updates: int,
    change: Callable[[DifferentiableEnv, int], Any] = lambda env, n: None,
    *,
    whole: bool = True,
    **settings: Any,
) -> tuple[Any, Graphed]:
    """Two learners on the device, one of them as graphs; they agree to the bit after every update.

    Args:
        algorithm: which.
        updates: how many.
        change: done to both environments before each update.
        whole: whether an update is one graph, or a part of it that lies between two steps of the environment.
        settings: those that differ.
    """
    eager, other = (learner(algorithm, DEVICE, **settings) for _ in range(2))
    graphed = Graphed(other, RecordedGraph, warm_up=1, whole=whole)
    for n in range(updates):
        for agent in (eager, other):
            change(agent.env, n)
        ours, theirs = graphed.update(), eager.update()
        assert different(*(to_cpu(x) for x in (ours, theirs))) == [], f"metrics of update {n + 1}"
        assert different(*(to_cpu(weights(x)) for x in (other, eager))) == [], f"update {n + 1}"
    assert other.counters == eager.counters
    return other, graphed


@pytest.mark.parametrize("algorithm", ["sac", "flashsac"])
def test_the_first_update_that_learns_is_no_replay_of_random_ones(algorithm: str) -> None:
    """All of its steps are at random too, and it learns after its last."""
    horizon = SETTINGS[algorithm]["horizon"]
    with rehearsal():
        other, graphed = as_graphs(algorithm, 3, seed_steps=3 * horizon)
        assert graphed.captured == 1
        assert other.counters.gradient_steps > 0


def test_all_kinds_of_updates_of_tdmpc2_as_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random steps, updates that fell due at once, and planned steps; each update asks other Q functions."""
    monkeypatch.setattr(train, "_AT_ONCE", 1)
    with rehearsal():
        other, graphed = as_graphs("tdmpc2", 3 + 2 + 3, horizon=1)
        assert (graphed.captured, graphed.refused) == (3, 0)
        assert (other.counters.env_steps, other.counters.policy_gradient_steps) == (3 + 3, 2 + 3)


def test_tdmpc2_goes_on_from_what_its_graphs_left() -> None:
    """The last plan, the pairs of Q functions and all draws: on the device to the bit, and on the CPU."""
    updates = UPDATES + MORE["tdmpc2"]
    with rehearsal():
        first, second = learner("tdmpc2", DEVICE), learner("tdmpc2", DEVICE)
        graphed = Graphed(first, RecordedGraph, warm_up=1)
        for _ in range(updates):
            graphed.update()
        saved = copy.deepcopy(first.state_dict())
        second.load_state_dict(saved)
        expected, again = to_cpu(graphed.update()), to_cpu(second.update())
        assert graphed.captured == 1
        assert different(again, expected) == []
        assert different(*(to_cpu(weights(x)) for x in (first, second))) == []
        saved = to_cpu(saved)
    third = learner("tdmpc2")
    third.load_state_dict(saved)
    torch.testing.assert_close(third.update(), expected, rtol=TOLERANCE, atol=1e-5)
    assert third.counters == first.counters


@pytest.mark.parametrize(("algorithm", "parts"), [("tdmpc2", 3), ("sac", 1), ("flashsac", 2), ("pwm", 1)])
def test_what_lies_between_steps_that_cannot_be_captured(
    algorithm: str, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plans and updates are graphs of their own, and what they see moves from step to step."""
    step = DifferentiableEnv.step
    with rehearsal() as seen:

        def on_the_host(env: DifferentiableEnv, action: torch.Tensor) -> Step:
            assert seen.tape is None
            return step(env, action)

        monkeypatch.setattr(DifferentiableEnv, "step", on_the_host)
        monkeypatch.setattr(DifferentiableEnv, "settle", DifferentiableEnv.detach)
        other, graphed = as_graphs(algorithm, UPDATES + MORE.get(algorithm, 0), whole=False)
        assert (graphed.captured, graphed.refused) == (parts, 0)
        assert other.counters.policy_gradient_steps > 2


def test_a_part_that_cannot_be_captured_is_taken_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Amid an update: its other parts, and the steps that it has taken, count."""
    check_member = MemberGuard.check_member
    with rehearsal() as seen:

        def refusing(*given: Any) -> Any:
            if seen.tape is not None:
                raise RuntimeError("operation not permitted when stream is capturing")
            return check_member(*given)

        torch.__future__.set_swap_module_params_on_conversion(False)  # weights are loaded in place, as on a GPU
        monkeypatch.setattr(MemberGuard, "check_member", refusing)
        _, graphed = as_graphs("tdmpc2", 5, whole=False)
        assert (graphed.captured, graphed.refused) == (1, 2)
        assert "could not be captured: operation not permitted" in caplog.text


def test_nobody_waits_to_capture() -> None:
    """While another run of the process compiles or captures, updates go on as they are."""
    with rehearsal():
        agents = learner("apg", DEVICE), learner("apg", DEVICE)
        graphed = Graphed(agents[1], RecordedGraph, warm_up=1)

        def compare(captured: int) -> None:
            assert different(*(to_cpu(x.update()) for x in (graphed, agents[0]))) == []
            assert graphed.captured == captured

        compare(0)
        with ThreadPoolExecutor(1) as other:
            other.submit(ONE_AT_A_TIME.acquire).result()
            compare(0)
            other.submit(ONE_AT_A_TIME.release).result()
        compare(1)
        compare(1)


def test_a_spectral_world_model_as_graphs() -> None:
    with rehearsal():
        other, graphed = as_graphs("pwm", UPDATES, world_model={"regularisation": "spectral"})
        assert graphed.captured == 1
        assert [name for name in other.world_model.state_dict() if name.endswith("right")]


def test_episodes_are_drawn_in_graphs() -> None:
    """Their queue is fed and drawn from at every replay of a graph."""

    def soon_over(env: DifferentiableEnv, n: int) -> None:
        if n == 0:
            env.progress = torch.full_like(env.progress, env.episode_length - 3)

    with rehearsal():
        settings: dict[str, Any] = {"horizon": 4, "replay_sampling": "episodes", "world_model": {"horizon": 2}}
        other, graphed = as_graphs("pwm", 7, soon_over, **settings)
        assert graphed.captured > 0
        assert other.counters.gradient_steps > 0
        # 28 steps on, the three steps before the first end and the episode of 20 after them.
        assert other._replay.available(2).tolist() == [2 * other.config.num_envs] * 2


def test_gathering_as_graphs_ends() -> None:
    """Updates that find too little to learn from are replayed, and what they store counts."""

    def short(env: DifferentiableEnv, n: int) -> None:
        if n < 3:  # no episode is as long as a slice
            env.progress = torch.full_like(env.progress, env.episode_length - 2)

    with rehearsal():
        settings: dict[str, Any] = {"horizon": 2, "pretrain_env_steps": 4, "world_model": {"horizon": 3}}
        other, graphed = as_graphs("pwm", 7, short, **settings)
        assert graphed.captured > 0
        assert other.counters.gradient_steps > 0


def test_an_update_that_cannot_be_captured_goes_on_without(caplog: pytest.LogCaptureFixture) -> None:
    class Refusing(RecordedGraph):
        def capture(self) -> Any:
            raise RuntimeError("operation not permitted when stream is capturing")

    with rehearsal():
        eager, other = learner("apg", DEVICE), learner("apg", DEVICE)
        graphed = Graphed(other, Refusing, warm_up=1)
        for _ in range(3):
            assert different(*(to_cpu(x.update()) for x in (graphed, eager))) == []
    assert (graphed.captured, graphed.refused) == (0, 1)
    assert other.counters == eager.counters
    assert "could not be captured: operation not permitted" in caplog.text


@pytest.mark.parametrize("algorithm", ["apg", "dmo", "sac", "pwm"])
def test_a_capture_that_fails_midway_is_taken_back(algorithm: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing was computed in it, so what it put in the place of the learner's state holds nothing."""
    with rehearsal() as seen:
        eager, other = learner(algorithm, DEVICE), learner(algorithm, DEVICE)
        torch.__future__.set_swap_module_params_on_conversion(False)  # weights are loaded in place, as on a GPU
        settle, entered = other.env.settle, []

        def refusing() -> Any:
            if seen.tape is not None:
                entered.append(len(seen.tape))
                raise RuntimeError("operation not permitted when stream is capturing")
            return settle()

        other.env.settle = refusing
        graphed = Graphed(other, RecordedGraph, warm_up=1)
        for _ in range(UPDATES + 1):
            assert different(*(to_cpu(x.update()) for x in (graphed, eager))) == []
        assert different(*(to_cpu(weights(x)) for x in (other, eager))) == []
        assert different(*(to_cpu(x.env.state_dict()) for x in (other, eager))) == []
    assert entered
    assert min(entered) > 0
    assert (graphed.captured, graphed.refused) == (0, len(entered))
    assert other.counters == eager.counters
    assert "could not be captured: operation not permitted" in caplog.text


@pytest.mark.parametrize("algorithm", ["apg", "ppo", "sac", "pwm"])
def test_a_change_of_the_environment_reaches_a_graph(algorithm: str) -> None:
    changes: list[Callable[[DifferentiableEnv, dict[str, Any]], Any]] = [
        lambda env, _: env.reset(),
        lambda env, _: env.reseed((7, 9)),
        lambda env, _: setattr(env, "progress", torch.full_like(env.progress, env.episode_length - 1)),
        lambda env, first: env.load_state_dict(first),
    ]
    with rehearsal():
        agents = learner(algorithm, DEVICE), learner(algorithm, DEVICE)
        graphed = Graphed(agents[1], RecordedGraph, warm_up=1)
        first = agents[0].env.state_dict()
        for change in (None, None, None, None, *changes):
            for agent in agents:
                if change is not None:
                    change(agent.env, first)
            assert different(to_cpu(graphed.update()), to_cpu(agents[0].update())) == []
            assert different(*(to_cpu(x.env.state_dict()) for x in agents)) == []
        assert graphed.captured == 1


def test_where_updates_go_as_graphs() -> None:
    agent, cpu, gpu = learner("apg"), torch.device("cpu"), torch.device("cuda", 0)
    may = SimulatorToy.capabilities
    may_not = dataclasses.replace(may, name="other", graphable=False)
    with gpus(), pytest.MonkeyPatch.context() as patch:
        patch.setitem(GRAPHS, "cuda", lambda device: RecordedGraph)
        assert graphs_of(agent, "auto", gpu, may) is not None
        assert graphs_of(agent, "on", gpu) is not None
        assert graphs_of(agent, "off", gpu, may) is None
        assert graphs_of(agent, "auto", gpu, may_not) is None
        assert graphs_of(learner("sac"), "auto", gpu, may_not) is not None
        assert graphs_of(object(), "auto", gpu) is None
        with pytest.raises(UsageError, match=r"graphed=on: a step of simulator 'other' cannot be captured"):
            graphs_of(agent, "on", gpu, may_not)
        with pytest.raises(UsageError, match=r"graphed=on: this learner's update is not in stages"):
            graphs_of(object(), "on", gpu)
    assert graphs_of(agent, "auto", cpu, may) is None
    with pytest.raises(UsageError, match=r"graphed=on: there are no CUDA graphs on 'cpu'"):
        graphs_of(agent, "on", cpu, may)
    with pytest.raises(UsageError, match=r"unknown setting of graphed 'onn'.*on"):
        check_graphed("onn")
