"""Our published tasks are the published robots: each quantity by itself against the recordings of that simulator."""

from __future__ import annotations

import pytest
import torch

from envs.tasks import load_task
from pwm_bench.parity.golden import compare
from pwm_bench.parity.golden.measure import measure
from pwm_bench.parity.golden.record import Check
from tests.envs.golden.published import PUBLISHED, recording

TASKS = tuple(PUBLISHED)
LONG = {"humanoid": 8, "snu_humanoid": 3}
"""Tasks whose 100 control steps take long: how many are compared where a test is not marked slow."""
DOUBLE, SINGLE = torch.float64, torch.float32


def agree(*checks: Check) -> None:
    """The assertion that shows what a check says."""
    assert not [f"{check.name}, {check.run}, {check.precision}: {check.words}" for check in checks if not check.agrees]


@pytest.mark.parametrize("task", TASKS)
def test_compiled_constants(task: str):
    groups = compare.check_constants(load_task(task), recording(task))
    assert not [words for group in groups for words in group.misfits]
    assert sum(group.compared for group in groups) >= 30


@pytest.mark.parametrize("task", TASKS)
def test_observation_of_recorded_states(task: str):
    agree(compare.check_observation(load_task(task), recording(task)))


@pytest.mark.parametrize("task", TASKS)
def test_reward_of_recorded_states(task: str):
    agree(compare.check_reward(load_task(task), recording(task)))


@pytest.mark.parametrize("task", TASKS)
def test_ends_of_episodes_at_recorded_states(task: str):
    agree(compare.check_termination(load_task(task), recording(task)))


@pytest.mark.parametrize("dtype", [DOUBLE, SINGLE], ids=["float64", "float32"])
@pytest.mark.parametrize("task", TASKS)
def test_one_step_from_recorded_states(task: str, dtype: torch.dtype):
    agree(*compare.check_single_steps(load_task(task), recording(task), dtype, steps=LONG.get(task)))


@pytest.mark.parametrize("dtype", [DOUBLE, SINGLE], ids=["float64", "float32"])
@pytest.mark.parametrize("task", TASKS)
def test_trajectory(task: str, dtype: torch.dtype):
    steps = 2 * LONG[task] if task in LONG else compare.JUDGED_STEPS
    agree(*compare.check_trajectory(load_task(task), recording(task), dtype, steps=steps))


@pytest.mark.parametrize("task", TASKS)
def test_gradient_of_the_return(task: str):
    agree(compare.check_gradient(load_task(task), recording(task)))


@pytest.mark.slow
@pytest.mark.parametrize("task", [task for task in TASKS if task in LONG])
def test_whole_recordings_of_long_tasks(task: str):
    record = measure(task, recording(task))
    agree(*record.checks)
    assert record.agrees
