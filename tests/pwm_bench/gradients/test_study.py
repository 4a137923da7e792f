"""Comparisons: what they refuse, what they write, and the command."""

from __future__ import annotations

import hashlib
import io
import json
import math
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from pwm_bench.analysis.gradients import figures as report
from pwm_bench.cli.main import main
from pwm_bench.envs.errors import UsageError
from pwm_bench.gradients.measure import Measurement
from pwm_bench.gradients.rows import COLUMNS, FILE, load_rows
from pwm_bench.gradients.spec import Comparison
from pwm_bench.gradients.values import ValueTraining
from pwm_bench.jobs.kinds import carry_out, spec_from
from pwm_bench.store.identity import identity
from pwm_bench.store.inputs import Input
from pwm_bench.store.results import Results
from pwm_bench.studies import comparisons
from pwm_bench.studies import gradients as studies
from tests.pwm_bench.gradients.carrying import TINY, TINY_MODEL, measured, with_models

REFERENCE = Path(__file__).parents[3] / "results" / "reference" / "runs"
MODEL = {"model": Input(path="m", digest="1")}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"task": "hoper"}, "unknown task 'hoper': did you mean 'hopper'"),
        ({"simulators": ("mujoco_c",)}, "needs the simulator's gradient, which 'mujoco_c' does not give"),
        ({"simulators": ("wrap",)}, "unknown simulator 'wrap'"),
        ({"estimators": ("analytical",)}, "unknown estimator 'analytical': did you mean 'analytic'"),
        ({"estimators": ("model",)}, "needs a world model"),
        ({"estimators": ("model_detached",), "inputs": MODEL}, "has no meaning in the open loop"),
        ({"horizons": (0, 4)}, "horizons="),
        ({"horizons": ()}, "horizons="),
        ({"samples": 0}, "samples=0"),
        ({"samples": 1}, "samples=1"),
        ({"states": 0}, "states=0"),
        ({"noise": 0.0}, "noise=0: estimator 'score'"),
        ({"noise": -1.0}, "noise=-1.0"),
        ({"steps": (0.0,)}, "steps=0.0"),
        ({"loop": "ajar"}, "unknown loop 'ajar'"),
        ({"discount": 1.5}, "discount=1.5"),
        ({"seed": -1}, "seed=-1: must be a whole number of at least 0"),
        ({"simulators": ("warp", "warp")}, "must differ from each other"),
        ({"inputs": {"modle": MODEL["model"]}}, "unknown input 'modle': did you mean 'model'"),
        ({"simulators": ("warp", "mjx"), "inputs": {"model.warp": MODEL["model"]}}, "one for each simulator"),
        ({"device": "gpu"}, "device=gpu"),
        ({"worlds": 32}, "worlds=32: must be at least states=64"),
        ({"steps": ()}, "steps=[]: give at least one step length"),
        ({"hidden": (16, 0)}, "hidden=(16, 0)"),
        ({"reference_samples": 3}, "reference_samples=3: must be at least 4 in the open loop"),
        ({"loop": "closed", "reference_samples": 1}, "reference_samples=1: must be a whole number of at least 2"),
        ({"noise": 0.0, "precision": "float32", "estimators": ("analytic",)}, "precision=float32: without noise"),
        ({"bootstrap": "fitted"}, "bootstrap=fitted: give a ValueTraining"),
        ({"estimators": ("mixed",), "samples": 1}, "samples=1: estimator 'mixed' needs at least 2"),
    ],
)
def test_impossible_comparisons_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Comparison(**({"task": "hopper"} | fields))
    assert message in str(caught.value)


def test_the_id_is_of_what_determines_the_numbers() -> None:
    base = Comparison(task="hopper")
    assert base.id == Comparison(task="hopper", horizons=(64, 32, 16, 8, 4, 2, 2)).id
    assert base.id == base.replace(device="cuda").id
    assert base.id != base.replace(samples=128).id
    assert base.id == base.replace(study="other").id


