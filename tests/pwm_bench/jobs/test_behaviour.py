"""Policies that are trained to act while data is collected."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

import pwm_bench.envs.suites as suites
from pwm_bench.collection.behaviours import Noise, make_behaviours
from pwm_bench.collection.trained import check_learner, load_policies
from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs.behaviour import BehaviourSpec
from pwm_bench.jobs.kinds import spec_from
from pwm_bench.store.inputs import find_input
from pwm_bench.store.verify import verify
from tests.pwm_bench.jobs.kills import killed, outcome, stopped, undisturbed

pytest.importorskip("dm_control")

_TASK = "pendulum-spin"
_OBS = np.array([[1.0, 0.0, 0.5], [-0.6, 0.8, -2.0]], np.float32)
SPEC = BehaviourSpec(task=_TASK, env_steps=256, stages=2, seed=1, config={"num_envs": 2}, workers=0)


def _actions(directory):
    policies = load_policies(find_input(directory.path, "policies").open(), _TASK)
    return np.array([[policy(obs) for obs in _OBS] for policy in policies])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return undisturbed(SPEC, tmp_path_factory.mktemp("policies"))


def test_policies_of_every_stage_act(whole):
    actions = _actions(whole)
    assert actions.shape == (2, 2, 1)
    assert np.abs(actions).max() <= 1.0
    assert not np.array_equal(actions[0], actions[1])
    record = whole.read()
    assert (record.kind, record.gradient_source, record.counts.env_steps) == ("train-behaviour", "score", 256)
    assert whole.metrics.read()[-1]["env_steps"] == 256
    assert verify(whole) == []


def test_the_settings_are_all_in_the_spec():
    assert SPEC.config["num_envs"] == 2
    assert BehaviourSpec(task=_TASK).config["num_envs"] == 16
    assert spec_from("train-behaviour", json.loads(json.dumps(SPEC.to_dict()))) == SPEC
    assert dataclasses.replace(SPEC, stages=1).id != SPEC.id == dataclasses.replace(SPEC, workers=4).id


@pytest.mark.parametrize("count", [1, 3])
def test_stopped_and_gone_on_with_the_policies_are_the_same(whole, tmp_path, monkeypatch, count):
    stopped(SPEC, tmp_path, monkeypatch, pieces=count)
    assert outcome(undisturbed(SPEC, tmp_path)) == outcome(whole)


def test_killed_it_goes_on_to_the_same_policies(start, whole, tmp_path):
    assert outcome(killed(start, SPEC, tmp_path / "k", kills=1)) == outcome(whole)


@pytest.mark.slow
def test_killed_twenty_times(start, tmp_path):
    spec = dataclasses.replace(SPEC, env_steps=8192, stages=3)
    assert outcome(killed(start, spec, tmp_path / "k", kills=20)) == outcome(undisturbed(spec, tmp_path))


def test_stages_and_levels_take_turns(whole):
    suite = suites.spec(_TASK)
    policies = {_TASK: load_policies(whole.path / "policies", _TASK)}
    behaviour, batch = make_behaviours("auto", suite, seed=0, noise=Noise(levels=(0.0, 0.3)), trained=policies)
    assert batch is None
    assert [behaviour(0, episode).source for episode in range(6)] == [0, 1, 2, 3, 0, 1]
    for episode, stage in ((0, 0), (2, 1), (4, 0)):
        expected = policies[_TASK][stage](_OBS[0])
        assert np.array_equal(behaviour(0, episode).act(_OBS[0], None), expected)


def test_what_is_no_such_folder_is_refused(whole, tmp_path):
    with pytest.raises(UsageError, match="holds no trained policies"):
        load_policies(tmp_path, _TASK)
    with pytest.raises(UsageError, match="its policies are of 'pendulum-spin', not of 'cheetah-run'"):
        load_policies(whole.path / "policies", "cheetah-run")


def test_algorithms_that_cannot_train_here():
    check_learner("ppo")
    check_learner("pwm")
    with pytest.raises(UsageError, match=r"learner 'shac' needs a differentiable simulator; use pwm or .*ppo or "):
        BehaviourSpec(task=_TASK, learner="shac")
    with pytest.raises(UsageError, match=r"learner 'dmo' needs the reward .* use (?!.*dmo)"):
        BehaviourSpec(task=_TASK, learner="dmo")
    with pytest.raises(UsageError, match="unknown algorithm 'pppo': did you mean 'ppo'"):
        BehaviourSpec(task=_TASK, learner="pppo")
    with pytest.raises(UsageError, match="stages=0"):
        BehaviourSpec(task=_TASK, stages=0)
