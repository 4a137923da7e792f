"""Measuring, storing and showing, through the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pwm_bench import envs
from pwm_bench.cli.main import main
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.tasks.hopper import Hopper
from pwm_bench.parity import measure as measuring
from pwm_bench.parity.measure import QUICK, Sizes, measure
from pwm_bench.parity.schema import read, record_path, write
from pwm_bench.store.seal import seal, without_seal

TINY = Sizes(worlds=2, episode_length=5, air_steps=3, contact_steps=4, horizons=(1, 2))


def test_record_survives_the_disk(tmp_path: Path):
    stages = []
    record = measure("hopper", ["warp", "mujoco_c"], sizes=TINY, tell=lambda stage, share: stages.append(share))
    assert record.agrees
    assert record.reference == "mujoco_c"
    assert [facts.substeps for facts in record.simulators] == [16, 4]
    assert len(record.returns) == 4
    assert [g.simulator for g in record.gradients] == ["warp"]
    assert record.angles == []
    assert stages == sorted(stages)
    assert stages[-1] < 1.0
    assert read(write(tmp_path, record)) == record
    assert json.loads(record_path(tmp_path, "hopper").read_text())["provenance"]["packages"]["mujoco"]


def test_a_simulator_that_refuses_is_recorded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Hopper, "substeps", {"warp": 4, "mjx": -1, "mujoco_c": 4})
    record = measure("hopper", ["warp", "mjx", "mujoco_c"], sizes=TINY)
    assert record.simulators[1].refused == "substeps=-1: must be a whole number, at least 1"
    assert record.simulators[1].substeps is None
    assert {part.simulator for part in record.air} == {"warp"}
    with pytest.raises(UsageError, match=r"--simulators warp mjx: parity needs two that run 'hopper' \(mjx: substeps"):
        measure("hopper", ["warp", "mjx"], sizes=TINY)


def test_damaged_records_are_named(tmp_path: Path):
    path = record_path(tmp_path, "hopper")
    with pytest.raises(UsageError, match="no such record; measure it with: pwm-bench parity hopper"):
        read(path)
    path.parent.mkdir()
    for text, message in (
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"schema_version": 99}', "schema version 99 is newer"),
        ('{"schema_version": 1, "task": 3}', "damaged"),
    ):
        path.write_text(text)
        with pytest.raises(UsageError, match=message):
            read(path)


def test_command(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(measuring, "QUICK", TINY)
    monkeypatch.setenv("COLUMNS", "80")
    arguments = ("parity", "cartpole", "--simulators", "warp", "mujoco_c", "--results", str(tmp_path))
    assert main([*arguments, "--quick"]) == 0
    shown = capsys.readouterr().out
    for text in ("cartpole in its simulators", "within 1e-08", "random", "k = 4", "norm, warp", "H = 2"):
        assert text in shown
    assert read(record_path(tmp_path, "cartpole")).worlds == 2
    assert main([*arguments, "--show"]) == 0
    assert capsys.readouterr().out in shown

    record = json.loads(record_path(tmp_path, "cartpole").read_text())
    record["air"][0]["agrees"] = False
    record_path(tmp_path, "cartpole").write_text(json.dumps(record))
    assert main([*arguments, "--show"]) == 2
    assert "cartpole.json: altered" in capsys.readouterr().err
    record_path(tmp_path, "cartpole").write_text(seal(without_seal(record)))
    assert main([*arguments, "--show"]) == 1
    assert "beyond 1e-08" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("hoper",), "unknown task 'hoper': did you mean 'hopper'"),
        (("hopper", "--simulators", "wrap", "mjx"), "unknown simulator 'wrap': did you mean 'warp'"),
        (("hopper", "--simulators", "warp"), "--simulators warp: give at least two"),
        (("hopper", "--show"), "no such record"),
        (("hopper", "--simulators", "warp", "mujoco_c", "--device", "cuda"), "sees no GPU here; use --device cpu"),
    ],
)
def test_bad_input_is_one_line(arguments, message, tmp_path: Path, capsys):
    if "cuda" in arguments and __import__("torch").cuda.is_available():
        pytest.skip("there is a GPU")
    assert main(["parity", *arguments, "--results", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error


def test_sizes_grow_from_quick_to_full():
    full = Sizes()
    assert QUICK.worlds < full.worlds
    assert set(QUICK.horizons) < set(full.horizons)
    assert set(envs.simulators()) == {"warp", "mjx", "mujoco_c"}
