from __future__ import annotations

import hashlib
import os

import pytest

from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs.kinds import KINDS, carry_out
from pwm_bench.store import inputs
from pwm_bench.store.inputs import content_digest, find_input
from pwm_bench.store.results import Results
from tests.pwm_bench.sweeps.summing import KIND, SumSpec


def test_what_lies_unchanged_is_read_once_and_what_has_changed_again(tmp_path, monkeypatch) -> None:
    reads, real = [], hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, kind: (reads.append(file.name), real(file, kind))[1])
    monkeypatch.setattr(inputs, "_SETTLED", -1)  # as if all files were old
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    found = find_input(tmp_path, "data")
    assert found.open() == tmp_path
    assert len(reads) == 2
    (tmp_path / "b").write_text("other")
    with pytest.raises(UsageError, match="its content has changed"):
        found.open()
    assert len(reads) == 3
    (tmp_path / "a").rename(tmp_path / "c")
    (tmp_path / "b").write_text("b")
    assert content_digest(tmp_path) != found.digest  # names count


def test_a_file_that_has_just_changed_is_read_every_time(tmp_path) -> None:
    file = tmp_path / "a"
    digests = set()
    for text in ("one", "two", "six"):  # of one size, perhaps within one tick of the file system's clock
        file.write_text(text)
        digests.add(content_digest(file))
    assert len(digests) == 3


def test_a_name_may_be_any_bytes(tmp_path) -> None:
    before = content_digest(tmp_path)
    (tmp_path / os.fsdecode(b"caf\xe9")).write_text("a name in another encoding")
    assert content_digest(tmp_path) != before


def test_a_path_that_no_record_can_hold_is_refused_before_anything_is_written(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(KINDS.own, "sum", KIND)
    file = tmp_path / "numbers\r.txt"
    file.write_text("1")
    spec, results = SumSpec(numbers=(1,), inputs={"one": find_input(file, "sum")}), Results(tmp_path / "results")
    with pytest.raises(UsageError, match=r"inputs=.*numbers\\r.txt.*: holds control characters.*; rename"):
        carry_out(spec, results)
    assert not results.root.exists()


def test_of_a_run_with_a_model_of_each_seed_one_is_asked_for(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(KINDS.own, "sum", KIND)
    (tmp_path / "numbers.txt").write_text("1")
    spec = SumSpec(numbers=(1,), inputs={"one": find_input(tmp_path / "numbers.txt", "sum")})
    results = Results(tmp_path / "results")
    record = carry_out(spec, results).record
    directory = results.run(spec.study, spec.id)
    (artifact,) = record.artifacts.values()
    record.artifacts = {f"model.{seed}": artifact for seed in (0, 1)}
    directory.write(record)
    with pytest.raises(UsageError, match=rf"has left a model of each seed; give that of one, e.g. .*{artifact.file}$"):
        find_input(directory.path, "model")
