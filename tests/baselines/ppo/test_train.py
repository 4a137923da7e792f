from __future__ import annotations

import copy
import dataclasses

import pytest
import torch

from pwm_bench.baselines.ppo import Config, Learner
from pwm_bench.envs.errors import UsageError
from pwm_bench.learning import learner
from pwm_bench.testing.company import assert_company_changes_nothing
from pwm_bench.testing.host_sync import exempt, no_host_sync
from pwm_bench.testing.toy import toy_env

SMALL = Config(num_envs=8, horizon=5, epochs=2, minibatches=2, hidden_actor=(16,), hidden_critic=(16,))
ODD = dataclasses.replace(SMALL, num_envs=7, minibatches=5, hidden_actor=(13,), hidden_critic=(9, 5))
BUDGET = 100_000


def make(seeds, config=SMALL, **kwargs) -> Learner:
    env = toy_env(num_envs=config.num_envs * len(seeds), seeds=seeds, **kwargs)
    return Learner(env, config, seeds=seeds, total_env_steps=BUDGET)


def weights(ppo: Learner) -> list[torch.Tensor]:
    return [p.detach().clone() for p in ppo.networks.parameters()]


@torch.no_grad()
def evaluate(ppo: Learner, seeds) -> torch.Tensor:
    """Mean return of the first episode of 32 worlds a member."""
    env = toy_env(num_envs=32 * len(seeds), seeds=[s + 100 for s in seeds])
    obs, total, running = env.reset(), torch.zeros(env.num_envs), torch.ones(env.num_envs, dtype=torch.bool)
    for _ in range(env.episode_length):
        step = env.step(ppo.act(obs.unflatten(0, (len(seeds), -1))).flatten(0, 1))
        total += step.reward * running
        running &= ~step.done
        obs = step.obs
    return total.view(len(seeds), -1).mean(1)


def test_learns():
    seeds = (0, 1)
    ppo = make(seeds, Config(num_envs=32, horizon=20, hidden_actor=(32, 32), hidden_critic=(32, 32)))
    before = evaluate(ppo, seeds)
    for _ in range(30):
        metrics = ppo.update()
    after = evaluate(ppo, seeds)
    assert (before < -15).all()
    assert (after > -5).all()
    assert (metrics["episode_return"] > -7).all()


def test_follows_the_protocol_and_counts():
    ppo = make((0, 1))
    assert isinstance(ppo, learner.Learner)
    for _ in range(2):
        metrics = ppo.update()
    for name in (
        "episode_return",
        "episode_length",
        "actor_loss",
        "critic_loss",
        "actor_grad_norm",
        "learning_rate",
    ):
        assert metrics[name].shape == (2,), name
    counters = ppo.counters
    assert (counters.env_steps, counters.gradient_steps, counters.imagined_steps) == (
        2 * 8 * 5,
        2 * 2 * 2 * 2,
        0,
    )
    action = ppo.act(torch.randn(2, 7, 4) * 100)
    assert action.shape == (2, 7, 2)
    assert action.abs().max() <= 1.0
    assert not action.requires_grad


@pytest.mark.parametrize("config", [SMALL, ODD], ids=["whole vectors", "odd sizes"])
def test_a_member_learns_the_same_alone_and_in_company(config):
    assert_company_changes_nothing(lambda seeds: make(seeds, config), (3, 7, 5), updates=4)


def test_resumes_exactly():
    ppo = make((0, 1))
    for _ in range(5):  # 25 steps: past an episode's end
        ppo.update()
    state = copy.deepcopy(ppo.state_dict())
    expected = [ppo.update() for _ in range(2)][-1]
    resumed = make((0, 1))
    resumed.load_state_dict(state)
    actual = [resumed.update() for _ in range(2)][-1]
    for name, value in expected.items():
        assert torch.equal(value, actual[name]), name
    for a, b in zip(weights(ppo), weights(resumed), strict=True):
        assert torch.equal(a, b)
    assert resumed.counters == ppo.counters


