from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pwm_bench.envs.errors import UsageError
from pwm_bench.store.results import Results, RunDirectory
from pwm_bench.store.schema import Member, RunRecord
from tests.pwm_bench.store.factories import edit


def record(**fields) -> RunRecord:
    defaults = {
        "kind": "train",
        "id": "abc",
        "study": "s",
        "spec": {"task": "t"},
        "status": "ok",
        "members": [Member(seed=0)],
        "started_at": "a",
        "updated_at": "b",
    }
    return RunRecord(**(defaults | fields))


@pytest.fixture
def directory(tmp_path) -> RunDirectory:
    directory = Results(tmp_path).run("s", "abc")
    with directory.lock():
        directory.write(record())
    return directory


def test_a_record_comes_back(directory):
    assert directory.read().model_dump(exclude={"updated_at"}) == record().model_dump(exclude={"updated_at"})
    assert directory.status() == "ok"


def test_a_running_record_without_a_process_was_killed(directory):
    with directory.lock():
        directory.write(record(status="running"))
        assert directory.busy
        assert directory.status() == "running"
    assert not directory.busy
    assert directory.status() == "killed"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a run record"),
        ("[]", "not a run record"),
        ('{"schema_version": 1}', "damaged"),
        ('{"schema_version": 3}', "schema version 3 is newer"),
    ],
)
def test_damaged_records_are_named(directory, content, message):
    directory.record_file.write_text(content)
    with pytest.raises(UsageError, match=message) as error:
        directory.read()
    assert str(directory.record_file) in str(error.value)


def test_unknown_fields_are_refused(directory):
    edit(directory.record_file, lambda record: record.update(statuss="ok"))
    with pytest.raises(UsageError, match="statuss"):
        directory.read()


def test_studies_and_runs_are_found(directory, tmp_path):
    results = Results(tmp_path)
    (results.study_path("s") / "not-a-run").mkdir()
    assert results.studies() == ["s"]
    assert [run.path.name for run in results.runs("s")] == ["abc"]
    with pytest.raises(UsageError, match="unknown study 'ss': did you mean 's'"):
        list(results.runs("ss"))
    with pytest.raises(UsageError, match="holds no runs yet"):
        list(Results(tmp_path / "none").runs("s"))


def test_a_beginning_is_discarded_unless_something_else_is_there(directory):
    directory.metrics.append({"a": 1})
    directory.discard_beginning()
    assert [entry.name for entry in directory.path.iterdir()] == ["metrics.jsonl"]
    directory.metrics.path.unlink()
    directory.discard_beginning()
    assert not directory.path.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="cannot be written"):
        Results(tmp_path / "r").check_writable()


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "r").write_text("")
    with pytest.raises(UsageError, match=r"r: cannot be written .*choose another folder with --results"):
        Results(tmp_path / "r").check_writable()


HOLD = """
import sys, time
from pathlib import Path
from pwm_bench.store.lock import RunLock
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_another_process_is_kept_out_until_it_dies(directory):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(directory.path / "lock")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "held\n"
        assert directory.busy
        with pytest.raises(UsageError, match=f"process {process.pid} is working on this run"), directory.lock():
            pass
        process.kill()
        process.wait()
        assert not directory.busy
        with directory.lock():
            pass
    finally:
        process.kill()
        process.communicate()
