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
# Batches of so few worlds have the general kernels by default, and batches of 8 and more those of the task's model.
either_kind_of_kernels = pytest.mark.parametrize(
    ("task", "specialised"),
    [
        pytest.param(task, on, id=f"{task}-{kind}", marks=pytest.mark.slow if on and task != "hopper" else ())
        for on, kind in ((False, "general"), (True, "specialised"))
        for task in PUBLISHED
    ],
)


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
@either_kind_of_kernels
def test_one_step_from_recorded_states(task: str, specialised: bool, dtype: torch.dtype):
    agree(*compare.check_single_steps(load_task(task), recording(task), dtype, specialised=specialised))


@either_precision
@either_kind_of_kernels
def test_trajectory(task: str, specialised: bool, dtype: torch.dtype):
    agree(*compare.check_trajectory(load_task(task), recording(task), dtype, specialised=specialised))


@either_kind_of_kernels
def test_gradient_of_the_return(task: str, specialised: bool):
    agree(compare.check_gradient(load_task(task), recording(task), specialised=specialised))
