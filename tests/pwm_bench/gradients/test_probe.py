"""The gradient check accepts right gradients and exposes wrong ones."""

from __future__ import annotations

import pytest
import torch

from pwm_bench.envs.simulator import State
from pwm_bench.gradients.probe import check_gradient, compare_with_differences
from pwm_bench.testing.toy import toy_env


@pytest.mark.parametrize("task", ["ant", "cartpole", "hopper"])
def test_warp_gradients_pass(task: str) -> None:
    check = check_gradient(task, "warp")
    assert check.cosine > 0.999999
    assert check.relative_error < 1e-5


def test_a_wrong_gradient_is_exposed() -> None:
    env = toy_env(8, dtype=torch.float64)
    assert compare_with_differences(env, horizon=6, seed=0)[1] < 1e-7
    honest = env.simulator.step

    def forgetful(state: State, ctrl: torch.Tensor) -> State:
        after = honest(state, ctrl)
        return State(after.qpos, after.qvel.detach() * 0.5 + after.qvel * 0.5)  # right value, half the gradient

    env.simulator.step = forgetful
    cosine, error = compare_with_differences(env, horizon=6, seed=0)
    assert error > 0.1
    assert cosine < 0.999
