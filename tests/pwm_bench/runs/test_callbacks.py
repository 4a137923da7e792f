"""Exceptions of whoever watches a run reach the caller, and the run is saved."""

from __future__ import annotations

import optuna
import pytest

from pwm_bench.jobs.kinds import KINDS, carry_out
from pwm_bench.runs.progress import ProgressEvent
from pwm_bench.store import checkpoint
from pwm_bench.store.results import Results
from tests.pwm_bench.cli.toy_cli import toy_spec
from tests.pwm_bench.sweeps.summing import KIND, SumSpec, stop_at

pytestmark = pytest.mark.usefixtures("toys")


class Enough(Exception):  # noqa: N818, as Optuna's is no error either
    """What a watcher raises to end a run."""


def enough(phase: str, times: int = 1):
    """A watcher that raises at the so-manieth snapshot of a phase."""
    seen = []

    def watch(event: ProgressEvent) -> None:
        if event.phase == phase:
            seen.append(event)
            if len(seen) == times:
                raise Enough("no more")

    return watch


@pytest.mark.parametrize(("phase", "times"), [("setup", 1), ("train", 2), ("evaluate", 2)])
def test_the_exception_reaches_the_caller_once_the_run_is_saved(tmp_path, phase, times):
    spec, results = toy_spec(), Results(tmp_path)
    directory = results.run(spec.study, spec.id)
    with pytest.raises(Enough, match="no more"):
        carry_out(spec, results, progress=enough(phase, times), checkpoint_seconds=0.0)
    assert directory.status() == "interrupted"
    assert directory.read().reason.startswith("stopped by its caller (Enough: no more)")
    assert checkpoint.exists(directory.checkpoint) or phase in ("setup", "compile")
    assert not directory.busy
    assert not directory.traceback.exists()
    ended = carry_out(spec, results)
    assert ended.record.status == "ok"
    if phase != "train":
        return
    undisturbed = carry_out(spec, Results(tmp_path / "other"))
    assert [m.final_return for m in ended.record.members] == [m.final_return for m in undisturbed.record.members]


def test_an_exception_after_the_last_step_leaves_a_finished_run(tmp_path):
    spec, results = toy_spec(), Results(tmp_path)
    with pytest.raises(Enough):
        carry_out(spec, results, progress=enough("done"))
    assert results.run(spec.study, spec.id).status() == "ok"


def test_a_disk_that_is_full_when_a_run_is_to_stop_is_recorded(tmp_path, monkeypatch):
    """Within a piece of work, which is left at once, as well as between two."""
    monkeypatch.setitem(KINDS.own, "sum", KIND)
    spec, results = SumSpec(numbers=(1, 2, 3)), Results(tmp_path)

    def full(*_, **__) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", full)
        outcome = carry_out(spec, results, progress=stop_at("number 1"))
    assert (outcome.record.status, outcome.exit_code) == ("failed", 1)
    directory = results.run(spec.study, spec.id)
    assert directory.status() == "failed"
    assert "No space left on device" in directory.read().reason
    assert "No space left on device" in directory.traceback.read_text()
    assert carry_out(spec, results).record.status == "ok"


def test_optuna_prunes_a_run(tmp_path):
    """The worse of two settings is stopped at its first evaluation after the untrained one, and could go on."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    results = Results(tmp_path)

    def objective(trial: optuna.Trial) -> float:
        rate = trial.suggest_categorical("learning_rate", (0.01, 0.001))
        spec = toy_spec(env_steps=400, evaluations=5, overrides={"learning_rate": rate})
        trial.set_user_attr("run", spec.id)

        def watch(event: ProgressEvent) -> None:
            if event.phase == "evaluate" and event.done:  # with the return of the evaluation before
                trial.report(event.values["evaluation_return"], event.done)
                if trial.should_prune():
                    raise optuna.TrialPruned

        record = carry_out(spec, results, progress=watch).record
        return sum(member.final_return for member in record.members)

    class SecondTrial(optuna.pruners.BasePruner):
        """Prunes the second trial once it has reported."""

        def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
            return trial.number == 1

    grid = optuna.samplers.GridSampler({"learning_rate": (0.01, 0.001)}, seed=0)
    study = optuna.create_study(direction="maximize", pruner=SecondTrial(), sampler=grid)
    study.optimize(objective, n_trials=2)
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "PRUNED"]
    kept, pruned = (results.run("single", trial.user_attrs["run"]) for trial in study.trials)
    assert (kept.status(), pruned.status()) == ("ok", "interrupted")
    assert pruned.read().reason.startswith("stopped by its caller (TrialPruned); resumes")
    assert 0 < pruned.read().counts.env_steps < 400
