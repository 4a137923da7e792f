"""What a run of any kind can be asked, by the same commands: the study `every-kind` has one of each."""

from __future__ import annotations

import shutil

import pytest

from pwm_bench.cli.main import main
from pwm_bench.jobs.kinds import KINDS, carry_out
from pwm_bench.store.merge import merge
from pwm_bench.store.results import Results
from pwm_bench.store.spec import Spec
from pwm_bench.store.verify import verify
from pwm_bench.studies.registry import load_study
from pwm_bench.sweeps.sweep import Item, plan
from tests.pwm_bench.jobs.kills import outcome, stopped

pytestmark = pytest.mark.slow
IN_A_STUDY = tuple(kind for kind in KINDS if kind != "import")  # which reads a file of another program


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The study, carried out by a sweep."""
    root = tmp_path_factory.mktemp("every-kind")
    assert main(["sweep", "every-kind", "--results", str(root)]) == 0
    return Results(root)


def items(results: Results) -> list[Item]:
    """Its runs, with what they read."""
    return plan(load_study("every-kind"), results)


def numbers(results: Results, spec: Spec) -> tuple:
    """All that a run has come to but for times and places."""
    record, *rest = outcome(results.run(spec.study, spec.id))
    record["details"].pop("seconds", None)
    return record, *rest


def test_every_command_works_on_every_kind(finished, tmp_path, capsys):
    runs = items(finished)
    assert {item.spec.kind for item in runs} == set(IN_A_STUDY)
    studies, place = sorted({item.spec.study for item in runs}), ("--results", str(finished.root))

    def said(*words: str) -> str:
        capsys.readouterr()
        assert main([*words, *place]) == 0, words
        return capsys.readouterr().out

    listed = said("results", "ls", "--all")
    for item in runs:
        assert item.spec.id in listed
        shown = said("results", "show", item.spec.id)
        assert item.spec.kind in shown
        assert "ok" in shown
    assert f"{len(runs)} runs checked, none with problems" in said("results", "verify")
    assert said("table", *studies[:1])
    for study in studies:
        folder = tmp_path / "exports" / study
        said("results", "export", study, "--output", str(folder))
        assert list(folder.glob("*.parquet"))
    copy = tmp_path / "copy"
    assert main(["results", "merge", str(finished.root), "--results", str(copy)]) == 0
    for item in runs:
        assert numbers(Results(copy), item.spec) == numbers(finished, item.spec)


@pytest.mark.parametrize("kind", IN_A_STUDY)
def test_merge_keeps_the_further_of_two_copies(finished, tmp_path, monkeypatch, kind):
    """Two unfinished copies of one run, whichever is merged into which; resumed, it ends as the undisturbed one."""
    spec = next(item.spec for item in items(finished) if item.spec.kind == kind)
    behind, ahead = Results(tmp_path / "behind"), Results(tmp_path / "ahead")
    in_one_piece = kind in ("compare", "evaluate")  # of so few tasks: the further copy is finished
    stopped(spec, behind.root, monkeypatch, pieces=1 if in_one_piece else 2)
    shutil.copytree(behind.root, ahead.root)
    if in_one_piece:
        assert carry_out(spec, ahead).exit_code == 0
    else:
        stopped(spec, ahead.root, monkeypatch, pieces=2)
    iterations = [results.run(spec.study, spec.id).read().counts.iterations for results in (behind, ahead)]
    assert iterations[0] < iterations[1]
    assert [found.outcome for found in merge(behind, ahead)] == ["kept"]
    assert [found.outcome for found in merge(ahead, behind)] == ["replaced"]
    assert carry_out(spec, behind).exit_code == 0
    assert verify(behind.run(spec.study, spec.id)) == []
    assert numbers(behind, spec) == numbers(finished, spec)
    assert [found.outcome for found in merge(ahead, behind)] == ["kept"]
