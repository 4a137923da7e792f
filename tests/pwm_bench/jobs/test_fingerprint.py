from __future__ import annotations

import json
from pathlib import Path

import pytest

from pwm_bench import envs
from pwm_bench.envs.tasks import load_task
from pwm_bench.jobs.fingerprint import task_hash
from pwm_bench.testing.toy import PointMass, toy_env

REFERENCE = Path(__file__).parents[3] / "results" / "reference" / "runs"


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


def test_softness_of_mujocos_contacts_enters_where_the_simulator_reads_it():
    """Without the option, contacts in MuJoCo are its defaults; with it, they have the task's own constants."""
    own = load_task("hopper").contact
    ground = {"contact_stiffness": own.stiffness, "contact_damping": own.damping}
    plain, set_ = (task_hash(envs.make("hopper", "mujoco_c", num_envs=1, **o)) for o in ({}, ground))
    assert plain != set_
    assert task_hash(envs.make("hopper", "mujoco_c", num_envs=1, **ground | {"contact_damping": 1.0})) != set_
    # In Warp these are what the constants are anyway.
    plain, set_ = (task_hash(envs.make("hopper", "warp", num_envs=1, **o)) for o in ({}, ground))
    assert plain == set_


def test_softness_of_joint_limits_enters():
    soft, hard = (envs.make("hopper", "mujoco_c", num_envs=1) for _ in range(2))
    soft.simulator.model.jnt_solimp[3, 0] = 0.5
    assert task_hash(soft) != task_hash(hard)


SIMULATED = [file for file in sorted(REFERENCE.glob("*/*/run.json")) if json.loads(file.read_text())["task_hash"]]


@pytest.mark.parametrize("record", SIMULATED, ids=lambda path: path.parent.name)
def test_committed_records_are_about_todays_tasks(record):
    values = json.loads(record.read_text())
    spec = values["spec"]
    env = envs.make(spec["task"], spec["simulator"], num_envs=1, **spec["simulator_options"])
    assert task_hash(env) == values["task_hash"]
