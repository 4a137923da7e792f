from __future__ import annotations

import math
import os
import stat

import pandas as pd
import pytest

from pwm_bench.envs.errors import UsageError
from pwm_bench.store.export import write_frames
from pwm_bench.store.files import JsonLines, finite_or_none, prefetch, write_atomic


def test_atomic_write_replaces_and_leaves_nothing_behind(tmp_path):
    file = tmp_path / "a.json"
    write_atomic(file, "old")
    write_atomic(file, b"new")
    assert file.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_a_failed_write_keeps_the_old_content(tmp_path, monkeypatch):
    file = tmp_path / "a.json"
    write_atomic(file, "old")

    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_atomic(file, "new")
    assert file.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_lines_survive_a_torn_last_one(tmp_path):
    lines = JsonLines(tmp_path / "m.jsonl")
    assert lines.read() == []
    assert lines.size == 0
    lines.append({"a": 1})
    lines.append({"a": 2})
    whole = lines.position()
    with open(lines.path, "a") as file:
        file.write('{"a": 3')
    assert lines.read() == [{"a": 1}, {"a": 2}]
    lines.truncate(whole)
    lines.append({"a": 4})
    assert lines.read() == [{"a": 1}, {"a": 2}, {"a": 4}]


def test_a_damaged_line_in_the_middle_is_named(tmp_path):
    lines = JsonLines(tmp_path / "m.jsonl")
    lines.path.write_text('{"a": 1}\n\x00garbage\n{"a": 2}\n')
    with pytest.raises(UsageError, match=r"m.jsonl: line 2 is damaged"):
        lines.read()


def test_missing_lines_are_noticed(tmp_path):
    lines = JsonLines(tmp_path / "m.jsonl")
    lines.append({"a": 1})
    whole = lines.position()
    lines.path.write_bytes(lines.path.read_bytes()[:-1])
    with pytest.raises(UsageError, match="lines are missing"):
        lines.truncate(whole)


def test_lines_that_were_altered_are_noticed(tmp_path):
    lines = JsonLines(tmp_path / "m.jsonl")
    lines.append({"a": 1})
    whole = lines.position()
    lines.append({"a": 2})
    content = lines.path.read_bytes()
    lines.path.write_bytes(content.replace(b"1", b"7"))
    with pytest.raises(UsageError, match="altered since the checkpoint was taken"):
        lines.truncate(whole)
    assert lines.path.read_bytes() == content.replace(b"1", b"7")  # nothing is cut
    with pytest.raises(UsageError, match="another digest than the record says"):
        lines.read(whole["sha256"])


def test_numbers_that_json_cannot_hold_become_null(tmp_path):
    lines = JsonLines(tmp_path / "m.jsonl")
    lines.append({"a": [1.0, math.nan], "b": {"c": (math.inf, 2)}})
    assert lines.read() == [{"a": [1.0, None], "b": {"c": [None, 2]}}]
    assert finite_or_none("NaN") == "NaN"


def test_prefetch_asks_for_what_there_is_and_keeps_nothing_open(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("a")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")  # nobody will ever write to it
    (tmp_path / "b").write_text("b")
    asked = []
    advise = os.posix_fadvise

    def spy(descriptor, *arguments):
        asked.append(descriptor)
        return advise(descriptor, *arguments)

    monkeypatch.setattr(os, "posix_fadvise", spy)
    prefetch(tmp_path / name for name in ("a", "missing", "folder", "pipe", "b"))
    assert len(asked) == 4
    for descriptor in asked:
        with pytest.raises(OSError, match="descriptor"):
            os.fstat(descriptor)


def test_prefetch_does_without(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    (tmp_path / "a").write_text("a")
    prefetch([tmp_path / "a"])


@pytest.mark.parametrize(("umask", "mode"), [(0o002, 0o664), (0o022, 0o644), (0o077, 0o600)])
def test_who_may_read_and_write_is_as_the_umask_says(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_atomic(tmp_path / "run.json", "{}")
        (written,) = write_frames({"runs": pd.DataFrame({"a": [1]})}, tmp_path / "exports", format="parquet")
    finally:
        os.umask(before)
    for file in (tmp_path / "run.json", written):
        assert stat.S_IMODE(file.stat().st_mode) == mode


def test_an_export_that_is_cut_off_leaves_nothing_under_its_name(tmp_path, monkeypatch):
    frame = pd.DataFrame({"a": [1, 2]})
    (file,) = write_frames({"runs": frame}, tmp_path, format="parquet")
    whole = file.read_bytes()

    def killed(self, path, **options):
        path.write_bytes(whole[:20])
        raise KeyboardInterrupt

    monkeypatch.setattr(pd.DataFrame, "to_parquet", killed)
    with pytest.raises(KeyboardInterrupt):
        write_frames({"runs": frame}, tmp_path, format="parquet")
    assert [one.name for one in tmp_path.iterdir()] == ["runs.parquet"]
    assert file.read_bytes() == whole
