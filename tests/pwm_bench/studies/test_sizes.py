"""Named sizes change what was left at its default, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from pwm_bench.cli.commands.gradients import Gradients
from pwm_bench.cli.main import main
from pwm_bench.envs.errors import UsageError
from pwm_bench.gradients.spec import Comparison
from pwm_bench.store.results import Results, RunDirectory
from pwm_bench.studies.comparisons import comparison
from pwm_bench.studies.gradient_study import GradientStudy
from pwm_bench.studies.sizes import SIZES, at_size
from pwm_bench.sweeps.graph import resolve


def test_full_is_the_default_and_cpu_is_smaller() -> None:
    full = comparison("hopper", estimators=("analytic",)).comparison()
    assert full.replace(**at_size(full, "full")).id == full.id
    small = full.replace(**at_size(full, "cpu"))
    assert (small.states, small.samples, small.reference_samples) == (32, 64, 512)
    assert small.horizons == SIZES["cpu"].horizons == (2, 4, 8, 16, 32)


def comparisons(study: GradientStudy) -> list[Comparison]:
    return [draft.comparison() for draft in study.comparisons.values()]


def test_a_studys_own_choices_and_options_by_hand_stay() -> None:
    batch = Gradients(target="batch", size="cpu")._study("batch")
    assert [c.samples for c in comparisons(batch)] == [8, 32, 128, 512]
    assert {c.states for c in comparisons(batch)} == {32}
    exact = Gradients(target="exact", size="cpu")._study("exact")
    assert {c.horizons for c in comparisons(exact)} == {(2, 4, 8, 16)}
    (by_hand,) = comparisons(Gradients(target="hopper", size="cpu", states=8, horizons=(3,))._study("hopper"))
    assert (by_hand.states, by_hand.horizons, by_hand.samples) == (8, (3,), 64)


def test_the_committed_record_is_what_the_command_in_the_readme_makes() -> None:
    study = Gradients(target="hopper", size="cpu")._study("hopper")
    results = Results(Path(__file__).parents[3] / "results" / "reference")
    done: dict[str, RunDirectory] = {}
    for name, pending in study.graph().nodes.items():
        spec = resolve(pending, done)
        assert spec is not None
        done[name] = results.run(study.folder, spec.id)
        assert done[name].status() == "ok"
    assert len(done) == 2  # the world model and the comparison; others lie there as well


def test_a_size_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="unknown size 'cpus': did you mean 'cpu'"):
        at_size(Comparison(task="hopper"), "cpus")
    assert main(["gradients", "landscape", "hopper", "--size", "cpu"]) == 2
    assert "--size: 'landscape' has no such setting" in capsys.readouterr().err
