from __future__ import annotations

import copy
import dataclasses
from typing import Literal

import numpy as np
import pytest
import torch

from pwm_bench.baselines.tdmpc2 import Config, recipe
from pwm_bench.baselines.tdmpc2.agent import Agent
from pwm_bench.envs.errors import UsageError
from pwm_bench.testing.company import assert_company_changes_nothing
from pwm_bench.testing.host_sync import exempt, no_host_sync
from pwm_bench.world_model.multitask.tdmpc2_format import to_tdmpc2
from tests.baselines.tdmpc2.factories import LENGTH, SMALL, Short, make
from tests.pwm_bench.world_model.multitask import reference as ref

BATCH, H, OBS, ACT = 5, 2, 4, 2


def test_one_update_equals_the_formulas_in_numpy() -> None:
    """Consistency, reward, value with masked bootstrap, termination, policy and scale; what moves, and how far."""
    sizes = SMALL.model("task", OBS, ACT, episode_length=100)
    agent = Agent(SMALL, sizes, seed=3, device=torch.device("cpu"))
    model, trainer = agent.model, agent.trainer
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=generator))
    for layer in model.q_networks:
        layer.dropout = 0.0
    weights = {
        name: value.double().numpy().copy()
        for name, value in to_tdmpc2(model)["model"].items()
        if torch.is_tensor(value)
    }
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    obs = torch.randn(BATCH, H + 1, OBS, generator=generator)
    action = 2.0 * torch.rand(BATCH, H, ACT, generator=generator) - 1.0
    reward = 2.0 * torch.randn(BATCH, H, generator=generator)
    ended = torch.zeros(BATCH, H, dtype=torch.bool)
    ended[1, 1] = ended[3, 1] = True
    draws, choice = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    noise = torch.randn(BATCH, H, ACT, generator=draws).numpy()
    rows = torch.randperm(3, generator=choice)[:2].tolist()
    agent.choose(plans=0, updates=1)
    got = agent.learn(obs, action, reward, ended, torch.tensor(True))

    parts = dict.fromkeys(("consistency", "reward", "value", "termination"), 0.0)
    latents = np.zeros((BATCH, H + 1, 16))
    for b in range(BATCH):
        o, a, r = (x[b].double().numpy() for x in (obs, action, reward))
        z = latents[b, 0] = ref.encode(weights, None, o[0])
        for t in range(H):
            following, target = ref.following(weights, None, z, a[t]), ref.encode(weights, None, o[t + 1])
            proposed, _, _ = ref.policy(weights, None, target, noise[b, t], np.ones(ACT))
            best = min(ref.symexp_mean(ref.q_logits(weights, None, target, proposed, k, True)) for k in rows)
            y = r[t] + (0.0 if ended[b, t] else 0.95 * best)
            share = 0.5**t / H / BATCH
            parts["consistency"] += 20.0 * share * ((following - target) ** 2).mean()
            parts["reward"] += 0.1 * share * ref.two_hot_error(ref.reward_logits(weights, None, z, a[t]), r[t])
            errors = [ref.two_hot_error(ref.q_logits(weights, None, z, a[t], k), y) for k in range(3)]
            parts["value"] += 0.1 * share * np.mean(errors)
            logit = ref.mlp(weights, "_termination.", following)[0]
            parts["termination"] += np.logaddexp(0.0, -logit if ended[b, t] else logit) / H / BATCH
            z = latents[b, t + 1] = following
    for name, value in parts.items():
        assert got[f"{name}_loss"].item() == pytest.approx(value, rel=1e-4), name
    assert got["loss"].item() == pytest.approx(sum(parts.values()), rel=1e-4)

    # The policy steps on the latents of before, with the Q functions of after.
    after = {
        name: value.double().numpy() for name, value in to_tdmpc2(model)["model"].items() if torch.is_tensor(value)
    }
    prior = {**after, **{name: weights[name] for name in weights if name.startswith("_pi.")}}
    noise = torch.randn(BATCH, H + 1, ACT, generator=draws).numpy()
    rows = torch.randperm(3, generator=choice)[:2].tolist()
    q, entropy = np.zeros((BATCH, H + 1)), np.zeros((BATCH, H + 1))
    for b in range(BATCH):
        for t in range(H + 1):
            proposed, _, entropy[b, t] = ref.policy(prior, None, latents[b, t], noise[b, t], np.ones(ACT))
            q[b, t] = np.mean([ref.symexp_mean(ref.q_logits(prior, None, latents[b, t], proposed, k)) for k in rows])
    spread = max(np.percentile(q[:, 0], 95) - np.percentile(q[:, 0], 5), 1.0)
    scale = 1.0 + 0.01 * (spread - 1.0)
    assert trainer.scale.item() == pytest.approx(scale, rel=1e-4)
    loss = -np.mean([0.5**t * (1e-4 * entropy[:, t] + q[:, t] / scale).mean() for t in range(H + 1)])
    assert got["policy_loss"].item() == pytest.approx(loss, rel=1e-4)

    # Adam's first step is the rate wherever there is a gradient.
    def moved(name: str) -> float:
        return (dict(model.named_parameters())[name] - before[name]).abs().max().item()

    assert moved("encoder.0.bias") == pytest.approx(0.3 * 3e-4, rel=1e-2)
    for name in ("dynamics.0.bias", "reward_network.0.bias", "termination_network.0.bias", "policy_network.0.bias"):
        assert moved(name) == pytest.approx(3e-4, rel=1e-2), name
    online, target = model.q_networks[0].weight, model.target_q_networks[0].weight
    start = before["target_q_networks.0.weight"]
    torch.testing.assert_close(target - start, 0.01 * (online - start), rtol=1e-3, atol=1e-8)


