"""What commands leave out, they say on standard error; nothing that a killed process leaves stays or blocks."""

from __future__ import annotations

import csv
import os
import random
import shutil
import time

import pytest

from pwm_bench.cli.main import main
from pwm_bench.store.files import is_left, locked, write_atomic
from pwm_bench.store.merge import merge
from pwm_bench.store.results import Results
from tests.pwm_bench.fuzz.damages import ANY_FILE, ANY_JSON, EVALUATIONS, LOG, RECORD, RUN_FOLDER, as_fields
from tests.pwm_bench.fuzz.world import build
from tests.pwm_bench.store.factories import edit, write_run

OF_RECORD = ANY_FILE | ANY_JSON | as_fields(RECORD)
OF_EVALUATIONS = ANY_FILE | LOG | EVALUATIONS
OF_FOLDER = {
    name: damage for name, damage in RUN_FOLDER.items() if name not in ("emptied", "deleted", "in another study")
}


@pytest.fixture
def made(toys, tmp_path, monkeypatch):
    root = tmp_path / "made"
    return root, build(root, monkeypatch, ("finished",))["finished"]


def rows(text: str) -> list[tuple[str, ...]]:
    return [(row["mean"], row["runs"], row["status"]) for row in csv.DictReader(text.splitlines())]


@pytest.mark.parametrize("sample", [12, pytest.param(None, marks=pytest.mark.slow)])
def test_a_table_as_data_says_which_damaged_runs_it_leaves_out(made, tmp_path, capsys, sample):
    """Of all kinds of damage to a run's record, evaluations and folder, each is named, or changes nothing."""
    root, pair = made
    of_files = {"run.json": OF_RECORD, "evaluations.jsonl": OF_EVALUATIONS, "": OF_FOLDER}
    kinds = [(name, how, damage) for name, damages in of_files.items() for how, damage in damages.items()]
    kinds = random.Random(1).sample(kinds, sample or len(kinds))

    def table(place) -> tuple[int, str, str]:
        code = main(["table", "toys", "--format", "csv", "--results", str(place / "results")])
        said = capsys.readouterr()
        return code, said.out, said.err

    sound = rows(table(root)[1])
    assert len(sound) == 2
    named = 0
    for name, how, damage in kinds:
        copy = tmp_path / "copy"
        shutil.copytree(root, copy, symlinks=True)
        damage(copy / pair.one / name, copy / pair.other / name)
        code, out, err = table(copy)
        shutil.rmtree(copy)
        if code == 0 and rows(out) != sound:
            named_here = sum(line.startswith("left out: ") for line in err.splitlines())
            assert named_here, (name, how)
            assert len(rows(out)) + named_here == len(sound), (name, how)  # none at all, of two that were exchanged
            named += 1
        elif code:
            assert err.startswith("error: "), (name, how)
    assert named >= (10 if sample else 69)
    print(f"{named} of {len(kinds)} kinds of damage change the table, and are named")


@pytest.mark.parametrize("command", ["table-latex", "table-markdown", "table-json", "export", "plot", "report"])
def test_other_commands_say_it_too(tmp_path, capsys, command):
    for number, name in enumerate(("good", "ugly", "torn")):
        write_run(tmp_path, name, curves=[[0.0, 5.0]], steps=[0, 10], seconds=[0.0, 1.0], first_seed=number)
    store = Results(tmp_path)
    store.run("s", "ugly").record_file.write_text("{")
    torn = store.run("s", "torn")
    torn.metrics.path.write_text('{"iteration": 1}\n{"iter\n')
    torn.evaluations.path.write_text(torn.evaluations.path.read_text().replace("\n", "\n{", 1))
    words = {
        "export": ("results", "export", "s", "--output", str(tmp_path / "out")),
        "plot": ("plot", "s", "--kind", "scores", "--format", "svg", "--output", str(tmp_path / "out")),
        "report": ("report", "s"),
    }.get(command) or ("table", "s", "--format", command.removeprefix("table-"))
    if command == "export":
        pytest.importorskip("pyarrow")
    assert main([*words, "--results", str(tmp_path)]) == 0
    errors = capsys.readouterr().err.splitlines()
    for name in ("ugly", "torn"):
        assert any(line.startswith("left out: ") and f"/{name}/" in line for line in errors), errors


def test_export_goes_on_past_torn_metrics(tmp_path, capsys):
    for number, name in enumerate(("good", "torn")):
        write_run(tmp_path, name, curves=[[0.0, 5.0]], steps=[0, 10], seconds=[0.0, 1.0], first_seed=number)
    Results(tmp_path).run("s", "torn").metrics.path.write_text('{"iteration": 1}\n{"iter\n{}\n')
    assert main(["results", "export", "s", "--format", "csv", "--results", str(tmp_path)]) == 0
    assert "torn/metrics.jsonl" in capsys.readouterr().err
    written = (tmp_path / "exports" / "s" / "members.csv").read_text()
    assert {row["run_id"] for row in csv.DictReader(written.splitlines())} == {"good", "torn"}


def test_a_run_under_another_id_is_no_run_of_that_name(tmp_path, capsys):
    directory = write_run(tmp_path, "aaaa", curves=[[0.0, 5.0]], steps=[0, 10], seconds=[0.0, 1.0])
    write_run(tmp_path, "bbbb", curves=[[0.0, 9.0]], steps=[0, 10], seconds=[0.0, 1.0], first_seed=1)
    edit(directory.record_file, lambda record: record.update(id="../../../elsewhere"))
    assert main(["table", "s", "--format", "csv", "--results", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert [row["mean"] for row in csv.DictReader(said.out.splitlines())] == ["9.0"]
    assert "aaaa: holds the record of run ../../../elsewhere" in said.err


def _old(path, seconds: float = 60.0) -> None:
    os.utime(path, (time.time() - seconds, time.time() - seconds))


def test_what_a_killed_process_was_about_to_put_in_place_is_removed_by_the_next(tmp_path):
    left, held, other = (tmp_path / name for name in (".a.json.00.tmp", ".a.json.11.tmp", ".b.json.00.tmp"))
    for file in (left, held, other):
        file.write_text("half")
        _old(file)
    with locked(held):  # by a process that is at work
        assert not is_left(held)
        write_atomic(tmp_path / "a.json", "{}")
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", held.name, other.name}


def test_a_merge_that_was_killed_is_cleared_up_and_loses_nothing(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    write_run(there, "aaaa", curves=[[0.0, 5.0]], steps=[0, 10], seconds=[0.0, 1.0], status="killed")
    ahead = write_run(here, "aaaa", curves=[[0.0, 7.0]], steps=[0, 20], seconds=[0.0, 1.0])
    folder = ahead.path.with_name(".merge-aaaa-xyz")
    folder.mkdir()
    ahead.path.rename(folder / "old")
    _old(folder)
    list(merge(Results(there), Results(here)))
    assert [path.name for path in ahead.path.parent.iterdir()] == ["aaaa"]