@pytest.mark.parametrize("network", ["actor", "critic"])
def test_a_member_that_diverges_is_frozen_and_the_other_goes_on(network):
    ppo, healthy = make((3, 7)), make((7,))
    ppo.update()
    healthy.update()
    parameter = next(getattr(ppo.networks, network).parameters())
    parameter.data[0] = float("nan")
    before = weights(ppo)
    ppo.update()
    healthy.update()
    assert ppo.alive.tolist() == [False, True]
    for old, new, other in zip(before, weights(ppo), weights(healthy), strict=True):
        assert torch.equal(torch.nan_to_num(old[0]), torch.nan_to_num(new[0]))
        torch.testing.assert_close(new[1], other[0], rtol=1e-3, atol=1e-4)


def test_the_learning_rate_follows_the_divergence_of_each_member():
    ppo = make((0, 1))
    rate = torch.tensor([1e-3, 1e-3])
    target = SMALL.kl_target
    torch.testing.assert_close(
        ppo._adapted(rate, torch.tensor([3.0, 0.1]) * target), torch.tensor([1e-3 / 1.5, 1.5e-3])
    )
    torch.testing.assert_close(ppo._adapted(rate, torch.tensor([1.9, 0.6]) * target), rate)
    torch.testing.assert_close(ppo._adapted(torch.full((2,), 1e-2), torch.zeros(2)), torch.full((2,), 1e-2))


def test_linear_and_constant_schedules():
    for schedule, expected in (("constant", 5e-4), ("linear", 5e-4 * (1 - 40 / BUDGET))):
        ppo = make((0,), dataclasses.replace(SMALL, schedule=schedule))
        ppo.update()
        torch.testing.assert_close(ppo.update()["learning_rate"], torch.tensor([expected]))


def test_a_truncated_episode_bootstraps_from_the_final_observation_and_a_terminated_one_does_not():
    ppo = make((0,), dataclasses.replace(SMALL, lam=0.0))
    rollout = ppo._collect()
    initial = {k: v.clone() for k, v in ppo.networks.returns.state_dict().items()}
    next_value = ppo.networks.value(rollout.next_obs.flatten(1, 2)).view(1, 5, 8).detach()
    no, yes = torch.zeros_like(rollout.terminated), torch.ones_like(rollout.terminated)
    targets = {}
    for name, flags in {"neither": (no, no), "terminated": (yes, no), "truncated": (no, yes)}.items():
        ppo.networks.returns.load_state_dict(initial)
        batch, _ = ppo._prepare(rollout._replace(terminated=flags[0], truncated=flags[1]))
        targets[name] = ppo.networks.returns.denormalise(batch.target.unsqueeze(-1)).view(1, 5, 8)
    bootstrapped = rollout.reward + 0.99 * next_value
    torch.testing.assert_close(targets["truncated"], bootstrapped, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(targets["neither"], bootstrapped, rtol=1e-4, atol=1e-4)  # because lambda = 0
    torch.testing.assert_close(targets["terminated"], rollout.reward, rtol=1e-4, atol=1e-4)


def test_runs_in_float64_environments_and_reduced_precision():
    assert torch.isfinite(make((0,), dtype=torch.float64).update()["critic_loss"]).all()
    ppo = make((0,), dataclasses.replace(SMALL, precision="bfloat16"))
    assert torch.isfinite(ppo.update()["critic_loss"]).all()
    assert ppo.alive.all()


def test_an_environment_of_another_size_is_refused():
    with pytest.raises(UsageError, match="make it with num_envs=16"):
        Learner(toy_env(num_envs=8, seeds=(0, 1)), SMALL, seeds=(0, 1), total_env_steps=BUDGET)


@pytest.mark.parametrize("schedule", ["adaptive", "linear"])
def test_an_update_never_makes_the_host_wait(schedule):
    ppo = make((0, 1), dataclasses.replace(SMALL, schedule=schedule))
    ppo.env.step = exempt(ppo.env.step)
    with no_host_sync():
        ppo.update()
        with pytest.raises(AssertionError, match="_local_scalar_dense"):
            float(ppo.alive.sum())
