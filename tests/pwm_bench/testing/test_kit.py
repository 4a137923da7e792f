"""Our own things conform, and each check finds what it is there to find."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from pwm_bench import envs, testing
from pwm_bench.envs.capability import Capabilities
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.simulator import State
from pwm_bench.envs.tasks import Task
from pwm_bench.gradients.estimators import score
from pwm_bench.gradients.moments import Estimate
from pwm_bench.gradients.offered import ESTIMATORS, Estimator
from pwm_bench.testing.toy import PointMass, SimulatorToy
from tests.pwm_bench import fake_learner

HERE = __name__
TOY = "pwm_bench.testing.toy:PointMass"


@pytest.mark.parametrize("name", [name for name in ESTIMATORS.own if name != "decoupled"])
def test_our_estimators(name: str) -> None:
    """The gradient of no function is left out: `tests/pwm_bench/gradients/test_decoupled.py` checks it."""
    testing.check_estimator(name)


@pytest.mark.parametrize("name", envs.TASKS.own)
def test_our_tasks(name: str) -> None:
    testing.check_task(name)


@pytest.mark.parametrize("name", ["warp", "mujoco_c"])
def test_our_simulators(name: str) -> None:
    """MJX is checked likewise, but compiled once for all its tests, in tests/envs/mjx/test_conformance.py."""
    testing.check_simulator(name, "hopper")


def test_a_learner() -> None:
    testing.check_learner(f"{HERE}:Fake", num_envs=2)


class Fake:
    """The learner of the runner's tests, with its policy where the checks look for it."""

    Config = fake_learner.Config
    gradient_source, cpu_threads = "simulator", 1
    recipe = staticmethod(fake_learner.recipe)
    make_policy = None

    class Learner(fake_learner.Learner):
        """Its policy is a single matrix."""


class Toy(SimulatorToy):
    """The toy, which conforms, under a name of its own."""


class Impure(Toy):
    """Remembers how often it was asked."""

    calls = 0

    def step(self, state: State, ctrl: Tensor) -> State:
        self.calls += 1
        after = super().step(state, ctrl)
        return State(after.qpos, after.qvel + 1e-9 * self.calls)


class Buffered(Toy):
    """Gives its own memory, over which each step writes."""

    def step(self, state: State, ctrl: Tensor) -> State:
        after = super().step(state, ctrl)
        if ctrl.requires_grad:
            return after
        if not hasattr(self, "buffers"):
            self.buffers = after
        self.buffers.qpos.copy_(after.qpos)
        self.buffers.qvel.copy_(after.qvel)
        return self.buffers


class Coupled(Toy):
    """Every world feels the mean of all."""

    def step(self, state: State, ctrl: Tensor) -> State:
        after = super().step(state, ctrl)
        return State(after.qpos, after.qvel + 1e-3 * after.qvel.mean(0))


class WrongGradient(Toy):
    """Its derivative lacks a twentieth."""

    def step(self, state: State, ctrl: Tensor) -> State:
        after = super().step(state, 0.95 * ctrl + 0.05 * ctrl.detach())
        return State(after.qpos, after.qvel)


class Changes(Toy):
    """Damps the velocities that it is given, in place."""

    def step(self, state: State, ctrl: Tensor) -> State:
        with torch.no_grad():
            state.qvel.mul_(0.5)
        return super().step(state, ctrl)


class NoGrad(Toy):
    """Computes where autograd does not look."""

    @torch.no_grad()
    def step(self, state: State, ctrl: Tensor) -> State:
        return super().step(state, ctrl)


class Detached(Toy):
    """Takes the controls for constants."""

    def step(self, state: State, ctrl: Tensor) -> State:
        return super().step(state, ctrl.detach())


class Unfit(Toy):
    """Expects another number of controls."""

    def step(self, state: State, ctrl: Tensor) -> State:
        return super().step(state, ctrl @ ctrl.new_ones(7, 1))


