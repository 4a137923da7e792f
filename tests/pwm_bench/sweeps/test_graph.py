from __future__ import annotations

import io
import json
import shutil

import pytest
from rich.console import Console

from pwm_bench.cli.commands.sweep import _show_plan
from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs import kinds
from pwm_bench.jobs.kinds import carry_out, read_spec
from pwm_bench.store.inputs import Pending, find_input
from pwm_bench.store.results import Results
from pwm_bench.sweeps.graph import Study, needs, resolve
from pwm_bench.sweeps.sweep import plan, sweep
from tests.pwm_bench.sweeps.summing import KIND, Here, SumSpec, stop_at
from tests.pwm_bench.sweeps.test_sweep import Watcher


@pytest.fixture(autouse=True)
def sums(monkeypatch):
    monkeypatch.setitem(kinds.KINDS.own, "sum", KIND)


def chain() -> Study:
    """The last run is given first; one run is read by two."""
    return Study(
        name="sums",
        description="",
        nodes={
            "all": SumSpec(numbers=(), inputs={"x": Pending("left", "sum"), "y": Pending("right", "sum")}),
            "left": SumSpec(numbers=(1,), inputs={"x": Pending("base", "sum")}),
            "right": SumSpec(numbers=(2,), inputs={"x": Pending("base", "sum")}),
            "base": SumSpec(numbers=(10, 20)),
        },
    )


def do(study: Study, results: Results):
    executor = Here(results)
    return sweep(plan(study, results), results, executor, Watcher()), executor


def test_what_is_read_is_made_first_and_once(tmp_path):
    results = Results(tmp_path)
    planned = plan(chain(), results)
    assert [(item.name, item.plan) for item in planned] == [
        ("base", "begin"), ("left", "wait"), ("right", "wait"), ("all", "wait")
    ]  # fmt: skip
    assert planned[3].reason == "it reads left, right"
    result, executor = do(chain(), results)
    assert result.exit_code == 0
    assert [item.status for item in result.items] == ["ok"] * 4
    assert len(executor.begun) == 4
    last = results.run("sums", result.items[3].spec.id)
    assert (last.path / "sum.txt").read_text() == str(31 + 32)
    recorded = last.read().spec["inputs"]["x"]
    left = results.run("sums", result.items[1].spec.id)
    assert recorded == {"path": str(left.path / "sum.txt"), "digest": left.read().artifacts["sum"].digest}
    again, executor = do(chain(), results)
    assert not executor.begun
    assert [item.plan for item in again.items] == ["skip"] * 4


def test_what_reads_a_failed_run_waits_and_the_others_are_done(tmp_path):
    results = Results(tmp_path)
    study = Study(
        name="sums",
        description="",
        nodes={
            "bad": SumSpec(numbers=(1,), fails=True),
            "reader": SumSpec(numbers=(), inputs={"x": Pending("bad", "sum")}),
            "other": SumSpec(numbers=(5,)),
        },
    )
    result, executor = do(study, results)
    assert {item.name: (item.plan, item.status) for item in result.items} == {
        "bad": ("begin", "failed"), "reader": ("wait", None), "other": ("begin", "ok")
    }  # fmt: skip
    assert result.exit_code == 1
    bad = results.run("sums", executor.begun[0].id)
    assert "cannot add" in bad.traceback.read_text()
    retried = sweep(plan(study, results, retry=True), results, Here(results), Watcher(), retry=True)
    assert bad.read().attempts == 2
    assert retried.exit_code == 1


def test_an_artifact_that_is_not_left_is_refused(tmp_path):
    results = Results(tmp_path)
    nodes = {"a": SumSpec(numbers=(1,)), "b": SumSpec(numbers=(), inputs={"x": Pending("a", "model")})}
    result, _ = do(Study(name="sums", description="", nodes=nodes), results)
    assert (result.items[1].plan, result.items[1].status) == ("leave", "refused")
    assert "has left no model, " in result.items[1].reason
    console = Console(file=io.StringIO(), width=60)
    study = Study(name="sums", description="", nodes=nodes)
    _show_plan(console, study, results, plan(study, results))
    assert f"refused: {result.items[1].reason}" in console.file.getvalue()  # whole, below the table


