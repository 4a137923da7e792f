from __future__ import annotations

import pytest
import torch

from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.tasks import load_task
from pwm_bench.jobs.evaluation import Evaluator, drawn_seeds, make_env
from pwm_bench.testing.toy import PointMass
from tests.pwm_bench.cli.toy_cli import toy_spec

pytestmark = pytest.mark.usefixtures("toys")
CPU = torch.device("cpu")


def evaluator_of(spec) -> Evaluator:
    env = make_env(spec, CPU, seeds=drawn_seeds(spec.seeds), worlds=spec.evaluation_episodes)
    return Evaluator(env, members=len(spec.seeds))


class Pusher:
    """A policy that pushes each member its own way; fast ones leave the arena and end their episode early."""

    def __init__(self, *push: float) -> None:
        self.push = torch.tensor(push).view(-1, 1, 1)

    def __call__(self, obs: torch.Tensor) -> torch.Tensor:
        return self.push.expand(-1, obs.shape[1], 2)


def replay_one(evaluator: Evaluator, world: int, push: float) -> tuple[float, int]:
    """The same episode with the point mass's equations written out, in float64."""
    position = evaluator._start["qpos"][world].double()
    velocity = evaluator._start["qvel"][world].double()
    total = 0.0
    for step in range(1, PointMass.episode_length + 1):
        total += float(-position.square().sum() - 0.1 * velocity.square().sum() - 0.01 * 2 * push**2)
        velocity = velocity + 0.1 * 4.0 * push
        position = position + 0.1 * velocity
        if position.abs().max() > 5.0:
            return total, step
    return total, PointMass.episode_length


def test_returns_and_lengths_are_those_of_the_first_episode():
    evaluator = evaluator_of(toy_spec(seeds=(3, 7), evaluation_episodes=4))
    result = evaluator(Pusher(0.2, 1.0))
    for member, push in enumerate((0.2, 1.0)):
        for episode in range(4):
            total, length = replay_one(evaluator, 4 * member + episode, push)
            assert result.returns[member][episode] == pytest.approx(total, rel=1e-4)
            assert result.lengths[member][episode] == length
    assert set(result.lengths[0]) == {20}
    assert max(result.lengths[1]) < 20
    assert result.invalid == [0, 0]


def test_every_evaluation_begins_alike_whatever_came_before():
    evaluator = evaluator_of(toy_spec())
    first = evaluator(Pusher(0.1, 0.1))
    evaluator(Pusher(1.0, -1.0))
    assert evaluator(Pusher(0.1, 0.1)) == first
    assert evaluator_of(toy_spec())(Pusher(0.1, 0.1)) == first


def test_a_members_worlds_do_not_depend_on_the_others():
    together = evaluator_of(toy_spec(seeds=(3, 7)))(Pusher(0.1, 0.1))
    alone = evaluator_of(toy_spec(seeds=(7,)))(Pusher(0.1))
    assert alone.returns[0] == together.returns[1]


def test_evaluation_worlds_are_not_training_worlds():
    spec = toy_spec(seeds=(0,), evaluation_episodes=4)
    training = make_env(spec, CPU, seeds=spec.seeds, worlds=4)
    assert not torch.isclose(training.obs, evaluator_of(spec).env.obs).any()


def test_speed_is_recorded_where_the_task_is_about_moving(monkeypatch):
    monkeypatch.setattr(PointMass, "forward_velocity", lambda self, observation: observation[:, 2])
    evaluator = evaluator_of(toy_spec(seeds=(0,), evaluation_episodes=2))
    start = evaluator._start["qvel"][:, 0]
    result = evaluator(Pusher(0.1))
    # v_t = v_0 + 0.04 t for t = 0 .. 19
    expected = (start + 0.04 * 9.5).tolist()
    assert result.extras["forward_velocity"][0] == pytest.approx(expected, abs=1e-5)
    assert load_task("point_mass").forward_velocity(torch.zeros(1, 4)) is not None
    monkeypatch.undo()


def test_a_stop_abandons_the_evaluation():
    assert evaluator_of(toy_spec())(Pusher(0.1, 0.1), stop=lambda: True) is None


def test_gradients_are_off():
    seen = []

    class Watcher(Pusher):
        def __call__(self, obs):
            seen.append(torch.is_grad_enabled())
            return super().__call__(obs)

    evaluator_of(toy_spec())(Watcher(0.1, 0.1))
    assert seen
    assert not any(seen)


def test_an_unknown_simulator_option_is_named():
    with pytest.raises(UsageError, match="unknown option of simulator 'toy' 'substep'"):
        evaluator_of(toy_spec(simulator_options={"substep": 3}))
