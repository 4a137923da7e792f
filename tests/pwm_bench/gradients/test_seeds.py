"""Several seeds of the world model: intervals, paired differences, and the study that repeats itself."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from pwm_bench.analysis.gradients.drawing import notes
from pwm_bench.analysis.gradients.seed_table import table
from pwm_bench.cli.main import main
from pwm_bench.envs.errors import UsageError
from pwm_bench.gradients.rows import load_rows
from pwm_bench.gradients.seeds import SEED, differences, lacking, over_seeds
from pwm_bench.store.results import Results
from pwm_bench.studies import comparisons
from pwm_bench.studies import gradients as studies
from pwm_bench.studies.gradient_study import Draft, GradientStudy
from tests.pwm_bench.gradients.carrying import TINY_MODEL


def frame() -> pd.DataFrame:
    """Cosines of two causes and three seeds: b is a's plus 0.2, 0.3 and 0.4, whatever a is."""
    cosines = {"a": (0.1, 0.5, 0.9), "b": (0.3, 0.8, 1.3)}
    rows = [
        {"simulator": "warp", "estimator": "model", "horizon": 4, "state": state, "metric": metric, "at": math.nan,
         "value": value + state + 1, "low": 0.0, "high": 0.0, "kind": kind, SEED: seed}
        for kind, values in cosines.items()
        for seed, value in enumerate(values)
        for metric in ("cosine", "return_error")
        for state in (-1, 0)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_a_table_shows_no_interval_where_there_is_none() -> None:
    rows, out = frame(), io.StringIO()
    rows.loc[(rows.kind == "a") & (rows.metric == "cosine") & (rows[SEED] == 2), "value"] = math.nan
    Console(file=out, width=120).print(table(rows, cause="kind", order=("a", "b"), title="t"))
    assert "0.30 (2/3)" in out.getvalue()  # of 0.1 and 0.5, and of no third seed
    assert out.getvalue().count("/3)") == 1
    assert "nan" not in out.getvalue()


def test_means_over_some_of_the_seeds_are_named() -> None:
    rows = frame()
    assert lacking(over_seeds(rows, "kind"), 3) == ""
    rows.loc[(rows.kind == "a") & (rows.metric == "cosine") & (rows[SEED] == 2), "value"] = math.nan
    means = over_seeds(rows, "kind")
    assert means["seeds"].tolist().count(2) == 1
    assert lacking(means, 3).endswith("where not all 3 of the world model have one: model cosine at H=4 (2).")
    about = {"study": "gradients-s", "kind": "compare-gradients", "task": "hopper", "loop": "none", "experiment": "e"}
    study = rows.rename(columns={"kind": "target"}).assign(**about)
    (note,) = notes(study.assign(comparison=study["target"] + study[SEED].astype(str)))
    assert note.startswith("gradients-s: Means over the seeds that have a number")


def test_what_no_seed_changes_keeps_its_interval_over_states() -> None:
    rows = frame().assign(low=0.2, high=0.6)
    rows.loc[rows.kind == "a", "value"] = 0.4
    means = over_seeds(rows, "kind")
    of_a = means[means.kind == "a"]
    assert of_a[["value", "low", "high"]].values == pytest.approx(np.array([[0.4, 0.2, 0.6]] * 2))
    assert 0.6 not in means[means.kind == "b"]["high"].tolist()


def test_equal_values_of_different_seeds_are_not_shared() -> None:
    """A metric that ends at 1 may be 1 with all seeds though they differ: their own intervals do."""
    rows = frame().assign(low=0.2, high=0.6)
    rows.loc[rows.kind == "a", "value"] = 0.4
    rows.loc[(rows.kind == "a") & (rows[SEED] == 2), "low"] = 0.1
    means = over_seeds(rows, "kind")
    of_a = means[means.kind == "a"]
    assert of_a[["low", "high"]].values == pytest.approx(np.array([[0.4, 0.4]] * 2))


def test_a_constant_difference_is_one() -> None:
    rows = frame().assign(low=math.nan, high=math.nan)
    rows.loc[rows.kind == "b", "value"] = rows[rows.kind == "a"]["value"].to_numpy() + 0.25
    gaps = differences(rows, "kind", "a")
    assert gaps[["value", "low", "high"]].values == pytest.approx(np.array([[0.25] * 3] * 2))
    out = io.StringIO()
    Console(file=out, width=120).print(table(rows, cause="kind", order=("a", "b"), title="t"))
    assert out.getvalue().count("*") == 2  # cosine and error of the return


@pytest.mark.parametrize(
    ("metric", "low", "high"),
    [("cosine", -1.0, 1.0), ("cosine_with_mjx", -1.0, 1.0), ("line_search_of_best", -1.99, 1.0), ("alpha", 0.0, 1.0),
     ("curvature_random", 0.0, 3.39), ("improvement", -1.99, 3.39)],
)  # fmt: skip
def test_an_interval_ends_where_the_metric_does(metric: str, low: float, high: float) -> None:
    """Student's interval of -0.5, 1 and 1.6 is [-1.99, 3.39]; differences between causes may be twice as far."""
    rows = frame()
    rows["metric"] = rows["metric"].replace("cosine", metric)
    for seed, value in enumerate((-0.5, 1.0, 1.6)):
        rows.loc[(rows.kind == "a") & (rows[SEED] == seed), "value"] = value
    own = over_seeds(rows[rows.metric == metric], "kind").set_index("kind").loc["a"]
    assert own["value"] == pytest.approx(0.7)
    assert (own["low"], own["high"]) == pytest.approx((low, high), abs=5e-3)
    whole = over_seeds(rows[rows.metric == metric], "kind", cut=False).set_index("kind").loc["a"]
    assert (whole["low"], whole["high"]) == pytest.approx((-1.99, 3.39), abs=5e-3)
    (gap,) = differences(rows[rows.metric == metric], "kind", "b")["low"]
    assert gap < -1.5


def test_an_interval_over_states_is_not_shown_as_one_over_seeds() -> None:
    rows = frame().assign(low=0.1, high=0.9)
    rows.loc[rows.kind == "a", "value"] = 1.0
    out = io.StringIO()
    Console(file=out, width=120).print(table(rows, cause="kind", order=("a",), title="t"))
    assert "1.00" in out.getvalue()
    assert "±" not in out.getvalue()


def test_a_number_that_one_seed_lacks_has_no_interval() -> None:
    """It lacks it too where it has no such row at all."""
    rows = frame()
    lost = (rows.kind == "a") & (rows.metric == "cosine") & (rows[SEED] == 2)
    rows.loc[lost, "value"] = math.nan
    for given in (rows, rows[~lost]):
        means = over_seeds(given, "kind")
        one = means[(means.kind == "a") & (means.metric == "cosine")].iloc[0]
        assert (one["value"], one["seeds"]) == (pytest.approx(0.3), 2)
        assert math.isnan(one["low"])
    single = over_seeds(rows[rows[SEED] == 0], "kind")
    assert single["low"].isna().all()


def test_means_and_paired_differences() -> None:
    means = over_seeds(frame(), "kind")
    assert len(means) == 4  # two causes, two metrics; single states are left out
    a = means[(means.kind == "a") & (means.metric == "cosine")].iloc[0]
    assert (a["value"], a["low"]) == pytest.approx((0.5, 0.5 - 4.302653 * 0.4 / math.sqrt(3)), abs=1e-5)
    gaps = differences(frame(), "kind", "a")
    assert set(gaps.kind) == {"b"}
    row = gaps[gaps.metric == "cosine"].iloc[0]
    assert row["value"] == pytest.approx(0.3)
    # The pairs differ by 0.1 though each cause's own values differ by 0.4 and more.
    assert (row["low"], row["high"]) == pytest.approx((0.3 - 0.248414, 0.3 + 0.248414), abs=1e-5)
    fewer = frame()
    fewer = fewer[~((fewer.kind == "b") & (fewer[SEED] == 2))]
    assert differences(fewer, "kind", "a")["value"].tolist() == pytest.approx([0.25, 0.25])


def test_the_table_marks_what_differs() -> None:
    out = io.StringIO()
    Console(file=out, width=120).print(table(frame(), cause="kind", order=("a", "b"), title="t"))
    lines = out.getvalue().splitlines()
    cosines = [line for line in lines if "cosine" in line]
    assert "0.50 ±0.99" in cosines[0]
    assert "*" not in cosines[0]
    assert cosines[1].rstrip().endswith("*")


def test_repetitions_are_comparisons_of_their_own() -> None:
    study = studies.load("regularisation")
    runs = study.runs()
    assert len(runs) == 12
    assert {(s["regularisation"], s[SEED]) for s, _ in runs} >= {("relu", 2), ("simnorm", 0)}
    assert all(c.model.seed == s[SEED] and c.model.config.regularisation == s["regularisation"] for s, c in runs)
    assert len({c.comparison().seed for _, c in runs}) == 1
    hopper = Draft({"task": "hopper"})
    with pytest.raises(UsageError, match="need a world model that is trained"):
        GradientStudy(name="s", description="", comparisons={"": hopper}, model_seeds=(0, 1))
    trained = comparisons.comparison("hopper")
    for seeds, message in (((1, 1), "two of its comparisons are the same"), ((-1,), "model seeds")):
        with pytest.raises(UsageError, match=message):
            GradientStudy(name="s", description="", comparisons={"": trained}, model_seeds=seeds)


def test_the_command_repeats_and_shows_means(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparisons, "ModelTraining", lambda **fields: TINY_MODEL)
    arguments = ["gradients", "cartpole", "--results", str(tmp_path), "--estimators", "analytic", "model"]
    arguments += ["--states", "3", "--samples", "4", "--reference-samples", "8", "--horizons", "2", "4"]
    arguments += ["--worlds", "12", "--model-seeds", "0", "3"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "2 seeds of the world model" in out
    assert "curvature" in out
    rows = load_rows(Results(tmp_path), "gradients-cartpole")
    assert set(rows[SEED]) == {0, 3}
    assert (tmp_path / "figures" / "gradients-cartpole" / "estimates-warp.svg").exists()
    assert main(["results", "verify", "--results", str(tmp_path)]) == 0  # what is drawn lies in no run's place
    assert "4 runs checked, none with problems" in capsys.readouterr().out
    assert main(["gradients", "ball-wall", "--model-seeds", "1"]) == 2
    assert "--model-seeds: 'ball-wall' has no such setting" in capsys.readouterr().err
