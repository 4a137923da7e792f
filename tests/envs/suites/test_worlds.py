"""Single worlds against the environments that they wrap."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.suites import spec
from pwm_bench.envs.suites.worlds import episode_seed, make_world

pytest.importorskip("dm_control")
pytest.importorskip("metaworld")

_ONE_OF_EACH_SIZE = [
    "walker-run", "cheetah-run", "reacher-hard", "reacher-three-easy", "acrobot-swingup", "pendulum-swingup",
    "cartpole-balance-sparse", "cup-catch", "finger-spin", "finger-turn-hard", "fish-swim", "hopper-stand", "mw-soccer",
]  # fmt: skip


def _task(name):
    return spec(name).tasks[0]


@pytest.mark.parametrize("name", _ONE_OF_EACH_SIZE)
def test_sizes_and_reproducibility(name):
    _check(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", spec("mt80").names)
def test_sizes_and_reproducibility_of_every_task(name):
    _check(name)


def _check(name):
    """An episode's start and course depend on its seed alone, not on what the world went through before."""
    task = _task(name)
    world = make_world(task)
    actions = np.random.default_rng(0).uniform(-1.0, 1.0, (5, task.action_dim))

    def play(seed):
        first = world.reset(seed)
        steps = [world.step(action) for action in actions]
        return [first, *(obs for obs, _, _ in steps)], [reward for _, reward, _ in steps], steps[-1][2]

    observations, rewards, success = play(7)
    other, _, _ = play(8)
    again, rewards_again, _ = play(7)
    assert observations[0].shape == (task.obs_dim,)
    assert observations[0].dtype == np.float32
    assert np.isfinite(observations).all()
    assert all(np.array_equal(a, b) for a, b in zip(observations, again, strict=True))
    assert rewards == rewards_again
    assert not np.array_equal(observations[0], other[0])
    assert math.isnan(success) != task.has_success


def test_dm_control_repeats_the_action_and_adds_rewards():
    from dm_control import suite

    world = make_world(_task("cup-catch"))
    reference = suite.load("ball_in_cup", "catch", task_kwargs={"random": np.random.RandomState(11)})
    start = reference.reset()
    assert np.array_equal(world.reset(11), np.concatenate(list(start.observation.values())).astype(np.float32))
    for action in ([1.0, -1.0], [0.3, 2.0], [-1.0, 0.0]):
        obs, reward, _ = world.step(np.array(action))
        moments = [reference.step(np.clip(action, -1.0, 1.0)) for _ in range(2)]
        assert reward == sum(moment.reward for moment in moments)
        assert np.array_equal(obs, np.concatenate(list(moments[1].observation.values())).astype(np.float32))


def test_meta_world_repeats_the_action_after_one_idle_step():
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE

    world = make_world(_task("mw-drawer-open"))
    reference = ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE["drawer-open-v3-goal-observable"](seed=3)
    reference._freeze_rand_vec, reference.seeded_rand_vec = False, True
    reference.seed(11)
    start, _ = reference.reset()
    reference.step(np.zeros(4))
    assert np.array_equal(world.reset(11), start.astype(np.float32))
    for _ in range(3):
        action = np.array([0.5, -1.0, 0.25, 1.0], np.float32)
        obs, reward, success = world.step(action)
        moments = [reference.step(action) for _ in range(2)]
        assert reward == sum(moment[1] for moment in moments)
        assert np.array_equal(obs, moments[1][0].astype(np.float32))
        assert success == moments[1][4]["success"]


def test_goals_change_with_every_reset_and_are_seen():
    world = make_world(_task("mw-reach"))
    goals = np.array([world.reset(seed)[-3:] for seed in range(4)])
    assert len(np.unique(goals, axis=0)) == 4
    assert (np.abs(goals) > 0.0).any(axis=1).all()


def test_episode_seeds_differ_between_tasks_episodes_and_users():
    seeds = [episode_seed(s, task, e) for s in (0, 1) for task in ("a", "b") for e in range(50)]
    assert len(set(seeds)) == 200
    assert all(0 <= seed < 1 << 32 for seed in seeds)
    assert episode_seed(1, "a", 2) == episode_seed(1, "a", 2)


def test_experts_exist_for_all_of_meta_world_and_nothing_else():
    from pwm_bench.envs.suites.experts import expert

    for task in spec("mw50").tasks:
        action = expert(task)(np.full(39, 0.1, np.float32))
        assert action.shape == (4,)
        assert np.abs(action).max() <= 1.0
    with pytest.raises(UsageError, match="only Meta-World's tasks have scripted experts"):
        expert(_task("cup-spin"))


def test_the_expert_reaches():
    from pwm_bench.envs.suites.experts import expert

    task = _task("mw-reach")
    world, act = make_world(task), expert(task)
    obs = world.reset(0)
    for _ in range(task.episode_length):
        obs, _, success = world.step(act(obs))
    assert success == 1.0
