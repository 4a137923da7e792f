"""The gradient check accepts right gradients and exposes wrong ones."""

from __future__ import annotations

import pytest
import torch

from pwm_bench import envs
from pwm_bench.envs.simulator import State
from pwm_bench.gradients.probe import Agreement, _check, check_gradient, compare_with_differences
from pwm_bench.testing.toy import PointMass, toy_env


@pytest.mark.parametrize("task", ["ant", "cartpole", "hopper"])
def test_warp_gradients_pass(task: str) -> None:
    check = check_gradient(task, "warp")
    assert check.cosine > 0.999999
    assert check.relative_error < 1e-5


def test_a_wrong_gradient_is_exposed() -> None:
    env = toy_env(8, dtype=torch.float64)
    assert all(one.relative_error < 1e-7 for one in compare_with_differences(env, horizon=6, seed=0))
    honest = env.simulator.step

    def forgetful(state: State, ctrl: torch.Tensor) -> State:
        after = honest(state, ctrl)
        return State(after.qpos, after.qvel.detach() * 0.5 + after.qvel * 0.5)  # right value, half the gradient

    env.simulator.step = forgetful
    for found in compare_with_differences(env, horizon=6, seed=0):
        assert found.relative_error > 0.1
        assert found.cosine < 0.999


def test_a_wrong_gradient_of_the_state_is_exposed_where_the_reward_does_not_feel_it() -> None:
    """The reward is the action's alone, as far from a contact; the simulator passes no gradient."""

    class Effort(PointMass):
        def reward(self, observation: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
            return -action.square().sum(1)

    env = toy_env(4, dtype=torch.float64, task=Effort())
    honest = env.simulator.step
    env.simulator.step = lambda state, ctrl: honest(state, ctrl.detach())
    reward, observation = compare_with_differences(env, horizon=3, seed=0)
    assert reward.relative_error < 1e-7
    assert observation.relative_error == pytest.approx(1.0)
    assert (_check(env, 3, seed=0).of, _check(env, 3, seed=0).relative_error) == ("observation", pytest.approx(1.0))


def test_a_reward_without_any_gradient_agrees_with_its_differences() -> None:
    """The pendulum's reward is 1 near the top and 0 elsewhere, so that its gradient is zero from below."""
    env = envs.make("pendulum", "warp", num_envs=4, dtype=torch.float64)
    reward, observation = compare_with_differences(env, horizon=4, seed=0)
    assert reward == Agreement("reward", 1.0, 0.0)
    assert observation.cosine > 0.999999
    assert 0.0 < observation.relative_error < 1e-7
    assert check_gradient("pendulum", "warp", horizon=4, worlds=4).of == "observation"


def test_worlds_in_which_the_reward_has_no_gradient_hide_no_wrong_one() -> None:
    """Three of four worlds feel nothing, so that a median over all worlds would be zero."""

    class Rare(PointMass):
        def reward(self, observation: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
            near = torch.arange(len(observation)) == 0
            return torch.where(near, -observation[:, :2].square().sum(1), 0.0)

    env = toy_env(4, dtype=torch.float64, task=Rare())
    honest = env.simulator.step
    env.simulator.step = lambda state, ctrl: honest(state, ctrl.detach())
    assert compare_with_differences(env, horizon=3, seed=0)[0].relative_error == pytest.approx(1.0)


def test_single_precision_is_judged_over_contacts() -> None:
    """Long steps of a difference reach over the onsets of walker2d's contacts: they were off by 0.2."""
    env = envs.make("walker2d", "warp", num_envs=8, dtype=torch.float32)
    for found in compare_with_differences(env, horizon=8, seed=0):
        assert found.relative_error < 0.05
