"""Our published tasks are the published robots: each quantity by itself against the recordings of that simulator."""

from __future__ import annotations

import pytest
import torch

from pwm_bench.envs.tasks import load_task
from pwm_bench.parity.golden import compare
from pwm_bench.parity.golden.record import Check
from tests.envs.golden.published import PUBLISHED, recording

DOUBLE, SINGLE = torch.float64, torch.float32

every_task = pytest.mark.parametrize("task", PUBLISHED)
either_precision = pytest.mark.parametrize("dtype", [DOUBLE, SINGLE], ids=["float64", "float32"])


def agree(*checks: Check) -> None:
    """The assertion that shows what a check says."""
    assert not [f"{check.name}, {check.run}, {check.precision}: {check.words}" for check in checks if not check.agrees]


@every_task
def test_compiled_constants(task: str):
    groups = compare.check_constants(load_task(task), recording(task))
    assert not [words for group in groups for words in group.misfits]
    assert sum(group.compared for group in groups) >= 30


@every_task
def test_observation_of_recorded_states(task: str):
    agree(compare.check_observation(load_task(task), recording(task)))


@every_task
def test_reward_of_recorded_states(task: str):
    agree(compare.check_reward(load_task(task), recording(task)))


@every_task
def test_ends_of_episodes_at_recorded_states(task: str):
    agree(compare.check_termination(load_task(task), recording(task)))


@either_precision
@every_task
def test_one_step_from_recorded_states(task: str, dtype: torch.dtype):
    agree(*compare.check_single_steps(load_task(task), recording(task), dtype))


@either_precision
@every_task
def test_trajectory(task: str, dtype: torch.dtype):
    agree(*compare.check_trajectory(load_task(task), recording(task), dtype))


@every_task
def test_gradient_of_the_return(task: str):
    agree(compare.check_gradient(load_task(task), recording(task)))
