"""SAPO: losses by hand, equality with SHAC, entropy in every place where it belongs, and what every learner must do."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from pwm_bench import configs, testing
from pwm_bench.baselines import shac
from pwm_bench.baselines.sapo import Config, Learner, recipe
from pwm_bench.baselines.sapo.losses import normalised_entropy, temperature_loss
from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.gaussian import squashed_log_prob
from pwm_bench.learning.returns import td_lambda
from pwm_bench.testing import learners
from pwm_bench.testing.toy import mean_return

SMALL = Config(
    num_envs=4, horizon=5, hidden_actor=(8,), hidden_critic=(8,), critic_iterations=2, critic_minibatches=2,
    actor_learning_rate=5e-3, critic_learning_rate=5e-3,
)  # fmt: skip


def test_losses_by_hand() -> None:
    """Six components: the target is -3, the uniform policy has 6 log 2."""
    entropy = torch.tensor([-3.0, 0.0, 6 * math.log(2.0)])
    torch.testing.assert_close(normalised_entropy(entropy, -3.0), torch.tensor([0.0, 0.5, 0.5 + math.log(2.0)]))
    log_alpha = torch.tensor([[0.0], [math.log(2.0)]], requires_grad=True)
    loss = temperature_loss(log_alpha, torch.tensor([-4.0, 1.0]), -3.0)
    torch.testing.assert_close(loss, torch.tensor([-3.0, 24.0]))
    (grad,) = torch.autograd.grad(loss.sum(), log_alpha)
    torch.testing.assert_close(grad, torch.tensor([[-3.0], [24.0]]))  # too little entropy: alpha rises


def test_without_entropy_and_with_shac_s_parts_it_is_shac() -> None:
    plain = dataclasses.replace(
        SMALL, initial_temperature=0.0, networks="shac", critic_ensemble=3, actor_value="minimum", target_critic=True,
        weight_decay=0.0,
    )  # fmt: skip
    fields = configs.to_json(plain)
    same = configs.override(shac.Config(), {f.name: fields[f.name] for f in dataclasses.fields(shac.Config)})
    sapo = learners.make(Learner, plain, (0, 1), task=learners.Narrow())
    other = learners.make(shac.Learner, same, (0, 1), task=learners.Narrow())
    learners.same_training(sapo, other, 4, tolerance=1e-5)


def test_entropy_is_part_of_the_policy_s_return_and_of_the_critics_targets() -> None:
    agent = learners.make(Learner, SMALL, task=learners.Narrow())
    noise = agent.entropy_noise.state_dict()
    rollout = agent.roll_out()
    agent.entropy_noise.load_state_dict(noise)
    fresh = agent.entropy_noise.normal(5, 4, 2)
    for t in range(5):
        mean, std = agent.actor(agent.normalise(rollout.obs[t]))
        expected = -squashed_log_prob(mean, std, mean + std * fresh[:, t])
        torch.testing.assert_close(agent._entropies[t], expected)
    with torch.no_grad():
        agent.temperature["log_alpha"].fill_(math.log(0.3))
    paid = agent._with_entropy_bonus(rollout)
    entropy = torch.stack(agent._entropies)
    torch.testing.assert_close(paid.rewards, rollout.rewards + 0.3 * (entropy + 1.0) / 2.0)  # two components: H = -1
    values = torch.randn(5, 1, 4)
    expected = td_lambda(paid.rewards, values, rollout.terminated, rollout.truncated, gamma=0.99, lam=0.95)
    torch.testing.assert_close(agent.value_targets(paid, values), expected.detach())


def test_values_are_those_of_the_state_after_a_step() -> None:
    """The released code takes V(s_t) in place of V(s_{t+1})."""
    agent = learners.make(Learner, SMALL)
    rollout = agent.roll_out()
    values = agent.critic_values(rollout)
    assert values.shape == (2, 5, 1, 4)
    torch.testing.assert_close(values[:, 3, 0], agent.critic(agent.normalise(rollout.obs[4]))[0])


def test_the_policy_sees_the_mean_of_the_critics_and_targets_the_minimum() -> None:
    agent = learners.make(Learner, SMALL)
    seen = {}
    agent.actor_loss = lambda rollout, values: seen.update(actor=values) or values.mean((0, 2))
    agent.value_targets = lambda rollout, values: seen.update(critic=values) or values
    rollout = agent.roll_out()
    values = agent.critic_values(rollout).detach()
    agent.learn(rollout)
    torch.testing.assert_close(seen["actor"].detach(), values.mean(0))
    torch.testing.assert_close(seen["critic"], values.amin(0))


def test_the_temperature_follows_the_entropy_and_is_new_in_the_targets() -> None:
    agent = learners.make(Learner, dataclasses.replace(SMALL, weight_decay=0.0))
    before = agent.alpha.clone()
    targets = []
    value_targets = agent.value_targets
    agent.value_targets = lambda rollout, values: targets.append(agent.alpha.clone()) or value_targets(rollout, values)
    metrics = agent.update()
    assert metrics["entropy"].item() > -1.0  # more than its target, so alpha falls
    assert targets[0] < before == metrics["temperature"]
    assert targets[0] == agent.alpha


def test_it_learns_the_toy_task() -> None:
    config = dataclasses.replace(
        SMALL, num_envs=16, horizon=10, hidden_actor=(32,), hidden_critic=(32,), critic_iterations=4,
        initial_temperature=0.1, temperature_learning_rate=5e-2,
    )  # fmt: skip
    agent = learners.make(Learner, config, (0, 1), budget=60 * 160)
    before = mean_return(agent, (0, 1))
    for _ in range(60):
        agent.update()
    assert (mean_return(agent, (0, 1)) > 0.4 * before).all()


def test_what_every_learner_must_do() -> None:
    testing.check_learner("sapo", **configs.to_json(SMALL))


def test_recipes() -> None:
    published = recipe("hopper", "warp", "published")
    assert published == Config()
    assert (published.num_envs, published.horizon, published.critic_learning_rate) == (64, 32, 5e-4)
    assert recipe("hopper", "warp") == dataclasses.replace(published, temperature_learning_rate=5e-2)
    assert recipe("snu_humanoid", "warp").hidden_critic == (256, 256)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"target_entropy": 0.0}, "target_entropy=0"), ({"weight_decay": -1.0}, "weight_decay"), ({"tau": 2.0}, "tau")],
)
def test_impossible_settings_are_refused(change: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        dataclasses.replace(SMALL, **change)
