"""Study files and changes of studies, through the command line."""

from __future__ import annotations

import json

import pytest

from pwm_bench.cli.main import main
from pwm_bench.store.results import Results
from pwm_bench.studies.file import load_file
from tests.pwm_bench.store.factories import make

GRID = """
[[runs]]
task = "{task}"
simulator = "{simulator}"
algorithm = "{algorithm}"
seeds = 2
env_steps = 600
evaluations = 2
evaluation_episodes = 1
device = "cpu"
{grid}
"""


def records(results) -> list[dict]:
    return [json.loads(run.record_file.read_text()) for run in Results(results).runs("mine")]


def test_init_writes_an_example_that_check_shows(tmp_path, capsys):
    file = tmp_path / "mine.toml"
    assert main(["study", "init", str(file)]) == 0
    assert f"pwm-bench sweep {file}" in capsys.readouterr().out
    assert main(["study", "init", str(file)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main(["study", "check", str(file), "--results", str(tmp_path / "r")]) == 0
    assert "2 of 2 runs are left" in capsys.readouterr().out
    assert not (tmp_path / "r" / "runs").exists()
    assert load_file(file).name == "mine"  # two examples are two studies
    assert main(["study", "init", str(tmp_path / "hopper.toml")]) == 0  # where the file's name is one of ours
    assert load_file(tmp_path / "hopper.toml").name == "my-study"


def test_long_names_leave_the_state_of_a_run_in_sight(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    places = {"task": "pwm_bench.testing.toy:PointMass", "simulator": "pwm_bench.testing.toy:SimulatorToy"}
    file = tmp_path / "mine.toml"
    file.write_text(GRID.format(**places, algorithm="ppo", grid="grid = { hidden_actor = [[32, 32], [64, 64]] }"))
    assert main(["study", "check", str(file), "--results", str(tmp_path)]) == 0
    words = capsys.readouterr().out.split()
    assert words.count("to") == words.count("do") == words.count("ppo") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("study", "chek"), "unknown action 'chek': did you mean 'check'"),
        (("study", "check", "quickstart"), "must be followed by a study file"),
        (("study", "init", "mine.py"), "the example is TOML"),
        (("sweep", "gone.toml"), "gone.toml: no such study file"),
        (("sweep", "toys", "--set", "learning_rte=1,2"), "unknown config field 'learning_rte': did you mean"),
        (("sweep", "toys", "--seeds", "1,x"), "--seeds 1,x: must be how many, e.g. 5, or a list such as 0,3,7"),
        (("sweep", "toys", "--dry-run", "--stale", "kep"), "unknown policy for stale runs 'kep': did you mean 'keep'"),
        (("sweep", "toys", "--dry-run", "--reporter", "nobody"), "unknown reporter 'nobody'"),
        (
            ("sweep", "toys", "--set", "momentum=1", "--set", "momentum=2"),
            "--set momentum: is given twice; give it once",
        ),
        (("sweep", "quickstart", "--preset", "publishd"), "unknown preset 'publishd': did you mean 'published'"),
    ],
)
def test_bad_input(tmp_path, toys, capsys, arguments, message):
    results = ("--results", str(tmp_path)) if arguments[0] == "sweep" else ()
    assert main([*arguments, *results]) == 2
    assert message in capsys.readouterr().err


def test_columns_that_no_table_has_are_refused_before_the_work(tmp_path, toys, capsys):
    file = tmp_path / "mine.toml"
    file.write_text('columns = ["learner"]\n[[runs]]\ntask = "point_mass"\nsimulator = "toy"\nalgorithm = "fake"\n')
    assert main(["sweep", str(file), "--results", str(tmp_path / "r")]) == 2
    assert "study 'mine': columns: unknown column 'learner'" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_runs_of_an_earlier_version_of_a_study_are_named(tmp_path, toys, capsys):
    for run_id in ("aaa", "bbb"):
        make(tmp_path, run_id, study="toys")
    assert main(["sweep", "toys", "--dry-run", "--results", str(tmp_path)]) == 0
    folder = tmp_path / "runs" / "toys"
    said = f"2 other runs in {folder}, of other seeds or settings than the study has now: tables show them, too"
    assert said in capsys.readouterr().out


def test_more_seeds_train_only_those_that_are_missing_and_tensorboard_has_curves(tmp_path, toys, capsys):
    pytest.importorskip("tensorboard")
    file = tmp_path / "mine.toml"
    file.write_text(GRID.format(task="point_mass", simulator="toy", algorithm="fake", grid=""))
    common = ("sweep", str(file), "--tensorboard", "--executor", "inline", "--results", str(tmp_path / "r"))
    for seeds in ("1", "2"):
        assert main([*common, "--seeds", seeds]) == 0
    assert sorted(record["spec"]["seeds"] for record in records(tmp_path / "r")) == [[0], [1]]
    assert len(list((tmp_path / "r").rglob("tensorboard/events*"))) == 2
    assert "2 runs, 1 done before, 1 to do now" in capsys.readouterr().out


@pytest.mark.slow
def test_a_grid_of_six_runs_with_two_seeds_dry_then_real_then_as_a_table(tmp_path, start):
    file, results = tmp_path / "mine.toml", tmp_path / "r"
    grid = "grid = { num_envs = [2, 4, 8], horizon = [8, 16] }"
    file.write_text(GRID.format(task="cartpole", simulator="mujoco_c", algorithm="ppo", grid=grid))

    def output(*arguments) -> str:
        process = start(*arguments, "--results", results, toys=False)
        out, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        return out

    assert "6 of 6 runs are left" in output("sweep", file, "--dry-run")
    assert not (results / "runs").exists()
    output("sweep", file)
    assert {(record["status"], len(record["members"])) for record in records(results)} == {("ok", 2)}
    assert len(records(results)) == 6
    assert "0 of 6 runs are left" in output("sweep", file, "--dry-run")
    rows = output("table", "mine", "--format", "csv").strip().splitlines()
    assert len(rows) == 7
    assert all("num_envs=" in row and "horizon=" in row for row in rows[1:]), rows


def test_a_study_without_scores_ends_well(tmp_path, capsys):
    pytest.importorskip("dm_control")
    file = tmp_path / "mine.toml"
    file.write_text('[[runs]]\nkind = "collect"\ntasks = ["cartpole-swingup"]\nepisodes = 1\nworkers = 0\n')
    assert main(["sweep", str(file), "--executor", "inline", "--results", str(tmp_path / "r")]) == 0
    assert "there are no scores" in " ".join(capsys.readouterr().out.split())
    assert [record["status"] for record in records(tmp_path / "r")] == ["ok"]
