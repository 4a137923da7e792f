"""Multi-task studies: their commands, and a very small one from nothing to its table."""

from __future__ import annotations

import pytest

from envs.errors import UsageError
from pwm_bench.analysis.tables.scores import summarise
from pwm_bench.cli.main import main
from pwm_bench.store.frames import load_study
from pwm_bench.store.results import Results
from pwm_bench.studies import multitask as pipelines
from pwm_bench.studies.multitask import PIPELINES, Pipeline, stages
from pwm_bench.world_model.dataset import Dataset
from tests.pwm_bench.cli.test_main import refused

TINY_MODEL = ("latent_dim=16", "encoder_hidden=[16]", "hidden=[24,24]", "num_q=2", "task_dim=4")
TINY_ACTOR = ("batch_size=8", "horizon=4", "actor_hidden=[8]", "critic_hidden=[8]", "critic_iterations=1")


def _left(root, study, kind):
    (run,) = [run for run in Results(root).runs(study) if run.read().kind == kind]
    return run.path / run.read().artifacts["data"].file


def _repeated(flag: str, values) -> tuple[str, ...]:
    return tuple(part for value in values for part in (flag, value))


TINY = Pipeline(
    description="tiny",
    tasks=("mw-reach", "mw-push"),
    collect=("--episodes", "3", "--noise", "0.1", "--workers", "0"),
    pretrain=(
        "--holdout", "0.2", "--evaluations", "2", *_repeated("--set", ("batch_size=8", "horizon=4")),
    ),
    sizes=_repeated("--model-set", TINY_MODEL),
    steps=(3, 2),
    round_extract=("--iterations", "2", "--evaluations", "2", "--evaluation-episodes", "1", "--workers", "0",
                   *_repeated("--set", TINY_ACTOR)),
    round_collect=("--episodes", "2", "--noise", "0", "--workers", "0"),
    extracts=tuple(
        ("--iterations", "2", "--evaluations", "2", "--workers", "0", *_repeated("--set", (*TINY_ACTOR, *more)))
        for more in (("imitation=3",), ())
    ),
    clones=(("--iterations", "3", "--workers", "0"), ("--iterations", "3", "--best", "0.4", "--workers", "0")),
    compare=("--arms", "tdmpc2-prior", "--workers", "0"),
    episodes=2,
)  # fmt: skip


@pytest.mark.parametrize("name", [name for name, pipeline in PIPELINES.items() if pipeline.collect is None])
def test_published_suites_need_data_and_a_model(name, tmp_path) -> None:
    with pytest.raises(UsageError, match=f"'{name}' needs --data DIR"):
        next(stages(name, tmp_path))
    with pytest.raises(UsageError, match=f"'{name}' needs --model FILE"):
        next(stages(name, tmp_path, data=tmp_path))
    (tmp_path / "chunk_0.pt").touch()
    found = stages(name, tmp_path / "r", data=tmp_path, model=tmp_path / "m.pt", device="cuda:1")
    data, experts = next(found), next(found)
    converted = str(tmp_path / "r" / "data" / name)
    assert data.arguments == ("convert", str(tmp_path), converted, "--suite", name)
    assert experts.arguments[:5] == ("extract", str(tmp_path / "m.pt"), converted, "--tasks", name)
    assert experts.arguments[-2:] == ("--device", "cuda:1")
    (tmp_path / "r" / "runs" / name).mkdir(parents=True)
    with pytest.raises(UsageError, match="holds no finished extraction"):
        next(found)


def test_from_nothing_to_a_table_and_then_nothing_to_do(tmp_path, monkeypatch, capsys) -> None:
    pytest.importorskip("metaworld")
    monkeypatch.setattr(pipelines, "PIPELINES", {"tiny": TINY})
    arguments = ["sweep", "tiny", "--results", str(tmp_path), "--device", "cpu"]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "10. other ways to act" in shown  # after data, model, a round of three, two clonings, two extractions
    assert "pwm-bench pretrain" in shown
    data = Dataset([_left(tmp_path, study, "collect") for study in ("tiny", "tiny-rounds")])
    assert [data.num_episodes(task) for task in (0, 1)] == [5, 5]
    (first,) = [run for run in Results(tmp_path).runs("tiny-rounds") if run.read().kind == "extract"]
    policies = first.read().members
    played = [data.episode(task, n).reward.sum() for task in (0, 1) for n in (3, 4)]
    assert len({round(float(value), 3) for value in (*played, *(m.final_return for m in policies))}) == 6
    models = [run.read() for run in Results(tmp_path).runs("tiny") if run.read().kind == "pretrain"]
    going_on = [record for record in models if "continues" in record.spec["inputs"]]
    assert [len(models), going_on[0].counts.gradient_steps] == [2, 2]
    assert set(going_on[0].spec["inputs"]) == {"continues", "data.0", "data.1"}
    loaded = load_study(Results(tmp_path), "tiny")
    kinds = [run.record.spec["algorithm"] for run in loaded.runs]
    assert sorted(kinds) == ["bc", "bc", "pwm-multitask", "pwm-multitask", "tdmpc2-prior"]
    assert {run.record.status for run in loaded.runs} == {"ok"}
    summary = summarise(loaded, study="tiny", metric="score")
    assert len(summary.rows) == 2 * len(kinds)
    assert {(row.algorithm, row.tasks) for row in summary.overall} == {(k, ("mw-push", "mw-reach")) for k in kinds}
    before = {run.record.id: run.record.updated_at for run in loaded.runs}
    assert main(arguments) == 0
    assert "nothing was left to do" in capsys.readouterr().out
    again = load_study(Results(tmp_path), "tiny")
    assert {run.record.id: run.record.updated_at for run in again.runs} == before


@pytest.mark.usefixtures("toys")
def test_bad_input_is_one_line(capsys, tmp_path) -> None:
    assert "not for the multi-task study" in refused(capsys, "sweep", "multitask-quick", "--scale", "0.1")
    assert "--model: only for the multi-task studies" in refused(capsys, "sweep", "hopper", "--model", "m")
    assert "did you mean 'multitask'" in refused(capsys, "sweep", "multitasks", "--results", tmp_path)
