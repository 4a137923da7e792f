from __future__ import annotations

import csv
import os
import re
from pathlib import Path

import pytest
import torch

from pwm_bench.cli.main import main
from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.store import checkpoint as store
from pwm_bench.store.frames import load_study
from pwm_bench.store.listing import find, find_run, scan
from pwm_bench.store.results import Results, RunDirectory
from pwm_bench.store.schema import Variant
from pwm_bench.store.verify import verify
from pwm_bench.sweeps.estimate import expected_seconds
from pwm_bench.world_model.multitask.files import save_model
from pwm_bench.world_model.multitask.networks import MultitaskModel
from tests.pwm_bench.cli.toy_cli import toy_spec
from tests.pwm_bench.conftest import ROOT
from tests.pwm_bench.store.factories import edit, make, run, write_run
from tests.pwm_bench.world_model.multitask.datasets import write_linear_data
from tests.pwm_bench.world_model.multitask.factories import tiny_config

COMMITTED = ROOT / "results" / "reference"


@pytest.fixture(autouse=True)
def _no_width_from_outside(monkeypatch):
    """Test workers carry the width of the terminal that they were started from."""
    monkeypatch.delenv("COLUMNS", raising=False)


def test_ls(capsys, tmp_path):
    make(tmp_path)
    make(tmp_path, "bbb", study="t", status="failed", reason="no")
    text, _ = run(capsys, "ls", "--results", tmp_path)
    assert [line.split() for line in text.splitlines()] == [
        ["study", "runs", "last", "change", "status"],
        ["s", "1", *text.splitlines()[1].split()[2:4], "1", "ok"],
        ["t", "1", *text.splitlines()[2].split()[2:4], "1", "failed"],
    ]
    text, _ = run(capsys, "ls", "s", "--results", tmp_path)
    assert text.splitlines()[1].split() == ["s", "aaa", "train", "hopper", "warp", "shac", "1", "10", "5.00", "ok"]
    assert len(run(capsys, "ls", "--all", "--results", tmp_path)[0].splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ls", "--task", "hopper"), "--task: is for export, not for ls; leave it out"),
        (("show", "aaa", "--all"), "--all: is for ls, not for show"),
        (("verify", "--output", "x"), "--output: is for export and export-policy, not for verify"),
        (("remove", "aaa", "--member", "3"), "--member: is for export-policy, not for remove"),
    ],
)
def test_no_option_is_ignored(capsys, tmp_path, arguments, message):
    make(tmp_path)
    assert message in run(capsys, *arguments, "--results", tmp_path, code=2)[1]
    assert Results(tmp_path).run("s", "aaa").path.exists()


def test_a_run_is_shown_by_its_id_its_place_and_its_directory(capsys, tmp_path):
    directory = make(tmp_path)
    make(tmp_path, study="t")
    for name in ("s/aa", directory.path):
        assert "aaa  (study s)" in run(capsys, "show", name, "--results", tmp_path)[0]


def test_a_study_that_may_not_be_read_hides_no_other_one(capsys, tmp_path, monkeypatch, toys):
    """On a shared file system it may be another person's."""
    make(tmp_path), make(tmp_path, "bbb", study="private")
    listdir, scandir, private = os.listdir, os.scandir, os.fspath(tmp_path / "runs" / "private")

    def denying(call):
        def called(path="."):
            if os.fspath(path) == private:
                raise PermissionError(13, "Permission denied", private)
            return call(path)

        return called

    monkeypatch.setattr(os, "listdir", denying(listdir))
    monkeypatch.setattr(os, "scandir", denying(scandir))
    text, _ = run(capsys, "ls", "--results", tmp_path)
    assert [line.split()[0] for line in text.splitlines()] == ["study", "private", "s"]
    assert "1 damaged" in text
    run(capsys, "show", "aaa", "--results", tmp_path)
    assert expected_seconds([toy_spec()], Results(tmp_path)) == [None]
    assert f"{private}: cannot be read (Permission denied)" in run(capsys, "verify", "--results", tmp_path, code=1)[0]


