from __future__ import annotations

import dataclasses
import json
import shutil

import pytest

pytest.importorskip("dm_control")

from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs import kinds
from pwm_bench.jobs.clone import CloneSpec
from pwm_bench.jobs.compare import CompareJob, CompareSpec
from pwm_bench.jobs.extract import ExtractionSpec, ExtractJob
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.jobs.suite_evaluation import SuiteEvaluator
from pwm_bench.learning.random import MemberStream
from pwm_bench.pwm.extraction.config import variant
from pwm_bench.store import checkpoint
from pwm_bench.store.frames import load_study, members_frame
from pwm_bench.store.inputs import Input, Pending, find_input, numbered
from pwm_bench.store.results import Results
from pwm_bench.store.verify import verify
from pwm_bench.world_model.dataset import Dataset, ObservationSampler
from tests.pwm_bench.jobs.multitask import TASKS, cloning, common, extraction, make_place
from tests.pwm_bench.runs.kills import check_kills, numbers
from tests.pwm_bench.world_model.multitask.datasets import REAL_TASKS, write_linear_data

pytestmark = pytest.mark.usefixtures("short_episodes")

SPECS = {"extract": extraction, "clone": cloning}
both = pytest.mark.parametrize("make", SPECS.values(), ids=SPECS)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return make_place(tmp_path_factory.mktemp("multitask"))


@both
def test_the_id_is_of_settings_and_of_the_content_of_inputs(place, tmp_path, make):
    spec = make(place)
    shutil.copytree(place, tmp_path / "copy")
    assert make(tmp_path / "copy", study="other", device="cuda", workers=3).id == spec.id
    assert make(place, config={"iterations": 13}).id != spec.id
    assert make(place, seeds=(1,)).id != spec.id
    for name, one in spec.inputs.items():
        other = dataclasses.replace(one, digest="0" * 64)
        assert dataclasses.replace(spec, inputs={**spec.inputs, name: other}).id != spec.id


@both
def test_a_spec_comes_back_from_its_record(place, make):
    spec = make(place, seeds=(0, 7))
    values = json.loads(spec.to_json())
    assert kinds.spec_from(values.pop("kind"), values) == spec
    assert (values["task"], values["simulator"], values["env_steps"]) == ("multitask", "suite", 0)


def test_a_spec_of_a_study_awaits_what_others_leave():
    inputs = {"model": Pending("world model", "model"), "data": Pending("data", "data")}
    spec = ExtractionSpec(tasks=TASKS, inputs=inputs)
    assert ExtractionSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    with pytest.raises(UsageError, match="run 'world model' has not left it yet"):
        spec.open_input("model")


def test_impossible_specs_are_refused():
    data = {"data": Input(path="d", digest="0")}
    for message, fields in (
        ("'model' is missing; pwm-multitask needs model and data", {"inputs": data}),
        ("unknown input 'modal'", {"inputs": data | {"modal": data["data"]}}),
        ("tasks=.*each once", {"tasks": ("a", "a")}),
        ("seeds=.*different whole numbers", {"seeds": (1, 1)}),
        ("evaluations=1", {"evaluations": 1}),
        ("device=gpu", {"device": "gpu"}),
        ("study='a/b'", {"study": "a/b"}),
    ):
        inputs = {"inputs": data | {"model": data["data"]}} if "inputs" not in fields else {}
        with pytest.raises(UsageError, match=message):
            ExtractionSpec(**{"tasks": TASKS} | inputs | fields)
    assert CloneSpec(tasks=("walker-run",), inputs=data).label == "walker-run · bc"


