"""A package from outside: conformance, a study in worker processes, lists, tables, figures, the report, gradients."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import pytest

from pwm_bench import envs, testing
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.store.results import Results

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.fixture(autouse=True)
def _on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not installed, and so known as ``module:attribute`` alone."""
    monkeypatch.syspath_prepend(str(HERE))


def test_its_things_conform() -> None:
    testing.check_simulator("spring_lab.simulator:SimulatorLinear", "spring_lab.task:Shuttle")
    testing.check_task("spring_lab.task:Shuttle")
    testing.check_learner("spring_lab:learner", num_envs=4, horizon=4)
    testing.check_estimator("spring_lab.estimator:Spherical")


def test_its_simulator_moves_as_mujoco_does() -> None:
    ends = []
    for simulator, substeps in (("spring_lab.simulator:SimulatorLinear", 400), ("mujoco_c", 400)):
        env = envs.make("spring_lab.task:Shuttle", simulator, num_envs=2, substeps=substeps)
        for _ in range(30):
            step = env.step(env.obs[:, :1].clamp(-1.0, 1.0))
        ends.append(step.final_obs)
    assert ends[0].sub(ends[1]).abs().max() < 1e-3


def test_a_run_of_it_names_where_it_came_from(tmp_path: Path) -> None:
    spec = RunSpec.create(
        task="spring_lab.task:Shuttle",
        simulator="spring_lab.simulator:SimulatorLinear",
        algorithm="spring_lab:learner",
        env_steps=512,
        evaluations=2,
        evaluation_episodes=2,
        device="cpu",
    )
    record = carry_out(spec, Results(tmp_path)).record
    assert record.status == "ok"
    assert record.gradient_check is not None
    assert record.gradient_check.relative_error < 1e-6
    assert record.provenance is not None
    assert list(record.provenance.plugins) == ["spring_lab"]
    (code,) = record.provenance.plugins.values()
    assert len(code) == 12  # it belongs to no distribution, so a hash over its sources stands for the version


class Lab:
    """A scratch environment in which the package is installed beside everything that is installed here."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.python = folder, folder / "env" / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
        here = sysconfig.get_paths()["purelib"]
        (site,) = (folder / "env" / "lib").glob("python*/site-packages")
        (site / "here.pth").write_text(f"import site; site.addsitedir({here!r})\n")
        self.run(
            *(sys.executable, "-m", "pip", "--python", self.python, "install", "--quiet", "--no-deps", "--no-index"),
            *("--no-build-isolation", "--disable-pip-version-check", self._copy()),
        )

    def _copy(self) -> Path:
        """The sources, where building them leaves nothing in the checkout."""
        source = self.folder / "source"
        (source / "spring_lab").mkdir(parents=True)
        for file in (HERE / "pyproject.toml", *(HERE / "spring_lab").glob("*.py")):
            (source / file.relative_to(HERE)).write_text(file.read_text())
        return source

    def run(self, *command: str | Path) -> str:
        """What a command prints."""
        paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        done = subprocess.run(
            list(map(str, command)),
            cwd=self.folder,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths, "COLUMNS": "200"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def pwm_bench(self, *arguments: str) -> str:
        """What the command line prints."""
        return self.run(self.python, "-P", "-m", "pwm_bench", *arguments)


CHECKS = """
from pwm_bench import testing
testing.check_simulator("linear", "shuttle")
testing.check_simulator("warp", "shuttle")
testing.check_task("shuttle")
testing.check_learner("plain", num_envs=4, horizon=4)
testing.check_estimator("spherical")
"""


@pytest.mark.slow
def test_installed_it_is_as_good_as_ours(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.run(lab.python, "-P", "-c", CHECKS)
    listed = lab.pwm_bench("list")
    for name in ("linear", "shuttle", "plain", "shuttle-study", "spherical", "nice", "diary"):
        assert _line(listed, name).endswith("(from spring-lab 0.1)"), listed
    lab.pwm_bench("sweep", "shuttle-study", "--executor", "nice", "--reporter", "diary", "--jobs", "2")
    diary = [json.loads(line) for line in (tmp_path / "results" / "diary.jsonl").read_text().splitlines()]
    assert sorted(line["what"] for line in diary) == ["began"] * 4 + ["ended"] * 4
    assert {line["status"] for line in diary if line["what"] == "ended"} == {"ok"}
    records = [json.loads(file.read_text()) for file in (tmp_path / "results").glob("runs/shuttle-study/*/run.json")]
    for record in records:
        (version,) = record["provenance"]["plugins"].values()
        assert version.startswith("spring-lab 0.1 (")
    scores = {
        (record["spec"]["simulator"], record["spec"]["algorithm"], member["seed"]): member
        for record in records
        if record["kind"] == "train"
        for member in record["members"]
    }
    assert len(scores) == 6
    assert all(member["final_return"] > member["untrained_return"] for member in scores.values()), scores
    table = lab.pwm_bench("table", "shuttle-study", "--format", "latex")
    assert "Plain" in table
    assert "Linear" in table
    assert "Shuttle" in table
    lab.pwm_bench("plot", "shuttle-study", "--kind", "curves", "--format", "svg")
    assert list((tmp_path / "results" / "figures" / "shuttle-study").glob("*.svg"))
    lab.pwm_bench("report", "shuttle-study")
    page = (tmp_path / "results" / "reports" / "shuttle-study.html").read_text()
    assert "plain" in page
    assert "linear" in page
    sizes = ("--states", "4", "--samples", "32", "--reference-samples", "64", "--worlds", "64", "--horizons", "2")
    shown = lab.pwm_bench(
        "gradients", "shuttle", "--simulators", "linear", "--estimators", "analytic", "spherical", *sizes
    )
    assert "spherical" in shown


def _line(text: str, name: str) -> str:
    (line,) = (line.strip() for line in text.splitlines() if line.split()[:1] == [name])
    return line


def lines_of(files: Sequence[Path]) -> int:
    return sum(len(file.read_text().splitlines()) for file in files)


def test_the_page_shows_this_very_code() -> None:
    page = (ROOT / "docs" / "extend.md").read_text()
    for file in (HERE / "spring_lab").glob("*.py"):
        if file.name != "__init__.py":
            assert f"```python\n{file.read_text().rstrip()}\n```" in page, f"docs/extend.md shows another {file.name}"
    (entries,) = re.findall(r"(?s)\[project\.entry-points.*?(?=\n\n)", (HERE / "pyproject.toml").read_text())
    assert f"```toml\n{entries}\n```" in page


def test_it_is_short() -> None:
    """A simulator of one's own takes about sixty lines, and all seven things less than four hundred."""
    assert lines_of([HERE / "spring_lab" / "simulator.py"]) < 65
    assert lines_of([HERE / "pyproject.toml", *(HERE / "spring_lab").glob("*.py")]) < 400
