"""Recording episodes: what is stored, who acted, and going on after an interruption."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import envs.suites as suites
from envs.errors import UsageError
from pwm_bench.collection.behaviours import Noise, make_behaviours
from pwm_bench.collection.collect import collect, task_infos
from pwm_bench.world_model.dataset import Dataset

pytest.importorskip("dm_control")
pytest.importorskip("metaworld")

_TASKS = ["pendulum-swingup", "mw-reach"]
_LEVELS = (0.0, 0.2)


@pytest.fixture(scope="module")
def worlds():
    """Environments with one and with two worlds a task."""
    made = {n: suites.make(_TASKS, envs_per_task=n, num_workers=0, seed=3) for n in (1, 2)}
    yield made
    for env in made.values():
        env.close()


def _record(env, path, episodes=3, policy="auto", **options):
    env.reseed(3)
    behaviour, batch = make_behaviours(policy, env.suite, seed=3, noise=Noise(levels=_LEVELS))
    return collect(env, path, episodes=episodes, behaviour=behaviour, policy=batch, note={"policy": policy}, **options)


def _content(path):
    """All episodes of each task, in the order in which they lie on the disk."""
    data = Dataset(path, verify=True)
    result = {}
    for task, name in enumerate(data.names):
        episodes = [data.episode(task, n) for n in range(data.num_episodes(task))]
        result[name] = [(e.obs, e.action, e.reward, e.success, e.source) for e in episodes]
    return result


def _same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert len(a[name]) == len(b[name])
        for first, second in zip(a[name], b[name], strict=True):
            assert all(np.array_equal(x, y, equal_nan=True) for x, y in zip(first, second, strict=True))


@pytest.fixture(scope="module")
def recorded(worlds, tmp_path_factory):
    path = tmp_path_factory.mktemp("recorded")
    assert _record(worlds[1], path)
    return path


def test_episodes_are_whole_and_scored(recorded):
    data = Dataset(recorded)
    assert data.names == tuple(_TASKS)
    assert [data.num_episodes(task) for task in (0, 1)] == [3, 3]
    assert (data.obs_dim, data.action_dim) == (39, 4)
    reach = data.episode(1, 0)
    assert (reach.obs.shape, reach.action.shape, reach.reward.shape) == ((101, 39), (100, 4), (100,))
    assert reach.success == 1.0
    assert np.isnan(data.episode(0, 0).success)
    assert data.scores(1)[0][0] == pytest.approx(reach.reward.sum())


def test_the_stored_actions_led_to_the_stored_observations(recorded):
    episode = Dataset(recorded).episode(1, 1)
    with suites.make("mw-reach", num_workers=0, seed=3) as env:
        assert np.array_equal(env.reset(first=1)[0].numpy(), episode.obs[0])
        for t in range(5):
            step = env.step(torch.from_numpy(episode.action[t : t + 1]))
            assert np.array_equal(step.final_obs[0].numpy(), episode.obs[t + 1])
            assert step.reward[0].item() == episode.reward[t]


def test_experts_act_with_noise_in_turn(recorded):
    from envs.suites.experts import expert

    act = expert(suites.spec("mw-reach").tasks[0])
    data = Dataset(recorded)
    episodes = [data.episode(1, n) for n in range(3)]
    assert [episode.source for episode in episodes] == [0, 1, 0]
    spread = [np.abs(e.action - [act(obs) for obs in e.obs[:-1]]).mean() for e in episodes]
    assert spread[0] == spread[2] == 0.0
    assert 0.05 < spread[1] < 0.2
    assert max(np.abs(episode.action).max() for episode in episodes) <= 1.0


def test_random_actions_are_correlated_in_every_other_episode(recorded):
    data = Dataset(recorded)
    correlation = []
    for n in range(3):
        action = data.episode(0, n).action[:, 0]
        assert np.abs(action).max() <= 1.0
        correlation.append(np.corrcoef(action[1:], action[:-1])[0, 1])
    assert abs(correlation[0]) < 0.2
    assert correlation[1] > 0.7
    assert abs(correlation[2]) < 0.2
    assert not np.array_equal(data.episode(0, 0).action, data.episode(0, 2).action)


def test_a_share_of_the_episodes_is_random():
    suite = suites.spec("mw-reach")
    behaviour, _ = make_behaviours("expert", suite, seed=0, noise=Noise(levels=(0.0, 0.3), random_share=0.4))
    sources = [behaviour(0, episode).source for episode in range(10)]
    assert sources == [0, 1, -1, 0, -1, 1, 0, -1, 1, -1]  # 40 %, evenly spread; levels go on in turn
    correlation = []
    for episode in (2, 4):
        actor = behaviour(0, episode)
        action = np.array([actor.act(np.zeros(39), None)[0] for _ in range(200)])
        correlation.append(np.corrcoef(action[1:], action[:-1])[0, 1])
    assert correlation[0] < 0.2
    assert correlation[1] > 0.7
    with pytest.raises(UsageError, match=r"--random-share 1\.0: must be at least 0 and below 1"):
        Noise(random_share=1.0)


def test_the_number_of_worlds_changes_nothing(worlds, recorded, tmp_path):
    assert _record(worlds[2], tmp_path)
    _same(_content(recorded), _content(tmp_path))


@pytest.mark.parametrize("steps", [0, 60, 130, 550])
def test_a_stopped_collection_goes_on(worlds, recorded, tmp_path, steps):
    taken = iter(range(steps))
    assert not _record(worlds[2], tmp_path, stop=lambda: next(taken, None) is None)
    done = []
    assert _record(worlds[1], tmp_path, report=lambda now, total: done.append((now, total)))
    assert done[0] == ({0: 0, 60: 0, 130: 2, 550: 5}[steps], 6)
    assert done[-1] == (6, 6)
    _same(_content(recorded), _content(tmp_path))
    assert _record(worlds[1], tmp_path)  # nothing left to do
    _same(_content(recorded), _content(tmp_path))


def test_a_kill_loses_what_was_not_saved_and_no_more(worlds, recorded, tmp_path):
    assert _record(worlds[1], tmp_path, save_seconds=0.0)
    shards = sorted(tmp_path.glob("shard-*"))
    assert len(shards) > 3
    for shard in shards[2:]:
        shard.rename(shard.with_name(shard.name + ".partial"))
    assert _record(worlds[1], tmp_path)
    _same(_content(recorded), _content(tmp_path))


def test_more_episodes_can_be_added(worlds, recorded, tmp_path):
    assert _record(worlds[1], tmp_path, episodes=2)
    assert _record(worlds[1], tmp_path, episodes=3)
    _same(_content(recorded), _content(tmp_path))


def test_other_data_is_not_mixed_in(worlds, recorded):
    with pytest.raises(UsageError, match=r"holds data made in another way .*'policy': 'auto'"):
        _record(worlds[1], recorded, policy="random")


def test_a_policy_of_ones_own(worlds, tmp_path):
    assert _record(worlds[1], tmp_path, episodes=2, policy="tests.pwm_bench.collection.policies:lean")
    data = Dataset(tmp_path)
    assert np.allclose(data.episode(0, 0).action, 0.1)
    assert np.allclose(data.episode(1, 0).action, 0.2)
    noisy = data.episode(1, 1).action - 0.2
    assert noisy.std() == pytest.approx(_LEVELS[1], rel=0.15)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("experts", "--policy experts: must be random, expert, auto, the run directory of an extraction"),
        ("no.such:thing", "--policy no.such:thing: can't be imported"),
        ("tests.pwm_bench.collection.policies:none", "can't be imported"),
        ("expert", "only Meta-World's tasks have scripted experts"),
    ],
)
def test_policies_that_do_not_exist(policy, message):
    with pytest.raises(UsageError, match=message):
        make_behaviours(policy, suites.spec(_TASKS), seed=0, noise=Noise())


@pytest.mark.parametrize("levels", [(), (0.1, -0.1)])
def test_impossible_noise(levels):
    with pytest.raises(UsageError, match="--noise"):
        Noise(levels=levels)


def test_infos_carry_the_suites_sizes():
    infos = task_infos(suites.spec(_TASKS))
    assert [(i.name, i.obs_dim, i.action_dim, i.episode_length) for i in infos] == [
        ("pendulum-swingup", 3, 1, 500),
        ("mw-reach", 39, 4, 100),
    ]


def test_the_command_records_shows_and_exports(tmp_path, capsys):
    from pwm_bench.cli.main import main

    command = ["collect", "mw-reach", "--out", str(tmp_path / "data"), "--episodes", "2", "--workers", "0"]
    assert main(command) == 0
    shown = capsys.readouterr().out
    row = next(line for line in shown.splitlines() if "mw-reach" in line).split()
    assert row[:3] == ["mw-reach", "2", "200"]
    assert row[-2:] == ["100", "%"]
    shard = json.loads((tmp_path / "data" / "shard-000000" / "shard.json").read_text())
    assert shard["source"] == {"policy": "auto", "noise": [0.0, 0.1, 0.3], "seed": 0}

    pytest.importorskip("tensordict")
    assert main([*command, "--to-tdmpc2", str(tmp_path / "chunks")]) == 0
    assert "2 episodes of 101 entries in 1 files for TD-MPC2's mt80" in capsys.readouterr().out
    back = ["collect", "mt80", "--from-tdmpc2", str(tmp_path / "chunks"), "--out", str(tmp_path / "again")]
    assert main(back) == 0
    _same({"mw-reach": _plain(_content(tmp_path / "data")["mw-reach"])}, _mt80(tmp_path / "again"))


def _plain(episodes):
    """Success and source are not in TD-MPC2's files."""
    return [(obs, action, reward, np.nan, -1) for obs, action, reward, _, _ in episodes]


