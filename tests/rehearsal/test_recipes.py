"""Launches of updates at the recipes' sizes, against the table beside the test."""

from __future__ import annotations

import pytest

from tests.rehearsal.recipes import CASES, LAUNCHES, extrapolated

QUICK = ("shac, ant", "extraction, 30 tasks")


@pytest.mark.parametrize("name", [pytest.param(x, marks=() if x in QUICK else pytest.mark.slow) for x in CASES])
def test_launches_at_the_size_of_a_recipe(name: str) -> None:
    found = extrapolated(CASES[name]())
    assert found == LAUNCHES[name], "change the table in tests/rehearsal/recipes.py if that is meant"


def test_steps_are_few_launches() -> None:
    """Four critic steps in a pass of SHAC's."""
    assert LAUNCHES["shac, ant"]["critic_iterations"] <= 4 * 30
    assert LAUNCHES["shac, ant"]["horizon"] <= 80
    assert LAUNCHES["extraction, 30 tasks"]["update"] <= 2500
