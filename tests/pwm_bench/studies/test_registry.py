from __future__ import annotations

import pytest

from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs.kinds import KINDS
from pwm_bench.studies import gradients, locomotion, multitask, suite_training
from pwm_bench.studies.registry import describe, load_study, names
from pwm_bench.sweeps.graph import needs


def test_studies_of_every_kind_are_there_once():
    every = names()
    assert len(set(every)) == len(every)
    known = [
        "every-kind",
        *locomotion.STUDIES,
        *suite_training.STUDIES,
        "tuning",
        *multitask.MULTITASK,
        *(f"gradients-{name}" for name in gradients.STUDIES),
    ]
    assert set(every) == set(known)
    assert all(describe(name) for name in every)


def test_each_is_a_graph_under_its_name():
    for name in ("quickstart", "multitask-quick", "gradients-smoke"):
        study = load_study(name)
        assert study.name == name
        assert {spec.study for spec in study.specs} <= {name, f"{name}-stages"}
    reads = {name: len(needs(spec)) for name, spec in load_study("gradients-smoke").nodes.items()}
    assert sorted(reads.values()) == [0, 1, 1]  # a world model, and both comparisons with it


def test_one_study_has_every_kind_of_work():
    assert {spec.kind for spec in load_study("every-kind").specs} == set(KINDS) - {"import"}  # which reads
    # a file of another program; tests/pwm_bench/jobs/test_import.py writes some


def test_options_reach_the_study():
    shac = load_study("hopper", algorithm=("shac",), scale=0.5)
    assert [(spec.algorithm, spec.env_steps) for spec in shac.specs] == [("shac", 150_000)]
    sizes = {spec.states for spec in load_study("gradients-horizon", size="cpu").specs if hasattr(spec, "states")}
    assert sizes == {32}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("hoppr", {}, "did you mean 'hopper'"),
        ("hopper", {"size": "cpu"}, "--size: not for the training study 'hopper', only for gradient studies"),
        ("multitask", {"scale": 2.0}, "--scale: the study has no run of training"),
        ("gradients-horizon", {"budgets": [("env_steps", 1)]}, "--budget: the study has no run of training"),
        ("gradients-horizon", {"seeds": (0, 1)}, "--seeds: no run of the study has seeds"),
        ("gradients-horizon", {"size": "huge"}, "size"),
    ],
)
def test_bad_input(name, options, message):
    with pytest.raises(UsageError, match=message):
        load_study(name, **options)