def test_steps_and_updates_fall_where_the_released_loop_has_them() -> None:
    """Random actions to step S included, S updates after it, one after each later step."""
    learner = make()
    seed_steps = learner.seed_steps
    planned = []
    for agent in learner.agents:
        plan = agent.planner.compute
        agent.planner.compute = lambda obs, plan=plan, **o: planned.append(learner.counters.env_steps) or plan(obs, **o)
    while learner.counters.env_steps <= seed_steps:
        metrics = learner.update()
        assert learner.counters.gradient_steps == 0
        assert metrics["loss"].isnan().all()
    assert learner.counters.env_steps == seed_steps + 1
    assert planned == []
    metrics = learner.update()  # learns, and does not act
    assert (learner.counters.env_steps, learner.counters.policy_gradient_steps) == (seed_steps + 1, seed_steps)
    assert metrics["loss"].isfinite().all()
    learner.update()
    assert learner.counters.env_steps == seed_steps + 1 + SMALL.horizon
    assert learner.counters.policy_gradient_steps == seed_steps + SMALL.horizon
    assert planned == [t for t in range(seed_steps + 1, seed_steps + 1 + SMALL.horizon) for _ in range(2)]
    assert learner.counters.gradient_steps == 2 * learner.counters.policy_gradient_steps


@pytest.mark.parametrize(("sampling", "each"), [("sequences", LENGTH - 1), ("episodes", 1)])
def test_the_last_update_of_an_episode_does_not_see_it(sampling: Literal["sequences", "episodes"], each: int) -> None:
    """There are as many sequences, or episodes, to draw as those that are over have."""
    config = dataclasses.replace(SMALL, episodic=False, replay_sampling=sampling)
    learner = make((0,), config, task=Short())
    while not learner.counters.gradient_steps:
        learner.update()
    seen = []
    sample = learner.replay.sample
    learner.replay.sample = lambda *a: seen.append(learner.replay.available(2).item()) or sample(*a)
    start = learner.counters.env_steps
    while learner.counters.env_steps < start + 2 * LENGTH:
        learner.update()
    assert seen == [t // LENGTH * each for t in range(start, start + len(seen))]


@pytest.mark.parametrize("sampling", ["sequences", "episodes"])
def test_members_do_not_depend_on_their_company_and_resume_exactly(sampling: Literal["sequences", "episodes"]) -> None:
    config = dataclasses.replace(SMALL, replay_sampling=sampling)
    assert_company_changes_nothing(lambda seeds: make(seeds, config), (4, 9, 6), updates=6)


def test_a_poisoned_member_is_frozen_and_the_other_learns_on() -> None:
    learner = make()
    while not learner.counters.gradient_steps:
        learner.update()
    weights = [agent.model.reward_network[0].weight for agent in learner.agents]
    with torch.no_grad():
        weights[1].fill_(torch.nan)
    other, critic = weights[0].clone(), copy.deepcopy(learner.agents[1].model.q_networks.state_dict())
    learner.update()
    assert learner.alive.tolist() == [True, False]
    with torch.no_grad():
        weights[1].fill_(0.0)  # sound again, but given up
    learner.update()
    assert learner.alive.tolist() == [True, False]
    assert torch.isfinite(weights[0]).all()
    assert not torch.equal(weights[0], other)
    assert all(torch.equal(p, critic[name]) for name, p in learner.agents[1].model.q_networks.state_dict().items())


def test_an_update_never_waits_for_the_device() -> None:
    learner = make()
    for _ in range(4):
        learner.update()
    learner.env.step = exempt(learner.env.step)
    with no_host_sync():
        learner.update()


def test_episodes_of_an_evaluation_begin_without_a_plan() -> None:
    learner = make((0,))
    obs = torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(0))
    act = learner.acting()
    first, second = act(obs), act(obs)
    assert torch.equal(learner.act(obs), first)
    assert not torch.equal(first, second)
    assert first.abs().max() <= 1.0


