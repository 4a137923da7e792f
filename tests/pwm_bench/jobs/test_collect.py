"""Collecting as a run: its data, its record, and going on after any interruption."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from pwm_bench.cli.main import main
from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs import collect
from pwm_bench.jobs.behaviour import BehaviourSpec
from pwm_bench.jobs.collect import CollectSpec
from pwm_bench.jobs.kinds import carry_out, spec_from
from pwm_bench.store.inputs import Input, Pending, find_input
from pwm_bench.store.results import Results
from pwm_bench.store.verify import verify
from pwm_bench.world_model.dataset import Dataset
from tests.pwm_bench.cli.test_main import refused
from tests.pwm_bench.jobs.kills import killed, outcome, stopped, undisturbed

pytest.importorskip("dm_control")
pytest.importorskip("metaworld")


def spec(**changes) -> CollectSpec:
    fields = {"tasks": ("pendulum-swingup", "mw-reach"), "episodes": 5, "noise": (0.0, 0.2), "workers": 0, "seed": 3}
    return CollectSpec(**(fields | changes))


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(collect, "_ROWS_PER_SHARD", 1300)  # two episodes of each task


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collect, "_ROWS_PER_SHARD", 1300)
        return undisturbed(spec(), tmp_path_factory.mktemp("whole"))


def test_the_data_lies_in_the_run_and_the_record_says_what_it_is(whole):
    record = whole.read()
    assert (record.kind, record.status, record.members) == ("collect", "ok", [])
    assert (record.counts.episodes, record.counts.env_steps) == (10, 5 * 600)
    data = Dataset(find_input(whole.path, "data").open(), verify=True)
    assert data.names == ("pendulum-swingup", "mw-reach")
    assert [len(shard.episodes) for shard in data.shards] == [4, 4, 2]
    assert [list(shard.episodes["task"]) for shard in data.shards] == [[0, 0, 1, 1], [0, 0, 1, 1], [0, 1]]
    assert [data.num_episodes(task) for task in (0, 1)] == [5, 5]
    said = record.details["collected"]
    assert said["mw-reach"]["episodes"] == 5
    assert said["mw-reach"]["solved"] == np.nanmean(data.scores(1)[1])
    assert said["mw-reach"]["return"] == pytest.approx(data.scores(1)[0].mean())
    assert "solved" not in said["pendulum-swingup"]
    assert verify(whole) == []


def test_the_spec_comes_back_from_json_and_its_id_knows_what_matters():
    one = spec()
    assert spec_from("collect", json.loads(json.dumps(one.to_dict()))) == one
    assert spec(workers=2, study="other", device="cuda").id == one.id
    others = [{"seed": 4}, {"episodes": 6}, {"noise": (0.0,)}, {"random_share": 0.1}, {"policy": "random"},
              {"tasks": ("mw-reach",)}]  # fmt: skip
    assert len({one.id, *(spec(**changes).id for changes in others)}) == len(others) + 1
    suite = spec(tasks=("mw50",))
    assert (len(suite.tasks), suite.label) == (50, "collect · 50 tasks · auto")
    waiting = spec(inputs={"policies.pendulum-swingup": Pending("ppo", "policies")})
    assert waiting.trained_tasks == ("pendulum-swingup",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"episodes": 0}, "episodes=0: must be a whole number of at least 1"),
        ({"envs_per_task": 1.5}, "envs_per_task=1.5: must be a whole number"),
        ({"seed": -1}, "seed=-1"),
        ({"noise": (-1.0,)}, "--noise"),
        ({"tasks": ("mw-reech",)}, "did you mean 'mw-reach'"),
        ({"study": "a/b"}, "must be a plain folder name"),
        ({"policy": "extracted"}, "'extracted' goes with the inputs policies and model"),
        ({"inputs": {"policies": Pending("a", "policies")}}, "nothing else does"),
        ({"policy": "random", "inputs": {"policies.mw-reach": Pending("a", "policies")}}, "must be 'auto'"),
        ({"inputs": {"policies.mw-push": Pending("a", "policies")}}, "unknown task of the trained policies 'mw-push'"),
    ],
)
def test_impossible_specs(changes, message):
    with pytest.raises(UsageError, match=message):
        spec(**changes)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_stopped_and_gone_on_with_it_is_the_same_to_the_byte(whole, tmp_path, monkeypatch, count):
    one = spec()
    stopped(one, tmp_path, monkeypatch, pieces=count)
    assert outcome(undisturbed(one, tmp_path)) == outcome(whole)


def test_any_number_of_worlds_leaves_the_same_data(whole, tmp_path):
    for worlds in (2, 7):
        other = undisturbed(spec(envs_per_task=worlds), tmp_path)
        assert other.read().artifacts == whole.read().artifacts


def test_killed_it_goes_on_to_the_same_data(start, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(collect, "_ROWS_PER_SHARD", 1 << 16)  # as in the other process
    assert outcome(killed(start, spec(), tmp_path / "k", kills=2)) == outcome(undisturbed(spec(), tmp_path))


@pytest.mark.slow
def test_killed_twenty_times(start, tmp_path, monkeypatch):
    monkeypatch.setattr(collect, "_ROWS_PER_SHARD", 1 << 16)
    one = spec(episodes=60)
    assert outcome(killed(start, one, tmp_path / "k", kills=20)) == outcome(undisturbed(one, tmp_path))


def test_shards_that_the_checkpoint_does_not_know_are_made_again(whole, tmp_path, monkeypatch):
    """A kill after a shard and before the next checkpoint; or a checkpoint that was lost."""
    one = spec()
    stopped(one, tmp_path, monkeypatch, pieces=1)
    directory = Results(tmp_path).run("collect", one.id)
    stray = directory.path / "data" / "shard-000000"
    stray.mkdir(parents=True)
    (stray / "shard.json").write_text("{}")
    assert outcome(undisturbed(one, tmp_path)) == outcome(whole)


@pytest.mark.parametrize("pieces", [2, 5])
@pytest.mark.parametrize("checkpoint_seconds", [0.0, 1e9])
def test_a_piece_that_no_checkpoint_knows_is_done_again(whole, tmp_path, monkeypatch, pieces, checkpoint_seconds):
    """As a kill would leave it: all written, and then gone."""
    one = spec()
    with monkeypatch.context() as patch:
        advance, left = collect.CollectJob.advance, iter(range(pieces - 1))

        def lost(self):
            result = advance(self)
            if next(left, None) is None:
                raise RuntimeError("gone")
            return result

        patch.setattr(collect.CollectJob, "advance", lost)
        failed = carry_out(one, Results(tmp_path), checkpoint_seconds=checkpoint_seconds)
    assert failed.record.status == "failed"
    assert outcome(undisturbed(one, tmp_path)) == outcome(whole)


def test_a_failure_leaves_a_record_and_the_same_command_tries_again(whole, tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("the world fell over")

    one = spec()
    with monkeypatch.context() as patch:
        patch.setattr("pwm_bench.envs.suites.env.SuiteEnv.step", broken)
        failed = carry_out(one, Results(tmp_path))
    directory = Results(tmp_path).run("collect", one.id)
    assert (failed.exit_code, failed.record.status) == (1, "failed")
    assert "the world fell over" in directory.traceback.read_text()
    assert outcome(undisturbed(one, tmp_path)) == outcome(whole)
    assert not directory.traceback.exists()


def test_data_that_was_altered_is_found(tmp_path):
    directory = undisturbed(spec(tasks=("mw-reach",), episodes=1), tmp_path)
    (directory.path / "data" / "shard-000000" / "reward.npy").write_bytes(b"")
    assert "another digest" in verify(directory)[0]
    with pytest.raises(UsageError, match="its content has changed"):
        find_input(directory.path, "data").open()


def test_policies_of_a_learner_act_in_their_task(tmp_path):
    task = "pendulum-spin"
    trained = undisturbed(BehaviourSpec(task=task, env_steps=64, stages=2, config={"num_envs": 2}, workers=0), tmp_path)
    one = spec(tasks=(task,), inputs={f"policies.{task}": find_input(trained.path, "policies")})
    data = Dataset(find_input(undisturbed(one, tmp_path).path, "data").open())
    assert sorted(data.episode(0, n).source for n in range(5)) == [0, 0, 1, 2, 3]
    other = dataclasses.replace(one, inputs={f"policies.{task}": Input(path=str(tmp_path), digest="0")})
    with pytest.raises(UsageError, match="its content has changed"):
        carry_out(other, Results(tmp_path))


def test_the_command_records_shows_and_converts(tmp_path, capsys):
    words = ["collect", "mw-reach", "--episodes", "2", "--workers", "0", "--results", str(tmp_path)]
    assert main(words) == 0
    shown = capsys.readouterr().out
    row = next(line for line in shown.splitlines() if "mw-reach  " in line).split()
    assert row[:3] == ["mw-reach", "2", "200"]
    assert row[-2:] == ["100", "%"]
    (run,) = Results(tmp_path).runs("collect")
    assert f"run: {run.path}" in shown
    assert main(words) == 0
    assert "nothing to do" in capsys.readouterr().out

    assert main(["convert", str(run.path), str(tmp_path / "chunks"), "--suite", "mt80"]) == 0
    assert "2 episodes of 101 entries in 1 files for TD-MPC2's mt80" in capsys.readouterr().out
    assert main(["convert", str(tmp_path / "chunks"), str(tmp_path / "again"), "--suite", "mt80"]) == 0
    assert "2 episodes from 1 files" in capsys.readouterr().out
    data, again = Dataset(run.path / "data"), Dataset(tmp_path / "again")
    for n in (0, 1):
        for name in ("obs", "action", "reward"):
            there = getattr(again.episode(again.names.index("mw-reach"), n), name)
            assert np.array_equal(getattr(data.episode(0, n), name), there)


def test_the_command_trains_where_there_is_no_expert(tmp_path, capsys, monkeypatch):
    words = ["collect", "pendulum-spin", "mw-reach", "--episodes", "2", "--workers", "0", "--results", str(tmp_path)]
    words += ["--learner", "ppo", "--train-steps", "64", "--stages", "1"]
    assert main(words) == 0
    kinds = {run.read().kind: run for run in Results(tmp_path).runs("collect")}
    assert set(kinds) == {"collect", "train-behaviour"}
    given = kinds["collect"].read().spec["inputs"]
    assert given["policies.pendulum-spin"]["digest"] == kinds["train-behaviour"].read().artifacts["policies"].digest
    assert main(["results", "ls", "collect", "--results", str(tmp_path)]) == 0
    assert main(["results", "show", kinds["collect"].path.name, "--results", str(tmp_path)]) == 0
    assert "collected" in capsys.readouterr().out
    assert main(["results", "verify", "--results", str(tmp_path)]) == 0
    assert main(["results", "merge", str(tmp_path), "--results", str(tmp_path / "other")]) == 0
    assert "2 copied" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["collect", "mw-reech"], "did you mean 'mw-reach'"),
        (["collect", "mw-reach", "--episodes", "0"], "episodes=0"),
        (["collect", "mw-reach", "--noise", "-1.0"], "--noise"),
        (["collect", "mw-reach", "--learner", "shac"], "needs a differentiable simulator"),
        (["collect", "cheetah-run", "--learner", "pppo"], "unknown algorithm 'pppo': did you mean 'ppo'"),
        (["collect", "mw-reach", "--learner", "ppo", "--policy", "random"], "goes with --policy auto"),
        (["convert", "/none", "x", "--suite", "mt30"], "/none: no such folder"),
        (["convert", ".", "x", "--suite", "mt3"], "unknown suite of TD-MPC2 'mt3'"),
    ],
)
@pytest.mark.usefixtures("toys")
def test_the_commands_explain_bad_input(tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert message in refused(capsys, *arguments)
