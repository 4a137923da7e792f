"""A recording of our own simulator passes with errors at rounding; what is changed in it is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.tasks import load_task
from pwm_bench.parity.golden import compare
from pwm_bench.parity.golden.file import GoldenFile, read_golden
from pwm_bench.parity.golden.measure import measure
from tests.pwm_bench.parity.golden.recordings import GOLDEN, recorded_from, save

STEPS = 4
TASKS = ("hopper", "ant")  # slides and hinges; a free root


@pytest.fixture(scope="module")
def recordings() -> dict[str, dict[str, np.ndarray]]:
    return {name: recorded_from(load_task(name), STEPS) for name in TASKS}


@pytest.fixture
def recorded(recordings, tmp_path: Path):
    """A recording with some of its arrays replaced."""

    def build(task: str, **changes: np.ndarray) -> GoldenFile:
        return read_golden(save(tmp_path / f"{task}.npz", recordings[task] | changes))

    return build


@pytest.mark.parametrize("task", TASKS)
def test_our_own_recording_passes(task: str, recorded):
    record = measure(task, recorded(task))
    assert [(check.name, check.run, check.precision) for check in record.checks] == [
        ("observation", "given states", "float64"),
        ("reward", "given states", "float64"),
        ("termination", "given states", "float64"),
        ("joint_q", "one step", "float64"),
        ("joint_qd", "one step", "float64"),
        ("joint_q", "trajectory", "float64"),
        ("joint_qd", "trajectory", "float64"),
        ("joint_qd", "one step", "float32"),
        ("joint_q", "trajectory", "float32"),
        ("gradient", f"H = {STEPS}", "float64"),
        ("published adjoint", f"H = {STEPS}", "float32"),
    ]
    assert all(check.agrees for check in record.checks)
    bounds = {"observation": 1e-6, "reward": 1e-6, "termination": 0.0, "gradient": 1e-6, "published adjoint": 1e-6}
    for check in record.checks:
        bound = bounds.get(check.name, 1e-11 if check.precision == "float64" else 3e-5)
        assert check.error <= bound, check
        assert check.fraction is None or check.fraction < 0.2
    assert [len(check.over_time) for check in record.checks[3:5]] == [STEPS, STEPS]
    assert (record.worlds, record.control_steps, record.absent) == (2, STEPS, [])


def moved(array: np.ndarray, index: tuple, by: float) -> np.ndarray:
    copy = array.copy()
    copy[index] += by
    return copy


def test_another_position_is_named(recorded, recordings):
    q = moved(recordings["hopper"]["joint_q_f64"], (3, 1, 4), 1e-4)
    golden, task = recorded("hopper", joint_q_f64=q), load_task("hopper")
    position, velocity = compare.check_trajectory(task, golden, torch.float64)
    assert velocity.agrees
    assert not position.agrees
    assert position.error == pytest.approx(1e-4, rel=1e-6)
    assert position.fraction == pytest.approx(10.0, rel=1e-6)
    assert position.words.startswith("leg_joint after step 3 in world 1: ours ")
    assert position.words.endswith("; beyond the tolerance first after step 3")
    assert position.over_time[1] < 1e-11
    one_q, one_qd = compare.check_single_steps(task, golden, torch.float64)
    assert not one_q.agrees
    assert not one_qd.agrees  # the step from the changed state begins elsewhere
    assert "first after step 3" in one_q.words
    assert "first after step 4" in one_qd.words


def test_velocities_count_relative_to_their_size(recorded, recordings):
    qd = recordings["hopper"]["joint_qd_f64"].copy()
    size = np.maximum(1.0, np.abs(qd))
    task = load_task("hopper")
    for factor, agrees in ((0.9e-4, True), (1.2e-4, False)):
        changed = qd.copy()
        changed[1:] += factor * size[1:]
        checks = compare.check_trajectory(task, recorded("hopper", joint_qd_f64=changed), torch.float64)
        assert checks[1].agrees is agrees
        assert checks[1].fraction == pytest.approx(factor / 1e-4, rel=1e-3)


def test_float32_is_allowed_the_files_noise(recorded, recordings):
    q = moved(recordings["hopper"]["joint_q"], (3, 0, 1), 1e-3)
    task = load_task("hopper")
    noise = {
        "divergence": np.where(np.arange(STEPS + 1) == 3, 4e-4, 0.0),
        "float32_error": moved(np.zeros((STEPS + 1, 2)), (3, 0), 4e-4),
    }
    (strict,) = compare.check_trajectory(task, recorded("hopper", joint_q=q), torch.float32)
    assert not strict.agrees
    assert strict.tolerance == 1e-4
    assert strict.words.startswith("rootz after step 3 in world 0")
    for name, array in noise.items():
        (check,) = compare.check_trajectory(task, recorded("hopper", joint_q=q, **{name: array}), torch.float32)
        assert check.agrees
        assert check.tolerance == pytest.approx(1.2e-3)
    qd = moved(recordings["hopper"]["joint_qd"], (2, 0, 1), 0.01)
    (strict,) = compare.check_single_steps(task, recorded("hopper", joint_qd=qd), torch.float32)
    assert "velocity of rootz after step 2 in world 0" in strict.words
    allowed = recorded("hopper", joint_qd=qd, step_error_qd=np.full((STEPS, 2), 0.01))
    assert compare.check_single_steps(task, allowed, torch.float32)[0].agrees


def test_another_sign_of_an_observation_is_named(recorded, recordings):
    obs = recordings["ant"]["obs"].copy()
    obs[..., 28] *= -1.0
    check = compare.check_observation(load_task("ant"), recorded("ant", obs=obs))
    assert not check.agrees
    assert check.words.startswith("entry 28 (heading) at state ")
    obs = recordings["ant"]["obs"].copy()
    obs[..., 29:] = 7.0  # the block of actions
    assert compare.check_observation(load_task("ant"), recorded("ant", obs=obs)).agrees


def test_another_reward_and_end_are_named(recorded, recordings):
    task, arrays = load_task("hopper"), recordings["hopper"]
    reward = compare.check_reward(task, recorded("hopper", reward=moved(arrays["reward"], (2, 1), 1e-3)))
    assert not reward.agrees
    assert reward.words.startswith("reward at step 3 in world 1: ours ")
    done = arrays["done"].copy()
    done[1, 0] ^= True
    end = compare.check_termination(task, recorded("hopper", done=done))
    assert not end.agrees
    assert end.words.startswith("done at state 2 in world 0: ours ")
    assert (end.error, end.tolerance) == (1.0, 0.0)


def test_another_gradient_is_named_by_its_world(recorded, recordings):
    name = f"gradient_H{STEPS}_full64"
    gradient = recordings["hopper"][name].copy()
    gradient[1, 1] += 0.01 * np.linalg.norm(gradient[:, 1]) * np.array([1.0, 0.0, 0.0])
    check = compare.check_gradient(load_task("hopper"), recorded("hopper", **{name: gradient}))
    assert not check.agrees
    assert check.error == pytest.approx(0.01, rel=0.05)
    assert check.words.startswith("world 1, most of it at the action of step 2; norm ")


def test_what_is_not_finite_does_not_agree(recorded, recordings):
    q = moved(recordings["hopper"]["joint_q_f64"], (2, 0, 0), np.nan)
    check, _ = compare.check_trajectory(load_task("hopper"), recorded("hopper", joint_q_f64=q), torch.float64)
    assert not check.agrees
    assert check.error is None
    assert check.words.startswith("rootx after step 2 in world 0: ours ")


def test_actions_are_clipped(recorded, recordings):
    """A recording with actions beyond [-1, 1] means the clipped ones, as the published environments do."""
    far = np.where(recordings["hopper"]["actions"] > 0, 1.5, -1.5).astype(np.float32)
    task = load_task("hopper")
    pair = [compare.check_single_steps(task, recorded("hopper", actions=a), torch.float64) for a in (far, far / 1.5)]
    assert pair[0] == pair[1]


def test_arrays_that_are_absent_are_said(recordings, tmp_path: Path):
    kept = {n: a for n, a in recordings["hopper"].items() if not n.endswith(("64", "_error", "_qd", "divergence"))}
    kept["joint_qd"] = recordings["hopper"]["joint_qd"]
    record = measure("hopper", read_golden(save(tmp_path / "plain.npz", kept)))
    assert record.absent == ["trajectory in float64", "gradient"]
    assert {check.precision for check in record.checks if check.run != "given states"} == {"float32"}
    assert all(check.agrees for check in record.checks)


def test_a_file_of_another_robot_is_refused():
    hopper = read_golden(GOLDEN / "hopper.npz")
    with pytest.raises(UsageError, match=r"records task 'hopper' with joints slide slide hinge .* but 'ant' has free"):
        measure("ant", hopper)
