"""RPO: weights and surrogate by hand, equality of its first epoch with SHAC, and what every learner must do."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from pwm_bench import configs, testing
from pwm_bench.baselines import shac
from pwm_bench.baselines.rpo import Config, Learner, recipe
from pwm_bench.baselines.rpo.losses import reuse_weights, surrogate
from pwm_bench.envs.errors import UsageError
from pwm_bench.testing import learners
from pwm_bench.testing.toy import mean_return

SMALL = Config(
    num_envs=4, horizon=5, hidden_actor=(8,), hidden_critic=(8,), critic_iterations=2, critic_minibatches=2,
    actor_learning_rate=5e-3, critic_learning_rate=5e-3, epochs=3,
)  # fmt: skip


def as_shac(config: Config) -> shac.Config:
    fields = configs.to_json(config)
    return configs.override(shac.Config(), {f.name: fields[f.name] for f in dataclasses.fields(shac.Config)})


def test_weights_by_hand() -> None:
    """Ratios 0.1, 0.2, 1, 2, 2.1: in range from 0.2 to 2."""
    ratio = torch.tensor([[0.1, 0.2001, 1.0, 1.999, 2.1]])
    old = torch.full_like(ratio, -1.0)
    weight = reuse_weights(old + ratio.log(), old, below=0.8, above=1.0)
    torch.testing.assert_close(weight, torch.tensor([[0.0, 0.2001, 1.0, 1.999, 0.0]]))


def test_the_surrogate_by_hand() -> None:
    """One sample: u = 1.3 of mean 0.3 and deviation 2, so e = 0.5; d/d mean = w g, d/d sigma = w g e."""
    mean, std = torch.tensor([[[0.3]]], requires_grad=True), torch.tensor([[[2.0]]], requires_grad=True)
    loss = surrogate(mean, std, torch.tensor([[[1.3]]]), torch.tensor([[[-4.0]]]), torch.tensor([[0.7]]))
    assert loss.item() == pytest.approx(0.7 * -4.0 * 1.3)
    to_mean, to_std = torch.autograd.grad(loss.sum(), (mean, std))
    assert to_mean.item() == pytest.approx(-2.8)
    assert to_std.item() == pytest.approx(-1.4)


@pytest.mark.parametrize("normalised", [False, True])
def test_one_epoch_without_its_own_terms_is_shac(normalised: bool) -> None:
    config = dataclasses.replace(SMALL, epochs=1, kl_coef=0.0, entropy_coef=0.0, normalize_returns=normalised)
    rpo = learners.make(Learner, config, (0, 1), task=learners.Narrow())
    other = learners.make(shac.Learner, as_shac(config), (0, 1), task=learners.Narrow())
    learners.same_training(rpo, other, 3, tolerance=2e-5)


def test_the_first_epoch_is_on_policy_and_later_ones_move_on() -> None:
    config = dataclasses.replace(SMALL, actor_learning_rate=1e-2, max_grad_norm_actor=1e9)
    agent = learners.make(Learner, config)
    seen = []
    agent.surrogate = lambda samples, mean, std, weight: (
        seen.append((weight, mean.detach(), samples)) or Learner.surrogate(agent, samples, mean, std, weight)
    )
    metrics = agent.update()
    weight, mean, samples = seen[0]
    torch.testing.assert_close(weight, torch.ones_like(weight), atol=1e-5, rtol=0.0)
    torch.testing.assert_close(mean, samples.mean)
    assert len(seen) == 3
    assert (seen[1][1] != seen[0][1]).any()
    assert all(batch is samples for _, _, batch in seen)  # one backward pass through the simulator
    assert agent.counters.policy_gradient_steps == 3
    assert 0.0 < metrics["kl"].item() < 10.0
    assert 0.0 < metrics["used_samples"].item() <= 1.0


def test_entropy_and_kl_act_on_the_policy() -> None:
    """With no reward to gain, an entropy weight widens the policy."""
    wide = learners.make(Learner, dataclasses.replace(SMALL, entropy_coef=100.0))
    before = wide.actor.log_std.detach().clone()
    wide.update()
    assert (wide.actor.log_std > before).all()
    held = learners.make(Learner, dataclasses.replace(SMALL, epochs=8, kl_coef=1e4)).update()
    free = learners.make(Learner, dataclasses.replace(SMALL, epochs=8, kl_coef=0.0)).update()
    assert held["kl"] < 0.5 * free["kl"]


def test_it_learns_the_toy_task() -> None:
    config = dataclasses.replace(
        SMALL, num_envs=16, horizon=10, hidden_actor=(32,), hidden_critic=(32,), critic_iterations=4, entropy_coef=0.0
    )
    agent = learners.make(Learner, config, (0, 1), budget=40 * 160)
    before = mean_return(agent, (0, 1))
    for _ in range(40):
        agent.update()
    assert (mean_return(agent, (0, 1)) > 0.4 * before).all()


def test_what_every_learner_must_do() -> None:
    testing.check_learner("rpo", **configs.to_json(SMALL))


def test_recipes() -> None:
    hopper, ant = recipe("hopper", "warp"), recipe("ant", "warp", "published")
    assert (hopper.num_envs, hopper.epochs, hopper.kl_coef, hopper.entropy_coef) == (64, 5, 0.2, 0.25)
    assert hopper.critic_learning_rate == shac.recipe("hopper", "warp").critic_learning_rate
    assert (ant.num_envs, ant.kl_coef, ant.entropy_coef, ant.hidden_actor) == (128, 0.25, 0.2, (400, 200, 100))
    assert math.isclose(1.0 - ant.ratio_below, 0.2)


@pytest.mark.parametrize(("change", "message"), [({"epochs": 0}, "epochs"), ({"kl_coef": -1.0}, "kl_coef")])
def test_impossible_settings_are_refused(change: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        dataclasses.replace(SMALL, **change)
