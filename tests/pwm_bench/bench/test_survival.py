"""The soak: it kills, it ends, and it notices what is lost."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from pwm_bench.bench.survival import compare, snapshot
from pwm_bench.cli.main import main
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.store.results import Results
from tests.pwm_bench.cli.toy_cli import toy_spec

pytestmark = pytest.mark.usefixtures("toys")


def run_soak(*arguments) -> subprocess.CompletedProcess:
    """Forks only from a process in which torch has not computed."""
    words = [sys.executable, "-m", "tests.pwm_bench.bench.soak_toys", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("typed", [0.0, 0.5])
def test_a_short_soak_loses_nothing(tmp_path, typed):
    done = run_soak(tmp_path, "shared", 12, typed)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["problems"] == []
    assert outcome["kills"] == outcome["told"] == 12
    assert outcome["victims"] == ["run", "sweep"]
    assert outcome["runs"] == 5 * outcome["rounds"] > 0
    assert outcome["resumes"] > 0
    assert (outcome["typed"] > 0) == (typed > 0)


def test_an_undisturbed_sweep_must_be_sound(tmp_path):
    done = run_soak(tmp_path, "toys", 1, 0.0)
    assert "bench survival: the undisturbed sweep failed; see `pwm-bench sweep toys`" in done.stderr


LOSSES = {
    "a digit of a metric": lambda d: _edit(d.metrics.path, '"iteration":3', '"iteration":4'),
    "an evaluation": lambda d: d.evaluations.path.write_text(d.evaluations.path.read_text().splitlines()[0] + "\n"),
    "a weight": lambda d: _edit(d.checkpoint / "state.json", '"sha256": "', '"sha256": "0'),
    "a file left over": lambda d: (d.path / ".run.json.x.tmp").write_text(""),
    "a member": lambda d: _edit(d.record_file, '"status": "ok",\n      "diverged_at"',
                                '"status": "diverged",\n      "diverged_at"'),
    "all": lambda d: d.record_file.unlink(),
}  # fmt: skip


def _edit(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("loss", LOSSES)
def test_any_loss_is_noticed(tmp_path, loss):
    spec = toy_spec()
    carry_out(spec, Results(tmp_path))
    directory = Results(tmp_path).run(spec.study, spec.id)
    expected = snapshot(directory)
    assert compare(directory, expected) == []
    LOSSES[loss](directory)
    assert compare(directory, expected)


def test_clocks_and_memory_are_no_loss(tmp_path):
    spec = toy_spec()
    carry_out(spec, Results(tmp_path))
    directory = Results(tmp_path).run(spec.study, spec.id)
    expected = snapshot(directory)
    record = directory.read()
    record.clocks.train += 5.0
    record.memory.resident += 4096
    record.attempts = 9
    directory.write(record)
    assert compare(directory, expected) == []


@pytest.mark.parametrize(
    "words",
    [["simulators", "--kills", "3"], ["survival", "--runs", "3"], ["survival", "--kills", "0"],
     ["results", "--runs", "-1"], ["survivall"]],
)  # fmt: skip
def test_options_that_do_not_belong_are_refused(words, capsys):
    assert main(["bench", *words]) == 2
    assert capsys.readouterr().err.startswith("error: ")