class Waits(Toy):
    """Asks the device for a number in every step."""

    capabilities = Capabilities(
        name="waits", gradient="exact", devices=("cpu", "cuda"), contact="none", package="torch", stable_timestep=0.1
    )

    def step(self, state: State, ctrl: Tensor) -> State:
        return super().step(state, ctrl) if float(ctrl.detach().sum()) < 1e9 else state


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Impure", "the same step twice gives other numbers"),
        ("Buffered", "a step changes what an earlier step gave: return clones"),
        ("Changes", "a step writes into its arguments"),
        ("Coupled", "worlds are not independent"),
        ("WrongGradient", "with respect to ctrl differs from central differences by 5"),
        ("NoGrad", "passes no derivative on to qpos, qvel, ctrl: it must neither detach"),
        ("Detached", "passes no derivative on to ctrl"),
        ("Unfit", "a step raises RuntimeError"),
        ("Waits", "makes the host wait"),
    ],
)
def test_faulty_simulators_are_found(name: str, message: str) -> None:
    testing.check_simulator(f"{HERE}:Toy", TOY)
    with pytest.raises(AssertionError, match=message):
        testing.check_simulator(f"{HERE}:{name}", TOY)


def _altered(**methods: Callable[..., Any] | int) -> PointMass:
    return type("Altered", (PointMass,), methods)()


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (_altered(observation_dim=5), r"observation has the shape \(16, 4\), not \(16, 5\)"),
        (_altered(terminated=lambda self, o: o[:, 0]), "terminated is torch.float32, not torch.bool"),
        (_altered(terminated=lambda self, o: o[:, 0] < 9.0), "a reset is terminated"),
        (_altered(reset_state=lambda self, n: State(0 * n[:, :2], 0 * n[:, 2:])), "all episodes begin in the same"),
        (_altered(reward=lambda self, o, a: o.detach()[:, 2].square() - a.sum(1)), "derivative .* velocities differs"),
        (_altered(reward=lambda self, o, a: o.detach()[:, 0].square() - a.sum(1)), "derivative .* positions differs"),
        (_altered(reward=lambda self, o, a: o[:, 0] - o[:, 0].mean()), "reward depends on the other rows"),
        (_altered(reward=lambda self, o, a: o[:, 0] + torch.rand(len(o), dtype=o.dtype)), "reward differs when it is"),
        (
            _altered(reward=lambda self, o, a: o[:, 0] if o.mean() < 9.0 else o[:, 1]),
            "makes the host wait .*as `if tensor`",
        ),
        (_altered(action_dim=3), "action_dim=3 makes 3 controls, but its model has 2"),
    ],
    ids=[
        "observation_dim",
        "bool",
        "reset",
        "start",
        "gradient",
        "gradient of positions",
        "rows",
        "random",
        "branch",
        "action_dim",
    ],
)
def test_faulty_tasks_are_found(task: PointMass, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        testing.check_task(task)


class Unfinished(PointMass):
    """Says nothing of when an episode ends."""

    terminated = Task.terminated


class Nameless(Task):
    """Has all methods, and no numbers."""

    model = observation = reward = terminated = reset_state = PointMass.model


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Unfinished", "Unfinished is no task: it has no terminated"),
        (
            "Nameless",
            "lacks name, observation_dim, action_dim, noise_dim, episode_length; see pwm_bench.envs.tasks.base",
        ),
    ],
)
def test_unfinished_tasks_are_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        testing.check_task(f"{HERE}:{name}")


class Drifting(Fake):
    """A learner whose second save forgets the velocity."""

    class Learner(fake_learner.Learner):
        """Does not save its momentum."""

        def load_state_dict(self, state: dict[str, Any]) -> None:
            super().load_state_dict(state)
            self.velocity = torch.zeros_like(self.velocity)


class Sociable(Fake):
    """A learner whose members learn from each other."""

    class Learner(fake_learner.Learner):
        """Pulls all weights a little together."""

        def update(self) -> dict[str, Tensor]:
            metrics = super().update()
            self.weight = 0.99 * self.weight + 0.01 * self.weight.mean(0, keepdim=True)
            return metrics


@pytest.mark.parametrize(
    ("name", "message"), [("Sociable", "among 2"), ("Drifting", "that resumes goes on with another")]
)
def test_faulty_learners_are_found(name: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        testing.check_learner(f"{HERE}:{name}", num_envs=2)


class Biased(Estimator):
    """The score function, a tenth too long."""

    needs: ClassVar[frozenset[str]] = frozenset({"noise"})

    def estimate(self, scene: Any, others: Any, progress: Any, note: Any) -> dict[int, Estimate]:
        found = score(scene.world, scene.problem, scene.spec.samples, progress=progress)
        return {h: Estimate(1.1 * e.mean, 1e-3 * e.variance, e.count, e.rejected) for h, e in found.items()}


def test_a_biased_estimator_is_found() -> None:
    with pytest.raises(AssertionError, match="standard errors from the gradient"):
        testing.check_estimator(f"{HERE}:Biased")
