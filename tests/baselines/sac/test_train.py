from __future__ import annotations

import copy
import dataclasses
import functools

import pytest
import torch

from pwm_bench.baselines.sac import Config, Learner
from pwm_bench.envs.errors import UsageError
from pwm_bench.learning import learner
from pwm_bench.testing.company import assert_company_changes_nothing
from pwm_bench.testing.host_sync import exempt, no_host_sync
from pwm_bench.testing.toy import Aim, PointMass, mean_return, toy_env
from tests.baselines.sac.factories import BUDGET, SMALL, make, stored, weights

ODD = dataclasses.replace(SMALL, num_envs=3, batch_size=9, hidden_actor=(13, 5), hidden_critic=(7,))


class Fenced(PointMass):
    """Episodes end close to where they begin."""

    def terminated(self, observation: torch.Tensor) -> torch.Tensor:
        return observation[:, :2].abs().amax(1) > 1.0


def test_finds_the_soft_optimum_of_a_problem_of_one_step():
    """With r = -|a - s/2|^2, Q* is r and the best action s/2. Of all policies whose entropy is -2 the best is
    exp(Q* / alpha), here a Gaussian of variance alpha / 2 in each of two components: its entropy is log(pi e alpha)."""
    seeds = (0, 1)
    config = Config(
        num_envs=16, horizon=50, batch_size=64, seed_steps=25, hidden_actor=(32,), hidden_critic=(32, 32),
        activation="relu",
        actor_learning_rate=1e-2, critic_learning_rate=1e-2, temperature_learning_rate=1e-2, initial_temperature=0.025,
        normalize_observations=False,
    )  # fmt: skip
    sac = make(seeds, config, task=Aim())
    for _ in range(8):
        metrics = sac.update()
    obs = torch.linspace(-0.8, 0.8, 400).view(2, 100, 2)
    assert (sac.act(obs) - 0.5 * obs).abs().mean() < 0.05
    action = torch.linspace(-1.0, 1.0, 400).view(2, 100, 2).flip(0)
    value = sac.networks.critic(torch.cat((obs, action), dim=-1))
    reward = -(action - 0.5 * obs).square().sum(-1)
    assert (value - reward.unsqueeze(1)).abs().mean() < 0.1
    assert (metrics["entropy"] + 2.0).abs().max() < 0.3
    alpha = torch.full((2,), -2.0).exp() / (torch.pi * torch.e)
    torch.testing.assert_close(metrics["temperature"], alpha, rtol=0.3, atol=0.0)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_compiled_losses_are_the_plain_ones(precision, monkeypatch):
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))  # no C++ compiler
    learners = [make((0, 1), dataclasses.replace(SMALL, precision=precision, compile=flag)) for flag in (False, True)]
    for sac in learners:
        sac.update()
    for plain, compiled in zip(*map(weights, learners), strict=True):
        torch.testing.assert_close(compiled, plain)


def test_learns_to_stop_a_point_mass():
    seeds = (0, 1)
    config = Config(
        num_envs=16, horizon=20, batch_size=64, seed_steps=40, hidden_actor=(32,), hidden_critic=(32, 32),
        activation="relu",
        actor_learning_rate=5e-3, critic_learning_rate=5e-3, temperature_learning_rate=5e-3, gamma=0.9, tau=0.02,
    )  # fmt: skip
    sac = make(seeds, config)
    before = mean_return(sac, seeds)
    for _ in range(18):
        metrics = sac.update()
    after = mean_return(sac, seeds)
    assert (before < -15).all()
    assert (after > -6).all()
    assert (metrics["episode_return"] > -8).all()


def test_follows_the_protocol_and_counts():
    sac = make((0, 1), dataclasses.replace(SMALL, updates_per_step=3, seed_steps=7))
    assert isinstance(sac, learner.Learner)
    metrics = sac.update()
    assert sac.counters.gradient_steps == 0
    assert torch.isnan(metrics["actor_loss"]).all()
    metrics = sac.update()
    for name in ("episode_return", "episode_length", "actor_loss", "critic_loss", "value", "entropy", "temperature"):
        assert metrics[name].shape == (2,), name
    # from the seventh control step on, three steps of critics and policy after each
    counters = sac.counters
    assert (counters.env_steps, counters.gradient_steps, counters.imagined_steps) == (2 * 5 * 4, 4 * 3 * 2, 0)
    action = sac.act(torch.randn(2, 7, 4) * 100)
    assert action.shape == (2, 7, 2)
    assert action.abs().max() <= 1.0
    assert not action.requires_grad


