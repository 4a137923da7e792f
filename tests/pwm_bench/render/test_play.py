"""Who acts, what happens, and the title over it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pwm_bench import envs
from pwm_bench.cli.main import main
from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.render.caption import caption
from pwm_bench.render.policies import simple_actor, trained_actor
from pwm_bench.render.rollout import Moment, play
from pwm_bench.store import checkpoint
from pwm_bench.store.listing import find_run
from pwm_bench.store.results import Results
from tests.pwm_bench.cli.toy_cli import toy_spec


@pytest.fixture
def run(toys: None, tmp_path: Path):
    results = Results(tmp_path / "results")
    spec = toy_spec()
    assert carry_out(spec, results).record.status == "ok"
    return results.run(spec.study, spec.id)


def test_zero_policy_plays_the_simulator_alone():
    actor = simple_actor("cartpole", "zero", simulator="mujoco_c", seed=3)
    rollout = play(actor, 5)
    env = envs.make("cartpole", "mujoco_c", num_envs=1, seed=3)
    total = 0.0
    for number, moment in enumerate(rollout.moments):
        assert moment.step == number
        assert np.array_equal(moment.qpos, env.state.qpos[0].double().numpy())
        assert moment.total == pytest.approx(total)
        reward = env.step(torch.zeros(1, 1)).reward.item()
        total += reward
        assert moment.velocity is None
    assert rollout.control_dt == pytest.approx(1 / 60)


def test_random_policy_follows_its_seed():
    def last(seed: int) -> np.ndarray:
        return play(simple_actor("hopper", "random", simulator="mujoco_c", seed=seed), 4).moments[-1].qpos

    assert np.array_equal(last(1), last(1))
    assert not np.array_equal(last(1), last(2))


def test_episodes_follow_each_other():
    actor = simple_actor("cartpole", "zero", simulator="mujoco_c", seed=0)
    actor.env.episode_length = 3
    moments = play(actor, 7).moments
    assert [(m.episode, m.step) for m in moments] == [
        (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1)
    ]  # fmt: skip
    assert moments[3].total == 0.0


def test_trained_policy_is_that_of_the_checkpoint(run):
    record = run.read()
    best = max(record.members, key=lambda member: member.final_return)
    actor = trained_actor(run, seed=7)
    assert record.members[actor.world].seed == best.seed
    assert f"seed {best.seed}" in actor.label
    weight = checkpoint.load(run.checkpoint, spec_id=record.id).state["job"]["weight"]
    obs = torch.randn(2, 4)
    expected = torch.tanh(torch.einsum("pi,pij->pj", obs, weight))
    assert torch.allclose(actor.act(obs, 0), expected, atol=1e-6)
    assert torch.equal(actor.env.obs[0], actor.env.obs[1])  # both members start alike
    other = next(member.seed for member in record.members if member.seed != best.seed)
    assert trained_actor(run, member=other).world != actor.world


def test_missing_things_are_named(run, tmp_path: Path):
    with pytest.raises(UsageError, match=r"member 9: .* has the seeds 0, 1"):
        trained_actor(run, member=9)
    for file in run.checkpoint.iterdir():
        file.unlink()
    with pytest.raises(UsageError, match=r"has no checkpoint, so its policy is lost .*train it again: pwm-bench run"):
        trained_actor(run)
    with pytest.raises(UsageError, match="unknown policy 'zeros': did you mean 'zero'"):
        simple_actor("hopper", "zeros", simulator="mujoco_c", seed=0)


def test_runs_are_found_by_path_and_id(run, tmp_path: Path):
    results = Results(tmp_path / "results")
    name = run.path.name
    for found in (find_run(str(run.path), results), find_run(name, results), find_run(name[:5], results)):
        assert found.path == run.path
    with pytest.raises(UsageError, match=r"'hoper' is neither a task, a run's directory nor a run in .*'hopper'"):
        find_run("hoper", results, others={"task": envs.tasks()})
    twin = run.path.with_name(name[:5] + "0" * 7)
    twin.mkdir()
    (twin / "run.json").write_text(json.dumps({"status": "ok"}))
    with pytest.raises(UsageError, match=r"could be .* or .*; write one more digit"):
        find_run(name[:5], results)


def test_title_is_drawn_over_the_top_and_nowhere_else():
    picture = np.full((240, 320, 3), 100, np.uint8)
    moment = Moment(np.zeros(2), 12, 1, 1.5, 20.0, 3.25)
    titled = caption(picture, "hopper · warp", moment)
    assert titled.shape == picture.shape
    changed = np.flatnonzero((titled != picture).any(axis=(1, 2)))
    assert changed[0] == 0
    assert changed[-1] < 0.15 * 240
    assert not np.array_equal(titled, caption(picture, "hopper · warp", replace(moment, velocity=None)))
    assert (picture == 100).all()


def test_command_draws_a_run_and_a_task(run, tmp_path: Path, capsys):
    out = tmp_path / "a.png"
    arguments = ("--out", str(out), "--results", str(tmp_path / "results"), "--steps", "6", "--size", "160x120")
    assert main(["render", run.path.name, *arguments]) == 0
    sheet = np.asarray(Image.open(out))
    assert sheet.shape == (2 * 120 + 4, 4 * 160 + 12, 3)  # 7 states
    assert not np.array_equal(sheet[:120, :160], sheet[:120, 164:324])
    assert "7 frames in" in capsys.readouterr().out
    assert main(["render", "point_mass", *arguments, "--simulator", "toy", "--policy", "zero"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("hoper", "--out", "a.gif"), "did you mean 'hopper'"),
        (("hopper", "--out", "a.avi"), "unknown suffix of --out '.avi'"),
        (("hopper", "--out", "a.mp4", "--size", "641x480"), "must be even"),
        (("hopper", "--out", "a.gif", "--size", "big"), "--size big: must be WIDTHxHEIGHT"),
        (("hopper", "--out", "a.gif", "--size", "9000x10"), "width=9000: must be between 16 and 4096"),
        (("hopper", "--out", "a.gif", "--steps", "0"), "--steps 0: must be at least 1"),
        (("hopper", "--out", "a.gif", "--fps", "0"), "--fps 0.0: must be positive"),
        (("hopper", "--out", "a.gif", "--simulator", "mujoco"), "unknown simulator 'mujoco': did you mean"),
        (("hopper", "--out", "a.gif", "--member", "1"), "'hopper' is a task; members belong to runs"),
    ],
)
def test_bad_input_is_one_line(arguments, message, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["render", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not list(tmp_path.iterdir())


def test_no_opengl_is_one_line(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setattr("mujoco.glfw.GLContext", None, raising=False)  # as if there were no display
    assert main(["render", "hopper", "--out", str(tmp_path / "a.gif")]) == 2
    assert "no OpenGL through 'glfw'" in capsys.readouterr().err
    monkeypatch.setenv("MUJOCO_GL", "vulkan")
    assert main(["render", "hopper", "--out", str(tmp_path / "a.gif")]) == 2
    assert "MUJOCO_GL=vulkan: must be one of egl" in capsys.readouterr().err
