from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from envs.errors import UsageError
from pwm_bench.jobs import offline
from pwm_bench.jobs.offline import train_offline
from pwm_bench.jobs.offline_spec import ExtractionSpec, model_digest
from pwm_bench.jobs.pretraining import model_config_of
from pwm_bench.pwm.extraction.config import ExtractionConfig
from pwm_bench.pwm.extraction.train import Extractor
from pwm_bench.runs.job import EvaluationResult
from pwm_bench.store import checkpoint
from pwm_bench.store.frames import load_study, members_frame
from pwm_bench.store.identity import identity
from pwm_bench.store.results import Results
from pwm_bench.world_model.dataset import Dataset, ObservationSampler
from pwm_bench.world_model.multitask.networks import MultitaskModel
from tests.pwm_bench.world_model.multitask.datasets import write_linear_data

SIZE = {"latent_dim": 16, "encoder_hidden": (16,), "hidden": (24, 24), "num_q": 0, "task_dim": 4}
SMALL = {"batch_size": 8, "horizon": 4, "actor_hidden": (12,), "critic_hidden": (12,), "critic_iterations": 2}
EPISODES = 3


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Dataset:
    path = tmp_path_factory.mktemp("data")
    write_linear_data(path)
    return Dataset(path)


def _parts(data: Dataset, **changes) -> tuple[ExtractionSpec, Extractor]:
    model = MultitaskModel(model_config_of(data, SIZE), seed=0)
    config = ExtractionConfig(**(SMALL | {"iterations": 12} | changes))
    fields = {
        "model": "m",
        "model_digest": model_digest(model),
        "data": "d",
        "data_digest": data.digest,
        "tasks": data.names,
        "seeds": (0, 7),
    }
    spec = ExtractionSpec(config=config, evaluations=3, evaluation_episodes=EPISODES, **fields)
    starts = ObservationSampler(data, [expert.task for expert in spec.experts])
    return spec, Extractor(model, spec.experts, config, starts=starts)


def test_the_id_is_of_settings_and_of_the_content_of_inputs(data) -> None:
    spec, _ = _parts(data)
    assert identity("extract", spec.to_dict()) == spec.id
    assert dataclasses.replace(spec, config=dataclasses.replace(spec.config, imitation=3.0)).id != spec.id
    moved = dataclasses.replace(spec, data="elsewhere", model="elsewhere", study="other")
    assert moved.id == spec.id
    for changed in ({"data_digest": "1"}, {"model_digest": "1"}):
        assert dataclasses.replace(spec, **changed).id != spec.id


def _evaluate(act) -> EvaluationResult:
    """Returns that depend on the policies: the first component of their actions."""
    action = act(torch.ones(4, EPISODES, 4))
    values = action[..., 0].double().tolist()
    halves = [[value / 2 for value in row] for row in values]
    return EvaluationResult(returns=values, lengths=[[20] * EPISODES] * 4, invalid=[0] * 4, extras={"score": halves})


def test_members_are_rows_of_their_own_tasks(data, tmp_path) -> None:
    spec, extractor = _parts(data)
    events = []
    record = train_offline(spec, extractor, Results(tmp_path), evaluate=_evaluate, progress=events.append)
    assert record.status == "ok"
    assert [(m.task, m.seed) for m in record.members] == [("left", 0), ("left", 7), ("right", 0), ("right", 7)]
    assert record.counts.iterations == 12
    assert record.counts.imagined_steps == 12 * 8 * 4
    assert events[-1].phase == "done"
    frame = members_frame(load_study(Results(tmp_path), "extract").runs, metric="score")
    assert frame["task"].tolist() == ["left", "left", "right", "right"]
    assert frame["final"].tolist() == pytest.approx([m.final_return / 2 for m in record.members])
    lines = Results(tmp_path).run("extract", spec.id).evaluations.read()
    assert [line["gradient_steps"] for line in lines] == [0, 6 * 9, 12 * 9]
    again = train_offline(spec, _parts(data)[1], Results(tmp_path), evaluate=_evaluate)
    assert again.updated_at == record.updated_at


def test_stopped_and_resumed_equals_undisturbed(data, tmp_path, monkeypatch) -> None:
    spec, extractor = _parts(data)
    straight = train_offline(spec, extractor, Results(tmp_path / "a"), evaluate=_evaluate)

    class Stop(offline.StopRequest):
        asked = 0

        def __bool__(self) -> bool:
            self.asked += 1
            return self.asked > 7

    spec, extractor = _parts(data)
    with monkeypatch.context() as patch:
        patch.setattr(offline, "stop_request", Stop)
        stopped = train_offline(spec, extractor, Results(tmp_path / "b"), evaluate=_evaluate)
    assert (stopped.status, stopped.counts.iterations) == ("interrupted", 3)  # the flag is looked at twice an iteration
    resumed = train_offline(spec, _parts(data)[1], Results(tmp_path / "b"), evaluate=_evaluate)
    assert (resumed.status, resumed.attempts) == ("ok", 2)
    assert [m.final_return for m in resumed.members] == [m.final_return for m in straight.members]
    values = [
        [line["values"] for line in Results(tmp_path / name).run("extract", spec.id).metrics.read()] for name in "ab"
    ]
    assert values[0] == values[1]


def test_a_checkpoint_of_another_version_is_named(data, tmp_path, monkeypatch) -> None:
    spec, extractor = _parts(data)
    with monkeypatch.context() as patch:
        patch.setattr(offline.StopRequest, "__bool__", lambda _: True)
        train_offline(spec, extractor, Results(tmp_path), evaluate=_evaluate)
    path = Results(tmp_path).run("extract", spec.id).checkpoint
    state = checkpoint.load(path, spec_id=spec.id).state
    del state["job"]["starts"]
    checkpoint.save(path, state, spec_id=spec.id)
    with pytest.raises(UsageError, match=r"checkpoint: holds no 'starts'.*another version"):
        train_offline(spec, _parts(data)[1], Results(tmp_path), evaluate=_evaluate)


def test_a_failure_is_recorded(data, tmp_path) -> None:
    spec, extractor = _parts(data)

    def broken(_act) -> EvaluationResult:
        raise RuntimeError("a worker is gone")

    record = train_offline(spec, extractor, Results(tmp_path), evaluate=broken)
    assert (record.status, record.reason) == ("failed", "RuntimeError: a worker is gone")


def test_the_name_of_a_run_follows_its_content(data) -> None:
    spec, _ = _parts(data)
    assert _parts(data)[0].id == spec.id
    assert _parts(data, gamma=0.9)[0].id != spec.id


def test_starts_are_observations_of_the_members_task(data) -> None:
    from pwm_bench.learning.random import MemberStream

    starts: Tensor = ObservationSampler(data, ["right", "left"])(MemberStream([0, 1]), 5)
    assert starts.shape == (2, 5, 4)
    assert (starts[0, :, 3] == 0).all()  # "right" has three features
    assert (starts[1, :, 3] != 0).all()
    with pytest.raises(UsageError, match="unknown task in the data 'up'"):
        ObservationSampler(data, ["up"])
