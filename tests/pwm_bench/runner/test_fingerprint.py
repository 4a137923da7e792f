from __future__ import annotations

import pytest

from pwm_bench.runner.fingerprint import task_hash
from tests.toy import PointMass, toy_env


def test_machine_and_batch_do_not_enter():
    assert task_hash(toy_env(4, (0,))) == task_hash(toy_env(8, (1, 2)))


def _reward(self, observation, action):
    return (
        -observation[:, :2].square().sum(1) - 0.1 * observation[:, 2:].square().sum(1) - 0.011 * action.square().sum(1)
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("reward", _reward),
        ("terminated", lambda self, observation: observation[:, :2].abs().amax(1) > 0.5),
        ("observation", lambda self, state, action: state.qpos.repeat(1, 2)),
        ("control", lambda self, action: 2.0 * action),
    ],
)
def test_a_changed_function_changes_it(monkeypatch, name, value):
    before = task_hash(toy_env())
    monkeypatch.setattr(PointMass, name, value)
    assert task_hash(toy_env()) != before


def test_an_equal_function_written_otherwise_does_not(monkeypatch):
    before = task_hash(toy_env())
    original = PointMass.reward
    monkeypatch.setattr(PointMass, "reward", lambda self, o, a: original(self, o, a) * 2.0 / 2.0 * (1.0 + 1e-15))
    assert task_hash(toy_env()) == before


def test_a_changed_model_or_episode_changes_it():
    before = task_hash(toy_env())
    heavier = toy_env()
    heavier.simulator.model.body_mass[1] = 2.0
    assert task_hash(heavier) != before
    assert task_hash(toy_env(episode_length=19)) != before
