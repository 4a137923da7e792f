from __future__ import annotations

import dataclasses
import itertools
import sys
import types
from typing import get_args

import pytest

from pwm_bench import configs, envs, registry
from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.choices import GradientSource
from pwm_bench.learning.learner import Learner
from pwm_bench.learning.preset import PRESETS
from pwm_bench.store.schema import RunRecord
from tests.pwm_bench import fake_learner

SOURCES = {
    "pwm": "learned",
    **dict.fromkeys(("shac", "ahac", "sapo", "apg", "rpo"), "simulator"),
    "dmo": "decoupled",
    "ivwh": "mixed",
    "ppo": "score",
    "sac": "critic",
    "flashsac": "critic",
    "tdmpc2": "critic",
}


def test_every_algorithm_is_known_here():
    assert sorted(registry.algorithms()) == sorted(SOURCES)


@pytest.mark.parametrize("name", SOURCES)
def test_every_package_offers_what_the_runner_needs(name):
    package = registry.learner_package(name)
    assert package.gradient_source == SOURCES[name]
    assert package.gradient_source in get_args(GradientSource)
    assert dataclasses.is_dataclass(package.Config)
    for task in envs.tasks():
        for simulator, preset in itertools.product(envs.simulators(), PRESETS):
            config = package.recipe(task, simulator, preset)
            assert isinstance(config, package.Config)
            assert config.num_envs >= 1
            assert configs.override(config, configs.to_json(config)) == config
    assert package.recipe("hopper", "warp") == package.recipe("hopper", "warp", "cpu")
    with pytest.raises(UsageError, match="unknown preset 'gpu'"):
        package.recipe("hopper", "warp", "gpu")
    for method in ("update", "act", "state_dict", "load_state_dict"):
        assert callable(getattr(package.Learner, method))
    assert "update" in dir(Learner)


def test_names_are_checked_in_turn():
    registry.check_names("hopper", "warp", "shac")
    for algorithm in ("ppo", "sac"):
        registry.check_names("hopper", "mujoco_c", algorithm)
    with pytest.raises(UsageError, match="unknown task"):
        registry.check_names("hop", "warp", "shac")
    with pytest.raises(UsageError, match="unknown simulator"):
        registry.check_names("hopper", "wrp", "shac")
    with pytest.raises(UsageError, match="unknown algorithm"):
        registry.check_names("hopper", "warp", "sac2")


def test_what_is_not_ours_is_looked_for_before_a_run_begins():
    with pytest.raises(UsageError, match=r"module 'tests\.pwm_bench\.fake_learner' has no 'Hopper'"):
        registry.check_names("tests.pwm_bench.fake_learner:Hopper", "warp", "shac")
    with pytest.raises(UsageError, match="has no 'Warp'"):
        registry.check_names("hopper", "tests.pwm_bench.fake_learner:Warp", "ppo")


def test_gradients_through_a_simulator_without_any_are_refused():
    with pytest.raises(UsageError, match="'mujoco_c' does not give: use warp or mjx"):
        registry.check_names("hopper", "mujoco_c", "shac")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"gradient_source": "analytic"},
            r"gradient_source='analytic': must be learned, simulator, decoupled, mixed, sco",
        ),
        ({"Config": type("Config", (), {"num_envs": 4, "scheduled": False})}, "its Config is no dataclass"),
        ({"Config": dataclasses.make_dataclass("Config", ["worlds"])}, "its Config has no num_envs, scheduled"),
    ],
)
def test_what_is_wrong_with_a_module_from_outside_is_said(monkeypatch, changed, said):
    mine = types.ModuleType("my_learner")
    vars(mine).update({**vars(fake_learner), **changed})
    monkeypatch.setitem(sys.modules, "my_learner", mine)
    with pytest.raises(UsageError, match=said):
        registry.learner_package("my_learner:")


def test_records_know_every_gradient_source():
    known = get_args(RunRecord.model_fields["gradient_source"].annotation)
    literal = next(choice for choice in known if choice is not type(None))
    assert get_args(literal) == get_args(GradientSource)
