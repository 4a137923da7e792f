"""FlashSAC: modes of batch normalisation, targets, statistics while acting, and what every learner must do."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from pwm_bench import configs, testing
from pwm_bench.baselines.flashsac import Config, Learner, recipe
from pwm_bench.baselines.flashsac.statistics import HeldNoise, RewardScale
from pwm_bench.baselines.sac import recipe as sac_recipe
from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.optim import cosine_schedule
from pwm_bench.learning.random import MemberStream
from pwm_bench.testing import learners
from pwm_bench.testing.toy import Aim, toy_env

SMALL = Config(
    num_envs=4, horizon=5, batch_size=16, seed_steps=5, replay_capacity=400, width_actor=8, width_critic=8, blocks=1,
    atoms=11,
)  # fmt: skip


def warm(config: Config = SMALL, seeds: tuple[int, ...] = (0,)) -> Learner:
    agent = learners.make(Learner, config, seeds)
    for _ in range(2):
        agent.update()
    return agent


def statistics(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.named_buffers()}


def moved(before: dict[str, torch.Tensor], module: torch.nn.Module) -> bool:
    return any(not torch.equal(value, before[name]) for name, value in module.named_buffers())


def test_whose_batch_statistics_move_in_the_policy_s_step() -> None:
    """The policy normalises by the batch of s and s', the critics by running statistics."""
    agent = warm()
    (batch,) = agent.batches()
    before = {name: statistics(getattr(agent.networks, name)) for name in ("actor", "critic", "target")}
    agent.actor_losses(batch)
    assert {name: moved(before[name], getattr(agent.networks, name)) for name in before} == {
        "actor": True, "critic": False, "target": False,
    }  # fmt: skip
    both = torch.cat((batch.obs, batch.next_obs), dim=1)
    norm = agent.networks.actor.trunk.input_norm
    expected = before["actor"]["trunk.input_norm.mean"] * 0.99 + 0.01 * both.mean(1, keepdim=True)
    torch.testing.assert_close(norm.mean, expected)


def test_whose_batch_statistics_move_in_the_critics_step() -> None:
    """Critics and targets normalise by the batch of (s, a) and (s', a'); a' comes from running statistics."""
    agent = warm()
    (batch,) = agent.batches()
    before = {name: statistics(getattr(agent.networks, name)) for name in ("actor", "critic", "target")}
    agent.critic_losses(batch)
    assert {name: moved(before[name], getattr(agent.networks, name)) for name in before} == {
        "actor": False, "critic": True, "target": True,
    }  # fmt: skip
    next_action, _ = agent.networks.actor.sample(batch.next_obs, batch.noise[:, 0])
    inputs = torch.cat((torch.cat((batch.obs, batch.action), -1), torch.cat((batch.next_obs, next_action), -1)), 1)
    mean = inputs.mean(1, keepdim=True)
    for k in range(2):
        for name in ("critic", "target"):
            norm = getattr(agent.networks, name).trunk.input_norm
            old = before[name]["trunk.input_norm.mean"][k]
            torch.testing.assert_close(norm.mean[k], 0.99 * old + 0.01 * mean[0])


def test_targets_cut_terminations_alone_and_charge_entropy() -> None:
    """With all mass on 0 and a known log probability, the target of reward r is r - gamma alpha log pi."""
    agent = warm()
    (batch,) = agent.batches()
    atoms = agent.networks.atoms
    with torch.no_grad():
        agent.networks.log_alpha.fill_(math.log(0.1))
    target = agent.networks.target
    logits = torch.full((1, 2, 32, 11), -1e9)
    logits[..., 5] = 0.0
    target.forward = lambda obs, action, alive=None: logits
    agent.networks.actor.sample = lambda obs, noise, alive=None: (torch.zeros(1, 16, 2), torch.full((1, 16), 2.0))
    captured = {}
    critic = agent.networks.critic.forward
    agent.networks.critic.forward = lambda *args: captured.setdefault("logits", critic(*args))
    terminated = torch.tensor([[True, False] * 8])
    batch = batch._replace(reward=torch.full((1, 16), 1.0), terminated=terminated)
    loss, value = agent.critic_losses(batch)
    log_p = captured["logits"][:, :, :16].log_softmax(-1)
    expected = []
    for i, ended in enumerate(terminated[0].tolist()):
        y = 1.0 if ended else 1.0 - 0.99 * 0.1 * 2.0
        low = int(np.floor(y + 5.0))
        high = y + 5.0 - low
        expected.append(-(1.0 - high) * log_p[0, :, i, low] - high * log_p[0, :, i, low + 1])
    assert loss.item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-5)
    assert value.item() == 0.0
    assert atoms[5] == 0.0


