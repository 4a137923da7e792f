from __future__ import annotations

import numpy as np
import pytest

from pwm_bench.envs.errors import UsageError
from pwm_bench.gradients.pedagogical.ball_wall_study import BallWallSpec
from pwm_bench.store.inputs import Pending
from pwm_bench.studies.changes import changed_study, seeds_from
from pwm_bench.studies.tuning import tuning
from pwm_bench.sweeps.graph import Study
from tests.pwm_bench.cli.toy_cli import toy_spec
from tests.pwm_bench.sweeps.summing import SumSpec

pytestmark = pytest.mark.usefixtures("toys")


def one_run(**fields) -> Study:
    return Study(name="one", description="one", specs=(toy_spec(**fields),))


def test_each_combination_of_settings_is_a_run_of_a_study_with_a_name_of_its_own():
    study = changed_study(one_run(), settings={"learning_rate": [0.1, 0.2], "inner.width": [3]})
    assert study.name == "one-learning_rate-0.1-0.2-inner.width-3"
    assert [spec.config["learning_rate"] for spec in study.specs] == [0.1, 0.2]
    assert {spec.config["inner"]["width"] for spec in study.specs} == {3}
    assert {spec.study for spec in study.specs} == {study.name}
    assert list(study.nodes) == [
        "point_mass · toy · fake · learning_rate=0.1",
        "point_mass · toy · fake · learning_rate=0.2",
    ]


def test_settings_that_a_run_was_given_stay_under_another_preset():
    study = changed_study(one_run(overrides={"learning_rate": 0.7}), preset="published")
    plain = changed_study(one_run(), preset="published")
    assert study.name == plain.name == "one-published"
    assert study.specs[0].config == plain.specs[0].config | {"learning_rate": 0.7}
    with pytest.raises(UsageError, match="unknown preset 'publishd': did you mean 'published'"):
        changed_study(Study(name="s", description="", specs=(toy_spec().create(
            task="cartpole", simulator="warp", algorithm="ppo"),)), preset="publishd")  # fmt: skip


def test_other_seeds_are_the_same_study_and_other_budgets_are_not():
    study = changed_study(one_run(), seeds=(3, 1))
    assert (study.name, study.specs[0].seeds) == ("one", (3, 1))
    study = changed_study(one_run(), budgets=[("env_steps", 500.0), ("gradient_steps", 20.0)])
    assert study.name == "one-env_steps-500-gradient_steps-20"
    assert (study.specs[0].env_steps, study.specs[0].limits) == (500, {"gradient_steps": 20.0})


def test_other_seeds_leave_a_tuning_as_it_is_and_are_none_that_it_has_used():
    plain = tuning(("cartpole",), ("ppo",))
    changed = changed_study(plain, seeds=(20, 21))
    tune, run = "cartpole · tuning of ppo", "cartpole · ppo · one setting for all tasks"
    assert changed.nodes[tune] == plain.nodes[tune]
    assert changed.nodes[run].seeds == (20, 21)
    with pytest.raises(UsageError, match=r"seeds=\[0, 20\]: the setting was selected on 0; give seeds .* from 16"):
        changed_study(plain, seeds=(0, 20))


def test_what_reads_a_run_that_is_left_out_is_left_out_too():
    nodes = {
        "a": toy_spec(),
        "b": toy_spec(overrides={"learning_rate": 0.7}, simulator_options={}),
        "of a": SumSpec(numbers=(1,), inputs={"x": Pending("a", "weights")}),
        "of that": SumSpec(numbers=(1,), inputs={"x": Pending("of a", "sum")}),
        "alone": SumSpec(numbers=(1,)),
    }
    nodes["a"] = nodes["a"].create(task="cartpole", simulator="warp", algorithm="ppo")
    study = changed_study(Study(name="g", description="", nodes=nodes), tasks=["point_mass"])
    assert set(study.nodes) == {"b", "alone"}
    with pytest.raises(UsageError, match="--set: other runs read 'a'"):
        changed_study(Study(name="g", description="", nodes=nodes), settings={"num_envs": [2, 4]})


def test_seeds_as_people_give_them():
    assert seeds_from(3, "seeds") == (0, 1, 2)
    assert seeds_from([4, 2], "seeds") == seeds_from(np.array([4, 2]), "seeds") == (4, 2)
    assert seeds_from(np.int64(2), "seeds") == seeds_from(range(2), "seeds") == (0, 1)
    assert all(type(seed) is int for seed in seeds_from(np.array([4, 2]), "seeds"))
    for wrong in (0, -1, True, [], [1, -1], [1.5], "3", None, 3.0, np.array(2.0), {0: 1}):
        with pytest.raises(UsageError, match=r"seeds=.*must be how many, at least 1, or a list"):
            seeds_from(wrong, "seeds")


def test_other_seeds_leave_alone_what_has_a_number_of_them():
    nodes = {"toy": BallWallSpec(seeds=4), "a": toy_spec()}
    assert [spec.seeds for spec in changed_study(Study(name="g", description="", nodes=nodes), seeds=(5,)).specs] == [
        4, (5,)
    ]  # fmt: skip


def test_a_budget_is_the_same_however_it_is_written():
    assert toy_spec().until("gradient_steps", 5000).id == toy_spec().until("gradient_steps", 5e3).id
