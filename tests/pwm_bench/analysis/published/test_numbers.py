from __future__ import annotations

import csv
import math

import pytest
from scipy import stats

from pwm_bench.analysis.published import CAVEATS, curves, curves_beside, load_published, numbers
from pwm_bench.analysis.published import beside as choose
from pwm_bench.envs.errors import UsageError
from pwm_bench.statistics import normalisation
from pwm_bench.statistics.normalise import PPO_PEAK

NONE = normalisation("none")
DATA = numbers.data_folder()


def beside(task: str, **options):
    return choose(task, **options).rows


def test_every_number_has_a_source_and_known_caveats():
    rows = load_published()
    assert len(rows) == sum(
        len(file.read_text().splitlines()) - 1
        for file in DATA.iterdir()
        if file.name.endswith(".csv") and file.name != "series.csv"
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
    used |= {key for series in curves._all().values() for one in series for key in one.caveats}
    ours = {"derived", "iqm", "interpolated", "first_evaluation", "some_seeds", "end_of_curve"}
    assert used | ours == set(CAVEATS)
    readme = (DATA / "README.md").read_text()
    for file in DATA.iterdir():
        assert file.name == "README.md" or f"`{file.name}`" in readme
        if not file.name.endswith(".csv"):
            continue
        for column in next(csv.reader(file.read_text().splitlines())):
            assert f"`{column}`" in readme


def test_normalisation_constants_are_those_published():
    constants = {row.task: row.iqm for row in load_published() if row.metric == "normalisation_constant"}
    assert constants | {"hopper_stiff": constants["hopper"]} == pytest.approx(PPO_PEAK, abs=1e-3)


def test_beside_stiff_hopper():
    found = {row.algorithm: row for row in beside("hopper_stiff", metric="return", normalisation=normalisation("ppo"))}
    assert {name: round(row.value, 4) for name, row in found.items()} == {"PWM": 1.0652, "PPO": 0.9661, "SHAC": 0.3371}
    assert found["PWM"].seeds == 5


def test_beside_hopper():
    found = {row.algorithm: row for row in beside("hopper", metric="return", normalisation=NONE)}
    assert list(found) == ["PWM", "AHAC", "PPO", "SHAC", "SAC", "TD-MPC2"]
    assert found["PWM"].mean == pytest.approx(5649.1793, abs=0.01)
    assert found["PWM"].selection == "final"
    assert any(text.startswith("Return of training episodes") for text in found["TD-MPC2"].footnotes())
    assert not beside("hopper", metric="length", normalisation=NONE)
    assert not beside("cartpole", metric="return", normalisation=NONE)


def test_peaks_are_multiplied_out_and_say_so():
    anymal = {row.algorithm: row for row in beside("anymal", metric="return", normalisation=NONE)}
    assert anymal["SHAC"].value == pytest.approx(1.26 * 12028.992)
    assert {"peak", "derived", "dflex", "budget"} <= set(anymal["SHAC"].caveats)
    assert any("Peak picked" in text for text in anymal["SHAC"].footnotes())
    normalised = {row.algorithm: row for row in beside("anymal", metric="return", normalisation=normalisation("ppo"))}
    assert normalised["SHAC"].value == pytest.approx(1.26)
    pwm = anymal["PWM"]
    assert normalised["PWM"].low == pytest.approx(pwm.low / 12028.992)
    half = stats.t.ppf(0.975, 4) * 1174.4082 / math.sqrt(5)  # of the printed mean and standard deviation
    assert (pwm.low, pwm.high) == pytest.approx((14073.0103 - half, 14073.0103 + half), abs=0.1)


def test_multitask_rows():
    """Those whose number of tasks trained together is closest to ours."""
    for together, name in ((30, "MT30"), (80, "MT80"), (25, "MT30"), (60, "MT80")):
        rows = beside("walker-stand", metric="return", normalisation=NONE, tasks=together)
        assert {row.algorithm: row.setting.split(",")[0] for row in rows} == {"PWM": name, "TD-MPC2": name}
        pwm = next(row for row in rows if row.algorithm == "PWM")
        assert "one_seed" in pwm.caveats
        assert "planning" not in pwm.caveats
        scores = beside("walker-stand", metric="return", normalisation=normalisation("dmc"), tasks=together)
        assert all(0.9 < row.value <= 1.0 for row in scores)
    for task in ("walker-stand", "mw-reach"):
        rows = beside(task, metric="score", normalisation=NONE, tasks=80)
        assert {row.metric for row in rows} == {"score"}
        assert {row.algorithm for row in rows} == {"PWM", "TD-MPC2"}
    assert {row.metric for row in beside("mw-reach", metric="success", normalisation=NONE, tasks=80)} == {"score"}
    alone = beside("mw-reach", metric="success", normalisation=NONE)  # one task alone: from curves
    assert {row.algorithm for row in alone} == {"TD-MPC2", "TD-MPC", "SAC", "DreamerV3"}


def test_scores_are_normalised_as_ours_are():
    scales = normalisation("random-expert", {"walker-walk": (0.1, 0.6)})
    plain = {row.algorithm: row for row in beside("walker-walk", metric="score", normalisation=NONE)}
    normalised = beside("walker-walk", metric="score", normalisation=scales)
    assert {row.algorithm for row in normalised} == plain.keys()
    for row in normalised:
        assert row.value == pytest.approx((plain[row.algorithm].value - 0.1) / 0.5)
    pairs = zip(
        *(curves_beside("walker-walk", metric="score", normalisation=one) for one in (NONE, scales)), strict=True
    )
    for raw, moved in pairs:
        assert moved.seeds[0].value == pytest.approx((raw.seeds[0].value - 0.1) / 0.5)


def test_missing_files_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(numbers, "data_folder", lambda: tmp_path)
    with pytest.raises(UsageError, match=r"ablations\.csv: published results are missing; reinstall"):
        load_published.__wrapped__()


def test_damaged_files_are_named(tmp_path):
    with pytest.raises(UsageError, match=r"x\.csv: damaged"):
        numbers._read(tmp_path / "x.csv", {"task": "hopper"})