def test_the_id_contains_the_model_and_not_where_it_lies() -> None:
    models = [Input(path=path, digest=digest) for path, digest in (("a", "1"), ("copy", "1"), ("a", "2"))]
    first, copy, further = (Comparison(task="hopper", estimators=("model",), inputs={"model": m}) for m in models)
    assert first.id == copy.id != further.id
    assert first.id != first.replace(member=1).id
    assert first.id != Comparison(task="hopper", estimators=("model",), inputs={"model.warp": models[0]}).id
    assert first.id == first.replace(setting={"cause": "x"}).id


def test_a_spec_comes_back_from_its_record() -> None:
    spec = Comparison(
        task="hopper", estimators=("model",), inputs=MODEL, bootstrap=ValueTraining(rounds=3), setting={"noise": "0.1"}
    )
    for one in (
        spec,
        spec.replace(bootstrap="critic"),
        spec.replace(bootstrap=None, simulator_options={"substeps": 8}),
    ):
        assert spec_from("compare-gradients", json.loads(json.dumps(one.to_dict()))) == one


@pytest.mark.parametrize("study", ["gradients-hopper", "gradients-ball-wall"])
def test_committed_records_have_the_ids_of_their_specs(study: str) -> None:
    paths = list((REFERENCE / study).glob("*/run.json"))
    assert paths
    for path in paths:
        record = json.loads(path.read_text())
        assert record["status"] == "ok"
        assert identity(record["kind"], record["spec"]) == record["id"] == path.parent.name


def test_every_study_builds() -> None:
    for name in studies.STUDIES:
        study = studies.load(name)
        assert len(study.comparisons) > 1
        assert study.description
    with pytest.raises(UsageError, match="did you mean 'stiffness'"):
        studies.load("stifness")


@pytest.mark.parametrize("loop", ["open", "closed"])
def test_a_comparison_writes_its_numbers_once(loop: str, tmp_path: Path) -> None:
    draft = comparisons.comparison("cartpole", loop=loop, model=TINY_MODEL, **TINY)
    comparison = with_models(draft, tmp_path, study="s").replace(setting={"cause": "x"})
    events = []
    results = Results(tmp_path)
    outcome = carry_out(comparison, results, progress=events.append)
    path = tmp_path / "runs" / "s" / comparison.id
    assert not outcome.skipped
    assert all(0.0 <= e.fraction <= 1.0 for e in events)
    pieces = [event.piece for event in events if event.piece]
    assert pieces[0] == "warp · start states"
    assert {"warp · estimate: score", "warp · realised improvement"} <= set(pieces)
    frame = pd.read_parquet(path / FILE)
    assert tuple(frame.columns) == COLUMNS
    overall = frame[frame.state == -1]
    names = set(comparison.estimators)
    for metric in ("cosine", "norm_ratio", "bias", "variance", "esnr", "nonfinite", "improvement"):
        rows = overall[overall.metric == metric]
        assert set(rows.estimator) - {"reference"} == names, metric
        assert set(rows.horizon) == {2, 5}
    assert set(overall[overall.metric == "improvement"]["at"]) == {0.01, 0.1}
    assert set(overall[overall.metric == "lipschitz_random"].estimator) == {"truth", "model"}
    assert set(overall[overall.metric == "growth_exponent"].estimator) == {"truth", "model"}
    assert {"latent_error", "reward_error", "return_error", "self_error"} <= set(overall.metric)
    errors = overall[overall.metric == "self_error"]
    assert set(errors.estimator) == {"analytic", "model"}
    assert errors["value"].max() < 1e-5
    analytic = overall[(overall.metric == "cosine") & (overall.estimator == "analytic") & (overall.horizon == 5)]
    assert analytic["value"].item() > (0.99 if loop == "open" else 0.3)
    assert frame[(frame.state >= 0) & (frame.metric == "cosine")].groupby("estimator").size().eq(8).all()
    record = json.loads((path / "run.json").read_text())
    assert (record["kind"], record["status"], record["id"]) == ("compare-gradients", "ok", comparison.id)
    assert record["artifacts"]["gradients"]["digest"] == hashlib.sha256((path / FILE).read_bytes()).hexdigest()
    assert record["memory"]["resident"] > 1e7
    assert record["provenance"]["packages"]["torch"]
    assert record["details"]["models"]["warp"]["trained"]["updates"] == 5
    assert record["clocks"]["train"] > 0.0

    stamp = (path / FILE).stat().st_mtime_ns
    again = carry_out(comparison, results)
    assert again.skipped
    assert (path / FILE).stat().st_mtime_ns == stamp
    loaded = load_rows(results, "s")
    assert set(loaded.cause) == {"x"}
    assert set(loaded.loop) == {loop}


