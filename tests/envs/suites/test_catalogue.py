"""The lists of tasks and their sizes, without the simulators behind them."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

import pwm_bench.envs.suites as suites
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.suites import worlds


def test_mt30_is_19_tasks_of_dm_control_then_11_of_tdmpc2():
    families = [task.family for task in suites.spec("mt30").tasks]
    assert families == ["dm_control"] * 19 + ["custom"] * 11
    names = suites.names("mt30")
    assert names[:5] == ("walker-stand", "walker-walk", "walker-run", "cheetah-run", "reacher-easy")
    assert (names[11], names[18]) == ("cartpole-swingup-sparse", "hopper-hop")
    assert (names[19], names[29]) == ("walker-walk-backwards", "pendulum-spin")


def test_mt80_is_mt30_then_meta_worlds_50():
    names = suites.names("mt80")
    assert len(names) == len(set(names)) == 80
    assert names[:30] == suites.names("mt30")
    assert names[30:] == suites.names("mw50")
    assert (names[30], names[54], names[79]) == ("mw-assembly", "mw-peg-unplug-side", "mw-hand-insert")
    assert {task.family for task in suites.spec("mt80").tasks[30:]} == {"meta_world"}


def test_episode_lengths_are_those_of_tdmpc2():
    assert suites.spec("mt30").episode_lengths == (500,) * 30
    assert suites.spec("mt80").episode_lengths == (500,) * 30 + (100,) * 50


def test_padded_sizes_are_those_of_the_released_models():
    assert (suites.spec("mt30").obs_dim, suites.spec("mt30").action_dim) == (24, 6)
    assert (suites.spec("mt80").obs_dim, suites.spec("mt80").action_dim) == (39, 6)


def test_action_masks_mark_a_tasks_own_components():
    masks = suites.spec(["pendulum-swingup", "mw-reach", "walker-run"]).action_masks
    assert masks.tolist() == [
        [True, False, False, False, False, False],
        [True, True, True, True, False, False],
        [True, True, True, True, True, True],
    ]


def test_suites_and_tasks_can_be_mixed_in_any_order():
    suite = suites.spec(["mw-push", "mt30"], obs_dim=40)
    assert suite.names == ("mw-push", *suites.names("mt30"))
    assert (suite.obs_dim, suite.obs_dims[0], suite.obs_dims[1]) == (40, 39, 24)


def test_suites_are_spelt_out_in_their_place():
    assert suites.spelt_out(("x", "mt30", "y")) == ("x", *suites.names("mt30"), "y")
    assert suites.spelt_out(()) == ()


def test_only_meta_world_tells_success():
    assert [task.has_success for task in suites.spec(["mw-push", "cup-spin", "cup-catch"]).tasks] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tasks": "mw-pish"}, "did you mean 'mw-push'"),
        ({"tasks": ["mw-push", "mw50"]}, "mw-push named twice"),
        ({"tasks": []}, "at least one task"),
        ({"tasks": "mt30", "obs_dim": 23}, "obs_dim=23: must be at least 24"),
        ({"tasks": "mt30", "action_dim": 2}, "action_dim=2: must be at least 6"),
    ],
)
def test_bad_requests_say_what_to_do(arguments, message):
    with pytest.raises(UsageError, match=message):
        suites.spec(**arguments)


def test_unknown_suite():
    with pytest.raises(UsageError, match="unknown suite 'mt31'"):
        suites.names("mt31")


def test_describing_tasks_imports_no_simulator():
    code = (
        "import sys, envs.suites as s; s.spec('mt80'); print([m for m in sys.modules if m in "
        "('torch', 'mujoco', 'dm_control', 'metaworld')])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("task", "python", "remedy"),
    [
        ("cheetah-run", (3, 12), r"needs dm_control: pip install 'pwm-bench\[suites\]'"),
        ("cheetah-run", (3, 13), "needs dm_control: use Python 3.12"),
        ("mw-push", (3, 13), r"needs metaworld: pip install 'pwm-bench\[suites\]'"),
    ],
)
def test_a_missing_package_names_what_helps(monkeypatch, task, python, remedy):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(worlds, "sys", SimpleNamespace(version_info=python))
    with pytest.raises(UsageError, match=remedy):
        suites.make(task, num_workers=0)
