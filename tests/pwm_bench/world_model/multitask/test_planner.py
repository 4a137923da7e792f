from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.random import MemberStream
from pwm_bench.world_model.multitask.networks import MultitaskModel
from pwm_bench.world_model.multitask.planner import Planner, PlannerConfig, PriorGuide
from tests.pwm_bench.world_model.multitask import reference as ref
from tests.pwm_bench.world_model.multitask.factories import (
    ACT,
    LATENT,
    OBS,
    TOLD_OLD,
    tiny_config,
    tiny_model,
    tiny_weights,
)

SMALL = PlannerConfig(samples=64, policy_samples=8, elites=8)
TASKS = torch.tensor([0, 2])


class _Nothing:
    """A guide that stands still and expects nothing."""

    def choose(self, values: int) -> None:
        pass

    def act(self, latent: Tensor, noise: Tensor) -> Tensor:
        return torch.zeros_like(noise)

    def value(self, latent: Tensor, noise: Tensor) -> Tensor:
        return latent.new_zeros(latent.shape[:2])


class _Towards:
    """A model whose reward is highest at one action, in every state."""

    termination_network = None

    def __init__(self, target: Tensor) -> None:
        self.target = target

    def encode(self, obs: Tensor) -> Tensor:
        return obs

    def next(self, latent: Tensor, action: Tensor) -> Tensor:
        return latent

    def reward(self, latent: Tensor, action: Tensor) -> Tensor:
        return -10.0 * (action - self.target.unsqueeze(1)).square().sum(-1)


def _planner(guide, config=SMALL, *, tasks=TASKS, seeds=(0, 1), model=None) -> Planner:
    model = model or MultitaskModel(tiny_config(), seed=0)
    return Planner(model, tasks, guide, config, stream=MemberStream(seeds))


def test_nothing_counts_from_where_the_episode_has_ended_on() -> None:
    weights = tiny_weights(tasks=0, episodic=True)
    rng = np.random.default_rng(0)
    latent, actions = ref.encode(weights, 0, rng.normal(size=(40, OBS))), rng.uniform(-1, 1, size=(40, 4, ACT))
    chances, z = [], latent
    for t in range(4):
        z = ref.following(weights, 0, z, actions[:, t])
        chances.append(ref.termination(weights, 0, z))
    usual = np.median(np.max(chances, 0))
    weights["_termination.2.bias"] -= np.log(usual / (1.0 - usual))  # half of the sequences end
    model = tiny_model(weights, dataclasses.replace(TOLD_OLD, tasks=("t",))).double()
    guide = PriorGuide(model, torch.tensor([0]))
    guide.value = lambda latent, noise: latent.new_full(latent.shape[:2], 7.0)
    planner = _planner(guide, PlannerConfig(horizon=4), tasks=torch.tensor([0]), seeds=(0,), model=model)
    values = planner.values(*(torch.tensor(x).unsqueeze(0) for x in (latent, actions)))[0].numpy()
    total, alive, z, gamma = np.zeros(40), np.ones(40), latent, model.config.discounts[0]
    for t in range(4):
        reward = ref.symexp_mean(ref.reward_logits(weights, 0, z, actions[:, t]))
        total += gamma**t * alive * reward
        z = ref.following(weights, 0, z, actions[:, t])
        alive *= ref.termination(weights, 0, z) <= 0.5
    assert alive.sum() == 20
    np.testing.assert_allclose(values, total + gamma**4 * alive * 7.0, rtol=1e-6)


def test_values_of_sequences_equal_the_formula_in_numpy() -> None:
    weights = tiny_weights()
    model = tiny_model(weights).double()
    model.discounts = torch.tensor([0.99, 0.97, 0.95], dtype=torch.float64)

    class Guide(_Nothing):
        def value(self, latent: Tensor, noise: Tensor) -> Tensor:
            return model.q_values(
                latent, torch.zeros(*latent.shape[:2], ACT).double(), TASKS, rows=torch.tensor([1, 3])
            ).mean(0)

    rng = np.random.default_rng(0)
    latent, actions = rng.random((2, 4, LATENT)), rng.uniform(-1, 1, (2, 4, 3, ACT))
    values = _planner(Guide(), model=model).values(torch.tensor(latent), torch.tensor(actions))
    for world, task in enumerate(TASKS.tolist()):
        gamma, z, total = (0.99, 0.97, 0.95)[task], latent[world], 0.0
        for t in range(3):
            a = actions[world, :, t]
            total = total + gamma**t * ref.symexp_mean(ref.reward_logits(weights, task, z, a))
            z = ref.following(weights, task, z, a)
        q = [ref.symexp_mean(ref.q_logits(weights, task, z, np.zeros((4, ACT)), k)) for k in (1, 3)]
        np.testing.assert_allclose(values[world].numpy(), total + gamma**3 * np.mean(q, 0), rtol=1e-5)


