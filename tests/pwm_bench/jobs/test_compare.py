from __future__ import annotations

import dataclasses
import json

import pytest

pytest.importorskip("dm_control")

from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs import compare, kinds
from pwm_bench.jobs.compare import CompareJob, CompareSpec
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.jobs.planning import ARMS
from pwm_bench.jobs.suite_evaluation import SuiteEvaluator
from pwm_bench.store.inputs import Input, find_input
from pwm_bench.store.results import Results
from pwm_bench.store.verify import verify
from tests.pwm_bench.jobs.multitask import PLANNER, TASKS, evaluation, extraction, make_place
from tests.pwm_bench.runs.kills import check_kills, numbers

pytestmark = pytest.mark.usefixtures("short_episodes")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return make_place(tmp_path_factory.mktemp("multitask"))


@pytest.fixture(scope="module")
def policies(place):
    """The directory of an extraction."""
    spec, results = extraction(place, config={"iterations": 2}), Results(place)
    assert carry_out(spec, results).exit_code == 0
    return results.run(spec.study, spec.id).path


@pytest.mark.parametrize("arm", ARMS)
def test_every_way_to_act_leaves_a_record_and_is_not_repeated(place, policies, tmp_path, arm):
    spec = evaluation(place, arm, policies if arm.startswith("pwm") else None)
    values = json.loads(spec.to_json())
    assert kinds.spec_from(values.pop("kind"), values) == spec
    events, results = [], Results(tmp_path)
    record = carry_out(spec, results, progress=events.append).record
    assert (record.kind, record.status, record.gradient_source) == ("compare", "ok", "learned")
    assert [member.task for member in record.members] == list(TASKS)
    assert all(m.final_return is not None and m.untrained_return is None for m in record.members)
    assert {event.piece for event in events} == {"", "tasks 1 to 2 of 2"}
    directory = results.run(spec.study, spec.id)
    assert verify(directory) == []
    (line,) = directory.evaluations.read()
    assert line["extras"]["score"] == [[pytest.approx(member.final_return / 1000)] for member in record.members]
    assert (record.spec["algorithm"], (record.spec["config"] or {}).get("samples")) == (
        arm, PLANNER.samples if "planning" in arm else None,
    )  # fmt: skip
    assert carry_out(spec, results).skipped


def test_acting_in_reduced_precision_is_work_of_its_own(place, policies, tmp_path):
    results = Results(tmp_path)
    single, reduced = (evaluation(place, "tdmpc2-prior", precision=precision) for precision in ("float32", "bfloat16"))
    assert single.id == evaluation(place, "tdmpc2-prior").id != reduced.id
    records = [carry_out(spec, results).record for spec in (single, reduced)]
    assert [record.provenance.precision for record in records] == ["float32", "bfloat16"]
    assert records[0].members[0].final_return != records[1].members[0].final_return
    assert verify(results.run(reduced.study, reduced.id)) == []
    with pytest.raises(UsageError, match="precision=bfloat16: policies that act alone"):
        evaluation(place, "pwm", policies, precision="bfloat16")


def test_policies_act_as_in_the_last_evaluation_of_their_extraction(place, policies, tmp_path):
    spec, results = evaluation(place, "pwm", policies), Results(tmp_path)
    found = carry_out(spec, results).record.members
    trained = extraction(place, config={"iterations": 2})
    expected = Results(place).run(trained.study, trained.id).read().members
    assert [m.final_return for m in found] == pytest.approx([m.final_return for m in expected], rel=1e-4)


class HaltError(Exception):
    pass


def test_stopped_between_tasks_it_goes_on_with_the_next(place, tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "_TOGETHER", 1)
    spec, straight, broken = evaluation(place, "tdmpc2-prior"), Results(tmp_path / "a"), Results(tmp_path / "b")
    assert carry_out(spec, straight).exit_code == 0
    played = []
    original = SuiteEvaluator.__init__

    def counted(self, tasks, **options) -> None:
        played.extend(tasks)
        original(self, tasks, **options)

    monkeypatch.setattr(SuiteEvaluator, "__init__", counted)

    def halt(event) -> None:
        if event.piece == "tasks 2 to 2 of 2" and event.piece_done > 0:
            raise HaltError

    with pytest.raises(HaltError):
        carry_out(spec, broken, progress=halt)
    directory = broken.run(spec.study, spec.id)
    assert (directory.read().status, directory.evaluations.read()) == ("interrupted", [])
    assert carry_out(spec, broken).record.attempts == 2
    assert numbers(directory) == numbers(straight.run(spec.study, spec.id))
    assert played == [TASKS[0], TASKS[1], TASKS[1]]


@pytest.mark.slow
def test_killed_it_goes_on(place, tmp_path):
    check_kills(evaluation(place, "tdmpc2-prior"), tmp_path, kills=1)


@pytest.mark.slow
def test_killed_twenty_times_it_goes_on(place, policies, tmp_path):
    check_kills(evaluation(place, "pwm-planning", policies), tmp_path, kills=20)


def test_a_way_to_act_that_fails_leaves_a_record_and_is_tried_again(place, tmp_path, monkeypatch):
    spec, results = evaluation(place, "tdmpc2-prior"), Results(tmp_path)

    def broken(*_args, **_options):
        raise RuntimeError("the worlds are gone")

    with monkeypatch.context() as patch:
        patch.setattr(SuiteEvaluator, "__call__", broken)
        assert carry_out(spec, results).exit_code == 1
    directory = results.run(spec.study, spec.id)
    assert (directory.read().status, "the worlds are gone" in directory.traceback.read_text()) == ("failed", True)
    assert (carry_out(spec, results).record.status, directory.read().attempts) == ("ok", 2)


def test_policies_of_another_model_are_refused(place, policies, tmp_path):
    other = make_place(tmp_path / "other", seed=1)
    with pytest.raises(UsageError, match="trained in another world model"):
        CompareJob(evaluation(other, "pwm", policies))
    spec = evaluation(place, "pwm", policies)
    foreign = {**spec.inputs, "policies": find_input(place / "model" / "model.json", "policies")}
    with pytest.raises(UsageError, match="holds no extracted policies"):
        CompareJob(dataclasses.replace(spec, inputs=foreign))
    with pytest.raises(UsageError, match="unknown task"):
        CompareJob(dataclasses.replace(spec, tasks=("walker-run",)))


def test_impossible_specs_are_refused():
    model = {"model": Input(path="m", digest="0")}
    for message, fields in (
        ("unknown way to act 'planning'", {"arm": "planning"}),
        ("'policies' is missing", {"arm": "pwm"}),
        ("unknown input 'policies'", {"arm": "tdmpc2-prior", "inputs": model | {"policies": model["model"]}}),
        ("'tdmpc2-prior' plans nothing", {"arm": "tdmpc2-prior", "config": PLANNER}),
        ("has no seeds", {"arm": "tdmpc2-prior", "seeds": (1,)}),
        ("evaluation_episodes=0", {"arm": "tdmpc2-prior", "evaluation_episodes": 0}),
        ("unknown precision 'half'", {"arm": "tdmpc2-prior", "precision": "half"}),
    ):
        with pytest.raises(UsageError, match=message):
            CompareSpec(**{"tasks": TASKS, "inputs": model} | fields)
    assert CompareSpec(arm="tdmpc2-planning", tasks=TASKS, inputs=model).config.samples == 512
