"""AHAC: the dual step by hand, equality with SHAC, where gradients are cut, convergence of critics, and the rest."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from pwm_bench import configs, testing
from pwm_bench.baselines import shac
from pwm_bench.baselines.ahac import Config, Learner, recipe
from pwm_bench.baselines.ahac.horizon import AdaptiveHorizon, dual_step
from pwm_bench.baselines.ahac.train import converged
from pwm_bench.envs.errors import UsageError
from pwm_bench.testing import learners
from pwm_bench.testing.toy import mean_return

SMALL = Config(
    num_envs=4, horizon=6, min_horizon=2, hidden_actor=(8,), hidden_critic=(8,), critic_iterations=7,
    critic_minibatches=2, actor_learning_rate=5e-3, critic_learning_rate=5e-3, stiffness_limit=2.0,
    horizon_learning_rate=0.5, critic_tolerance=0.01,
)  # fmt: skip


def test_the_dual_step_by_hand() -> None:
    """H = 2 over three steps: places 0, 1, 0. C = 10, eta = 0.1."""
    horizon, multipliers = dual_step(
        torch.tensor([2.0, 3.0]),
        torch.tensor([[0.0, 0.5, 7.0], [0.0, 0.0, 0.0]]),
        torch.tensor([[12.0, 5.0], [16.0, 5.0], [14.0, 10.0]]),
        limit=10.0,
        rate=0.1,
        bounds=(2, 3),
    )
    # Member 0: place 0 has mean 13, place 1 has 16; the multiplier beyond H stays and does not count.
    torch.testing.assert_close(multipliers[0], torch.tensor([0.3, 1.1, 7.0]))
    assert horizon[0].item() == 2.0  # 2 - 0.14, clipped
    # Member 1: soft contacts make the multipliers negative and the horizon long.
    torch.testing.assert_close(multipliers[1], torch.tensor([-0.5, -0.5, 0.0]))
    assert horizon[1].item() == 3.0


def test_the_horizon_moves_with_the_constraint() -> None:
    adaptive = AdaptiveHorizon(3, (2, 8))
    adaptive.horizon.fill_(5.0)
    stiffness = torch.tensor([50.0, 150.0, 50.0]).expand(8, 3)
    for _ in range(3):
        adaptive.update(stiffness, 100.0, 0.01, torch.tensor([True, True, False]))
    assert adaptive.horizon[0] > 5.0 > adaptive.horizon[1]
    assert adaptive.horizon[2] == 5.0
    assert (adaptive.multipliers[2] == 0.0).all()


def test_ends_of_horizons() -> None:
    adaptive = AdaptiveHorizon(2, (2, 8))
    adaptive.horizon.copy_(torch.tensor([2.4, 3.0]))
    assert [adaptive.ends(t).tolist() for t in range(6)] == [
        [False, False], [True, False], [False, True], [True, False], [False, False], [True, True],
    ]  # fmt: skip


def test_with_a_fixed_horizon_and_its_critic_it_is_shac_to_the_bit() -> None:
    fixed = dataclasses.replace(
        SMALL, min_horizon=6, critic_tolerance=None, critic_ensemble=1, target_critic=True, normalize_returns=True
    )
    fields = configs.to_json(fixed)
    same = configs.override(shac.Config(), {f.name: fields[f.name] for f in dataclasses.fields(shac.Config)})
    ahac = learners.make(Learner, fixed, (0, 1), task=learners.Narrow())
    learners.same_training(ahac, learners.make(shac.Learner, same, (0, 1), task=learners.Narrow()), 5)


def test_critics_without_a_clip_learn_as_with_a_bound_that_nothing_reaches() -> None:
    free, bounded = (
        learners.make(Learner, dataclasses.replace(SMALL, max_grad_norm_critic=bound), (0, 1)) for bound in (None, 1e9)
    )
    learners.same_training(free, bounded, 3)


def test_gradients_stop_where_a_horizon_ends() -> None:
    """A later reward does not depend on an earlier action beyond a cut, and does within a horizon."""
    agent = learners.make(Learner, SMALL, (0, 1))
    agent.adaptive.horizon.copy_(torch.tensor([2.0, 3.0]))
    actions = []
    sample = agent.actor.sample
    agent.actor.sample = lambda obs, noise: actions.append(sample(obs, noise)) or actions[-1]
    rollout = agent.roll_out()
    # The reward of step t is that of the state before it: steps t > s see the action of step s.
    reaches = {member: set() for member in (0, 1)}
    for t in range(6):
        grads = torch.autograd.grad(rollout.rewards[t].sum(), actions[: t + 1], retain_graph=True, allow_unused=True)
        for s, grad in enumerate(grads):
            for member in (0, 1):
                if grad is not None and s < t and bool((grad[member] != 0.0).any()):
                    reaches[member].add((s, t))
    assert reaches[0] == {(0, 1), (2, 3), (4, 5)}
    assert reaches[1] == {(0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5)}


def test_every_piece_ends_in_a_value() -> None:
    """Rewards 1, values 10, gamma 0.5: a piece of two steps is worth 1 + 0.5 + 0.25 * 10."""
    agent = learners.make(Learner, dataclasses.replace(SMALL, gamma=0.5))
    rollout = agent.roll_out()
    never = torch.zeros_like(rollout.terminated)
    rollout = dataclasses.replace(rollout, rewards=torch.ones_like(rollout.rewards), terminated=never, truncated=never)
    loss = agent.actor_loss(rollout, torch.full_like(rollout.rewards, 10.0))
    assert loss.item() == pytest.approx(-3 * (1.0 + 0.5 + 2.5) / 6)


def test_convergence_of_the_critics() -> None:
    losses = [torch.tensor([1.0, 5.0])] + [torch.tensor([1.0, 5.0 - k]) for k in range(1, 5)]
    assert converged(losses[:4], 0.5).tolist() == [False, False]
    assert converged(losses, 0.5).tolist() == [True, False]
    patient = learners.make(Learner, dataclasses.replace(SMALL, critic_tolerance=1e9)).update()
    thorough = learners.make(Learner, dataclasses.replace(SMALL, critic_tolerance=1e-9)).update()
    assert (patient["critic_passes"].item(), thorough["critic_passes"].item()) == (5.0, 7.0)


def test_it_learns_the_toy_task_and_measures_accelerations() -> None:
    config = dataclasses.replace(
        SMALL, num_envs=16, horizon=10, min_horizon=6, hidden_actor=(32,), hidden_critic=(32,), stiffness_limit=10.0,
        critic_tolerance=None, critic_iterations=4, horizon_learning_rate=0.05,
    )  # fmt: skip
    agent = learners.make(Learner, config, (0, 1), budget=60 * 160)
    before = mean_return(agent, (0, 1))
    metrics = [agent.update() for _ in range(60)]
    assert (mean_return(agent, (0, 1)) > 0.4 * before).all()
    assert ((metrics[0]["stiffness"] > 0.5) & (metrics[0]["stiffness"] < 4.0 * 2.0**0.5)).all()  # 4 m/s^2 an axis
    assert (metrics[0]["horizon"] == 6.0).all()
    assert (metrics[-1]["horizon"] == 10.0).all()  # nothing is stiff here


def test_what_every_learner_must_do() -> None:
    testing.check_learner("ahac", **configs.to_json(SMALL))


def test_recipes() -> None:
    cpu, published = recipe("hopper", "warp"), recipe("hopper", "warp", "published")
    assert (cpu.horizon, cpu.min_horizon, cpu.critic_iterations, cpu.critic_learning_rate) == (32, 8, 16, 5e-4)
    assert (cpu.critic_ensemble, cpu.target_critic, cpu.stiffness_limit) == (2, False, 500.0)
    assert (published.horizon, published.critic_iterations, published.num_envs) == (64, 64, 1024)
    assert published.hidden_actor == (400, 200, 100)
    assert (published.max_grad_norm_actor, published.max_grad_norm_critic) == (1.0, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"min_horizon": 9}, "min_horizon=9"), ({"stiffness_limit": 0.0}, "stiffness_limit"), ({"gamma": 2.0}, "gamma")],
)
def test_impossible_settings_are_refused(change: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        dataclasses.replace(SMALL, **change)
