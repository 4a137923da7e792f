"""A gradient that has failed its check is seen wherever the run is."""

from __future__ import annotations

import logging
import math

import pytest
import torch

from pwm_bench.jobs.kinds import carry_out
from pwm_bench.store.listing import scan
from pwm_bench.store.results import Results
from pwm_bench.store.schema import GradientCheck
from pwm_bench.testing.toy import PointMass, SimulatorToy
from tests.pwm_bench.cli.toy_cli import toy_spec
from tests.pwm_bench.store.factories import run as results_command

pytestmark = pytest.mark.usefixtures("toys")


def detached(step):
    return lambda self, state, ctrl: step(self, state, ctrl.detach())


def without_grad(step):
    return torch.no_grad()(step)


def test_a_sound_gradient_is_nobodys_concern(caplog, capsys, tmp_path):
    record = carry_out(toy_spec(env_steps=40, evaluations=2), Results(tmp_path)).record
    assert not record.gradient_check.failed
    assert not caplog.records
    assert "gradient check" in (shown := results_command(capsys, "show", record.id, "--results", tmp_path)[0])
    assert "wrong" not in shown + results_command(capsys, "ls", "--all", "--results", tmp_path)[0]


@pytest.mark.parametrize("spoil", [detached, without_grad])
def test_a_wrong_one_is_warned_of_and_listed(caplog, capsys, monkeypatch, tmp_path, spoil):
    monkeypatch.setattr(SimulatorToy, "step", spoil(SimulatorToy.step))
    with caplog.at_level(logging.WARNING):
        record = carry_out(toy_spec(env_steps=40, evaluations=2), Results(tmp_path)).record
    assert record.gradient_check.failed
    assert record.gradient_check.relative_error > 0.5
    (said,) = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert record.id in said
    assert "gradient is wrong" in said
    (entry,) = scan(Results(tmp_path))
    assert entry.wrong_gradient
    assert "! wrong gradient" in results_command(capsys, "ls", "--all", "--results", tmp_path)[0]
    assert "! wrong: relative error" in results_command(capsys, "show", record.id, "--results", tmp_path)[0]


def test_one_that_is_not_a_number_is_wrong_and_its_record_can_be_read(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(PointMass, "reward", lambda self, observation, action: action.log().sum(1))
    record = carry_out(toy_spec(env_steps=40, evaluations=2), Results(tmp_path)).record
    assert math.isnan(record.gradient_check.cosine)
    (entry,) = scan(Results(tmp_path))
    assert (entry.status, entry.wrong_gradient) == (record.status, True)
    (run,) = Results(tmp_path).runs(record.study)
    assert math.isnan(run.read().gradient_check.relative_error)
    assert "! wrong: relative error nan" in results_command(capsys, "show", record.id, "--results", tmp_path)[0]


def test_without_any_graph_the_gradient_is_none():
    """Where the reward does not depend on actions but through the simulator, nothing has a derivative."""
    from pwm_bench.gradients.probe import compare_with_differences
    from pwm_bench.testing.toy import toy_env

    class Free(PointMass):
        def reward(self, observation, action):
            return -observation[:, :2].square().sum(1)

    env = toy_env(4, dtype=torch.float64, task=Free())
    honest = env.simulator.step
    env.simulator.step = lambda state, ctrl: torch.no_grad()(honest)(state, ctrl)
    assert all(one.relative_error == pytest.approx(1.0) for one in compare_with_differences(env, horizon=3, seed=0))


@pytest.mark.parametrize(
    ("error", "precision", "failed"),
    [(9e-3, "float64", False), (2e-2, "float64", True), (2e-2, "float32", False), (0.2, "float32", True),
     (float("nan"), "float64", True)],
)  # fmt: skip
def test_the_limit_is_that_of_the_precision(error, precision, failed):
    check = GradientCheck(cosine=1.0, relative_error=error, horizon=8, worlds=8, precision=precision)
    assert check.failed is failed
