"""Training a world model on sequences with a known rule."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from pwm_bench.learning.guards import MemberGuard
from pwm_bench.learning.random import MemberStream
from pwm_bench.world_model.config import WorldModelConfig
from pwm_bench.world_model.networks import WorldModel
from pwm_bench.world_model.training import WorldModelTrainer, sequence_loss

OBS, ACT, HORIZON, BATCH = 2, 1, 4, 32
CONFIG = WorldModelConfig(
    latent_dim=32,
    encoder_hidden=(32,),
    dynamics_hidden=(32,),
    reward_hidden=(32,),
    horizon=HORIZON,
    batch_size=BATCH,
    learning_rate=3e-3,
)


def _sequences(stream: MemberStream, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    """A point pushed along a line, rewarded near the origin (far from unit scale) and lost beyond 1."""
    position = stream.normal(BATCH, 1, dtype=dtype)
    velocity = stream.normal(BATCH, 1, dtype=dtype)
    action = 2 * stream.uniform(BATCH, HORIZON, ACT, dtype=dtype) - 1
    obs, reward, lost = [torch.cat((position, velocity), -1)], [], []
    for t in range(HORIZON):
        reward.append(100.0 - 20.0 * position.squeeze(-1).square())
        velocity = velocity + 0.3 * action[:, :, t]
        position = position + 0.3 * velocity
        obs.append(torch.cat((position, velocity), -1))
        lost.append(position.squeeze(-1) > 1.0)
    return torch.stack(obs, 2), action, torch.stack(reward, 2), torch.stack(lost, 2)


def _trainer(seeds: list[int], config: WorldModelConfig = CONFIG, **changes) -> WorldModelTrainer:
    model = WorldModel(OBS, ACT, config, stream=MemberStream(seeds))
    return WorldModelTrainer(model, config, members=len(seeds), guard=MemberGuard(len(seeds)), **changes)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_loss_falls(precision: str) -> None:
    """By how much differs from seed to seed, 0.05 to 0.76 in 24 of each, so the middle one counts."""
    trainer = _trainer(list(range(8)), precision=precision)
    stream = MemberStream(list(range(7, 15)))
    losses = [trainer.step(*_sequences(stream), iteration=0) for _ in range(240)]
    first = torch.stack([x["world_model_loss"] for x in losses[:5]]).mean(0)
    last = torch.stack([x["world_model_loss"] for x in losses[-20:]]).mean(0)
    assert (last / first).median() < 0.25, last / first
    assert (last < 0.95 * first).all(), last / first


def test_reduced_precision_trains_every_network() -> None:
    """Targets are encoded without history first; torch before 2.11 then gave the encoder no gradient in bfloat16."""
    gradients = []
    for precision in ("float32", "bfloat16"):
        trainer = _trainer([0], precision=precision)
        trainer.step(*_sequences(MemberStream([7])), iteration=0)
        model = trainer.model
        networks = {"encoder": model.encoder, "dynamics": model.dynamics, "reward": model.reward_network}
        gradients.append({k: torch.cat([p.grad.flatten() for p in n.parameters()]) for k, n in networks.items()})
    for name, exact in gradients[0].items():
        assert torch.cosine_similarity(gradients[1][name], exact, dim=0) > 0.99, name


def test_termination_is_learnt_and_weighs_in_the_loss() -> None:
    config = dataclasses.replace(CONFIG, termination=True, termination_hidden=(32,))
    trainer = _trainer([0], config)
    stream = MemberStream([7])
    for _ in range(240):
        metrics = trainer.step(*_sequences(stream), iteration=0)
    parts = sum(metrics[f"{name}_loss"] for name in ("dynamics", "reward", "termination"))
    torch.testing.assert_close(metrics["world_model_loss"], parts)

    obs, action, _, lost = _sequences(stream)
    with torch.no_grad():
        latents = trainer.model.unroll(trainer.model.encode(obs[:, :, 0]), action.transpose(1, 2))
        guess = trainer.model.termination_logit(latents[:, 1:]).transpose(1, 2) > 0
    assert 0.05 < lost.float().mean() < 0.5
    assert (guess == lost).float().mean() > 0.9


def test_a_model_without_the_head_predicts_no_termination() -> None:
    trainer = _trainer([0])
    assert "termination_loss" not in trainer.step(*_sequences(MemberStream([7])), iteration=0)
    with pytest.raises(RuntimeError, match="does not predict termination"):
        trainer.model.termination_logit(torch.zeros(1, 3, 32))


def test_rewards_are_normalised_by_their_running_moments() -> None:
    trainer = _trainer([0])
    seen = []
    stream = MemberStream([7])
    for _ in range(3):
        batch = _sequences(stream)
        seen.append(batch[2].numpy())
        trainer.step(*batch, iteration=0)
    seen = np.stack(seen)
    np.testing.assert_allclose(trainer.reward_norm.mean.item(), seen.mean(), rtol=1e-5)
    np.testing.assert_allclose(trainer.reward_norm.var.item(), seen.var(), rtol=1e-3)


def test_targets_come_from_the_online_encoder_without_gradient() -> None:
    """Reference computed step by step: the loss depends on the encoder through o_0 only."""
    stream = MemberStream([0])
    model = WorldModel(OBS, ACT, CONFIG, stream=stream).double()
    with torch.no_grad():
        model.reward_network.layers[-1].weight.add_(0.1)
    obs, action, reward, lost = _sequences(MemberStream([7]), torch.float64)
    reward = reward / 100
    loss = sequence_loss(model, obs, action, reward, lost, CONFIG)

    latent = model.encode(obs[:, :, 0])
    total = torch.zeros(1, dtype=torch.float64)
    for t in range(HORIZON):
        weight = CONFIG.temporal_weight**t / HORIZON
        total = total + weight * (model.reward(latent, action[:, :, t]) - reward[:, :, t]).square().mean()
        latent = model.next(latent, action[:, :, t])
        total = total + weight * (latent - model.encode(obs[:, :, t + 1]).detach()).square().mean()
    torch.testing.assert_close(loss.total, total)
    params = list(model.parameters())
    got = torch.autograd.grad(loss.total.sum(), params)
    want = torch.autograd.grad(total.sum(), params)
    for g, w in zip(got, want, strict=True):
        torch.testing.assert_close(g, w)


def test_an_ensemble_of_equal_networks_is_one_network() -> None:
    """Predictions, loss and the encoder's gradient are those of the single model, and nobody disagrees."""
    config = dataclasses.replace(CONFIG, ensemble=3, termination=True, termination_hidden=(8,))
    single = dataclasses.replace(config, ensemble=1)
    one, three = (WorldModel(OBS, ACT, c, stream=MemberStream([0, 1])).double() for c in (single, config))
    with torch.no_grad():
        one.reward_network.layers[-1].weight.add_(0.1)
        for name, p in three.named_parameters():
            source = one.get_parameter(name)
            p.copy_(source.repeat_interleave(p.shape[0] // 2, 0))
    obs, action, reward, lost = _sequences(MemberStream([7, 8]), torch.float64)
    losses = [sequence_loss(m, obs, action, reward / 100, lost, c) for m, c in ((one, single), (three, config))]
    torch.testing.assert_close(losses[1].total, losses[0].total)
    torch.testing.assert_close(losses[1].termination, losses[0].termination)
    grads = [
        torch.autograd.grad(loss.total.sum(), list(model.encoder.parameters()))
        for loss, model in zip(losses, (one, three), strict=True)
    ]
    for g, w in zip(*grads, strict=True):
        torch.testing.assert_close(g, w)
    latent, first = one.encode(obs[:, :, 0]), action[:, :, 0]
    torch.testing.assert_close(three.next(latent, first), one.next(latent, first))
    torch.testing.assert_close(three.reward(latent, first), one.reward(latent, first))
    assert three.disagreement(latent, first).max() < 2e-6


def test_networks_of_an_ensemble_learn_apart_and_their_spread_is_the_disagreement() -> None:
    config = dataclasses.replace(CONFIG, ensemble=2)
    model = WorldModel(OBS, ACT, config, stream=MemberStream([0])).double()
    obs, action, reward, lost = _sequences(MemberStream([7]), torch.float64)
    latent, first = model.encode(obs[:, :, 0]), action[:, :, 0]
    joined = torch.cat((latent, first), -1)
    a, b = model.dynamics(joined.expand(2, -1, -1)).unbind(0)
    torch.testing.assert_close(model.next(latent, first)[0], (a + b) / 2)
    torch.testing.assert_close(model.disagreement(latent, first)[0], ((a - b) / 2).square().mean(-1).sqrt())
    # Each network goes its own way over the whole sequence, and the loss is the mean of theirs.
    wanted = []
    for k in range(2):
        alone = WorldModel(OBS, ACT, CONFIG, stream=MemberStream([0])).double()
        with torch.no_grad():
            for name, p in alone.named_parameters():
                rows = model.get_parameter(name)
                p.copy_(rows[k : k + 1] if rows.shape[0] == 2 else rows)
        wanted.append(sequence_loss(alone, obs, action, reward / 100, lost, CONFIG).total)
    loss = sequence_loss(model, obs, action, reward / 100, lost, config).total
    torch.testing.assert_close(loss, (wanted[0] + wanted[1]) / 2)


def test_a_member_whose_batch_is_not_finite_is_frozen_and_the_other_learns_on() -> None:
    trainer, alone = _trainer([0, 1]), _trainer([1])
    both, one = MemberStream([7, 8]), MemberStream([8])
    for iteration in range(3):
        obs, action, reward, lost = _sequences(both)
        if iteration == 1:
            obs[0, 0, 0] = torch.nan
        trainer.step(obs, action, reward, lost, iteration=iteration)
        if iteration == 0:
            before = [p[0].clone() for p in trainer.model.parameters()]
        alone.step(*_sequences(one), iteration=iteration)
    assert trainer._guard.alive.tolist() == [False, True]
    assert trainer._guard.diverged_at.tolist() == [1, -1]
    for p, kept, single in zip(trainer.model.parameters(), before, alone.model.parameters(), strict=True):
        assert torch.equal(p[0], kept)
        torch.testing.assert_close(p[1], single[0], rtol=1e-4, atol=1e-5)