def test_acts_at_random_first_and_by_the_policy_then():
    sac = make((0,), dataclasses.replace(SMALL, seed_steps=5, actor_learning_rate=1e-9))
    head = sac.networks.actor.net.layers[-1]
    head.weight.data.zero_()
    head.bias.data[..., :2], head.bias.data[..., 2:] = 0.5, -20.0  # the deviation is at its floor
    sac.update()
    random = stored(sac)["action"]
    sac.update()
    by_policy = stored(sac)["action"][random.shape[0] :]
    assert random.abs().max() <= 1.0
    assert random.min() < -0.7
    assert random.max() > 0.7
    mean, slope = torch.tensor(0.5).tanh(), 1.0 - torch.tensor(0.5).tanh() ** 2
    torch.testing.assert_close(by_policy.mean(), mean, rtol=0.0, atol=4e-3)
    torch.testing.assert_close(by_policy.std(), slope * torch.e**-5, rtol=0.4, atol=0.0)
    torch.testing.assert_close(sac.act(torch.randn(1, 3, 4)), mean.expand(1, 3, 2))


def test_stores_what_a_step_led_to_and_not_the_reset_after_it():
    sac = make((0,), task=Fenced(), episode_length=3)
    for _ in range(2):
        sac.update()
    data = stored(sac)
    velocity = data["obs"][:, 2:] + 0.4 * data["action"]
    after = torch.cat((data["obs"][:, :2] + 0.1 * velocity, velocity), dim=1)
    assert data["terminated"].any()
    ended = sac._episodes.state_dict()["count"].item()
    assert ended > data["terminated"].sum()  # others were truncated
    torch.testing.assert_close(data["next_obs"], after)
    assert torch.equal(data["terminated"], after[:, :2].abs().amax(1) > 1.0)


def test_observations_are_normalised_by_all_that_were_seen():
    sac = make((0, 1))
    for _ in range(3):
        sac.update()
    obs = sac._replay.state_dict()["obs"].unflatten(1, (2, 4)).transpose(0, 1).flatten(1, 2)
    torch.testing.assert_close(sac.networks.observations.mean.float(), obs.mean(1), rtol=1e-4, atol=1e-4)
    (batch,) = sac.batches()
    raw = sac.networks.observations.denormalise(batch.obs)
    nearest = (raw.unsqueeze(2) - obs.unsqueeze(1)).norm(dim=-1).amin(-1)
    assert nearest.max() < 1e-4


@pytest.mark.parametrize("config", [SMALL, ODD], ids=["small", "odd sizes"])
def test_a_member_learns_the_same_alone_and_in_company(config):
    assert_company_changes_nothing(lambda seeds: make(seeds, config), (3, 7, 5), updates=4)


@pytest.mark.parametrize("updates", [1, 6], ids=["in the seed steps", "after the ring came round"])
def test_resumes_exactly(updates):
    config = dataclasses.replace(SMALL, seed_steps=7, replay_capacity=80)
    sac = make((0, 1), config)
    for _ in range(updates):
        sac.update()
    state = copy.deepcopy(sac.state_dict())
    expected = [sac.update() for _ in range(2)][-1]
    resumed = make((0, 1), config)
    resumed.load_state_dict(state)
    actual = [resumed.update() for _ in range(2)][-1]
    for name, value in expected.items():
        assert torch.equal(torch.nan_to_num(value), torch.nan_to_num(actual[name])), name
    for a, b in zip(weights(sac), weights(resumed), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(sac.networks.observations.mean, resumed.networks.observations.mean)
    assert resumed.counters == sac.counters


@pytest.mark.parametrize("network", ["actor", "critic"])
def test_a_member_that_diverges_is_frozen_and_the_other_goes_on(network):
    sac, healthy = make((3, 7)), make((7,))
    sac.update()
    healthy.update()
    parameter = next(getattr(sac.networks, network).parameters())
    parameter.data[0] = float("nan")
    before = weights(sac)
    sac.update()
    mean = sac.networks.observations.mean.clone()
    sac.update()
    healthy.update()
    healthy.update()
    assert sac.alive.tolist() == [False, True]
    for old, new, other in zip(before, weights(sac), weights(healthy), strict=True):
        rows = old.shape[0] // 2
        assert torch.equal(torch.nan_to_num(old[:rows]), torch.nan_to_num(new[:rows]))
        torch.testing.assert_close(new[rows:], other, rtol=1e-3, atol=1e-4)
    assert torch.equal(mean[0], sac.networks.observations.mean[0])
    assert not torch.equal(mean[1], sac.networks.observations.mean[1])


def test_runs_in_float64_environments_and_reduced_precision():
    assert torch.isfinite(make((0,), dtype=torch.float64).update()["critic_loss"]).all()
    sac = make((0,), dataclasses.replace(SMALL, precision="bfloat16"))
    assert torch.isfinite(sac.update()["critic_loss"]).all()
    assert sac.alive.all()


def test_an_environment_of_another_size_is_refused():
    with pytest.raises(UsageError, match="make it with num_envs=8"):
        Learner(toy_env(num_envs=4, seeds=(0, 1)), SMALL, seeds=(0, 1), total_env_steps=BUDGET)


def test_an_update_never_makes_the_host_wait():
    sac = make((0, 1))
    sac.env.step = exempt(sac.env.step)
    with no_host_sync():
        sac.update()
        sac.update()
        with pytest.raises(AssertionError, match="_local_scalar_dense"):
            float(sac.alive.sum())
