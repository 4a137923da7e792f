"""One policy update: what it changes, what it leaves alone, and the critics' targets."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from pwm_bench.learning.guards import MemberGuard
from pwm_bench.learning.random import MemberStream
from pwm_bench.pwm.config import Config
from pwm_bench.pwm.imagination import Rollout
from pwm_bench.pwm.policy_training import PolicyTrainer
from pwm_bench.world_model.networks import WorldModel
from tests.pwm_bench.pwm.factories import HORIZON, WORLDS, tiny_config

OBS, ACT, MEMBERS = 4, 2, 2


def _trainer(config: Config | None = None) -> PolicyTrainer:
    stream = MemberStream([3, 4])
    config = config or tiny_config()
    model = WorldModel(OBS, ACT, config.world_model, stream=stream).double()
    with torch.no_grad():
        model.reward_network.layers[-1].weight.normal_(generator=torch.Generator().manual_seed(0))
    return PolicyTrainer(
        config, model, ACT, init=stream, stream=stream, guard=MemberGuard(MEMBERS), dtype=torch.float64
    )


def _update(trainer: PolicyTrainer, seed: int = 5):
    stream = MemberStream([seed, seed + 1])
    obs = stream.normal(WORLDS, OBS, dtype=torch.float64)
    return trainer.update(obs, stream.normal(HORIZON, WORLDS, ACT, dtype=torch.float64), iteration=0)


def test_world_model_collects_no_gradient_and_does_not_change() -> None:
    trainer = _trainer()
    before = [p.clone() for p in trainer.model.parameters()]
    _update(trainer)
    for p, kept in zip(trainer.model.parameters(), before, strict=True):
        assert p.grad is None
        assert torch.equal(p, kept)
        assert p.requires_grad


def test_actor_and_every_critic_change() -> None:
    trainer = _trainer()
    actor = [p.clone() for p in trainer.actor.parameters()]
    critic = [p.clone() for p in trainer.critic.parameters()]
    metrics = _update(trainer)
    assert all(not torch.equal(p, q) for p, q in zip(trainer.actor.parameters(), actor, strict=True))
    for p, q in zip(trainer.critic.parameters(), critic, strict=True):
        assert (p != q).flatten(1).any(1).all(), "some member's critic did not move"
    assert all(value.shape == (MEMBERS,) and torch.isfinite(value).all() for value in metrics.values())


def _targets(rewards, values, done, terminated, gamma, lam):
    """Mixture of k-step returns to the end of the segment, by definition."""
    horizon = len(rewards)
    out = np.zeros(horizon)
    for t in range(horizon):
        end = next((k for k in range(t, horizon) if done[k]), horizon - 1)
        steps = end - t + 1
        k_step = []
        for k in range(1, steps + 1):
            last = t + k - 1
            value = 0.0 if terminated[last] else values[last]
            k_step.append(sum(gamma**i * rewards[t + i] for i in range(k)) + gamma**k * value)
        out[t] = (1 - lam) * sum(lam ** (k - 1) * k_step[k - 1] for k in range(1, steps)) + lam ** (steps - 1) * k_step[
            -1
        ]
    return out


@pytest.mark.parametrize("coupled", [False, True])
def test_critic_targets_are_td_lambda_of_the_rollout(coupled: bool) -> None:
    trainer = _trainer()
    rng = np.random.default_rng(0)
    shape = (MEMBERS, HORIZON, WORLDS)
    rewards, values = rng.normal(size=shape), rng.normal(size=shape)
    done = (rng.random(shape) < 0.3) & coupled
    terminated = done & (rng.random(shape) < 0.5)
    latents = torch.arange(MEMBERS * HORIZON * WORLDS, dtype=torch.float64).view(*shape, 1)
    ends = (torch.as_tensor(terminated), torch.as_tensor(done)) if coupled else (None, None)
    rollout = Rollout(latents, latents, torch.as_tensor(rewards), *ends)
    inputs, targets = trainer._imagined_targets(rollout, torch.as_tensor(values).transpose(0, 1))
    assert coupled == bool(done.any())
    for p in range(MEMBERS):
        for b in range(WORLDS):
            at = (p, slice(None), b)
            want = _targets(rewards[at], values[at], done[at], terminated[at], 0.99, 0.95)
            rows = torch.arange(HORIZON) * WORLDS + b
            np.testing.assert_allclose(targets[p, rows], want, rtol=1e-10)
            assert torch.equal(inputs[p, rows], latents[at])  # each target stands beside its own state


def test_objective_is_divided_by_the_running_deviation_of_the_return() -> None:
    trainer = _trainer()
    first = _update(trainer, seed=5)
    _update(trainer, seed=9)
    assert (trainer.return_norm.count > 2 * WORLDS - 1).all()
    plain = _trainer(dataclasses.replace(tiny_config(), normalize_returns=False))
    unscaled = _update(plain, seed=5)
    torch.testing.assert_close(unscaled["imagined_return"], first["imagined_return"])
    torch.testing.assert_close(unscaled["actor_loss"], -first["imagined_return"] / HORIZON)
    after_first = _trainer()
    _update(after_first, seed=5)
    deviation = (after_first.return_norm.var.squeeze(-1) + 1e-5).sqrt()
    torch.testing.assert_close(first["actor_loss"], -first["imagined_return"] / deviation)


def test_contiguous_minibatches_are_blocks_of_time(monkeypatch) -> None:
    trainer = _trainer(tiny_config(shuffle_minibatches=False, critic_minibatches=HORIZON, critic_iterations=1))
    seen = []
    step = trainer._regression.step
    monkeypatch.setattr(trainer._regression, "step", lambda x, *rest: seen.append(x) or step(x, *rest))
    latents = torch.rand(MEMBERS, HORIZON * WORLDS, trainer.model.latent_dim, dtype=torch.float64)
    trainer._step_critics(latents, torch.zeros(MEMBERS, HORIZON * WORLDS, dtype=torch.float64), 0)
    assert len(seen) == HORIZON
    for t, x in enumerate(seen):
        assert torch.equal(x, latents[:, t * WORLDS : (t + 1) * WORLDS])


def test_shuffled_minibatches_visit_every_state_once_a_pass(monkeypatch) -> None:
    trainer = _trainer(tiny_config(critic_iterations=1))
    seen = []
    step = trainer._regression.step
    monkeypatch.setattr(trainer._regression, "step", lambda x, *rest: seen.append(x) or step(x, *rest))
    latents = torch.rand(MEMBERS, HORIZON * WORLDS, trainer.model.latent_dim, dtype=torch.float64)
    trainer._step_critics(latents, torch.zeros(MEMBERS, HORIZON * WORLDS, dtype=torch.float64), 0)
    visited = torch.cat(seen, dim=1)
    assert not torch.equal(visited, latents)
    for p in range(MEMBERS):
        order = [tuple(row.tolist()) for row in visited[p]]
        assert sorted(order) == sorted(tuple(row.tolist()) for row in latents[p])
