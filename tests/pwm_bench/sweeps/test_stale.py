"""Code and packages of other versions are seen: by sweeps, and by tables that mix them."""

from __future__ import annotations

import re

import pytest

from pwm_bench.analysis.tables.scores import summarise
from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs.kinds import KINDS, carry_out
from pwm_bench.runs.execute import execute
from pwm_bench.runs.stop import Stopped
from pwm_bench.store import provenance
from pwm_bench.store.frames import load_study
from pwm_bench.store.inputs import Pending
from pwm_bench.store.origin import differences, origin_notes
from pwm_bench.store.results import Results
from pwm_bench.sweeps.graph import STAGES, Study
from pwm_bench.sweeps.stale import settle_stale
from pwm_bench.sweeps.sweep import plan
from tests.pwm_bench.cli.toy_cli import toy_study
from tests.pwm_bench.store.factories import write_run
from tests.pwm_bench.sweeps.summing import KIND, SumSpec, stop_at

FLAT = {"steps": [0, 10], "seconds": [0.0, 1.0]}


def test_a_table_says_which_rows_come_from_which_code(tmp_path):
    write_run(tmp_path, "aaa", curves=[[0.0, 1.0]], code="c0de1", packages={"torch": "2.11", "numpy": "2.0"}, **FLAT)
    same = {"code": "c0de1", "packages": {"torch": "2.11", "numpy": "2.0"}}
    write_run(tmp_path, "bbb", algorithm="ppo", curves=[[0.0, 1.0]], **same, **FLAT)

    def notes() -> str:
        return " ".join(summarise(load_study(Results(tmp_path), "s"), study="s").notes)

    assert "different" not in notes()
    write_run(tmp_path, "ccc", algorithm="sac", curves=[[0.0, 1.0]], code="c0de2",
              packages={"torch": "2.12", "numpy": "2.0"}, **FLAT)  # fmt: skip
    write_run(tmp_path, "ddd", algorithm="pwm", curves=[[0.0, 1.0]], git_commit="0123456789", git_dirty="x", **FLAT)
    assert (
        "Rows come from different code: code c0de1 (shac, ppo), code c0de2 (sac), commit 0123456 with changes (pwm)."
        in notes()
    )
    assert "Rows come from different versions of packages: torch 2.11 (shac, ppo), 2.12 (sac)." in notes()
    for run, algorithm, version in (("eee", "apg", "my-lab 0.3 (a)"), ("fff", "sapo", "my-lab 0.4 (b)")):
        plugins = {"plugins": {"lab": version}}
        write_run(tmp_path, run, algorithm=algorithm, curves=[[0.0, 1.0]], **same, **plugins, **FLAT)
    assert "Rows come from different code of lab: my-lab 0.3 (a) (apg), my-lab 0.4 (b) (sapo)." in notes()


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        (("ant 0 A", "ant 1 A", "hopper 0 B"), "code A (shac on ant), code B (shac on hopper)"),
        (("ant 0 A", "ant 1 B", "hopper 0 A"), "code A (shac, seed 0), code B (shac, seed 1)"),
        (("ant 0 A", "ant 1 B", "hopper 0 B"), "code A (shac in part), code B (shac in part)"),
    ],
)
def test_a_row_of_several_versions_says_which_of_its_runs_are_of_which(tmp_path, runs, said):
    for run in runs:
        task, seed, code = run.split()
        name = run.replace(" ", "")
        write_run(tmp_path, name, task=task, curves=[[0.0, 1.0]], first_seed=int(seed), code=code, **FLAT)
    assert f"Rows come from different code: {said}." in summarise(load_study(Results(tmp_path), "s"), study="s").notes


@pytest.fixture
def finished(tmp_path, toys):
    """A study of which the first run is finished."""
    study, results = toy_study(), Results(tmp_path)
    carry_out(study.specs[0], results)
    return study, results


def test_a_run_of_todays_code_is_not_stale(finished):
    study, results = finished
    assert differences(results.run("toys", study.specs[0].id).read().provenance) == ""
    for policy in ("keep", "rerun", "refuse"):
        assert settle_stale(study, results, policy) == ""


@pytest.mark.parametrize("change", ["code", "package", "plugin"])
def test_runs_of_other_code_are_kept_done_again_or_refused(finished, change):
    study, results = finished
    directory = results.run("toys", study.specs[0].id)
    record = directory.read()
    if change == "code":
        record.provenance.code = "other"
    elif change == "package":
        record.provenance.packages["numpy"] = "1.0"
    else:
        record.provenance.plugins["lab"] = "my-lab 0.3 (c0de)"
    directory.write(record)
    found = {"code": "code other", "package": "numpy 1.0, now ", "plugin": r"lab my-lab 0.3 \(c0de\), now missing"}
    reason = found[change]
    assert re.search(reason, settle_stale(study, results, "keep"))
    assert plan(study, results)[0].plan == "skip"
    with pytest.raises(UsageError, match=f"1 finished run of this study .* made by other code or packages .*{reason}"):
        settle_stale(study, results, "refuse")
    assert "set aside" in settle_stale(study, results, "rerun")
    assert plan(study, results)[0].plan == "begin"
    assert (results.root / "removed" / "toys" / directory.path.name / "run.json").exists()
    assert settle_stale(study, results, "rerun") == ""