@pytest.mark.parametrize("width", [80, 60, 40])
def test_ls_fits_a_narrow_terminal_and_cuts_nothing(capsys, tmp_path, monkeypatch, width):
    ids = [f"{index:012x}" for index in range(3)]
    for run_id, task in zip(ids, ("hopper", "muscle_humanoid_raw", "ant"), strict=True):
        make(tmp_path, run_id, task=task, algorithm="pwm-multitask", study="quickstart" if task == "ant" else "t")
    wide, _ = run(capsys, "ls", "--all", "--results", tmp_path)
    monkeypatch.setenv("COLUMNS", str(width))
    for arguments in (("results", "ls", "--all"), ("list", "runs")):
        assert main([*arguments, "--results", str(tmp_path)]) == 0
        text = capsys.readouterr().out
        for line in text.splitlines():
            assert len(line) <= max(width, len("00000000000a  train  muscle_humanoid_raw  warp  pwm-multitask"))
        assert all(run_id in text for run_id in ids)
        assert "quickstart:" in text.splitlines()
        for word in set(wide.split()) - {"study"}:
            assert word in text
    assert all(len(line) > 80 for line in wide.splitlines()[1:])  # in a pipe each run is one line


def test_show(capsys, tmp_path):
    make(tmp_path, "aaa111", value=7.25).spec_file.write_text("{}")
    make(tmp_path, "aab222")
    assert "pwm-bench run" not in run(capsys, "show", "aab", "--results", tmp_path)[0]  # there is no spec.json
    made = make(tmp_path, "ccc333", earlier=["code c0de"], earlier_machines=["Old CPU, 1 thread"])
    text = run(capsys, "show", made.path.name, "--results", tmp_path)[0]
    assert re.search(r"earlier code +code c0de\n.*earlier machine +Old CPU, 1 thread\n", text)
    text, _ = run(capsys, "show", "aaa", "--results", tmp_path)
    for expected in ("aaa111  (study s)", "shac on hopper in warp", "7.25 at the end", "Test CPU", "pwm-bench run "):
        assert expected in text
    record = made.read()
    record.members[0].untrained_return = None  # as where policies that were there are evaluated again
    with made.lock():
        made.write(record)
    text = run(capsys, "show", made.path.name, "--results", tmp_path)[0]
    assert re.search(r"seed 0 +return [0-9.]+\n", text)
    assert "means aaa111, aab222" in run(capsys, "show", "aa", "--results", tmp_path, code=2)[1]


def test_a_finished_run_is_named_and_nothing_else_of_it_changes(capsys, tmp_path):
    directory = make(tmp_path)
    before = directory.read()
    text, _ = run(capsys, "name", "aaa", "wide critic", "--results", tmp_path)
    assert text.endswith("tables call it 'wide critic'\n")
    after = directory.read()
    assert after.variant == Variant(name="wide critic")
    assert after.model_copy(update={"variant": None}) == before
    assert "shac (wide critic)" in run(capsys, "ls", "s", "--results", tmp_path)[0]
    assert "shac 'wide critic' on hopper" in run(capsys, "show", "aaa", "--results", tmp_path)[0]
    text, _ = run(capsys, "name", "s/aaa", "", "--results", tmp_path)
    assert text.endswith("tables call it by its settings\n")
    assert directory.read().variant is None


def test_a_run_of_several_studies_is_found_by_study_and_id(tmp_path):
    results = Results(tmp_path)
    for study in ("s", "t"):
        make(tmp_path, "aaaa", study=study)
    with pytest.raises(UsageError, match="give s/aaaa or t/aaaa"):
        find_run("aaaa", results)
    assert find_run("t/aa", results).path == results.run("t", "aaaa").path
    assert find(results, "t/") == find(results, "u/aaaa") == []


def test_names_that_cannot_be_given(capsys, tmp_path):
    noted = make(tmp_path)
    record = noted.read()
    record.variant = Variant(name="tuned", note="the best of 2")
    noted.write(record)
    make(tmp_path, "bbb", status="failed", reason="no")
    for arguments, message in (
        (("aaa",), "give one run"),
        (("fff", "x"), "results name fff: no such run"),
        (("aaa", "x, y"), "must be a plain text without a comma"),
        (("aaa", ""), "tables say of the run: the best of 2; give what they are to call it"),
        (("bbb", "x"), "is failed; finish the run"),
    ):
        assert message in run(capsys, "name", *arguments, "--results", tmp_path, code=2)[1]
    assert noted.read().variant.name == "tuned"