def test_the_policy_steps_every_other_time_and_weights_stay_on_the_sphere() -> None:
    agent = warm(dataclasses.replace(SMALL, updates_per_step=3))
    critics_own = 3 * 6  # in the step that completes the seed steps, and in five more
    assert agent.counters.policy_gradient_steps == critics_own / 2
    assert agent.counters.gradient_steps == critics_own + critics_own / 2
    for network in (agent.networks.actor, agent.networks.critic):
        weight = network.trunk.first.weight
        torch.testing.assert_close(weight.norm(dim=1), torch.ones(weight.shape[0], 8))
    assert (agent.networks.target.trunk.first.weight.norm(dim=1) < 1.0).all()  # an average of unit vectors


def test_learning_rates() -> None:
    assert [cosine_schedule(3.0, 1.0, p) for p in (0.0, 0.5, 1.0, 2.0)] == pytest.approx([3.0, 2.0, 1.0, 1.0])
    agent = learners.make(Learner, SMALL, budget=40)
    for _ in range(3):
        agent.update()
    assert agent._critic_optimiser.lr.item() == pytest.approx(1.5e-4)
    assert agent._actor_optimiser.lr.item() == pytest.approx(2.25e-4)  # half the way


def test_reward_scale_by_hand() -> None:
    """gamma 0.5; G: 2, then 0.5 * 2 + 4 = 5, then the step that ends the episode leaves its own reward."""
    scale = RewardScale(1, 1, 0.5, 5.0)
    for reward, done in ((2.0, False), (4.0, False), (1.0, True)):
        scale.update(torch.tensor([[reward]]), torch.tensor([[done]]))
    assert scale.running.item() == 1.0
    assert scale.extreme.item() == 5.0
    returns = np.array([2.0, 5.0, 1.0])
    assert scale.scale.item() == pytest.approx(max(math.sqrt(returns.var()), 1.0), rel=1e-3)


def test_noise_is_held_by_the_zeta_distribution() -> None:
    held, stream = HeldNoise(200, 2, 1, 16), MemberStream(range(200))
    noise = torch.stack([held.next(stream)[:, :, 0] for _ in range(300)])  # (T, P, B)
    same = noise[1:] == noise[:-1]
    assert torch.equal(same[..., 0], same[..., 1])  # all of a member's environments change together
    weights = np.arange(1, 17) ** -2.0
    mean = (np.arange(1, 17) * weights).sum() / weights.sum()
    assert 1.0 / (1.0 - same.float().mean().item()) == pytest.approx(mean, rel=0.03)
    assert noise.std().item() == pytest.approx(1.0, abs=0.05)


def test_it_learns_to_aim() -> None:
    config = dataclasses.replace(
        SMALL, num_envs=16, horizon=50, batch_size=64, seed_steps=25, width_actor=16, width_critic=16, atoms=51,
        actor_learning_rate=3e-3, critic_learning_rate=3e-3, temperature_learning_rate=1e-2, replay_capacity=10_000,
        final_learning_rate=1e-3, tau=0.05,
    )  # fmt: skip
    agent = Learner(toy_env(16, (0,), task=Aim()), config, seeds=(0,), total_env_steps=3200)
    obs = torch.linspace(-0.9, 0.9, 20).view(1, 10, 2)
    before = (agent.act(obs) - 0.5 * obs).abs().mean()
    while agent.counters.env_steps < 3200:
        agent.update()
    assert (agent.act(obs) - 0.5 * obs).abs().mean() < min(0.15, 0.5 * before)


def test_what_every_learner_must_do() -> None:
    testing.check_learner("flashsac", **configs.to_json(dataclasses.replace(SMALL, seed_steps=3)))


def test_recipes() -> None:
    published, cpu = recipe("ant", "warp", "published"), recipe("hopper", "warp")
    assert (published.num_envs, published.batch_size, published.updates_per_step) == (1024, 2048, 2)
    assert (published.width_actor, published.width_critic, published.atoms) == (128, 256, 101)
    sac = sac_recipe("hopper", "warp")
    for name in ("num_envs", "batch_size", "updates_per_step", "seed_steps"):
        assert getattr(cpu, name) == getattr(sac, name)
    assert recipe("ant", "mjx") == cpu


@pytest.mark.parametrize(
    ("change", "message"), [({"atoms": 1}, "atoms"), ({"replay_capacity": 1}, "replay_capacity=1")]
)
def test_impossible_settings_are_refused(change: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        dataclasses.replace(SMALL, **change)