def test_precision_holds_for_updates_and_plans_alike() -> None:
    configs = {name: dataclasses.replace(SMALL, precision=name) for name in ("float32", "bfloat16")}
    assert [config.training.precision for config in configs.values()] == ["float32", "bfloat16"]
    with pytest.raises(UsageError, match=r"training\.precision=bfloat16: set precision"):
        dataclasses.replace(SMALL, training=configs["bfloat16"].training)
    obs = torch.randn(1, 64, OBS, generator=torch.Generator().manual_seed(0))
    actions = 2.0 * torch.rand(1, 64, 2, ACT, generator=torch.Generator().manual_seed(1)) - 1.0
    values = []
    for config in configs.values():
        (agent,) = make((0,), config).agents
        with torch.no_grad():  # new heads know nothing
            for network in (agent.model.reward_network, agent.model.q_networks):
                network[-1].weight.normal_(std=0.1, generator=torch.Generator().manual_seed(2))
        agent.choose(plans=1, updates=0)
        latent = agent.planner._view.encode(obs)
        assert latent.dtype == torch.float32
        values.append(agent.planner.values(latent, actions))
        assert values[-1].dtype == torch.float32
    spread, error = values[0].std(), (values[1] - values[0]).abs().max()
    assert 0.0 < error < 0.05 * spread  # each product is rounded to eight binary digits


def test_seed_steps_are_five_episodes_or_a_thousand_steps() -> None:
    assert [Config().random_steps(length) for length in (500, 100, 1000)] == [2500, 1000, 5000]
    with pytest.raises(UsageError, match="set at least 8"):
        make((0,), dataclasses.replace(SMALL, seed_steps=LENGTH - 1))
    with pytest.raises(UsageError, match="num_envs=2"):
        Config(num_envs=2)


def test_recipes_have_the_released_sizes() -> None:
    published = recipe("walker-walk", "suite", "published")
    assert published == dataclasses.replace(Config(), replay_sampling="episodes")
    assert recipe("walker-walk", "suite").replay_sampling == "sequences"
    counts = []
    for config in (published, recipe("walker-walk", "suite")):
        agent = Agent(config, config.model("task", 24, 6, 500), seed=0, device=torch.device("cpu"))
        counts.append(sum(p.numel() for p in agent.model.parameters() if p.requires_grad))
    assert counts[0] == pytest.approx(5e6, rel=0.1)
    assert counts[1] == pytest.approx(1.2e6, rel=0.1)
    assert recipe("hopper", "warp").episodic
    assert not published.episodic


def test_a_replay_that_may_have_no_finished_episode_is_refused() -> None:
    least = 2 * LENGTH + SMALL.training.horizon
    with pytest.raises(UsageError, match=f"replay_capacity={least - 1}: .* set at least {least}"):
        make(config=dataclasses.replace(SMALL, replay_capacity=least - 1))
    assert make(config=dataclasses.replace(SMALL, replay_capacity=least)).replay.length == least