@both
def test_members_are_rows_of_their_own_tasks(place, tmp_path, make):
    spec, events, results = make(place, seeds=(0, 7)), [], Results(tmp_path)
    record = carry_out(spec, results, progress=events.append).record
    assert (record.kind, record.status) == (spec.kind, "ok")
    assert [(m.task, m.seed) for m in record.members] == [(task, seed) for task in TASKS for seed in (0, 7)]
    per_step = 9 if spec.kind == "extract" else 1  # two passes over four minibatches for the critics
    assert (record.counts.iterations, record.counts.gradient_steps) == (12, 12 * per_step)
    assert record.counts.imagined_steps == (12 * 8 * 4 if spec.kind == "extract" else 0)
    assert (record.schedule.unit, record.schedule.length) == ("gradient_steps", 12 * per_step)
    assert record.gradient_source == ("learned" if spec.kind == "extract" else None)
    directory = results.run(spec.study, spec.id)
    assert [line["gradient_steps"] for line in directory.evaluations.read()] == [0, 12 * per_step]
    assert verify(directory) == []
    frame = members_frame(load_study(results, "extract").runs, metric="score")
    assert frame["task"].tolist() == [TASKS[0], TASKS[0], TASKS[1], TASKS[1]]
    assert frame["final"].tolist() == pytest.approx([m.final_return / 1000 for m in record.members])
    assert (events[-1].phase, events[-1].unit, events[-1].total) == ("done", "iterations", 12)
    assert events[-1].values["score"] == pytest.approx(frame["final"].mean())
    assert carry_out(make(place, seeds=(0, 7), workers=None), results).skipped


class HaltError(Exception):
    pass


@both
def test_stopped_and_resumed_equals_undisturbed(place, tmp_path, make):
    spec = make(place, evaluations=3)
    straight, broken = Results(tmp_path / "a"), Results(tmp_path / "b")
    assert carry_out(spec, straight).exit_code == 0

    def halt(event) -> None:
        if event.phase == "evaluate" and event.done == 6:
            raise HaltError

    with pytest.raises(HaltError):
        carry_out(spec, broken, progress=halt)
    directory = broken.run(spec.study, spec.id)
    record = directory.read()
    assert (record.status, record.counts.iterations) == ("interrupted", 6)
    assert len(directory.evaluations.read()) == 1  # the one under way was abandoned
    assert carry_out(spec, broken).record.attempts == 2
    assert numbers(directory) == numbers(straight.run(spec.study, spec.id))


@pytest.mark.slow
@both
def test_killed_it_goes_on(place, tmp_path, make):
    check_kills(make(place), tmp_path, kills=1)


@pytest.mark.slow
@both
def test_killed_twenty_times_it_goes_on(place, tmp_path, make):
    check_kills(make(place, config={"iterations": 60}), tmp_path, kills=20)


def test_a_failure_is_recorded_and_tried_again(place, tmp_path, monkeypatch):
    spec, results = extraction(place), Results(tmp_path)

    def broken(*_args, **_options):
        raise RuntimeError("a worker is gone")

    with monkeypatch.context() as patch:
        patch.setattr(SuiteEvaluator, "__call__", broken)
        outcome = carry_out(spec, results)
    assert (outcome.record.status, outcome.record.reason) == ("failed", "RuntimeError: a worker is gone")
    directory = results.run(spec.study, spec.id)
    assert "in broken" in directory.traceback.read_text()
    assert carry_out(spec, results).record.status == "ok"
    assert directory.read().attempts == 2
    assert not directory.traceback.exists()


def test_several_datasets_are_read_as_one(place, tmp_path):
    write_linear_data(tmp_path / "data", episodes=3, tasks=REAL_TASKS)
    more = [find_input(one / "data", "data") for one in (place, tmp_path)]
    alone = cloning(place)
    spec = dataclasses.replace(alone, inputs=numbered("data", more))
    assert sorted(spec.inputs) == ["data.0", "data.1"]
    assert len({spec.id, alone.id, dataclasses.replace(alone, inputs=numbered("data", more[::-1])).id}) == 3
    assert spec.open_inputs("data") == [place / "data", tmp_path / "data"]
    assert carry_out(dataclasses.replace(spec, evaluations=2), Results(tmp_path)).record.status == "ok"
    misnamed = dataclasses.replace(alone, inputs={"data.first": more[0]})
    with pytest.raises(UsageError, match=r"inputs.data.first: must be 'data', or 'data.' and a number"):
        misnamed.open_inputs("data")


def test_a_changed_input_is_refused_and_nothing_left(tmp_path):
    place = make_place(tmp_path / "place")
    spec, results = extraction(place), Results(tmp_path / "results")
    make_place(place, seed=1)
    with pytest.raises(UsageError, match="its content has changed"):
        carry_out(spec, results)
    assert not results.run(spec.study, spec.id).record_file.exists()