def test_the_plan_finds_the_best_action_and_respects_masks() -> None:
    target = torch.tensor([[0.5, -0.3, 0.8], [-0.6, 0.2, 0.9]])
    planner = _planner(_Nothing(), PlannerConfig(horizon=1))
    planner._view = _Towards(target)  # type: ignore[assignment]
    planner._mask[1, ..., 2] = 0.0
    action = planner.plan(torch.zeros(2, OBS))
    torch.testing.assert_close(action[0], target[0], atol=0.12, rtol=0.0)
    torch.testing.assert_close(action[1, :2], target[1, :2], atol=0.12, rtol=0.0)
    assert action[1, 2] == 0.0


def test_plans_begin_where_the_last_one_left_off() -> None:
    planner = _planner(_Nothing())
    planner.plan(torch.zeros(2, OBS))
    first = planner._rest.clone()
    seen = []

    class Spy(_Towards):
        def reward(self, latent: Tensor, action: Tensor) -> Tensor:
            seen.append(action.clone())
            return super().reward(latent, action)

    planner._view = Spy(torch.zeros(2, ACT))  # type: ignore[assignment]
    planner.config = PlannerConfig(samples=64, policy_samples=8, elites=8, max_std=1e-6, min_std=1e-7)
    planner.plan(torch.zeros(2, OBS))
    torch.testing.assert_close(seen[0][:, 20], first[:, 0, 0], atol=1e-5, rtol=0.0)
    planner.reset()
    seen.clear()
    planner.plan(torch.zeros(2, OBS))
    assert seen[0][:, 20].abs().max() < 1e-4


def test_a_world_whose_episode_ended_begins_anew_and_exploring_adds_the_plans_deviation() -> None:
    planner = _planner(_Nothing())
    planner.plan(torch.zeros(2, OBS))
    kept = planner._rest[1].clone()
    planner.forget(torch.tensor([True, False]))
    assert not planner._rest[0].any()
    assert kept.any()
    assert torch.equal(planner._rest[1], kept)
    saved = copy.deepcopy(planner.state_dict())
    plain = planner.plan(torch.zeros(2, OBS))
    planner.load_state_dict(saved)
    again = planner.plan(torch.zeros(2, OBS), explore=True)
    planner.load_state_dict(saved)
    assert torch.equal(planner.plan(torch.zeros(2, OBS)), plain)
    assert not torch.equal(again, plain)
    # With a deviation held at one value, what is added is that times a standard normal number.
    planner = _planner(
        _Nothing(), PlannerConfig(samples=64, policy_samples=8, elites=8, iterations=1, min_std=0.1, max_std=0.1)
    )
    planner._view = _Towards(torch.zeros(2, ACT))  # type: ignore[assignment]
    added = []
    for _ in range(200):
        planner.reset()
        before = copy.deepcopy(planner.state_dict())
        noisy = planner.plan(torch.zeros(2, OBS), explore=True)
        after = copy.deepcopy(planner.state_dict())
        planner.load_state_dict(before)
        added.append((noisy - planner.plan(torch.zeros(2, OBS)))[0])
        planner.load_state_dict(after)
    assert torch.stack(added).std().item() == pytest.approx(0.1, rel=0.12)


def test_a_world_plans_alike_alone_and_in_company() -> None:
    model = MultitaskModel(tiny_config(), seed=0).double()
    with torch.no_grad():
        for layer in (model.reward_network[2], model.q_networks[2]):
            layer.weight.normal_(generator=torch.Generator().manual_seed(0))
    obs = torch.randn(2, OBS, generator=torch.Generator().manual_seed(1)).double()
    together = _planner(PriorGuide(model, TASKS), model=model)
    alone = _planner(PriorGuide(model, TASKS[1:]), model=model, tasks=TASKS[1:], seeds=(1,))
    for _ in range(2):
        torch.testing.assert_close(together.plan(obs)[1:], alone.plan(obs[1:]))


def test_models_without_values_and_impossible_constants_are_refused() -> None:
    with pytest.raises(UsageError, match="no Q functions"):
        PriorGuide(MultitaskModel(tiny_config(num_q=0)), TASKS)
    with pytest.raises(UsageError, match="samples=16"):
        PlannerConfig(samples=16)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_std": 3.0}, r"min_std=3.0: must be at most max_std=2.0"),
        ({"samples": 24}, r"samples=24: must be at least 64: above policy_samples=24, and not below elites=64"),
    ],
)
def test_constants_that_do_not_fit_each_other(changes, message) -> None:
    with pytest.raises(UsageError, match=message):
        PlannerConfig(**changes)
