"""What a learner from outside gives is checked: its mistakes are named, and none keeps a run busy for ever."""

from __future__ import annotations

import pytest
import torch

from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.store.results import Results
from tests.pwm_bench import fake_learner
from tests.pwm_bench.cli.toy_cli import toy_spec

pytestmark = pytest.mark.usefixtures("toys")
SOUND = fake_learner.Learner.update


def no_steps(self):
    metrics = SOUND(self)
    self.counters.env_steps = 0
    return metrics


def a_number(self):
    return SOUND(self) | {"loss": 0.5}


def a_row_for_each_world(self):
    return SOUND(self) | {"loss": torch.zeros(8)}


@pytest.mark.parametrize(
    ("update", "said"),
    [
        (no_steps, r"algorithm 'fake': its update left counters.env_steps at 0; it must add the control steps"),
        (a_number, r"metric 'loss' is a float; it must be a tensor of shape \(2,\), one number per member"),
        (a_row_for_each_world, r"metric 'loss' is of shape \(8,\); it must be a tensor of shape \(2,\)"),
    ],
)
def test_what_an_update_must_do_is_said(monkeypatch, tmp_path, update, said):
    monkeypatch.setattr(fake_learner.Learner, "update", update)
    with pytest.raises(UsageError, match=said):
        carry_out(toy_spec(), Results(tmp_path))


def test_later_updates_may_be_of_a_model_alone(monkeypatch, tmp_path):
    def every_other_takes_no_steps(self):
        before = self.counters.env_steps
        metrics = SOUND(self)
        if self.counters.gradient_steps % 2 == 0:
            self.counters.env_steps = before
        return metrics

    sound = carry_out(toy_spec(), Results(tmp_path / "sound")).record
    monkeypatch.setattr(fake_learner.Learner, "update", every_other_takes_no_steps)
    record = carry_out(toy_spec(), Results(tmp_path / "half")).record
    assert record.status == "ok"
    assert record.counts.env_steps == sound.counts.env_steps
    assert record.counts.iterations == 2 * sound.counts.iterations - 1


def test_what_a_learner_lacks_is_named(monkeypatch, tmp_path):
    monkeypatch.delattr(fake_learner.Learner, "state_dict")
    with pytest.raises(UsageError, match=r"algorithm 'fake': its Learner has no state_dict; see docs/extend.md"):
        carry_out(toy_spec(), Results(tmp_path))


def test_a_run_that_ends_before_its_policy_is_trained_says_so(caplog, monkeypatch, tmp_path):
    def only_collects(self):
        metrics = SOUND(self)
        self.counters.policy_gradient_steps = 0
        return metrics

    monkeypatch.setattr(fake_learner.Learner, "update", only_collects)
    record = carry_out(toy_spec(), Results(tmp_path)).record
    said = f"run {record.id}: its 400 environment steps ended before the first policy-gradient step"
    assert [one.getMessage() for one in caplog.records if one.getMessage().startswith(said)]


def test_other_runs_do_not(caplog, tmp_path):
    carry_out(toy_spec(), Results(tmp_path))
    assert not caplog.records