def test_the_same_comparison_gives_the_same_numbers(tmp_path: Path) -> None:
    comparison = Comparison(task="cartpole", **TINY)
    first, second = (measured(comparison.replace(worlds=w), tmp_path / str(w)) for w in (16, 24))
    keys = ["estimator", "horizon", "metric", "state", "at"]
    chosen = [
        f[f.metric.isin(["cosine", "norm_ratio"]) & f.estimator.isin(["analytic", "smoothed"])] for f in (first, second)
    ]
    merged = chosen[0].merge(chosen[1], on=keys)
    assert len(merged) == len(chosen[0])
    for n, row in merged.iterrows():
        assert row.value_x == pytest.approx(row.value_y, rel=1e-6, abs=1e-9), n


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(RuntimeError("no such luck"), "failed", 1), (KeyboardInterrupt(), "interrupted", 130)],
)
def test_a_comparison_that_fails_leaves_a_record_and_is_tried_again(
    error: BaseException, status: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparison = Comparison(task="cartpole", estimators=("analytic",), **TINY)
    results, run = Results(tmp_path), Results(tmp_path).run("single", comparison.id)

    def fails(self: Measurement) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(Measurement, "_refer", fails)
        outcome = carry_out(comparison, results)
    assert (outcome.record.status, outcome.exit_code) == (status, code)
    assert run.read().status == status
    assert run.traceback.exists() == (status == "failed")
    with pytest.raises(UsageError, match="no gradient studies yet"):
        load_rows(results, "single")
    again = carry_out(comparison, results)
    assert (again.record.status, again.record.attempts, again.skipped) == ("ok", 2, False)
    assert not run.traceback.exists()
    assert len(load_rows(results, "single"))


def test_bad_input_leaves_nothing(tmp_path: Path) -> None:
    inputs = {"model.warp": Input(path=str(tmp_path / "none"), digest="0")}
    comparison = Comparison(task="cartpole", estimators=("model",), inputs=inputs, **TINY)
    with pytest.raises(UsageError, match="none"):
        carry_out(comparison, Results(tmp_path))
    assert not list((tmp_path / "runs").glob("*/*/run.json"))


def test_two_simulators_agree_with_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same simulator standing in for another, cosines between the two are 1."""
    from pwm_bench import envs

    monkeypatch.setitem(envs.SIMULATORS.own, "twin", envs.SIMULATORS.own["warp"])
    value = ValueTraining(env_steps=64, num_envs=8, rounds=1, hidden=(4,))  # one, fitted in the first, for both
    comparison = Comparison(
        task="cartpole", simulators=("warp", "twin"), estimators=("analytic",), bootstrap=value, **TINY
    )
    frame = measured(comparison, tmp_path)
    found = frame[frame.metric == "cosine_with_twin"]
    assert set(found.simulator) == {"warp"}
    assert found["value"].tolist() == pytest.approx([1.0, 1.0])


def test_a_simulator_without_gradient_is_a_truth_too(tmp_path: Path) -> None:
    comparison = Comparison(task="cartpole", simulators=("mujoco_c",), estimators=("score", "smoothed"), **TINY)
    frame = measured(comparison, tmp_path)
    assert "growth_exponent" not in set(frame.metric)
    nothing = frame.assign(value=math.nan)
    for drawn, name in ((frame, "some"), (nothing, "none")):
        files = report.figures(drawn, tmp_path / name, formats=("svg",))
        assert [f.name for f in files] == ["estimates-mujoco_c.svg", "landscape-mujoco_c.svg"]
    (outside, _) = report.figures(frame.assign(simulator="lab.simulator:Mine"), tmp_path / "out", formats=("svg",))
    assert outside.name == "estimates-lab.simulator.Mine.svg"  # no colon: some file systems and tools refuse it


def test_numbers_for_a_table() -> None:
    shown = [report._number(x) for x in (math.nan, math.inf, 0.0, 0.123, 12.3, 1234.0, 1.2e-5, -0.5)]
    assert shown == ["–", "∞", "0.00", "0.12", "12", "1e3", "1e-5", "-0.50"]


@pytest.mark.parametrize(
    ("horizons", "shown"),
    [
        ([2, 4, 16], [2, 4, 16]),
        ([1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64], [1, 2, 4, 8, 16, 32, 64]),
        (list(range(10, 100, 10)), [10, 20, 40, 50, 60, 80, 90]),
    ],
)
def test_a_table_shows_as_many_horizons_as_fit(horizons: list[int], shown: list[int]) -> None:
    assert report._columns(horizons) == shown


def frame_of(metrics: dict[str, float]) -> pd.DataFrame:
    """One estimator with these values at every horizon."""
    rows = [
        {"estimator": "analytic", "simulator": "warp", "horizon": h, "state": -1, "metric": metric, "at": math.nan,
         "value": value, "low": value, "high": value}
        for metric, value in metrics.items() for h in (1, 2, 4, 8, 16, 32, 64)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_without_noise_tables_and_figures_show_the_error(tmp_path: Path) -> None:
    frame = frame_of({"cosine": 1.0, "bias": 3e-9, "variance": 0.0, "esnr": math.inf, "line_search_of_best": 1.0})
    out = io.StringIO()
    Console(file=out, width=80).print(report.summary_table(frame, title="t"))
    text = out.getvalue()
    assert "error" in text
    assert "3e-9" in text
    assert "ESNR" not in text
    assert "…" not in text
    (file, *_) = report.figures(frame, tmp_path, formats=("svg",), cause="simulator")
    assert file.name == "estimates-warp.svg"
    assert "variance" not in file.read_text()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "gradients",
        "cartpole",
        "--results",
        str(tmp_path),
        "--estimators",
        "analytic",
        "score",
        "--states",
        "3",
    ]
    arguments += ["--samples", "4", "--reference-samples", "8", "--horizons", "2", "4", "--worlds", "12"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "score function" in out
    assert "cosine" in out
    assert "1 run, 0 done before, 1 to do now" in out
    path = next((tmp_path / "runs" / "gradients-cartpole").glob("*/run.json")).parent
    drawn = tmp_path / "figures" / "gradients-cartpole" / path.name
    figures = sorted(p.name for p in drawn.glob("*.*g"))
    assert not [*path.glob("*.*g")]
    assert figures == ["estimates-warp.png", "estimates-warp.svg", "landscape-warp.png", "landscape-warp.svg"]
    assert (drawn / "estimates-warp.png").stat().st_size > 10_000
    assert main(arguments) == 0
    assert "1 done before, 0 to do now" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("hoper",), "unknown task or gradient study 'hoper'"),
        (("hopper", "--horizons", "0"), "horizons=[0]"),
        (("hopper", "--samples", "0"), "samples=0"),
        (("hopper", "--simulators", "mujoco_c"), "does not give"),
        (("hopper", "--member", "1"), "--member 1"),
        (("hopper", "--bootstrap", "critic"), "name one with --model"),
        (("hopper", "--loop", "ajar"), "unknown loop 'ajar': choices: closed, open"),
        (("noise", "--noise", "0.1"), "leave out the option that replaces its noise"),
        (("ball-wall", "--seed", "-1"), "seed=-1"),
        (("landscape", "hopper", "--seed", "-1"), "seed=-1"),
        (("hopper", "--bootstrap", "fited"), "unknown bootstrap 'fited': did you mean 'fitted'"),
        (("landscape", "hopper", "--bootstrap", "fitted"), "--bootstrap: 'landscape' has no such setting"),
        (("hopper", "--model", "/nowhere", "--train-model", "5"), "--train-model"),
    ],
)
def test_the_command_refuses(arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gradients", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_the_command_lists_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gradients"]) == 0
    out = capsys.readouterr().out
    assert "stiffness" in out
    assert "hopper" in out
