"""The commands of the multi-task world model: its data are two linear systems with the names of real tasks."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("dm_control")

from pwm_bench.cli.main import main
from pwm_bench.store.results import Results
from pwm_bench.world_model.multitask.files import read_config
from tests.pwm_bench.cli.test_main import refused
from tests.pwm_bench.world_model.multitask.datasets import REAL_TASKS, write_linear_data

pytestmark = pytest.mark.usefixtures("short_episodes")

TINY = ("latent_dim=16", "encoder_hidden=[16]", "hidden=[24,24]", "num_q=2", "task_dim=4")


PRETRAIN = ["pretrain", "--device", "cpu", "--evaluations", "2", "--set", "batch_size=16", "--set", "horizon=4"]
for _size in TINY:
    PRETRAIN += ["--model-set", _size]


def _flags(name: str, values) -> list[str]:
    return [part for value in values for part in (name, value)]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("multitask")
    write_linear_data(path / "data", tasks=REAL_TASKS)
    assert main([*PRETRAIN, str(path / "data"), "--steps", "20", "--holdout", "0.2", "--results", str(path)]) == 0
    (run,) = Results(path).runs("pretrain")
    (path / "model").symlink_to(run.path / "model")
    return path


def test_pretrain_says_how_well_held_out_episodes_are_predicted(place, tmp_path, capsys) -> None:
    words = [*PRETRAIN, str(place / "data"), "--results"]
    assert main([*words, str(place), "--steps", "20", "--holdout", "0.2"]) == 0
    shown = capsys.readouterr().out
    assert "nothing to do" in shown
    assert "held-out episodes: open-loop errors after 1 and 4 steps" in shown
    left = next(line for line in shown.splitlines() if line.strip().startswith("cartpole-balance")).split()
    assert all(float(value) > 0 for value in left[1:])
    (run,) = Results(place).runs("pretrain")
    assert f"pwm-bench extract {run.path} {place / 'data'}" in shown
    assert main([*words, str(tmp_path), "--steps", "2", "--holdout", "0.001"]) == 0
    shown = capsys.readouterr().out
    assert "no episode was held out" in shown
    assert "open-loop" not in shown


def test_pretrain_goes_on_with_a_model(place, tmp_path, capsys) -> None:
    (first,) = Results(place).runs("pretrain")
    words = ["pretrain", str(place / "data"), "--steps", "2", "--set", "batch_size=16", "--set", "horizon=4"]
    words += ["--evaluations", "2", "--results", str(tmp_path), "--device", "cpu"]
    assert main([*words, "--continue-from", str(first.path)]) == 0
    assert "world model · continued" in capsys.readouterr().out
    (run,) = Results(tmp_path).runs("pretrain")
    record = run.read()
    assert record.spec["inputs"]["continues"]["digest"] == first.read().artifacts["model"].digest
    assert main(["results", "ls", "pretrain", "--results", str(tmp_path)]) == 0
    assert main(["results", "show", record.id, "--results", str(tmp_path)]) == 0
    assert "artifact model" in capsys.readouterr().out
    assert main(["results", "verify", "--results", str(tmp_path)]) == 0
    copy = str(tmp_path / "copy")
    assert main(["results", "merge", str(tmp_path), "--results", copy]) == 0
    assert main(["results", "merge", str(tmp_path), "--results", copy]) == 0
    assert "1 kept" in capsys.readouterr().out
    out = ("--format", "csv", "--output", str(tmp_path / "out"))
    assert main(["results", "export", "pretrain", "--results", str(tmp_path), *out]) == 0
    tables = {file.stem: pd.read_csv(file) for file in (tmp_path / "out").iterdir()}
    assert set(tables) == {"runs", "run_metrics", "evaluations"}
    (row,) = tables["runs"].to_dict("records")
    assert [row[name] for name in ("study", "run_id", "kind", "status")] == ["pretrain", record.id, "pretrain", "ok"]
    assert (row["gradient_steps"], row["artifact_model"]) == (2, record.artifacts["model"].digest)
    assert list(tables["run_metrics"]["gradient_steps"]) == [1, 2]
    assert tables["run_metrics"]["loss"].notna().all()
    errors = tables["evaluations"].set_index(["index", "quantity", "task", "step"])["value"]
    last = run.evaluations.read()[-1]["extras"]
    assert errors[1, "latent_error", "pendulum-swingup", 4] == pytest.approx(last["latent_error"][1][3])
    assert len(errors) == 2 * 2 * (4 + 4 + 4 + 1)  # evaluations, tasks, steps of each quantity


def test_extract_and_compare_follow_pretrain(place, tmp_path, capsys) -> None:
    settings = ("batch_size=8", "horizon=4", "hidden_actor=[8]", "hidden_critic=[8]", "critic_iterations=1")
    where = ("--results", str(tmp_path), "--device", "cpu", "--workers", "0")
    small = ("--iterations", "4", "--evaluations", "2", "--evaluation-episodes", "1", *where)
    extract = ["extract", str(place / "model"), str(place / "data"), *small]
    assert main([*extract, *_flags("--set", settings)]) == 0
    shown = capsys.readouterr().out
    assert all(f" {task.name} " in shown for task in REAL_TASKS)
    (run,) = (tmp_path / "runs" / "extract").iterdir()
    assert f"run: {run}" in shown
    assert main([*extract, *_flags("--set", settings), "--workers", "1"]) == 0
    assert "Finished before; nothing to do." in capsys.readouterr().out
    planner = ("samples=8", "policy_samples=2", "elites=4", "iterations=1", "horizon=1")
    compare = ["compare", str(place / "model"), "--experts", str(run), "--episodes", "1", *where]
    assert main([*compare, *_flags("--planner-set", planner)]) == 0
    shown = capsys.readouterr().out
    assert "tdmpc2-prior tdmpc2-planning pwm pwm-planning" in " ".join(shown.split())
    imitating = (*settings, "imitation=5", "imitation_best=0.5")
    assert main([*extract, *_flags("--set", imitating), "--seeds", "2"]) == 0
    assert "score of the" in capsys.readouterr().out
    (other,) = {path.name for path in (tmp_path / "runs" / "extract").iterdir()} - {run.name}
    record = Results(tmp_path).run("extract", other)
    assert record.read().spec["config"]["imitation"] == 5.0
    assert all(value > 0 for value in record.metrics.read()[-1]["values"]["actor_regulariser"])
    assert main(["clone", str(place / "data"), *small, "--best", "0.5", "--study", "extract"]) == 0
    capsys.readouterr()
    assert main(["table", "extract", "--results", str(tmp_path), "--metric", "score"]) == 0
    assert main(["table", "compare", "--results", str(tmp_path), "--metric", "score"]) == 0
    assert main(["results", "verify", "--results", str(tmp_path)]) == 0
    assert main(["results", "ls", "extract", "--results", str(tmp_path)]) == 0
    assert "pwm-multitask" in capsys.readouterr().out
    assert main(["results", "show", run.name, "--results", str(tmp_path)]) == 0
    assert "artifact policies" in capsys.readouterr().out
    assert main(["results", "export", "extract", *where[:2], "--format", "csv", "--output", str(tmp_path / "out")]) == 0
    assert "cartpole-balance" in "".join(file.read_text() for file in (tmp_path / "out").glob("*.csv"))


def test_a_checkpoint_comes_in_and_goes_out(tmp_path, capsys) -> None:
    from tests.pwm_bench.world_model.multitask import factories

    factories.write_tdmpc2(tmp_path / "old.pt", factories.tiny_weights(), "old")
    (tmp_path / "tasks.txt").write_text("a\nb\nc\n")
    words = ["import", str(tmp_path / "old.pt"), "--tasks", str(tmp_path / "tasks.txt"), "--results", str(tmp_path)]
    assert "give --log-std LOW HIGH" in refused(capsys, *words)
    words += ["--log-std", "-5", "0.5"]
    assert "give --value-limit X" in refused(capsys, *words)
    assert not list(tmp_path.rglob("run.json"))
    assert main([*words, "--value-limit", "20"]) == 0
    (run,) = Results(tmp_path).runs("import")
    assert f"pwm-bench extract {run.path} DATA" in capsys.readouterr().out
    config = read_config(run.path / "model")
    assert (config.tasks, config.log_std_min, config.log_std_max, config.bin_limit) == (("a", "b", "c"), -5, 0.5, 20)
    for layout in ("old", "new"):
        out = str(tmp_path / f"{layout} again.pt")
        assert main(["export", str(run.path), "--layout", layout, "--output", out]) == 0
        again = ["import", out, "--study", layout, "--results", str(tmp_path)]
        assert main(again) == 0  # our own files say everything
        (other,) = Results(tmp_path).runs(layout)
        assert other.read().artifacts["model"].digest == run.read().artifacts["model"].digest
    capsys.readouterr()
    assert "is there already" in refused(capsys, "export", run.path, "--output", out)
    assert "unknown layout 'newer'" in refused(capsys, "export", run.path, "--layout", "newer")


@pytest.mark.usefixtures("toys")
def test_bad_input_is_one_line(place, tmp_path, capsys) -> None:
    model, data, released = str(place / "model"), str(place / "data"), tmp_path / "released.pt"
    released.touch()
    for message, *arguments in (
        ("unknown model size '5G'", data, "--size", "5G"),
        ("unknown recipe 'pwn'", data, "--recipe", "pwn"),
        ("none: no such file or folder", tmp_path / "none"),
        ("--steps=1.5: must be a whole number", data, "--steps", "1.5"),
        ("keeps its sizes; leave them out", data, "--continue-from", model, "--size", "1M"),
        ("holds no world model", data, "--continue-from", data),
        ("model: not a dataset", model),
    ):
        assert message in refused(capsys, "pretrain", *arguments, "--results", tmp_path)
    for message, *arguments in (
        ("unknown task in the data 'up'", model, data, "--tasks", "up"),
        ("unknown variant", model, data, "--variant", "x"),
        ("holds no world model", tmp_path, data),
        ("no such file", tmp_path / "x.pt", data),
        ("first bring it in, pwm-bench import", released, data),
        ("device=cuda:99: torch", model, data, "--device", "cuda:99"),
    ):
        assert message in refused(capsys, "extract", *arguments, "--results", tmp_path)
    for message, *arguments in (
        ("unknown way to act 'mppi'", model, "--arms", "mppi"),
        ("--arms pwm: needs PWM's policies", model, "--arms", "pwm"),
        ("evaluation_episodes=0", model, "--episodes", "0"),
        ("holds no extracted policies", model, "--experts", place / "model" / "model.json"),
    ):
        assert message in refused(capsys, "compare", *arguments, "--results", tmp_path)
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").rglob("run.json"))
