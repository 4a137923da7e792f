"""Merging results folders: what comes over, what stays, and what happens while others read and write."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest

from pwm_bench.envs.errors import UsageError
from pwm_bench.runs.job import file_artifact
from pwm_bench.store import checkpoint
from pwm_bench.store.exchange import exchange
from pwm_bench.store.frames import load_study
from pwm_bench.store.inputs import content_digest
from pwm_bench.store.listing import scan
from pwm_bench.store.merge import merge
from pwm_bench.store.results import Results
from pwm_bench.store.schema import Counts
from tests.pwm_bench.store.factories import make, run

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


def test_merge_copies_no_finished_run_whose_artifacts_are_not_those_of_its_record(tmp_path):
    """Nothing that is finished is overwritten later, not even by the sound copy of it."""
    here, there = Results(tmp_path / "here"), Results(tmp_path / "there")
    source = make(there.root)
    (source.path / "policy.safetensors").write_text("weights")
    record = source.read()
    record.artifacts = {"policy": file_artifact(source.path, "policy.safetensors")}
    source.write(record)
    (source.path / "policy.safetensors").write_text("weight")
    (merged,) = merge(there, here)
    assert merged.outcome == "damaged"
    assert f"{source.path / 'policy.safetensors'}: its content has another digest" in merged.reason
    assert not here.run("s", "aaa").path.exists()
    (source.path / "policy.safetensors").write_text("weights")
    assert [merged.outcome for merged in merge(there, here)] == ["copied"]


@pytest.mark.parametrize("damage", ["cut off", "gone", "none"])
def test_merge_replaces_a_run_by_one_that_goes_on_alone(tmp_path, damage):
    here, there = Results(tmp_path / "here"), Results(tmp_path / "there")
    for results, done in ((here, 3), (there, 7)):
        directory = make(results.root, status="killed")
        logs = {log.path.name: log.position() for log in directory.logs}
        checkpoint.save(directory.checkpoint, {"journal": {"logs": logs}}, spec_id="aaa")
        record = directory.read()
        record.counts = Counts(iterations=done)
        directory.write(record)
    file = there.run("s", "aaa").checkpoint / "state.json"
    if damage == "cut off":
        file.write_bytes(file.read_bytes()[:-9])
    elif damage == "gone":
        file.unlink()
    (merged,) = merge(there, here)
    assert merged.outcome == ("replaced" if damage == "none" else "damaged")
    assert damage == "none" or "the run here, which is behind, stays" in merged.reason
    assert here.run("s", "aaa").read().counts.iterations == (7 if damage == "none" else 3)


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