def test_a_finished_run_whose_artifact_is_gone_is_not_taken_for_whole(tmp_path):
    results = Results(tmp_path)
    base = {"base": SumSpec(numbers=(1,))}
    made, _ = do(Study(name="sums", description="", nodes=base), results)
    directory = results.run("sums", made.items[0].spec.id)
    (directory.path / "sum.txt").unlink()
    nodes = {**base, "reader": SumSpec(numbers=(), inputs={"x": Pending("base", "sum")})}
    result, executor = do(Study(name="sums", description="", nodes=nodes), results)
    assert not executor.begun
    assert (result.items[1].plan, result.items[1].status, result.exit_code) == ("leave", "refused", 1)
    assert "artifact 'sum' is gone; restore it, or remove" in result.items[1].reason
    shutil.rmtree(directory.path)
    result, executor = do(Study(name="sums", description="", nodes=nodes), results)
    assert [item.status for item in result.items] == ["ok", "ok"]


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ({"a": SumSpec(numbers=(), inputs={"x": Pending("b", "sum")})}, "run that 'a' reads 'b'"),
        (
            {
                "a": SumSpec(numbers=(), inputs={"x": Pending("b", "sum")}),
                "b": SumSpec(numbers=(), inputs={"x": Pending("a", "sum")}),
            },
            "read each other",
        ),
        ({"a": SumSpec(numbers=(1,)), "b": SumSpec(numbers=(1,))}, "two of its runs are the same"),
    ],
)
def test_impossible_studies(nodes, message):
    with pytest.raises(UsageError, match=message):
        Study(name="s", description="", nodes=nodes)


def test_resolving_changes_inputs_alone(tmp_path):
    results = Results(tmp_path)
    spec = SumSpec(numbers=(3,), inputs={"x": Pending("base", "sum")})
    assert needs(spec) == ("base",)
    assert resolve(spec, {}) is None
    base = SumSpec(numbers=(4,))
    carry_out(base, results)
    directory = results.run("sums", base.id)
    found = resolve(spec, {"base": directory})
    assert resolve(found, {}) is found
    assert found == SumSpec(numbers=(3,), inputs={"x": find_input(directory.path, "sum")})
    elsewhere = tmp_path / "copy.txt"
    elsewhere.write_text("4")
    assert SumSpec(numbers=(3,), inputs={"x": find_input(elsewhere, "sum")}).id == found.id
    elsewhere.write_text("5")
    assert SumSpec(numbers=(3,), inputs={"x": find_input(elsewhere, "sum")}).id != found.id


def test_a_changed_input_is_refused_and_nothing_is_left(tmp_path):
    file = tmp_path / "x.txt"
    file.write_text("4")
    spec = SumSpec(numbers=(3,), inputs={"x": find_input(file, "sum")})
    file.write_text("5")
    with pytest.raises(UsageError, match="has changed"):
        carry_out(spec, Results(tmp_path / "r"))
    assert not Results(tmp_path / "r").run("sums", spec.id).path.exists()


def test_a_run_stopped_within_a_piece_resumes_there(tmp_path):
    results, spec = Results(tmp_path), SumSpec(numbers=(1, 2, 3, 4))
    outcome = carry_out(spec, results, progress=stop_at("number 2"), checkpoint_seconds=1e9)
    assert outcome.record.status == "interrupted"
    assert outcome.record.counts.iterations == 2
    events = []
    outcome = carry_out(spec, results, progress=events.append)
    assert (outcome.record.status, outcome.record.attempts) == ("ok", 2)
    assert {event.piece for event in events if event.piece} == {"number 2", "number 3"}
    assert (results.run("sums", spec.id).path / "sum.txt").read_text() == "10"


def test_a_spec_goes_through_its_file(tmp_path):
    spec = SumSpec(numbers=(1, 2))
    text = spec.to_json()
    assert json.loads(text)["kind"] == "sum"
    assert read_spec(text) == spec
    with pytest.raises(UsageError, match="kind of work"):
        read_spec('{"kind": "sums"}')
    with pytest.raises(UsageError, match="not valid JSON"):
        read_spec("{")
