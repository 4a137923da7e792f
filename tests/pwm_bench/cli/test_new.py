"""`pwm-bench new` writes the package that the tests install from outside, under another name."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pwm_bench.cli.commands.new import PARTS
from pwm_bench.cli.main import main
from tests.pwm_bench.conftest import ROOT

EXTERNAL = ROOT / "tests" / "external"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_all_parts_are_those_of_the_package_that_is_tested(capsys) -> None:
    assert main(["new", "spring_lab"]) == 0
    written = {path.relative_to("spring_lab"): path for path in Path("spring_lab").rglob("*") if path.is_file()}
    theirs = {Path("pyproject.toml"), *(path.relative_to(EXTERNAL) for path in EXTERNAL.glob("spring_lab/*.py"))}
    assert set(written) == theirs | {Path("test_spring_lab.py")}
    for path in theirs:
        assert written[path].read_text() == (EXTERNAL / path).read_text(), path
    assert set(PARTS) == {path.stem for path in theirs} - {"__init__", "pyproject"}


def test_a_package_of_one_part_has_its_own_name_and_passes_its_test(capsys) -> None:
    assert main(["new", "my_lab", "task"]) == 0
    assert "--task my_lab.task:Shuttle --simulator warp --algorithm shac" in capsys.readouterr().out
    files = sorted(path.relative_to("my_lab").as_posix() for path in Path("my_lab").rglob("*") if path.is_file())
    assert files == ["my_lab/__init__.py", "my_lab/task.py", "pyproject.toml", "test_my_lab.py"]
    about = tomllib.loads(Path("my_lab/pyproject.toml").read_text())
    assert about["project"]["name"] == "my-lab"
    assert about["project"]["entry-points"] == {"pwm_bench.tasks": {"shuttle": "my_lab.task:Shuttle"}}
    assert 'source = "shuttle", "Shuttle", "my-lab"' in Path("my_lab/my_lab/task.py").read_text()
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd="my_lab", capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_parts_bring_what_their_example_uses() -> None:
    assert main(["new", "my_lab", "study"]) == 0
    assert {path.stem for path in Path("my_lab/my_lab").iterdir()} == {
        "__init__", "study", "simulator", "task", "learner", "estimator",
    }  # fmt: skip
    texts = [path.read_text() for path in Path("my_lab").rglob("*.*")]
    assert not any("spring_lab" in text or "spring-lab" in text for text in texts)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["my-lab"], "new my-lab: must be a name that Python can import, e.g. my_lab"),
        (["class"], "new class: must be a name that Python can import"),
        (["lab_"], "new lab_: must be a name that Python can import"),
        (["torch"], "new torch: another package has that name, and would be hidden; give another one"),
        (["my_lab", "taks"], "unknown part of a package 'taks': did you mean 'task'?"),
        (["there"], "new there: 'there' is there already; give another name, or remove it"),
    ],
)
def test_impossible_packages_are_refused(capsys, words, message) -> None:
    Path("there").mkdir()
    assert main(["new", *words]) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == ["there"]
