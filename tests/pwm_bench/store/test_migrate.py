from __future__ import annotations

import json

import pytest

from pwm_bench.envs.errors import UsageError
from pwm_bench.store import migrate as module
from pwm_bench.store import schema
from pwm_bench.store.frames import load_study
from pwm_bench.store.migrate import migrate
from pwm_bench.store.results import Results
from tests.pwm_bench.store.factories import edit, write_run

STEPS = {  # an imagined past: version -1 called the algorithm a method, version 0 counted steps in thousands
    -1: lambda values: {k: v for k, v in values.items() if k != "method"} | {"algorithm": values["method"]},
    0: lambda values: values | {"steps": values["steps"] * 1000},
}
OLD = {"schema_version": -1, "method": "shac", "steps": 3}


def test_steps_are_taken_in_order():
    found = migrate(OLD, current=1, source="f", migrations=STEPS)
    assert found == {"schema_version": 1, "algorithm": "shac", "steps": 3000}
    assert OLD["method"] == "shac"
    assert migrate(found, current=1, source="f", migrations=STEPS) == found


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (2, "schema version 2 is newer"),
        (-2, "schema version -2 is older"),
        ("1", "'1' is no number"),
        (True, "no number"),
    ],
)
def test_versions_without_a_way(version, message):
    with pytest.raises(UsageError, match=message):
        migrate({"schema_version": version}, current=1, source="f", migrations=STEPS)


def test_an_older_record_on_disk_is_read_and_left_as_it_is(monkeypatch, tmp_path):
    """Version 2 as it is, read by a program whose schema is at 3 and calls the study's field differently before."""
    new = write_run(tmp_path, "new", curves=[[0.0, 5.0]], steps=[0, 10], seconds=[0.0, 1.0])
    old = write_run(tmp_path, "old", curves=[[0.0, 7.0]], steps=[0, 10], seconds=[0.0, 1.0], first_seed=1)
    edit(old.record_file, lambda record: record.update(method=record.pop("gradient_source")))
    before = old.record_file.read_text()
    edit(new.record_file, lambda record: record.update(schema_version=3))
    monkeypatch.setattr(schema, "SCHEMA_VERSION", 3)
    monkeypatch.setitem(
        module.MIGRATIONS, 2, lambda v: {k: x for k, x in v.items() if k != "method"} | {"gradient_source": v["method"]}
    )
    loaded = load_study(Results(tmp_path), "s")
    assert not loaded.damaged
    assert [run.record.gradient_source for run in loaded.runs] == ["simulator", "simulator"]
    assert [run.record.schema_version for run in loaded.runs] == [3, 3]
    assert old.record_file.read_text() == before


def test_a_record_of_the_first_schema_is_refused_with_a_remedy(tmp_path):
    run = write_run(tmp_path, "old", curves=[[0.0, 5.0]], steps=[0, 10], seconds=[0.0, 1.0])
    run.record_file.write_text(json.dumps(json.loads(run.record_file.read_text()) | {"schema_version": 1}))
    with pytest.raises(UsageError, match=r"schema version 1 is older .* run it again, or read it with the version"):
        run.read()
