"""Work about gradients is cut off anywhere and ends with the numbers of an undisturbed run."""

from __future__ import annotations

import dataclasses
import random
import signal
import subprocess

import pandas as pd
import pytest

from pwm_bench.gradients.pedagogical.ball_wall_study import BallWallSpec
from pwm_bench.gradients.pedagogical.pendulum import PendulumSpec
from pwm_bench.gradients.rows import FILE
from pwm_bench.gradients.values import ValueTraining
from pwm_bench.jobs.kinds import carry_out, job_class
from pwm_bench.jobs.train_model import TrainModelSpec
from pwm_bench.runs.progress import ProgressEvent
from pwm_bench.store import checkpoint
from pwm_bench.store.results import Results
from pwm_bench.store.verify import verify
from pwm_bench.studies import gradients as studies
from pwm_bench.sweep.graph import resolve
from tests.pwm_bench.gradients.carrying import TINY, TINY_MODEL, carry_out_study, with_models

VALUE = ValueTraining(env_steps=64, num_envs=8, rounds=2, hidden=(4,), batch_size=16)


def comparison(root, **changes):
    """Two truths, each with a world model and a value of its own, by the weights of a policy."""
    fields = {"simulators": ("warp", "mujoco_c"), "estimators": ("model_detached", "score"), "loop": "closed",
              "bootstrap": VALUE}  # fmt: skip
    return with_models(studies.comparison("cartpole", model=TINY_MODEL, **{**TINY, **fields, **changes}), root)


def open_loop(root):
    """One truth and every estimator."""
    return comparison(
        root, simulators=("warp",), estimators=("analytic", "model", "score", "smoothed", "mixed"), loop="open"
    )


def without_noise(root):
    return comparison(root, simulators=("warp",), estimators=("analytic",), loop="open", noise=0.0, bootstrap=None)


def landscape(root):
    small = {"states": 2, "points": 5, "cells": 3, "arrows": 2, "worlds": 8, "horizon": 3, "loop": "closed"}
    (name, training), (_, pending) = studies.landscape("cartpole", TINY_MODEL, **small).nodes.items()
    models = carry_out_study(dataclasses.replace(studies.landscape("cartpole", TINY_MODEL, **small), specs=(),
                                                 nodes={name: training}), root)  # fmt: skip
    return resolve(pending, models)


def ball_wall(root):
    return BallWallSpec(seeds=2, grid=100, epochs=2, batch_size=50, starts=8, steps=20, samples=4)


def pendulum(root):
    return PendulumSpec(horizons=(1, 3), model_horizons=(2, 3), model_seeds=2, env_steps=640, updates=3, width=16,
                        batch_size=8, states=2, samples=4, noises=(0.1,), hidden=(4,))  # fmt: skip


def rows(spec, root) -> pd.DataFrame:
    return pd.read_parquet(Results(root).run(spec.study, spec.id).path / FILE)


@pytest.mark.parametrize("make", [comparison, open_loop, without_noise, landscape, ball_wall, pendulum])
def test_each_piece_in_a_process_of_its_own(make, tmp_path):
    """A new job goes on from the checkpoint after every piece; the first attempt at each is broken off."""
    spec = make(tmp_path)
    assert carry_out(spec, Results(tmp_path)).record.status == "ok"
    job, pieces = job_class(spec.kind)(spec, tmp_path), 0
    while job.counts().iterations < job.budget.total:
        for broken_off in (True, False):
            checkpoint.save(tmp_path / "c", job.state_dict(), spec_id=spec.id)
            job = job_class(spec.kind)(spec, tmp_path)
            job.load_state_dict(checkpoint.load(tmp_path / "c", spec_id=spec.id).state)
            if broken_off:
                told = []

                def stops(piece, done, total, told=told):
                    told.append(piece)
                    if len(told) == 3:
                        raise KeyboardInterrupt

                job.told = stops
                try:
                    job.advance()
                except KeyboardInterrupt:
                    assert job.counts().iterations == pieces
                else:
                    pieces += 1
                    break
            else:
                job.advance()
                pieces += 1
    assert pieces == job.budget.total > 3
    (tmp_path / "again").mkdir()
    artifacts = job.artifacts(tmp_path / "again")
    whole = Results(tmp_path).run(spec.study, spec.id).read()
    assert artifacts == whole.artifacts
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "again" / FILE), rows(spec, tmp_path), check_exact=True)


def wait_for_piece(process: subprocess.Popen, number: int) -> None:
    """Reads snapshots until so many pieces (or updates) are done."""
    for line in process.stdout:
        event = ProgressEvent.from_json(line)
        if event is not None and event.phase == "train" and event.done >= number:
            return
    pytest.fail(f"ended before: {process.communicate()}")


def killed(start, spec, root, kills) -> int:
    """Begins a run, kills it once it has got so far, and goes on, until it is finished. Returns the attempts."""
    file, directory = root / "spec.json", Results(root).run(spec.study, spec.id)
    file.write_text(spec.to_json())
    for number in (*kills, None):
        process = start("run", file, "--results", root, "--progress", "json", "--checkpoint-seconds", "0", toys=False)
        if number is None:
            _, errors = process.communicate(timeout=300)
            assert process.returncode == 0, errors
        else:
            wait_for_piece(process, number)
            process.kill()
            process.communicate()
            assert process.returncode == -signal.SIGKILL
            assert directory.status() == "killed"
    assert verify(directory) == []
    return directory.read().attempts


def test_a_killed_comparison_goes_on(start, tmp_path):
    spec = comparison(tmp_path)
    carry_out(spec, Results(tmp_path))
    again = tmp_path / "again"
    again.mkdir()
    assert killed(start, spec, again, (4,)) == 2
    pd.testing.assert_frame_equal(rows(spec, again), rows(spec, tmp_path), check_exact=True)


@pytest.mark.slow
@pytest.mark.parametrize("make", [comparison, landscape, ball_wall, pendulum])
def test_twenty_kills(start, tmp_path, make):
    spec = make(tmp_path)
    carry_out(spec, Results(tmp_path))
    again = tmp_path / "again"
    again.mkdir()
    total = job_class(spec.kind)(spec, again).budget.total
    kills = sorted(random.Random(0).randrange(total) for _ in range(20))
    assert killed(start, spec, again, kills) == 21
    pd.testing.assert_frame_equal(rows(spec, again), rows(spec, tmp_path), check_exact=True)


@pytest.mark.slow
def test_twenty_kills_of_a_models_training(start, tmp_path):
    spec = TrainModelSpec(task="cartpole", training=dataclasses.replace(TINY_MODEL, updates=4000))
    carry_out(spec, Results(tmp_path))
    again = tmp_path / "again"
    again.mkdir()
    kills = sorted(random.Random(0).randrange(3000) for _ in range(20))
    assert killed(start, spec, again, kills) == 21
    mine, theirs = (Results(root).run(spec.study, spec.id).read().artifacts for root in (again, tmp_path))
    assert mine == theirs
