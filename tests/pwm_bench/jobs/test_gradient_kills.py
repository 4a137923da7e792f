"""Work about gradients is cut off anywhere and ends with the numbers of an undisturbed run."""

from __future__ import annotations

import dataclasses
import random
import signal
import subprocess
from collections.abc import Iterable

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
from pwm_bench.store.results import Results, RunDirectory
from pwm_bench.store.verify import verify
from pwm_bench.studies import comparisons
from pwm_bench.sweeps.graph import resolve
from tests.pwm_bench.gradients.carrying import TINY, TINY_MODEL, carry_out_study, with_models

VALUE = ValueTraining(env_steps=64, num_envs=8, rounds=2, hidden=(4,), batch_size=16)


def comparison(root, **changes):
    """Two truths, each with a world model and a value of its own, by the weights of a policy."""
    fields = {"simulators": ("warp", "mujoco_c"), "estimators": ("model_detached", "score"), "loop": "closed",
              "bootstrap": VALUE}  # fmt: skip
    return with_models(comparisons.comparison("cartpole", model=TINY_MODEL, **{**TINY, **fields, **changes}), root)


def open_loop(root):
    """One truth and every estimator."""
    return comparison(
        root, simulators=("warp",), estimators=("analytic", "model", "score", "smoothed", "mixed"), loop="open"
    )


def without_noise(root):
    return comparison(root, simulators=("warp",), estimators=("analytic",), loop="open", noise=0.0, bootstrap=None)


def landscape(root):
    small = {"states": 2, "points": 5, "cells": 3, "arrows": 2, "worlds": 8, "horizon": 3, "loop": "closed"}
    (name, training), (_, pending) = comparisons.landscape("cartpole", TINY_MODEL, **small).nodes.items()
    models = carry_out_study(dataclasses.replace(comparisons.landscape("cartpole", TINY_MODEL, **small), specs=(),
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


def reaches(process: subprocess.Popen, number: int) -> bool:
    """Reads snapshots until so many pieces (or updates) are done; whether it got there before it ended."""
    for line in process.stdout:
        event = ProgressEvent.from_json(line)
        if event is not None and event.phase == "train" and event.done >= number:
            return True
    return False


def finished_in_spite_of(start, spec, root, moments: Iterable[int]) -> tuple[RunDirectory, int]:
    """Begins a run, kills it at each moment, and goes on until it is finished. Returns the kills as well."""
    root.mkdir()
    file, directory, kills = root / "spec.json", Results(root).run(spec.study, spec.id), 0
    file.write_text(spec.to_json())
    for number in (*moments, None):
        process = start("run", file, "--results", root, "--progress", "json", "--checkpoint-seconds", "0", toys=False)
        if number is not None and reaches(process, number):
            process.kill()
        _, errors = process.communicate(timeout=300)
        if process.returncode == -signal.SIGKILL:
            assert directory.status() == "killed"
            kills += 1
        else:
            assert process.returncode == 0, errors
            break  # it may have been faster
    assert directory.read().attempts == kills + 1
    assert verify(directory) == []
    return directory, kills


def same(run: RunDirectory, other: RunDirectory) -> bool:
    return run.read().artifacts == other.read().artifacts


@pytest.mark.slow
def test_a_killed_comparison_goes_on(start, tmp_path):
    spec = comparison(tmp_path)
    carry_out(spec, Results(tmp_path))
    run, kills = finished_in_spite_of(start, spec, tmp_path / "again", (4,))
    assert kills == 1
    assert same(run, Results(tmp_path).run(spec.study, spec.id))


def model(root):
    return TrainModelSpec(task="cartpole", training=dataclasses.replace(TINY_MODEL, updates=4000))


@pytest.mark.slow
@pytest.mark.parametrize("make", [comparison, landscape, ball_wall, pendulum, model])
def test_twenty_kills_at_random(start, tmp_path, make):
    """A run that was faster than its kill is as it should be, too, and another one is begun."""
    spec = make(tmp_path)
    carry_out(spec, Results(tmp_path))
    undisturbed = Results(tmp_path).run(spec.study, spec.id)
    total, draw = job_class(spec.kind)(spec, tmp_path).budget.total, random.Random(0)
    kills = rounds = 0
    while kills < 20:
        moments = sorted(draw.randrange(total) for _ in range(min(5, 20 - kills)))
        run, more = finished_in_spite_of(start, spec, tmp_path / f"round-{rounds}", moments)
        assert same(run, undisturbed)
        kills, rounds = kills + more, rounds + 1
