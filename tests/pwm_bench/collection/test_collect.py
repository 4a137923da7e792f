"""Playing episodes: who acts, and that what happens depends on the episode's number alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import pwm_bench.envs.suites as suites
from pwm_bench.collection.behaviours import Noise, make_behaviours
from pwm_bench.collection.collect import Collector, task_infos
from pwm_bench.envs.errors import UsageError

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


def _play(env, rounds, policy="auto"):
    """The episodes of some rounds, by task."""
    behaviour, batch = make_behaviours(policy, env.suite, seed=3, noise=Noise(levels=_LEVELS))
    collector = Collector(env, behaviour, batch)
    result = ([], [])
    for first, last in rounds:
        for episode in collector.play(first, last):
            result[episode.task].append(episode)
    return result


def _same(a, b):
    for first, second in zip(a, b, strict=True):
        for name in ("obs", "action", "reward", "success", "source"):
            assert np.array_equal(getattr(first, name), getattr(second, name), equal_nan=True)


@pytest.fixture(scope="module")
def played(worlds):
    return _play(worlds[1], [(0, 1), (1, 2), (2, 3)])


def test_episodes_are_whole_and_scored(played):
    pendulum, reach = played
    assert [len(pendulum), len(reach)] == [3, 3]
    assert [(e.obs.shape, e.action.shape, e.reward.shape) for e in reach] == [((101, 39), (100, 4), (100,))] * 3
    assert reach[0].success == 1.0
    assert pendulum[0].obs.shape == (501, 3)
    assert np.isnan(pendulum[0].success)


def test_the_played_actions_led_to_the_observations(played):
    episode = played[1][1]
    with suites.make("mw-reach", num_workers=0, seed=3) as env:
        assert np.array_equal(env.reset(first=1)[0].numpy(), episode.obs[0])
        for t in range(5):
            step = env.step(torch.from_numpy(episode.action[t : t + 1]))
            assert np.array_equal(step.final_obs[0].numpy(), episode.obs[t + 1])
            assert step.reward[0].item() == episode.reward[t]


def test_experts_act_with_noise_in_turn(played):
    from pwm_bench.envs.suites.experts import expert

    act = expert(suites.spec("mw-reach").tasks[0])
    episodes = played[1]
    assert [episode.source for episode in episodes] == [0, 1, 0]
    spread = [np.abs(e.action - [act(obs) for obs in e.obs[:-1]]).mean() for e in episodes]
    assert spread[0] == spread[2] == 0.0
    assert 0.05 < spread[1] < 0.2
    assert max(np.abs(episode.action).max() for episode in episodes) <= 1.0


def test_random_actions_are_correlated_in_every_other_episode(played):
    correlation = []
    for episode in played[0]:
        action = episode.action[:, 0]
        assert np.abs(action).max() <= 1.0
        correlation.append(np.corrcoef(action[1:], action[:-1])[0, 1])
    assert abs(correlation[0]) < 0.2
    assert correlation[1] > 0.7
    assert abs(correlation[2]) < 0.2
    assert not np.array_equal(played[0][0].action, played[0][2].action)


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


@pytest.mark.parametrize("rounds", [[(0, 2), (2, 3)], [(2, 3), (0, 2)], [(1, 3), (0, 1)]])
def test_rounds_of_any_size_and_order_play_the_same(worlds, played, rounds):
    found = _play(worlds[2], rounds)
    numbers = [number for first, last in rounds for number in range(first, last)]
    for task in (0, 1):
        _same(found[task], [played[task][number] for number in numbers])


def test_a_round_that_was_left_can_be_played_again(worlds, played):
    class LeftError(Exception):
        pass

    def leave(done, total):
        assert total == 500
        if done == 60:
            raise LeftError

    behaviour, _ = make_behaviours("auto", worlds[1].suite, seed=3, noise=Noise(levels=_LEVELS))
    collector = Collector(worlds[1], behaviour)
    collector.play(0, 1)
    with pytest.raises(LeftError):
        collector.play(1, 2, leave)
    _same(collector.play(1, 2), [played[0][1], played[1][1]])


def test_a_policy_of_ones_own(worlds):
    pendulum, reach = _play(worlds[1], [(0, 1), (1, 2)], policy="tests.pwm_bench.collection.policies:lean")
    assert np.allclose(pendulum[0].action, 0.1)
    assert np.allclose(reach[0].action, 0.2)
    noisy = reach[1].action - 0.2
    assert noisy.std() == pytest.approx(_LEVELS[1], rel=0.15)
    with pytest.raises(UsageError, match=r"policy: gave actions \(2, 5\), must be \(2, 4\)"):
        _play(worlds[1], [(0, 1)], policy="tests.pwm_bench.collection.policies:broken")


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
