"""One task of a suite as an environment for learners."""

from __future__ import annotations

import pytest
import torch

import pwm_bench.envs.suites as suites
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.suites.single import SuiteTaskEnv

pytest.importorskip("dm_control")
pytest.importorskip("metaworld")

_STEPS = 101


def _actions(env, count):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, env.num_envs, env.action_dim, generator=generator) * 2.0 - 1.0


@pytest.fixture(scope="module")
def env():
    with SuiteTaskEnv("mw-reach", num_envs=4, seeds=(0, 1)) as made:
        yield made


def test_it_plays_what_the_suite_plays(env):
    env.reseed((0, 1))
    assert env.success.isnan().all()
    steps, solved = zip(*((env.step(action), env.success) for action in _actions(env, _STEPS)), strict=True)
    for member, seed in enumerate((0, 1)):
        mine = slice(2 * member, 2 * member + 2)
        with suites.make("mw-reach", envs_per_task=2, num_workers=0, seed=seed) as reference:
            reference.reset()
            for step, success, action in zip(steps, solved, _actions(env, _STEPS)[:, mine], strict=True):
                expected = reference.step(action)
                assert torch.equal(step.obs[mine], expected.obs)
                assert torch.equal(step.reward[mine], expected.reward)
                assert torch.equal(step.truncated[mine], expected.done)
                assert torch.equal(step.final_obs[mine], expected.final_obs)
                assert torch.equal(success[mine], expected.success)
    assert not any(step.terminated.any() or step.invalid.any() for step in steps)
    assert [bool(step.truncated.all()) for step in steps] == [False] * 99 + [True, False]


@pytest.mark.parametrize("before", [0, 7, 100, 105])
def test_it_goes_on_exactly_from_a_saved_state(env, before):
    env.reseed((3, 4))
    actions = _actions(env, before + 5)
    for action in actions[:before]:
        env.step(action)
    state = env.state_dict()
    expected = [env.step(action) for action in actions[before:]]
    env.reseed((3, 4))
    env.load_state_dict(state)
    for action, step in zip(actions[before:], expected, strict=True):
        again = env.step(action)
        assert torch.equal(again.obs, step.obs)
        assert torch.equal(again.reward, step.reward)


def test_reset_begins_the_next_episode_of_every_world(env):
    env.reseed((0, 1))
    first = env.detach()
    second = env.reset()
    assert (first != second).any(1).all()
    env.reseed((0, 1))
    assert torch.equal(env.detach(), first)


def test_states_of_other_worlds_and_bad_numbers(env):
    with pytest.raises(UsageError, match=r"saved environment has actions \(2, 4\)"):
        env.load_state_dict({"episode": torch.zeros(2), "actions": torch.zeros(3, 2, 4)})
    with pytest.raises(UsageError, match=r"action is \(1, 4\): must be \(4, 4\)"):
        env.step(torch.zeros(1, 4))  # NumPy would give it to all worlds
    with pytest.raises(UsageError, match=r"seeds=\(5,\): must be 2 numbers"):
        env.reseed((5,))
    with pytest.raises(UsageError, match=r"seeds=\(0, -1\): must be 2 numbers"):
        env.reseed((0, -1))
    with pytest.raises(UsageError, match="num_envs=3"):
        SuiteTaskEnv("mw-reach", num_envs=3, seeds=(0, 1))
    with pytest.raises(UsageError, match="unknown task"):
        SuiteTaskEnv("mw-nothing", num_envs=1)
