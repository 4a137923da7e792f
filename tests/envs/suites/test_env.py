"""The batched environment and its worker processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
import torch

import pwm_bench.envs.suites as suites
from pwm_bench.envs import signals
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.suites.evaluation import evaluate

pytest.importorskip("dm_control")
pytest.importorskip("metaworld")

_TASKS = ["pendulum-spin", "mw-reach"]
_STEPS = 103  # beyond the end of Meta-World's episodes


def _actions(env, steps=_STEPS):
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(env.num_envs, 4, generator=generator) * 2.0 - 1.0 for _ in range(steps)]


def _history(env):
    history = [env.reset()]
    for action in _actions(env):
        step = env.step(action)
        history += [step.obs, step.reward, step.done, step.final_obs, step.success.nan_to_num(-1.0)]
    return history


@pytest.fixture(scope="module")
def local():
    with suites.make(_TASKS, envs_per_task=2, num_workers=0, seed=5) as env:
        yield env


def test_two_workers_give_what_one_process_gives_and_a_lost_worker_is_reported(local):
    local.reseed(5)
    expected = _history(local)
    with suites.make(_TASKS, envs_per_task=2, num_workers=2, seed=5) as env:
        found = _history(env)
        assert len(found) == len(expected)
        assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
        for number in signals.STOPPING:  # from a terminal or a batch system, to all processes alike
            os.kill(env._pool._processes[0].pid, number)
        env.step(_actions(env, 1)[0])
        os.kill(env._pool._processes[1].pid, signal.SIGKILL)
        with pytest.raises(RuntimeError, match="suite worker 1 ended during 'step'"):
            env.step(_actions(env, 1)[0])


def test_workers_that_nobody_closed_end_with_the_program():
    code = "from pwm_bench.envs import suites as s; e = s.make(['pendulum-spin'], num_workers=1); print(len(e.reset()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


def test_shapes_padding_and_ends(local):
    local.reseed(5)
    obs = local.reset()
    assert obs.shape == (4, 39)
    assert local.task.tolist() == [0, 0, 1, 1]
    assert (obs[:2, 3:] == 0.0).all()
    dones, first = [], obs
    for action in _actions(local):
        step = local.step(action)
        dones.append(step.done)
    dones = torch.stack(dones)
    assert dones[:, 2:].sum(0).tolist() == [1, 1]
    assert dones[99, 2:].all()
    assert not dones[:, :2].any()
    assert not torch.equal(step.obs[2], first[2])
    assert step.success[:2].isnan().all()
    assert step.success[2:].isfinite().all()


def test_an_episode_does_not_depend_on_its_worlds_neighbours(local):
    local.reseed(5)
    expected = local.reset()
    with suites.make(["mw-reach"], num_workers=0, seed=5) as alone:
        first = alone.reset()
        second = alone.reset()
    assert torch.equal(first[0], expected[2])  # episode 0 of mw-reach
    assert torch.equal(second[0], expected[3])  # episode 1


def test_rows_that_are_not_active_stay(local):
    local.reseed(5)
    local.reset()
    action = _actions(local, 1)[0]
    before = local.step(action).obs
    step = local.step(action, torch.tensor([False, True, False, True]))
    moved = (step.obs != before).any(1)
    assert moved.tolist() == [False, True, False, True]
    assert step.reward[[0, 2]].tolist() == [0.0, 0.0]


def test_components_that_a_task_lacks_do_nothing(local):
    results = []
    for other in (0.0, 1.0):
        local.reseed(5)
        local.reset()
        action = torch.full((4, 4), 0.5)
        action[:2, 1:] = other
        results.append(local.step(action).obs)
    assert torch.equal(results[0], results[1])


def test_evaluation_adds_up_rewards_and_reads_success_at_the_end(local):
    local.reseed(1)

    def policy(obs, task):
        assert obs.shape == (4, 39)
        action = torch.zeros(4, 4)
        action[:2] = 1.0
        action[2:, :3] = (10.0 * (obs[2:, 36:] - obs[2:, :3])).clamp(-1.0, 1.0)  # towards the goal
        return action

    scores = evaluate(local, policy, episodes=4)
    assert scores.returns.shape == (2, 4)
    assert scores.success[0].isnan().all()
    assert scores.success[1].tolist() == [1.0] * 4
    assert scores.normalised[0].tolist() == pytest.approx((scores.returns[0] / 1000.0).tolist())
    assert scores.normalised[1].tolist() == [1.0] * 4

    with suites.make(_TASKS, num_workers=0, seed=1) as single:

        def narrow(obs, task):
            return policy(obs.repeat_interleave(2, 0), task)[::2]

        alone = evaluate(single, narrow, episodes=2)
    assert torch.equal(alone.returns, scores.returns[:, :2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"envs_per_task": 0}, "envs_per_task=0"),
        ({"num_workers": -1}, "num_workers=-1"),
        ({"num_workers": 0, "seed": -3}, "seed=-3"),
    ],
)
def test_bad_numbers(arguments, message):
    with pytest.raises(UsageError, match=message):
        suites.make("pendulum-spin", **arguments)


def test_bad_actions_and_order(local):
    local.reseed(0)
    with pytest.raises(UsageError, match="reset"):
        local.step(torch.zeros(4, 4))
    local.reset()
    with pytest.raises(UsageError, match=r"must be \(4, 4\)"):
        local.step(torch.zeros(4, 6))
    with pytest.raises(UsageError, match="episodes=3"):
        evaluate(local, lambda obs, task: torch.zeros(4, 4), episodes=3)