def test_altered_data_is_found_before_anything_is_learned_from_it(tmp_path):
    place = make_place(tmp_path / "place")
    file = next((place / "data").rglob("reward.npy"))
    content = bytearray(file.read_bytes())
    content[-70] ^= 0x40
    file.write_bytes(content)
    for make in SPECS.values():
        with pytest.raises(UsageError, match=r"reward.npy: altered \(its checksum does not match\)"):
            carry_out(make(place), Results(tmp_path / "results"))


def test_data_that_does_not_fit_the_model_is_refused(place, tmp_path):
    with pytest.raises(UsageError, match="unknown task in the data 'walker-run'"):
        carry_out(extraction(place, tasks=(TASKS[0], "walker-run")), Results(tmp_path))
    write_linear_data(tmp_path / "data", episodes=1, tasks=(dataclasses.replace(REAL_TASKS[0], obs_dim=7),))
    (tmp_path / "model").symlink_to(place / "model")
    with pytest.raises(UsageError, match="sizes 7 and 1, but the world model takes 5 and 1 at most"):
        carry_out(extraction(tmp_path, tasks=TASKS[:1]), Results(tmp_path))


def test_a_file_of_another_program_is_refused_with_the_command_that_brings_it_in(place, tmp_path):
    (tmp_path / "released.pt").write_bytes(b"whatever it is")
    spec = extraction(place)
    model = {"model": find_input(tmp_path / "released.pt", "model")}
    for make in (
        lambda: ExtractJob(dataclasses.replace(spec, inputs={**spec.inputs, **model})),
        lambda: CompareJob(CompareSpec(arm="tdmpc2-prior", inputs=model, **common())),
    ):
        with pytest.raises(UsageError, match=r"first bring it in, pwm-bench import .*released.pt, and give that run"):
            make()


def test_what_the_world_model_is_stands_in_the_record(place, tmp_path):
    results = Results(tmp_path)
    told = carry_out(extraction(place), results).record.details["model"]
    assert (told["tasks"], told["log_std_min"], told["log_std_max"], told["bin_limit"]) == (list(TASKS), -10, 2, 10)


def test_the_released_variant_starts_where_the_whole_horizon_was_recorded(place):
    data = Dataset(place / "data")
    length = 20
    episode = [data.episode(0, nth) for nth in range(data.num_episodes(0))]
    assert all(len(one.reward) == length for one in episode)
    rows = {one.obs[t].tobytes(): t for one in episode for t in range(length + 1)}

    def drawn(horizon: int) -> set[int]:
        obs = ObservationSampler(data, TASKS[:1], horizon=horizon)(MemberStream([0]), 3000)[0]
        return {rows[row[: data.tasks[0].obs_dim].numpy().tobytes()] for row in obs}

    assert drawn(0) == set(range(length + 1))
    assert drawn(4) == set(range(length - 4 + 1))
    assert variant("released").followed_starts
    assert not variant("paper").followed_starts


def test_a_checkpoint_of_another_version_is_named(place, tmp_path):
    spec, results = extraction(place), Results(tmp_path)

    def halt(event) -> None:
        if event.phase == "train" and event.done:
            raise HaltError

    with pytest.raises(HaltError):
        carry_out(spec, results, progress=halt)
    path = results.run(spec.study, spec.id).checkpoint
    state = checkpoint.load(path, spec_id=spec.id).state
    del state["job"]["starts"]
    checkpoint.save(path, state, spec_id=spec.id)
    with pytest.raises(UsageError, match=r"checkpoint: holds no 'starts'.*another version"):
        carry_out(spec, results)
    directory = results.run(spec.study, spec.id)
    kept = [file.read_bytes() for file in (directory.record_file, directory.metrics.path, directory.evaluations.path)]
    header = path / "state.json"
    header.write_text(header.read_text().replace('"iteration"', '"iterations"', 1))
    with pytest.raises(UsageError, match=r"state.json: altered"):
        carry_out(spec, results)
    files = (directory.record_file, directory.metrics.path, directory.evaluations.path)
    assert [file.read_bytes() for file in files] == kept  # a damaged checkpoint leaves what there is


def test_starts_are_observations_of_the_members_task(place):
    starts = ObservationSampler(Dataset(place / "data"), TASKS[::-1])(MemberStream([0, 1]), 5)
    assert starts.shape == (2, 5, 5)
    assert (starts[0, :, 3:] == 0).all()  # the pendulum has three features
    assert (starts[1, :, 3:] != 0).all()