def _mt80(path):
    content = _content(path)
    assert [name for name, episodes in content.items() if episodes] == ["mw-reach"]
    return {"mw-reach": content["mw-reach"]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mw-reech"], "did you mean 'mw-reach'"),
        (["mw-reach", "--episodes", "0"], "--episodes 0"),
        (["mw-reach", "--from-tdmpc2", "x"], "TASKS must be mt30 or mt80"),
        (["mt30", "--from-tdmpc2", "/none"], "/none: no such folder"),
        (["mw-reach", "--noise", "-1.0"], "--noise"),
    ],
)
def test_the_command_explains_bad_input(tmp_path, capsys, arguments, message):
    from pwm_bench.cli.main import main

    assert main(["collect", *arguments, "--out", str(tmp_path / "data")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_the_command_trains_where_there_is_no_expert(tmp_path, capsys, monkeypatch):
    from pwm_bench.cli.main import main

    monkeypatch.setattr("pwm_bench.collection.trained._NUM_ENVS", 2)
    command = ["collect", "pendulum-spin", "--out", str(tmp_path), "--episodes", "2", "--workers", "0"]
    command += ["--learner", "ppo", "--train-steps", "64", "--stages", "1"]
    assert main(command) == 0
    assert "pendulum-spin" in capsys.readouterr().out
    assert [Dataset(tmp_path).episode(0, n).source for n in range(2)] == [0, 1]
    source = Dataset(tmp_path).shards[0].source
    assert (source["learner"], source["train_steps"], source["stages"]) == ("ppo", 64, 1)
    assert main([*command, "--policy", "random"]) == 2
    assert "--learner ppo: goes with --policy auto" in capsys.readouterr().err