def test_stale_runs_that_others_read_are_set_aside_where_they_are_filed(tmp_path, monkeypatch):
    monkeypatch.setitem(KINDS.own, "sum", KIND)
    first = SumSpec(numbers=(1,), study=f"t{STAGES}")
    reader = SumSpec(numbers=(2,), inputs={"first": Pending("first", "sum")})
    study, results = Study(name="t", description="", nodes={"first": first, "reader": reader}), Results(tmp_path)
    carry_out(first, results)
    directory = results.run(first.study, first.id)
    record = directory.read()
    record.provenance.code = "other"
    directory.write(record)
    assert f"set aside, in {tmp_path / 'removed' / first.study}." in settle_stale(study, results, "rerun")
    assert [item.plan for item in plan(study, results)] == ["begin", "wait"]
    assert [path.parent.parent.name for path in tmp_path.glob("removed/*/*/run.json")] == [first.study]
    assert not list(tmp_path.glob("removed/t"))
    assert settle_stale(study, results, "rerun") == ""


def test_a_run_that_is_resumed_on_another_machine_says_so(tmp_path, monkeypatch, caplog):
    """It adds up the processor seconds of both; it is not stale, since its code is the same."""
    monkeypatch.setitem(KINDS.own, "sum", KIND)
    spec, results = SumSpec(numbers=(1, 2, 3, 4), study="t"), Results(tmp_path)
    directory = results.run("t", spec.id)
    for piece, threads in (("number 1", 7), ("number 2", 8), ("number 3", 7)):
        assert carry_out(spec, results, progress=stop_at(piece)).record.status == "interrupted"
        record = directory.read()
        record.provenance.device, record.provenance.threads = "Old CPU (4 cores)", threads
        directory.write(record)
    caplog.clear()
    origin = carry_out(spec, results).record.provenance
    assert origin.earlier_machines == ["Old CPU (4 cores), 7 threads", "Old CPU (4 cores), 8 threads"]
    assert "resumes on another machine than its checkpoint was made on (Old CPU (4 cores), 7 threads)" in caplog.text
    assert (origin.earlier, differences(origin)) == ([], "")
    (said,) = origin_notes([("sum", "s", [0], origin)])
    assert said.endswith("they began on: Old CPU (4 cores), 7 threads (sum), Old CPU (4 cores), 8 threads (sum).")


def test_a_run_that_is_resumed_with_other_code_says_so(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(KINDS.own, "sum", KIND)
    spec, results = SumSpec(numbers=(1, 2, 3), study="t"), Results(tmp_path)
    study, directory = Study(name="t", description="", specs=(spec,)), results.run("t", spec.id)
    for piece, code in (("number 1", "first"), ("number 2", "second")):
        assert carry_out(spec, results, progress=stop_at(piece)).record.status == "interrupted"
        record = directory.read()
        record.provenance.code, record.task_hash = code, None
        directory.write(record)
    with pytest.raises(UsageError):  # an attempt that does not get to work forgets nothing
        execute(spec, results, _refused)
    assert execute(spec, results, _left).record.status == "interrupted"
    record = carry_out(spec, results).record
    assert record.provenance.earlier == ["code first", "code second"]
    assert "resumes with other code, packages or task than its checkpoint was made with (code second)" in caplog.text
    assert differences(record.provenance) == "in part code first; in part code second"
    assert "in part code first" in settle_stale(study, results, "keep")
    (said,) = origin_notes([("sum", "s", [0], record.provenance)])
    assert said.startswith("Runs were resumed with other code, packages or task than they began with: code first (sum)")
    (tmp_path / "other").mkdir()
    assert carry_out(spec, Results(tmp_path / "other")).record.provenance.earlier == []


def _refused(folder):
    raise UsageError("no such device")


def _left(folder):
    raise Stopped


def test_a_run_that_is_not_there_is_not_set_aside(tmp_path):
    with pytest.raises(UsageError, match="s/abc: there is no such run"):
        Results(tmp_path).set_aside("s", "abc")
    assert not list(tmp_path.iterdir())


def test_the_hash_of_the_code_is_that_of_its_sources(tmp_path, monkeypatch):
    provenance.code_hash.cache_clear()
    before = provenance.code_hash()
    assert len(before) == 12
    (tmp_path / "baselines").mkdir()
    (tmp_path / "baselines" / "__init__.py").write_text("")
    others = provenance.source_folders()[1:]
    monkeypatch.setattr(provenance, "source_folders", lambda: [tmp_path / "baselines", *others])
    provenance.code_hash.cache_clear()
    other = provenance.code_hash()
    assert other != before
    (tmp_path / "baselines" / "notes.txt").write_text("not code")
    provenance.code_hash.cache_clear()
    assert provenance.code_hash() == other
    monkeypatch.undo()
    provenance.code_hash.cache_clear()
    assert provenance.code_hash() == before


def test_calibrations_of_one_machine_are_alike():
    assert 0.0 < provenance.calibrate() < 5.0
