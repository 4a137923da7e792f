"""What the command line makes of things from outside, sound and broken ones."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from pwm_bench import envs
from pwm_bench.analysis.naming import algorithm_name, look_of_algorithm
from pwm_bench.cli.main import main
from pwm_bench.envs import plugins
from pwm_bench.names import published_task, simulator_name, task_name
from pwm_bench.studies.registry import load_study

EXTERNAL = Path(__file__).parents[2] / "external"
SOUND = {
    "pwm_bench.tasks": ("shuttle", "spring_lab.task:Shuttle"),
    "pwm_bench.simulators": ("linear", "spring_lab.simulator:SimulatorLinear"),
    "pwm_bench.algorithms": ("plain", "spring_lab.learner"),
    "pwm_bench.estimators": ("spherical", "spring_lab.estimator:Spherical"),
    "pwm_bench.studies": ("shuttle-study", "spring_lab.study:shuttle_study"),
}


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """In each group something that works, and something that cannot be imported."""

    def entry_points(group: str) -> dict[str, list[EntryPoint]]:
        offered = [("broken", "a_lab_that_is_gone:Thing"), *([SOUND[group]] if group in SOUND else [])]
        return {name: [EntryPoint(name, value, group)] for name, value in offered}

    monkeypatch.setattr(plugins, "_entry_points", entry_points)
    monkeypatch.syspath_prepend(str(EXTERNAL))


def test_what_cannot_be_imported_is_listed_with_its_error(
    packages: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "220")
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    assert text.count("a_lab_that_is_gone:Thing cannot be imported (ModuleNotFoundError: No module named") == 7
    for name in ("shuttle", "linear", "plain", "shuttle-study", "hopper", "warp", "shac", "quickstart"):
        assert [line for line in text.splitlines() if line.split()[:1] == [name]], name
    assert main(["list", "tasks"]) == 0
    text = capsys.readouterr().out
    assert "task 'broken' of a package without a name" in text
    assert "spring-lab" in text


def test_doctor_looks_at_what_there_is(
    packages: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "220")
    monkeypatch.setattr(envs.SIMULATORS, "own", {"mujoco_c": envs.SIMULATORS.own["mujoco_c"]})
    assert main(["doctor", "--results", str(tmp_path)]) == 0  # the lab's simulator does not take hinges
    text = capsys.readouterr().out
    assert "takes models in which all joints are slides" in text
    assert "a_lab_that_is_gone" in text


def test_names_in_print_are_their_own_and_records_import_nothing(packages: None) -> None:
    assert (algorithm_name("plain"), look_of_algorithm("Plain")) == ("Plain", 13)
    assert (simulator_name("linear"), task_name("shuttle"), published_task("shuttle")) == (
        "Linear",
        "Shuttle",
        "shuttle",
    )
    for name, shown in (("broken", "broken"), ("a_lab_that_is_gone:Thing", "Thing")):
        assert algorithm_name(name) == simulator_name(name) == shown
    sys.modules.pop("antigravity", None)
    assert task_name("antigravity:geohash") == "geohash"
    assert "antigravity" not in sys.modules


def test_a_study_from_outside_changes_as_ours_do(packages: None) -> None:
    study = load_study("shuttle-study", task=("shuttle",), simulator=("linear",), algorithm=("plain",), seeds=(3,))
    (spec,) = [spec for spec in study.specs if spec.kind == "train"]
    assert (spec.algorithm, spec.seeds) == ("plain", (3,))


def test_asking_for_names_and_looks_imports_no_engine() -> None:
    script = (
        "import sys; from pwm_bench import envs, registry; from pwm_bench.analysis.naming import look_of_algorithm\n"
        "looks = [look_of_algorithm(name) for name in registry.algorithms()]\n"
        "labels = [envs.capabilities(name).label for name in envs.simulators()]\n"
        "assert None not in looks and len(set(looks)) == len(looks), looks\n"
        "assert all(labels)\n"
        "print([name for name in ('torch', 'jax', 'warp', 'mujoco') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
