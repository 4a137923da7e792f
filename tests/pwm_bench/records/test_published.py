from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from envs.errors import UsageError
from pwm_bench.records import published
from pwm_bench.records.published import CAVEATS, beside, load_published
from pwm_bench.records.statistics import normalisation
from pwm_bench.records.statistics.normalise import PPO_PEAK
from tests.pwm_bench.conftest import ROOT

NONE = normalisation("none")


def test_every_number_has_a_source_and_known_caveats():
    rows = load_published()
    assert len(rows) == sum(
        len(file.read_text().splitlines()) - 1 for file in (ROOT / "results/published").glob("*.csv")
    )
    assert len(rows) > 1300
    for row in rows:
        assert row.source
        assert set(row.caveats) <= set(CAVEATS)
        assert math.isfinite(row.value) or "corrupt" in row.caveats
        assert not (row.low > row.high)
    for algorithm in ("PWM", "SHAC", "AHAC", "PPO", "SAC", "TD-MPC2"):
        assert {"hopper", "ant", "anymal", "humanoid", "humanoidsnu"} <= {
            r.task for r in rows if r.algorithm == algorithm
        }


def test_every_key_has_a_footnote_and_the_readme_names_every_file_and_column():
    used = {key for row in load_published() for key in row.caveats}
    assert used | {"derived"} == set(CAVEATS)
    readme = (ROOT / "results/published/README.md").read_text()
    for file in (ROOT / "results/published").glob("*.csv"):
        assert f"`{file.name}`" in readme
        for column in next(csv.reader(file.read_text().splitlines())):
            assert f"`{column}`" in readme


def test_normalisation_constants_are_those_published():
    constants = {row.task: row.iqm for row in load_published() if row.metric == "normalisation_constant"}
    assert constants | {"hopper_stiff": constants["hopper"]} == pytest.approx(PPO_PEAK, abs=1e-3)


def test_beside_stiff_hopper():
    found = {row.algorithm: row for row in beside("hopper_stiff", metric="return", normalisation=normalisation("ppo"))}
    assert {name: round(row.value, 4) for name, row in found.items()} == {"PWM": 1.0944, "PPO": 0.9607, "SHAC": 0.3251}
    assert found["PWM"].seeds == 5


def test_beside_hopper():
    found = {row.algorithm: row for row in beside("hopper", metric="return", normalisation=NONE)}
    assert list(found) == ["PWM", "AHAC", "SHAC", "PPO", "SAC", "TD-MPC2"]
    assert found["PWM"].iqm == 5643.3519
    assert found["PWM"].selection == "final"
    assert found["TD-MPC2"].footnotes()[-1].startswith("Return of training episodes")
    assert not beside("hopper", metric="length", normalisation=NONE)
    assert not beside("cartpole", metric="return", normalisation=NONE)


def test_peaks_are_multiplied_out_and_say_so():
    anymal = {row.algorithm: row for row in beside("anymal", metric="return", normalisation=NONE)}
    assert anymal["SHAC"].value == pytest.approx(1.26 * 12028.992)
    assert {"peak", "derived", "dflex", "budget"} <= set(anymal["SHAC"].caveats)
    assert any("Peak picked" in text for text in anymal["SHAC"].footnotes())
    normalised = {row.algorithm: row for row in beside("anymal", metric="return", normalisation=normalisation("ppo"))}
    assert normalised["SHAC"].value == pytest.approx(1.26)
    assert normalised["PWM"].low == pytest.approx(12836.5133 / 12028.992)


def test_multitask_rows():
    names = {row.setting.split(",")[0]: row for row in beside("walker-stand", metric="return", normalisation=NONE)}
    assert set(names) == {"MT30", "MT80"}
    pwm = [r for r in beside("walker-stand", metric="return", normalisation=NONE) if r.algorithm == "PWM"]
    assert all("one_seed" in row.caveats and "planning" not in row.caveats for row in pwm)
    scores = [r.value for r in beside("walker-stand", metric="return", normalisation=normalisation("dmc"))]
    assert all(0.9 < score <= 1.0 for score in scores)
    for task in ("walker-stand", "mw-reach"):
        scores = beside(task, metric="score", normalisation=NONE)
        assert {r.metric for r in scores} == {"score"}
        assert {r.algorithm for r in scores} == {"PWM", "TD-MPC2"}
    assert {r.metric for r in beside("mw-reach", metric="success", normalisation=NONE)} == {"score"}


def test_read_from_an_installed_package(monkeypatch, tmp_path):
    """As a wheel's data files, next to nothing of the checkout."""
    entry = type("Entry", (), {"suffix": ".csv", "parent": Path("share/published")})()
    entry.locate = lambda: ROOT / "results" / "published" / "locomotion.csv"
    monkeypatch.setattr("importlib.metadata.files", lambda name: [entry])
    monkeypatch.setattr(published, "__file__", str(tmp_path / "a" / "b" / "published.py"))
    assert published._files() == [entry.locate()]
    monkeypatch.setattr("importlib.metadata.files", lambda name: [])
    with pytest.raises(UsageError, match="are missing; reinstall"):
        published._files()


def test_damaged_files_are_named(tmp_path):
    with pytest.raises(UsageError, match=r"x\.csv: damaged"):
        published._read(tmp_path / "x.csv", {"task": "hopper"})
