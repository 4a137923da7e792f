"""What `pwm-bench bench learners` measures is measured for every learner."""

from __future__ import annotations

import pytest
import torch

from pwm_bench.bench.learners import make_learner, population_row, subjects
from pwm_bench.bench.limits import measure, watch

SUBJECTS = subjects(torch.device("cpu"), small=True)


@pytest.mark.parametrize("name", SUBJECTS)
def test_each_subject_has_products_and_those_that_act_have_steps(name: str) -> None:
    subject = SUBJECTS[name]()
    seen = watch(subject.update, subject.simulator)
    assert seen.products
    assert seen.flops > 0
    assert bool(seen.steps) == bool(subject.env_steps)
    if subject.simulator is not None:
        assert subject.env_steps == len(seen.steps) * subject.simulator.num_worlds
    assert all(wanted == (name == "shac") for *_, wanted in seen.steps)
    row = measure(subject.update, subject.simulator, repeats=1, clock="processor").row()
    assert float(row["of the limit [%]"]) > 0.0


def test_all_learners_are_there() -> None:
    assert list(SUBJECTS) == ["pwm", "shac", "ppo", "sac", "extraction, 1M", "pre-training, 1M"]


def test_a_row_of_a_population() -> None:
    row = population_row("shac", make_learner("shac", 2, "cpu", small=True), 2, repeats=1, at_least=0.0)
    assert (row["algorithm"], row["seeds"]) == ("shac", 2)
    assert float(row["env steps/s"]) == pytest.approx(2 * 4 * 4 / (float(row["ms/update"]) / 1e3))
