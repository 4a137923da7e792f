"""Listing, the cache, and damage. How long 10,000 runs take is measured by hand: see `synthetic`."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time

import pytest

from pwm_bench.analysis.tables.scores import summarise
from pwm_bench.bench.synthetic import make_runs
from pwm_bench.store import index as index_module
from pwm_bench.store.curves import Curves
from pwm_bench.store.frames import load_study, members_frame
from pwm_bench.store.listing import find, scan, summaries
from pwm_bench.store.results import Results
from tests.pwm_bench.store.factories import edit, write_run

MANY = 240


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pwm-bench" / "index"


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    root = tmp_path_factory.mktemp("many")
    make_runs(root, MANY, episodes=2, evaluations=3)
    return root


def table(root):
    return repr(summarise(load_study(Results(root), "many"), study="many"))


def refuse_to_read(monkeypatch):
    def fail(self, digest=None):
        raise AssertionError("read although it is in the cache")

    monkeypatch.setattr("pwm_bench.store.files.JsonLines.read", fail)


def test_the_cache_gives_the_same_table_without_reading(many, cache, monkeypatch):
    first = table(many)
    (file,) = cache.iterdir()
    refuse_to_read(monkeypatch)
    assert table(many) == first
    file.unlink()
    with pytest.raises(AssertionError, match="although"):
        table(many)


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": 0}\n[]\n', b"\xff\xfe"])
def test_a_damaged_cache_is_not_used(many, cache, content):
    first = table(many)
    (file,) = cache.iterdir()
    file.write_bytes(content)
    assert table(many) == first


def test_a_torn_cache_is_not_used(many, cache):
    first = table(many)
    (file,) = cache.iterdir()
    file.write_bytes(file.read_bytes()[:-20])
    assert table(many) == first


def test_a_cache_that_cannot_be_written_is_done_without(many, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(load_study(Results(many), "many").runs) == MANY


@pytest.mark.parametrize("change", ["evaluations", "record", "same size and times"])
def test_what_changed_is_read_again(tmp_path, change):
    root = tmp_path / "results"
    ids = make_runs(root, MANY, episodes=2, evaluations=3)
    before = load_study(Results(root), "many")
    directory = Results(root).run("many", ids[0])
    line = json.loads(directory.evaluations.path.read_text().splitlines()[-1])
    if change == "record":
        edit(directory.record_file, lambda record: record.update(status="oom"))
    elif change == "evaluations":
        directory.evaluations.append(line | {"index": 3, "returns": [[9.0, 9.0]] * 3})
    else:
        text, stat = directory.evaluations.path.read_text(), os.stat(directory.evaluations.path)
        time.sleep(0.02)
        directory.evaluations.path.write_text(text[:-20].replace('"index": 0', '"index": 1') + text[-20:])
        os.utime(directory.evaluations.path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        fresh = os.stat(directory.evaluations.path)
        assert (fresh.st_size, fresh.st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
        stamp = index_module.fingerprint(directory.record_file, directory.evaluations.path)
        assert index_module.StudyIndex(Results(root).study_path("many"), schema=1).get(ids[0], stamp) is None
        return
    after = load_study(Results(root), "many")
    changed = [
        a.record.id
        for a, b in zip(before.runs, after.runs, strict=True)
        if a.record.status != b.record.status or len(a.curves.axes["env_steps"]) != len(b.curves.axes["env_steps"])
    ]
    assert changed == [ids[0]]


def test_a_cached_running_run_whose_process_died_is_killed(tmp_path):
    root = tmp_path / "results"
    ids = make_runs(root, MANY, episodes=2, evaluations=3)
    directory = Results(root).run("many", ids[0])
    edit(directory.record_file, lambda record: record.update(status="running"))

    def status():
        return next(r.record.status for r in load_study(Results(root), "many").runs if r.record.id == ids[0])

    with directory.lock():
        assert status() == "running"
    assert status() == "killed"


def test_small_studies_leave_no_cache(tmp_path, cache):
    make_runs(tmp_path, 3, episodes=2, evaluations=3)
    load_study(Results(tmp_path), "many")
    assert not cache.exists()


def test_curves_survive_the_cache(tmp_path):
    lines = [
        {"env_steps": 0, "gradient_steps": 0, "train_seconds": 0.0, "returns": [[1.0, None], [2.0, 4.0]],
         "lengths": [[1, 1], [2, 2]], "extras": {}},
        {"env_steps": 5, "gradient_steps": 1, "train_seconds": 0.1, "returns": [[1.0], [2.0, 3.0, 4.0]],
         "lengths": [[1], [2, 2, 2]], "extras": {"speed": [[0.1], [0.2, 0.2, 0.2]]}},
    ]  # fmt: skip
    curves = Curves.from_lines(lines, members=2, source="f")
    again = Curves.from_json(json.loads(json.dumps(curves.to_json())))
    for found in (curves, again):
        assert found.values("return", 0) == pytest.approx([float("nan"), 1.0], nan_ok=True)
        assert found.values("return", 1) == pytest.approx([3.0, 3.0])
        assert found.axis("env_steps", "speed") == pytest.approx([5.0])
        assert found.values("speed", 1) == pytest.approx([0.2])
    empty = Curves.from_json(Curves.from_lines([], members=2, source="f").to_json())
    assert empty.values("return", 1).size == 0


DAMAGE = {
    "record": lambda d: d.record_file.write_bytes(b"\xff\x00"),
    "record is a folder": lambda d: (d.record_file.unlink(), d.record_file.mkdir()),
    "a number": lambda d: edit(d.record_file, lambda r: r["members"][0].update(final_return=9.0), sealed=False),
    "no checksum": lambda d: edit(d.record_file, lambda r: r.pop("sha256"), sealed=False),
    "no task": lambda d: edit(d.record_file, lambda r: r["spec"].pop("task")),
    "a return": lambda d: (
        edit(d.record_file, lambda r: r.update(logs={d.evaluations.path.name: d.evaluations.position()["sha256"]})),
        d.evaluations.path.write_text(d.evaluations.path.read_text().replace("6.0", "6.5", 1)),
    ),
    "evaluation lacks returns": lambda d: d.evaluations.append({"index": 9}),
    "another number of members": lambda d: d.evaluations.append(
        {"env_steps": 9, "gradient_steps": 9, "train_seconds": 9.0, "returns": [[1.0]] * 5, "lengths": [[1]] * 5,
         "extras": {}}
    ),
    "not JSON": lambda d: d.evaluations.path.write_text("{\n" + d.evaluations.path.read_text()),
    "a list": lambda d: d.evaluations.path.write_text("[1]\n"),
}  # fmt: skip


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_run_is_reported_and_left_out(tmp_path, how):
    write_run(tmp_path, "good", curves=[[0.0, 5.0]], steps=[0, 10], seconds=[0.0, 1.0])
    DAMAGE[how](write_run(tmp_path, "ugly", curves=[[0.0, 7.0]], steps=[0, 10], seconds=[0.0, 1.0]))
    loaded = load_study(Results(tmp_path), "s")
    assert [run.record.id for run in loaded.runs] == ["good"]
    assert len(loaded.damaged) == 1
    assert "ugly" in loaded.damaged[0]
    summary = summarise(loaded, study="s")
    assert summary.rows[0].mean == 5.0
    assert any("Left out: " in note and "ugly" in note for note in summary.notes)
    assert {entry.run_id for entry in scan(Results(tmp_path))} == {"good", "ugly"}


def test_list(tmp_path):
    write_run(tmp_path, "aaa1", curves=[[0.0, 5.0], [0.0, 7.0]], steps=[0, 10], seconds=[0.0, 1.0], diverged=(1,))
    write_run(tmp_path, "aab2", study="t", curves=[[0.0, 1.0]], steps=[0, 10], seconds=[0.0, 1.0], status="running")
    write_run(
        tmp_path, "bbb3", study="t", curves=[[0.0, 1.0]], steps=[0, 10], seconds=[0.0, 1.0]
    ).record_file.write_text("")
    (tmp_path / "runs" / "t" / "empty").mkdir()
    (tmp_path / "runs" / "t" / "file").write_text("")
    first, killed, damaged = scan(Results(tmp_path))
    assert (first.study, first.run_id, first.seeds, first.diverged, first.final_return) == ("s", "aaa1", 2, 1, 6.0)
    assert (killed.run_id, killed.status) == ("aab2", "killed")
    assert (damaged.run_id, damaged.status) == ("bbb3", "damaged")
    assert summaries([first, killed, damaged]) == {"s": {"ok": 1}, "t": {"killed": 1, "damaged": 1}}
    assert [path.name for path in find(Results(tmp_path), "aa")] == ["aaa1", "aab2"]
    assert [path.name for path in find(Results(tmp_path), "bbb3")] == ["bbb3"]
    assert not find(Results(tmp_path), "c")


def test_a_list_longer_than_what_is_read_ahead(many, monkeypatch):
    monkeypatch.setattr("pwm_bench.store.listing._AHEAD", 7)
    names = [entry.run_id for entry in scan(Results(many))]
    assert names == sorted(run.path.name for run in Results(many).runs("many"))


IN_ORDER = """
import sys
from pwm_bench.store import reading
from pwm_bench.store.results import Results
reading._WORTH_IT, reading._CHUNK = 1, 7
reading._workers = lambda: int(sys.argv[2])
runs = list(Results(sys.argv[1]).runs("many"))
assert list(reading.read_all(runs)) == [reading.read_run(run) for run in runs]
assert list(reading.read_all([])) == []
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_runs_are_read_in_order_whoever_reads_them(many, workers):
    """In a process of its own: this one may have threads, and forks."""
    subprocess.run([sys.executable, "-c", IN_ORDER, str(many), workers], check=True, timeout=120)


@pytest.mark.parametrize("enabled", [True, False])
def test_reading_leaves_collection_as_it_was(many, enabled):
    was_enabled, frozen = gc.isenabled(), gc.get_freeze_count()
    (gc.enable if enabled else gc.disable)()
    try:
        load_study(Results(many), "many")
        assert gc.isenabled() is enabled
        assert gc.get_freeze_count() == frozen
    finally:
        (gc.enable if was_enabled else gc.disable)()


def test_hundreds_of_runs_make_one_frame(many):
    frame = members_frame(load_study(Results(many), "many").runs)
    assert len(frame) == 3 * MANY
    assert set(frame["variant"]) == {""}
    assert sorted(frame.groupby(["task", "simulator", "algorithm"]).size().unique()) == [3 * MANY // 24]
