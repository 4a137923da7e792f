"""What the toy problems and landscapes leave on disk, and their commands."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pandas as pd
import pytest
import torch

from pwm_bench.analysis.gradients import problems as report
from pwm_bench.cli.main import main
from pwm_bench.envs.errors import UsageError
from pwm_bench.gradients.pedagogical import ball_wall_study, pendulum
from pwm_bench.gradients.pedagogical.ball_wall import variant
from pwm_bench.gradients.rows import COLUMNS, FILE, load_rows
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.store.results import Results
from pwm_bench.studies import comparisons
from tests.pwm_bench.gradients.carrying import TINY_MODEL

TINY = {"seeds": 2, "grid": 100, "epochs": 2, "batch_size": 50, "starts": 8, "steps": 20, "samples": 4}


def test_ball_and_wall_is_kept_once(tmp_path: Path) -> None:
    spec, results = ball_wall_study.BallWallSpec(**TINY), Results(tmp_path)
    outcome = carry_out(spec, results)
    assert not outcome.skipped
    path = tmp_path / "runs" / "gradients-ball-wall" / spec.id
    frame = pd.read_parquet(path / FILE)
    assert tuple(frame.columns) == COLUMNS
    record = json.loads((path / "run.json").read_text())
    assert (record["kind"], record["status"]) == ("ball-wall", "ok")
    assert record["spec"]["seeds"] == 2
    assert record["provenance"]["packages"]["torch"]
    overall = frame[(frame.state == -1) & frame["at"].isna()].set_index(["simulator", "estimator", "metric"])["value"]
    for name in ("released", "corrected"):
        best = variant(name).optimum()
        assert overall[name, "truth", "optimum"] == best
        for kind in spec.regressors:
            assert overall[name, kind, "argmin_gap"] >= 0.0
            seeds = frame[(frame.simulator == name) & (frame.estimator == kind) & (frame.metric == "argmin_gap")]
            single = seeds[seeds.state >= 0]
            assert single["value"].mean() == pytest.approx(overall[name, kind, "argmin_gap"])
            # The half's argmin can't be the lower of the two.
            assert overall[name, kind, "printed_half"] >= overall[name, kind, "printed"]
        difference = overall[name, "simnorm", "fit_rmse"] - overall[name, "normed", "fit_rmse"]
        assert overall[name, "simnorm - normed", "fit_rmse"] == pytest.approx(difference)
        ends = frame[(frame.simulator == name) & (frame.metric == "start_gap") & (frame.estimator == "analytic")]
        assert len(ends) == 9

    assert carry_out(spec, results).skipped
    assert set(load_rows(results, "gradients-ball-wall").task) == {"ball-wall"}
    files = report.ball_wall_figures(frame, tmp_path / "figures", formats=("png",))
    assert sorted(f.name for f in files) == [f"ball-wall-{v}.png" for v in ("corrected", "released")]
    assert min(f.stat().st_size for f in files) > 10_000


def test_an_argmin_gap_by_hand() -> None:
    """A landscape's own values as the prediction give the grid's best point."""
    spec = ball_wall_study.BallWallSpec(**(TINY | {"grid": 1000}))
    grid_gap = ball_wall_study.BallWallWork(spec, torch.device("cpu")).landscapes["released"]
    best = float(grid_gap.values.min()) - grid_gap.best
    assert 0.0 <= best < 0.02


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"seeds": 0}, "seeds=0"),
        ({"variants": ("relesed",)}, "unknown landscape 'relesed'"),
        ({"regressors": ("mlp",)}, "unknown regressor 'mlp'"),
        ({"batch_size": 2000}, "batch_size=2000"),
        ({"deviation": 0.0}, "deviation=0.0"),
    ],
)
def test_impossible_studies_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        ball_wall_study.BallWallSpec(**fields)
    assert message in str(caught.value)


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With the default sizes shrunk: each prints its table, draws its figures, and does nothing the second time."""
    tiny = {"points": 5, "cells": 3, "arrows": 2, "worlds": 8}
    monkeypatch.setattr(comparisons, "SliceSpec", functools.partial(comparisons.SliceSpec, **tiny))
    monkeypatch.setattr(comparisons, "ModelTraining", lambda **fields: TINY_MODEL)
    monkeypatch.setattr(ball_wall_study, "BallWallSpec", functools.partial(ball_wall_study.BallWallSpec, **TINY))
    small = {"model_horizons": (2, 3), "model_seeds": 2, "env_steps": 640, "width": 16, "updates": 2}
    monkeypatch.setattr(pendulum, "PendulumSpec", functools.partial(pendulum.PendulumSpec, **small))
    where = ["--results", str(tmp_path)]
    expected = {
        ("landscape", "cartpole", "--states", "2", "--horizons", "3"): ("slope at 0", {"lines", "plane"}),
        ("ball-wall",): ("LayerNorm,", {"ball-wall-released", "ball-wall-corrected"}),
        (
            "double-pendulum",
            "--loop",
            "closed",
            "--states",
            "2",
            "--samples",
            "3",
            "--horizons",
            "2",
            "4",
            "--noise",
            "0.1",
        ): (
            "model, H=3",
            {"double-pendulum-closed"},
        ),
    }
    for arguments, (text, figures) in expected.items():
        assert main(["gradients", *arguments, *where]) == 0
        out = capsys.readouterr().out
        assert text in " ".join(out.split()), out
        assert " 0 done before" in out
        folder = next((tmp_path / "runs" / f"gradients-{arguments[0]}").glob(f"*/{FILE}")).parent
        drawn = tmp_path / "figures" / folder.parent.name / folder.name
        assert {p.stem for p in drawn.glob("*.png")} == figures
        assert main(["gradients", *arguments, *where, "--no-figures"]) == 0
        assert " 0 to do now" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("landscape",), "landscape: name a task as well"),
        (("landscape", "hoper"), "unknown task 'hoper'"),
        (("landscape", "hopper", "--horizons", "2", "4"), "a landscape has one horizon"),
        (("landscape", "hopper", "--simulators", "mujoco_c"), "needs the simulator's gradient"),
        (("landscape", "hopper", "--estimators", "score"), "--estimators: 'landscape' has no such setting"),
        (("ball-wall", "hopper"), "'ball-wall' takes no task"),
        (("ball-wall", "--loop", "open"), "--loop: 'ball-wall' has no such setting"),
        (("double-pendulum", "--samples", "0"), "samples=0"),
        (("double-pendulum", "--simulators", "warp", "mjx"), "takes one"),
        (("hopper", "ant"), "only 'landscape' takes a task"),
        (("ball-wal",), "did you mean 'ball-wall'"),
    ],
)
def test_the_commands_refuse(arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gradients", *arguments]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_the_committed_record_is_what_the_command_makes() -> None:
    reference = Path(__file__).parents[4] / "results" / "reference"
    assert Results(reference).run("gradients-ball-wall", ball_wall_study.BallWallSpec().id).status() == "ok"
