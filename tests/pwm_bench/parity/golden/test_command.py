"""``pwm-bench parity TASK --golden FILE``: what it prints, stores and returns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pwm_bench.cli.main import main
from pwm_bench.parity.golden.file import read_golden
from pwm_bench.parity.golden.record import read, record_path
from tests.pwm_bench.parity.golden.recordings import GOLDEN, arrays_of, save, shortened


def run(*arguments: object) -> int:
    return main(["parity", *map(str, arguments)])


def short(tmp_path: Path, **changes: np.ndarray) -> Path:
    """Nine steps of cartpole's recording."""
    return save(tmp_path / "short.npz", shortened(arrays_of("cartpole"), 9) | changes)


def test_a_misfit_is_shown_and_stored(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    file = short(tmp_path, model_joint_armature=np.array([0.1, 0.3], np.float32))
    assert run("cartpole", "--golden", file, "--results", tmp_path) == 1
    shown = capsys.readouterr().out
    assert "cartpole in Warp against dflex" in shown
    assert "short.npz: 4 worlds, 9 control steps; simulated: the first 9" in shown
    assert "armature of cart_to_pole: ours 0.1, published 0.3" in shown
    assert "published adjoint, H = 8, float32" in shown
    assert max(map(len, shown.splitlines()[:-1])) <= 80
    path = record_path(tmp_path, "cartpole", read_golden(file).digest)
    assert f"record: {path}" in shown
    record = read(path)
    assert not record.agrees
    assert record.provenance.packages["warp-lang"]
    assert run("cartpole", "--golden", file, "--results", tmp_path, "--show") == 1
    assert capsys.readouterr().out == shown[: shown.index("record: ")]


def test_a_robot_that_conforms(tmp_path: Path, capsys):
    assert run("cartpole", "--golden", GOLDEN / "cartpole.npz", "--results", tmp_path) == 0
    shown = capsys.readouterr().out
    assert "all equal" in shown
    assert "beyond" not in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("hopper", "--golden", "absent.npz"), "absent.npz: cannot be read"),
        (("hoper", "--golden", GOLDEN / "hopper.npz"), "unknown task 'hoper': did you mean 'hopper'"),
        (("ant", "--golden", GOLDEN / "hopper.npz"), "but 'ant' has free hinge"),
        (("hopper", "--golden", GOLDEN / "hopper.npz", "--quick"), "--quick: --golden compares the Warp simulator"),
        (("hopper", "--golden", GOLDEN / "hopper.npz", "--simulators", "warp"), "--simulators: --golden compares"),
        (("hopper", "--golden", GOLDEN / "hopper.npz", "--show"), "no such record; measure it without --show"),
    ],
)
def test_bad_input_is_one_line(arguments, message, tmp_path: Path, capsys):
    assert run(*arguments, "--results", tmp_path) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
