"""The critics' steps with derivatives written out against the same steps by autograd."""

from __future__ import annotations

import pytest
import torch

from pwm_bench.learning.guards import MemberGuard
from pwm_bench.learning.random import MemberStream
from pwm_bench.pwm.policy_training import PolicyTrainer
from pwm_bench.world_model.networks import WorldModel
from tests.pwm_bench.pwm.factories import tiny_config

OBS, ACT, STATES = 4, 2, 24


def _trainer(seeds=(3, 4), *, fused: bool = True, **changes) -> PolicyTrainer:
    config = tiny_config(hidden_critic=(12, 10), critic_iterations=3, critic_minibatches=4, **changes)
    stream = MemberStream(list(seeds))
    model = WorldModel(OBS, ACT, config.world_model, stream=stream)
    guard = MemberGuard(len(seeds))
    options = {"init": stream, "stream": stream, "guard": guard, "dtype": torch.float32, "fused": fused}
    return PolicyTrainer(config, model, ACT, **options)


def _data(trainer: PolicyTrainer, seeds=(3, 4)):
    stream = MemberStream(list(seeds), name="data")
    return stream.normal(STATES, trainer.model.latent_dim), 3.0 * stream.normal(STATES)


def _weights(trainer: PolicyTrainer) -> list[torch.Tensor]:
    return [p.detach().clone() for p in trainer.critic.parameters()]


@pytest.mark.parametrize("shuffled", [True, False])
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("bfloat16", 5e-3)])
@pytest.mark.parametrize("max_norm", [100.0, 0.5])
def test_the_steps_equal_autograd(precision, tolerance, shuffled, max_norm) -> None:
    results = []
    for fused in (True, False):
        trainer = _trainer(
            fused=fused, precision=precision, shuffle_minibatches=shuffled, max_grad_norm_critic=max_norm
        )
        assert (trainer._fit is not None) == fused
        metrics = trainer._step_critics(*_data(trainer), 0)
        results.append((_weights(trainer), metrics))
    (mine, told), (others, wanted) = results
    for a, b in zip(mine, others, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
    for name, value in wanted.items():
        torch.testing.assert_close(told[name], value, rtol=5 * tolerance, atol=tolerance)


def test_a_member_trains_the_same_alone_and_in_company() -> None:
    together, alone = _trainer(), _trainer((4,))
    for trainer, seeds in ((together, (3, 4)), (alone, (4,))):
        trainer._step_critics(*_data(trainer, seeds), 0)
    for a, b in zip(_weights(together), _weights(alone), strict=True):
        assert torch.equal(a[len(a) // 2 :], b)


def test_a_member_that_diverges_stops_and_the_others_go_on() -> None:
    trainer, sound = _trainer(), _trainer()
    before = _weights(trainer)
    latents, targets = _data(trainer)
    sound._step_critics(latents, targets, 5)
    targets = targets.clone()
    targets[0] = torch.nan
    trainer._step_critics(latents, targets, 5)
    assert trainer._guard.alive.tolist() == [False, True]
    assert trainer._guard.diverged_at.tolist() == [5, -1]
    for now, old, other in zip(_weights(trainer), before, _weights(sound), strict=True):
        half = len(now) // 2
        assert torch.equal(now[:half], old[:half])
        assert torch.equal(now[half:], other[half:])
