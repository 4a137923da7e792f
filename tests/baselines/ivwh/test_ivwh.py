"""IVW-H: weights by hand with unequal variances, both gradients against what they estimate, and the rest."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from pwm_bench import configs, testing
from pwm_bench.baselines import shac
from pwm_bench.baselines.ivwh import Config, Learner, recipe
from pwm_bench.baselines.ivwh.losses import bias_bounded_weight, inverse_variance_weight, mixed, score_gradients
from pwm_bench.envs.errors import UsageError
from pwm_bench.testing import learners
from pwm_bench.testing.toy import mean_return
from tests.baselines.rpo.test_rpo import as_shac

SMALL = Config(
    num_envs=4, horizon=5, hidden_actor=(8,), hidden_critic=(8,), critic_iterations=2, critic_minibatches=2,
    actor_learning_rate=5e-3, critic_learning_rate=5e-3,
)  # fmt: skip


def test_inverse_variance_by_hand() -> None:
    """Two components over three environments. First order: variances 1 and 4; score: variances 3 and 1."""
    first = torch.tensor([[1.0, 0.0], [2.0, 2.0], [3.0, 4.0]]).view(1, 1, 3, 2)
    score = torch.tensor([[0.0, 1.0], [3.0, 0.0], [3.0, -1.0]]).view(1, 1, 3, 2)
    alpha = inverse_variance_weight(first, score)
    torch.testing.assert_close(alpha.view(2), torch.tensor([3.0 / 4.0, 1.0 / 5.0]))
    both = mixed(first, score, alpha)
    torch.testing.assert_close(both[0, 0, 1], torch.tensor([0.75 * 2.0 + 0.25 * 3.0, 0.2 * 2.0]))
    torch.testing.assert_close(both.mean(2).view(2), torch.tensor([0.75 * 2.0 + 0.25 * 2.0, 0.2 * 2.0]))


def test_weights_at_the_ends() -> None:
    still, moving = torch.ones(1, 1, 3, 1), torch.tensor([1.0, 2.0, 4.0]).view(1, 1, 3, 1)
    assert inverse_variance_weight(still, still).item() == 1.0
    assert inverse_variance_weight(still, moving).item() == 1.0
    assert inverse_variance_weight(moving, still).item() == 0.0
    broken = torch.full_like(moving, torch.nan)
    torch.testing.assert_close(mixed(broken, moving, torch.zeros(1, 1, 1, 1)), moving)


def test_bias_bound_by_hand() -> None:
    """Variances 1 and 3 (over N), means apart by 2: alpha is 3/4 while the tolerance allows a bias of 1.5."""
    first = torch.tensor([3.0, 5.0]).view(1, 1, 2, 1)
    score = torch.tensor([2.0 - math.sqrt(3.0), 2.0 + math.sqrt(3.0)]).view(1, 1, 2, 1)
    log = math.log(2.0 / 0.5)
    half_width = math.sqrt(2 * 3.0 * log / 2) + 2 * (2.0 + math.sqrt(3.0)) * log / 6

    def alpha(tolerance: float) -> float:
        return bias_bounded_weight(first, score, tolerance=tolerance, confidence=0.5).item()

    assert alpha(half_width + 1.6) == pytest.approx(0.75, rel=1e-5)
    assert alpha(half_width + 1.0) == pytest.approx(0.5, rel=1e-4)  # (gamma - h) / D
    assert alpha(half_width - 0.1) == 0.0


def test_score_gradients_by_hand_and_by_autograd() -> None:
    noise, std = torch.tensor([[[[0.5, -2.0]]]]), torch.tensor([0.5, 2.0])
    of_mean, of_log_std = score_gradients(noise, std, torch.tensor([[[3.0]]]))
    torch.testing.assert_close(of_mean.view(2), torch.tensor([-3.0, 3.0]))
    torch.testing.assert_close(of_log_std.view(2), torch.tensor([2.25, -9.0]))
    mean, log_std = torch.zeros(2, requires_grad=True), std.log().requires_grad_()
    u = (std * noise).view(2)
    log_prob = torch.distributions.Normal(mean, log_std.exp()).log_prob(u).sum()
    expected = torch.autograd.grad(-3.0 * log_prob, (mean, log_std))
    torch.testing.assert_close(of_mean.view(2), expected[0])
    torch.testing.assert_close(of_log_std.view(2), expected[1])


@pytest.mark.parametrize("normalised", [False, True])
def test_the_simulator_s_gradient_alone_is_shac(normalised: bool) -> None:
    config = dataclasses.replace(SMALL, mixing="first", normalize_returns=normalised)
    ours = learners.make(Learner, config, (0, 1), task=learners.Narrow())
    other = learners.make(shac.Learner, as_shac(config), (0, 1), task=learners.Narrow())
    learners.same_training(ours, other, 3, tolerance=2e-5)


def test_both_gradients_estimate_the_same() -> None:
    """Of one step with a reward that is quadratic in the action; many environments bring the means together."""
    config = dataclasses.replace(SMALL, num_envs=40_000, horizon=1, normalize_observations=False, lam=1.0)
    agent = learners.make(Learner, config, episode_length=1)
    found = {}
    agent._weight = lambda first, score: (
        found.setdefault(len(found), (first, score)) and torch.ones_like(first[:, :, :1])
    )
    agent.target.minimum = lambda obs: torch.zeros(obs.shape[:-1])
    agent.update()
    for first, score in found.values():
        error = (score.var(2) / config.num_envs).sqrt()
        assert ((first.mean(2) - score.mean(2)).abs() < 4.0 * error).all()
        assert (first.var(2) < score.var(2)).all()


def test_it_learns_the_toy_task_mostly_by_the_simulator_s_gradient() -> None:
    config = dataclasses.replace(
        SMALL, num_envs=16, horizon=10, hidden_actor=(32,), hidden_critic=(32,), critic_iterations=4
    )
    agent = learners.make(Learner, config, (0, 1), budget=40 * 160)
    before = mean_return(agent, (0, 1))
    metrics = [agent.update() for _ in range(40)]
    assert (mean_return(agent, (0, 1)) > 0.6 * before).all()
    weights = torch.stack([m["first_order_weight"] for m in metrics])
    assert ((weights > 0.5) & (weights <= 1.0)).all()


def test_what_every_learner_must_do() -> None:
    testing.check_learner("ivwh", **configs.to_json(SMALL))
    learners.assert_population(
        Learner, dataclasses.replace(SMALL, mixing="bias", epochs=2, bias_tolerance=5.0), updates=3
    )


def test_recipes() -> None:
    for preset in ("cpu", "published"):
        assert as_shac(recipe("ant", "warp", preset)) == shac.recipe("ant", "warp", preset)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mixing": "varience"}, "variance"),
        ({"bias_tolerance": 0.0}, "bias_tolerance"),
        ({"num_envs": 1}, "num_envs=1"),
    ],
)
def test_impossible_settings_are_refused(change: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        dataclasses.replace(SMALL, **change)
