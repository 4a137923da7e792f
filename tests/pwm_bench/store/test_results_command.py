from __future__ import annotations

import csv
import os
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from pwm_bench.cli.main import main
from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.store import checkpoint as store
from pwm_bench.store.exchange import exchange
from pwm_bench.store.frames import load_study
from pwm_bench.store.inputs import content_digest
from pwm_bench.store.listing import scan
from pwm_bench.store.merge import merge
from pwm_bench.store.results import Results, RunDirectory
from pwm_bench.store.schema import Counts
from pwm_bench.store.verify import verify
from pwm_bench.world_model.multitask.files import save_model
from pwm_bench.world_model.multitask.networks import MultitaskModel
from tests.pwm_bench.cli.toy_cli import toy_spec
from tests.pwm_bench.conftest import ROOT
from tests.pwm_bench.store.factories import edit, write_run
from tests.pwm_bench.world_model.multitask.datasets import write_linear_data
from tests.pwm_bench.world_model.multitask.factories import tiny_config

COMMITTED = ROOT / "results" / "reference"


def run(capsys, *arguments, code: int = 0) -> tuple[str, str]:
    assert main(["results", *map(str, arguments)]) == code
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return captured.out, captured.err


def make(root, run_id="aaa", value=5.0, **options):
    options = {"steps": [0, 10], "seconds": [0.0, 1.0]} | options
    return write_run(root, run_id, curves=[[0.0, value]], **options)


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
    text, _ = run(capsys, "show", "aaa", "--results", tmp_path)
    for expected in ("aaa111  (study s)", "shac on hopper in warp", "7.25 at the end", "Test CPU", "pwm-bench run "):
        assert expected in text
    assert "means aaa111, aab222" in run(capsys, "show", "aa", "--results", tmp_path, code=2)[1]


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


HOSTILE = {
    "a link to a file": lambda run, secret: (run / "notes.txt").symlink_to(secret),
    "a link to a folder": lambda run, secret: (run / "notes").symlink_to(secret.parent),
    "a link in a folder": lambda run, secret: (_folder(run / "a" / "b") / "c").symlink_to(secret),
    "a record that is a link": lambda run, secret: _moved(run / "run.json"),
    "a pipe": lambda run, secret: os.mkfifo(run / "evaluations"),
    "a record that is a pipe": lambda run, secret: (_moved(run / "run.json").unlink(), os.mkfifo(run / "run.json")),
    "a run that is a link": lambda run, secret: _moved(run),
    "a record of another run": lambda run, secret: run.rename(run.with_name("bbb")),
}


def _folder(path):
    path.mkdir(parents=True)
    return path


def _moved(path):
    """Moves something elsewhere and leaves a link to it."""
    elsewhere = path.parents[3] / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    return path


@pytest.mark.parametrize("how", HOSTILE)
def test_merge_copies_plain_files_alone_and_goes_on_past_the_rest(capsys, tmp_path, how):
    there, here, secret = tmp_path / "there", tmp_path / "here", tmp_path / "private" / "secret.txt"
    _folder(secret.parent)
    secret.write_text("a key")
    make(there, "aaa"), make(there, "ccc")
    HOSTILE[how](there / "runs" / "s" / "aaa", secret)
    run(capsys, "merge", there, "--results", here, code=1)
    assert [path.name for path in (here / "runs" / "s").iterdir() if not path.name.startswith(".")] == ["ccc"]
    assert not [path for path in here.rglob("*") if path.is_symlink() or (path.is_file() and "key" in path.read_text())]