def test_bad_input(capsys, tmp_path):
    assert "holds no runs yet" in run(capsys, "ls", "--results", tmp_path, code=2)[1]
    make(tmp_path)
    for arguments, message in (
        (("lss",), "unknown action 'lss': did you mean 'ls'"),
        (("ls", "r"), "unknown study 'r'"),
        (("show",), "give one run id"),
        (("show", "fff"), "no such run"),
        (("export",), "STUDY is missing: name at least one"),
        (("export", "s", "--format", "xml"), "unknown export format 'xml'"),
        (("merge",), "give the results folders"),
        (("merge", tmp_path / "none"), "holds no runs"),
        (("merge", tmp_path), "is the folder to merge into"),
    ):
        assert message in run(capsys, *arguments, "--results", tmp_path, code=2)[1]


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_export(capsys, tmp_path, format):
    if format == "parquet":
        pytest.importorskip("pyarrow")
    make(tmp_path, value=5.0)
    make(tmp_path, "bad").record_file.write_text("{")
    out, err = run(capsys, "export", "s", "--format", format, "--results", tmp_path, "--output", tmp_path / "o")
    assert out.split() == [str(tmp_path / "o" / f"{name}.{format}") for name in ("members", "episodes", "metrics")]
    assert "left out: " in err
    import pandas as pd

    read = pd.read_csv if format == "csv" else pd.read_parquet
    members, episodes = read(tmp_path / "o" / f"members.{format}"), read(tmp_path / "o" / f"episodes.{format}")
    assert list(members["final"]) == [5.0]
    assert list(episodes["return"]) == [-1.0, 1.0, 4.0, 6.0]
    assert list(episodes["env_steps"]) == [0, 0, 10, 10]
    assert list(episodes["length"]) == [10, 20, 10, 20]


def test_the_committed_records_hold_together(capsys):
    text, _ = run(capsys, "verify", "--results", COMMITTED)
    assert "runs checked, none with problems" in text


@pytest.fixture
def finished(toys, tmp_path):
    """A real run of two seeds."""
    spec = toy_spec(study="s")
    carry_out(spec, Results(tmp_path))
    return Results(tmp_path).run("s", spec.id)


def checkpoint(directory) -> Path:
    """A sound checkpoint, whose file begins as a pickle does. Returns that file."""
    for length in range(1, 300):
        logs = {log.path.name: log.position() for log in directory.logs}
        state = {"x" * length: torch.ones(3), "journal": {"logs": logs}}
        store.save(directory.checkpoint, state, spec_id=directory.path.name)
        (file,) = directory.checkpoint.glob("*.safetensors")
        if file.read_bytes()[0] == 0x80:
            return file
    raise AssertionError("no such layout")


def flip(file) -> None:
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


