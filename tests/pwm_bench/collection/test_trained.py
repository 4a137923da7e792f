"""Policies trained for collecting data."""

from __future__ import annotations

import numpy as np
import pytest

import envs.suites as suites
from envs.errors import UsageError
from pwm_bench.collection import trained
from pwm_bench.collection.behaviours import Noise, make_behaviours
from pwm_bench.collection.trained import check_learner, train

pytest.importorskip("dm_control")

_OBS = np.array([[1.0, 0.0, 0.5], [-0.6, 0.8, -2.0]], np.float32)


@pytest.fixture(scope="module", autouse=True)
def few_worlds():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trained, "_NUM_ENVS", 2)
        yield


def _train(folder, **options):
    return train("pendulum-spin", "ppo", folder, steps=256, stages=2, seed=1, num_workers=0, **options)


def _actions(policies):
    return np.array([[policy(obs) for obs in _OBS] for policy in policies])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policies")
    reports = []
    policies = _train(folder, report=lambda done, total: reports.append((done, total)))
    assert reports[0] == (0, 256)
    assert reports[-1] == (256, 256)
    return folder, _actions(policies)


def test_policies_of_every_stage_act(whole):
    _, actions = whole
    assert actions.shape == (2, 2, 1)
    assert np.abs(actions).max() <= 1.0
    assert not np.array_equal(actions[0], actions[1])


def test_what_was_trained_is_loaded(whole, monkeypatch):
    folder, actions = whole
    monkeypatch.setattr("baselines.ppo.train.Learner.update", None)
    assert np.array_equal(_actions(_train(folder)), actions)


def test_a_stopped_training_goes_on(whole, tmp_path):
    _, actions = whole
    asked = iter(range(3))  # stops after the third update, in the second stage
    assert _train(tmp_path, stop=lambda: next(asked, None) is None) is None
    assert np.array_equal(_actions(_train(tmp_path)), actions)
    assert not list(tmp_path.glob("*running"))


def test_stages_and_levels_take_turns(whole):
    folder, _ = whole
    suite = suites.spec("pendulum-spin")
    policies = {"pendulum-spin": _train(folder)}
    behaviour, batch = make_behaviours("auto", suite, seed=0, noise=Noise(levels=(0.0, 0.3)), trained=policies)
    assert batch is None
    assert [behaviour(0, episode).source for episode in range(6)] == [0, 1, 2, 3, 0, 1]
    for episode, stage in ((0, 0), (2, 1), (4, 0)):
        expected = policies["pendulum-spin"][stage](_OBS[0])
        assert np.array_equal(behaviour(0, episode).act(_OBS[0], None), expected)


def test_algorithms_that_cannot_train_here():
    check_learner("ppo")
    check_learner("pwm")
    with pytest.raises(UsageError, match="--learner shac: needs a differentiable simulator; use ppo or pwm"):
        check_learner("shac")
    with pytest.raises(UsageError, match="unknown learner 'pppo': did you mean 'ppo'"):
        check_learner("pppo")