def test_merge_brings_what_is_new_or_further_and_overwrites_nothing_finished(capsys, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    make(there, "new")
    make(here, "same"), make(there, "same")
    make(here, "differs", value=1.0), make(there, "differs", value=2.0)
    make(here, "behind", status="killed", steps=[0, 5]), make(there, "behind")
    make(here, "ahead", status="killed", steps=[0, 50]), make(there, "ahead", status="killed")
    make(here, "done"), make(there, "done", status="killed", steps=[0, 99])
    make(here, "broken").record_file.write_text("{")
    make(there, "broken", value=8.0)
    make(there, "damaged").record_file.write_text("{")
    found = {merged.run_id: merged.outcome for merged in merge(Results(there), Results(here))}
    assert found == {
        "new": "copied", "same": "kept", "differs": "differs", "behind": "replaced", "ahead": "kept", "done": "kept",
        "broken": "replaced", "damaged": "damaged",
    }  # fmt: skip
    store = Results(here)
    assert store.run("s", "differs").read().members[0].final_return == 1.0
    assert store.run("s", "behind").read().status == "ok"
    assert store.run("s", "broken").read().members[0].final_return == 8.0
    assert not store.run("s", "damaged").path.exists()
    assert not store.run("s", "new").path.joinpath("lock").exists()
    assert sorted(path.name for path in (here / "runs" / "s").iterdir()) == sorted(set(found) - {"damaged"})
    text, errors = run(capsys, "merge", there, "--results", here, code=1)
    assert text == "1 damaged, 1 differs, 6 kept\n"
    assert "differs: " in errors


def test_merge_takes_the_further_copy_of_work_that_takes_no_environment_steps(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    for folder, behind, ahead in ((here, 3, 40), (there, 7, 11)):
        for run_id, done in (("behind", behind), ("ahead", ahead)):
            directory = make(folder, run_id, status="killed", steps=[0, 0])
            record = directory.read()
            record.counts = Counts(iterations=done, gradient_steps=2 * done, env_steps=0)
            directory.write(record)
    found = {merged.run_id: merged.outcome for merged in merge(Results(there), Results(here))}
    assert found == {"behind": "replaced", "ahead": "kept"}
    assert Results(here).run("s", "behind").read().counts.iterations == 7
    assert Results(here).run("s", "ahead").read().counts.iterations == 40


def test_merge_leaves_a_run_in_work_alone(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    directory = make(here, status="running")
    make(there)
    with directory.lock():
        (merged,) = merge(Results(there), Results(here))
    assert merged.outcome == "busy"
    assert directory.read().status == "running"


def _finish(directory) -> None:
    """What a process at work does at its end: a last evaluation, and the record with digests of the logs."""
    last = directory.evaluations.read()[-1]
    directory.evaluations.append(last | {"index": last["index"] + 1, "env_steps": last["env_steps"] + 10})
    record = directory.read()
    record.status, record.logs = "ok", {"evaluations.jsonl": content_digest(directory.evaluations.path)}
    directory.write(record)


def test_merge_leaves_a_source_in_work_alone(tmp_path):
    here, there = Results(tmp_path / "here"), Results(tmp_path / "there")
    with make(there.root, status="running").lock():
        assert [merged.outcome for merged in merge(there, here)] == ["busy"]
    assert not here.run("s", "aaa").path.exists()
    assert [merged.outcome for merged in merge(there, here)] == ["copied"]


@pytest.mark.parametrize("how", ["grows", "is taken up", "loses a file"])
def test_merge_keeps_no_copy_of_a_run_that_changed_meanwhile(monkeypatch, tmp_path, how):
    here, there = Results(tmp_path / "here"), Results(tmp_path / "there")
    source = make(there.root, "a", status="killed")
    make(there.root, "b")
    make(here.root, "a", status="killed", steps=[0, 1], value=1.0)
    copytree, held = shutil.copytree, ExitStack()

    def meanwhile(origin, *arguments, **options):
        if origin == source.path and how == "loses a file":
            gone = str(origin / "checkpoint" / "tensors-1.safetensors")
            raise shutil.Error([(gone, "", f"[Errno 2] No such file or directory: '{gone}'")])
        copytree(origin, *arguments, **options)
        if origin == source.path:
            _finish(source) if how == "grows" else held.enter_context(source.lock())

    with held, monkeypatch.context() as patch:
        patch.setattr(shutil, "copytree", meanwhile)
        assert [(merged.run_id, merged.outcome) for merged in merge(there, here)] == [("a", "busy"), ("b", "copied")]
    assert here.run("s", "a").read().members[0].final_return == 1.0
    assert sorted(path.name for path in here.study_path("s").iterdir()) == ["a", "b"]
    assert [merged.outcome for merged in merge(there, here)] == ["replaced", "kept"]
    assert here.run("s", "a").evaluations.read() == source.evaluations.read()


def test_merge_goes_on_past_a_run_that_may_not_be_read(monkeypatch, tmp_path):
    here, there = Results(tmp_path / "here"), Results(tmp_path / "there")
    private = make(there.root, "a", status="killed").metrics.path
    make(there.root, "b")
    private.write_text("{}\n")
    private.chmod(0)
    if os.access(private, os.R_OK):  # root may: so it is told what it would be told as somebody else
        copy2, access = shutil.copy2, os.access

        def may(file, mode, **options) -> bool:
            return os.fspath(file) != os.fspath(private) and access(file, mode, **options)

        def copies(source, target, **options):
            if not may(source, os.R_OK):
                raise PermissionError(13, "Permission denied", source)
            return copy2(source, target, **options)

        monkeypatch.setattr(os, "access", may)
        monkeypatch.setattr(shutil.copytree, "__defaults__", (False, None, copies, False, False))
    found = list(merge(there, here))
    assert [(merged.run_id, merged.outcome) for merged in found] == [("a", "damaged"), ("b", "copied")]
    assert f"{private}: may not be read" in found[0].reason
    assert [path.name for path in here.study_path("s").iterdir()] == ["b"]


def test_merge_tells_runs_whose_logs_are_not_those_of_their_records(tmp_path):
    """Such a finished run is not copied, and gives way to a sound one."""
    here, there = Results(tmp_path / "here"), Results(tmp_path / "there")
    ours, theirs = (make(results.root, status="running") for results in (here, there))
    _finish(ours), _finish(theirs)
    sound = theirs.evaluations.path.read_text()
    theirs.evaluations.path.write_text(sound * 2)
    assert [merged.outcome for merged in merge(there, here)] == ["damaged"]
    theirs.evaluations.path.write_text(sound)
    ours.evaluations.path.write_text(sound * 2)
    assert [merged.outcome for merged in merge(there, here)] == ["replaced"]
    assert ours.evaluations.path.read_text() == sound


@pytest.mark.parametrize("begun", [False, True])
def test_a_run_that_is_begun_while_merge_replaces_it_loses_nothing(monkeypatch, tmp_path, begun):
    here, there = Results(tmp_path / "here"), Results(tmp_path / "there")
    make(there.root)
    ours = make(here.root, status="killed", value=1.0)
    rename, held = Path.rename, ExitStack()

    def meanwhile(self, target):
        rename(self, target)
        if self == ours.path:
            held.enter_context(ours.lock())
            if begun:
                ours.spec_file.write_text("{}")

    with held, monkeypatch.context() as patch:
        patch.setattr(Path, "rename", meanwhile)
        patch.setattr("pwm_bench.store.merge.exchange", lambda *_: False)  # as a file system without it
        assert [merged.outcome for merged in merge(there, here)] == ["busy"]
    if begun:
        ours.spec_file.unlink()
        (folder,) = here.study_path("s").glob(".merge-*")
        os.utime(folder, (0, 0))  # the next merge finds it left and brings the run back
        assert [merged.outcome for merged in merge(there, here)] == ["replaced"]
    else:
        assert ours.read().members[0].final_return == 1.0
    assert [path.name for path in here.study_path("s").iterdir()] == ["aaa"]


def test_a_run_that_is_begun_while_merge_copies_a_new_one_is_left_alone(monkeypatch, tmp_path):
    here, there = Results(tmp_path / "here"), Results(tmp_path / "there")
    make(there.root)
    copytree, held = shutil.copytree, ExitStack()

    def meanwhile(*arguments, **options):
        copytree(*arguments, **options)
        held.enter_context(here.run("s", "aaa").lock())

    with held, monkeypatch.context() as patch:
        patch.setattr(shutil, "copytree", meanwhile)
        assert [merged.outcome for merged in merge(there, here)] == ["busy"]
        assert here.run("s", "aaa").busy
    assert [path.name for path in here.study_path("s").iterdir()] == ["aaa"]


def test_no_reader_misses_a_run_that_merge_replaces(monkeypatch, tmp_path):
    here, there = Results(tmp_path / "here"), Results(tmp_path / "there")
    make(there.root)
    ours = make(here.root, status="killed", value=1.0)
    (tmp_path / "a").write_text("a"), (tmp_path / "b").mkdir()
    if not exchange(tmp_path / "a", tmp_path / "b"):
        pytest.skip("this file system exchanges no names")
    assert (tmp_path / "b").read_text() == "a"
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "a", tmp_path / "c")
    looks = []

    def then_looks(step):
        def stepped(*arguments, **options):
            done = step(*arguments, **options)
            loaded = load_study(here, "s")
            looks.append(([entry.status for entry in scan(here)], [run.record.status for run in loaded.runs]))
            assert not loaded.damaged
            return done

        return stepped

    with monkeypatch.context() as patch:
        for place, name in ((Path, "rename"), (shutil, "copytree"), (shutil, "rmtree"), (os, "chmod")):
            patch.setattr(place, name, then_looks(getattr(place, name)))
        patch.setattr("pwm_bench.store.merge.exchange", then_looks(exchange))
        assert [merged.outcome for merged in merge(there, here)] == ["replaced"]
    assert looks[0] == (["killed"], ["killed"])
    assert looks[-1] == (["ok"], ["ok"])
    assert all(len(listed) == len(loaded) == 1 for listed, loaded in looks)
    assert ours.read().members[0].final_return == 5.0
    assert [path.name for path in here.study_path("s").iterdir()] == ["aaa"]


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


def test_a_merge_killed_half_way_leaves_no_half_run(monkeypatch, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    make(here, "a", status="killed", value=1.0), make(there, "a"), make(there, "b")

    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copytree", fail)
    with pytest.raises(UsageError, match="No space left on device"):
        list(merge(Results(there), Results(here)))
    assert [path.name for path in (here / "runs" / "s").iterdir()] == ["a"]
    assert Results(here).run("s", "a").read().members[0].final_return == 1.0


def test_export_counts(finished, capsys):
    root = finished.path.parents[2]
    run(capsys, "export", "s", "--format", "csv", "--results", root)
    rows = list(csv.DictReader((root / "exports" / "s" / "metrics.csv").read_text().splitlines()))
    assert len(rows) == finished.read().counts.iterations * 2  # fewer than the most: a line each, per seed
    assert rows[0]["seed"] == "0"
    assert float(rows[-1]["train_seconds"]) > 0