WRONG = {
    "altered spec": (lambda d: edit(d.record_file, lambda r: r["spec"].update(env_steps=7)), "has the id"),
    "another id": (lambda d: edit(d.record_file, lambda r: r.update(id="ffff")), "holds the record of run ffff"),
    "another study": (lambda d: edit(d.record_file, lambda r: r.update(study="t")), "says study t"),
    "another return": (
        lambda d: edit(d.record_file, lambda r: r["members"][1].update(final_return=1.0)), "seed 1 ends with return"),
    "cut short": (
        lambda d: d.evaluations.path.write_text("\n".join(d.evaluations.path.read_text().splitlines()[:-1]) + "\n"),
        "the record says"),
    "no evaluations": (lambda d: d.evaluations.path.unlink(), "has no evaluations"),
    "lines twice": (
        lambda d: d.evaluations.path.write_text(d.evaluations.path.read_text() * 2), "do not increase"),
    "metrics": (lambda d: d.metrics.path.write_text("{\n{}\n"), "another digest"),
    "checkpoint": (lambda d: flip(checkpoint(d)), "its checksum does not match"),
    "checkpoint without a tensor": (
        lambda d: edit(
            checkpoint(d).parent / "state.json", lambda h: h["state"]["items"][0][1].update(name="y"), sealed=False),
        "its checksum does not match"),
    "a count": (
        lambda d: edit(d.record_file, lambda r: r["counts"].update(gradient_steps=7), sealed=False),
        "its checksum does not match"),
    "a metric": (lambda d: d.metrics.path.write_text(d.metrics.path.read_text().replace("1.0", "1.5", 1)),
        "metrics.jsonl: its content has another digest"),
    "a return in the middle": (lambda d: d.evaluations.path.write_text(d.evaluations.path.read_text().replace(
        "0.0", "0.5", 1)), "evaluations.jsonl: its content has another digest"),
    "the spec beside it": (lambda d: d.spec_file.write_text('{"kind": "train"}'), "spec.json: is not the spec of run"),
    "record": (lambda d: d.record_file.write_text("{"), "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("how", WRONG)
def test_verify_finds(capsys, finished, how):
    assert verify(finished) == []
    damage, message = WRONG[how]
    damage(finished)
    assert any(message in problem for problem in verify(finished)), verify(finished)
    text, _ = run(capsys, "verify", "--results", finished.path.parents[2], code=1)
    assert "1 runs checked, 1 with problems" in text


def test_verify_accepts_evaluations_between_which_no_environment_steps_were_taken(tmp_path):
    """A learner with many updates at once is evaluated along them, if its budget is one of gradient steps."""
    directory = write_run(
        tmp_path, "aaa", curves=[[1.0, 2.0, 3.0, 4.0]], steps=[0, 100, 100, 120], seconds=[0.0, 1.0, 2.0, 3.0]
    )

    def found(*pairs: tuple[int, int]) -> list[str]:
        rows = directory.evaluations.read()
        directory.evaluations.path.unlink()
        for index, (row, gradient_steps) in enumerate(zip(rows, (0, 5, 25, 26), strict=True)):
            changes = dict(pairs) if index == 2 else {}
            directory.evaluations.append(row | {"index": index, "gradient_steps": gradient_steps} | changes)
        return [problem for problem in verify(directory) if "increase" in problem]

    assert found() == []
    assert "environment steps and gradient steps do not increase" in found(("gradient_steps", 5))[0]
    assert "environment steps and gradient steps do not increase" in found(("env_steps", 99))[0]
    assert "indices do not increase" in found(("index", 1))[0]


def test_verify_looks_at_folders_of_data_and_models(capsys, tmp_path):
    write_linear_data(tmp_path / "data", episodes=2)
    save_model(tmp_path / "model", MultitaskModel(tiny_config(), seed=0))
    folders = [str(tmp_path / name) for name in ("data", "model")]
    text, _ = run(capsys, "verify", *folders, "--results", tmp_path)
    assert text.splitlines() == [f"{folder}: sound" for folder in folders]
    for file in (next((tmp_path / "data").rglob("obs.npy")), tmp_path / "model" / "model.safetensors"):
        flip(file)
    text, _ = run(capsys, "verify", *folders, "--results", tmp_path, code=1)
    assert [line.partition("altered")[1] for line in text.splitlines()] == ["altered"] * 2


def test_verify_accepts_a_sound_checkpoint(finished):
    checkpoint(finished)
    assert verify(finished) == []


def test_a_run_that_ends_between_two_looks_was_not_killed(monkeypatch, tmp_path):
    directory = make(tmp_path, status="running")
    values = directory.record_file.read_text()

    def ending(self) -> bool:
        record = self.read()
        record.status = "ok"
        self.write(record)
        return False

    monkeypatch.setattr(RunDirectory, "busy", property(ending))
    for look in (
        directory.status,
        lambda: next(scan(Results(tmp_path))).status,
        lambda: load_study(Results(tmp_path), "s").runs[0].record.status,
    ):
        directory.record_file.write_text(values)
        assert look() == "ok"


def test_export_counts(finished, capsys):
    root = finished.path.parents[2]
    run(capsys, "export", "s", "--format", "csv", "--results", root)
    rows = list(csv.DictReader((root / "exports" / "s" / "metrics.csv").read_text().splitlines()))
    assert len(rows) == finished.read().counts.iterations * 2  # fewer than the most: a line each, per seed
    assert rows[0]["seed"] == "0"
    assert float(rows[-1]["train_seconds"]) > 0
