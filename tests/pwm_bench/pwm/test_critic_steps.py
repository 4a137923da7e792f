"""The critics' steps of a population: members in company and members that diverge."""

from __future__ import annotations

import torch

from pwm_bench.learning.guards import MemberGuard
from pwm_bench.learning.random import MemberStream
from pwm_bench.pwm.policy_training import PolicyTrainer
from pwm_bench.world_model.networks import WorldModel
from tests.pwm_bench.pwm.factories import tiny_config

OBS, ACT, STATES = 4, 2, 24


def _trainer(seeds=(3, 4)) -> PolicyTrainer:
    config = tiny_config(hidden_critic=(12, 10), critic_iterations=3, critic_minibatches=4)
    stream = MemberStream(list(seeds))
    model = WorldModel(OBS, ACT, config.world_model, stream=stream)
    guard = MemberGuard(len(seeds))
    options = {"init": stream, "stream": stream, "guard": guard, "dtype": torch.float32}
    return PolicyTrainer(config, model, ACT, **options)


def _data(trainer: PolicyTrainer, seeds=(3, 4)):
    stream = MemberStream(list(seeds), name="data")
    return stream.normal(STATES, trainer.model.latent_dim), 3.0 * stream.normal(STATES)


def _weights(trainer: PolicyTrainer) -> list[torch.Tensor]:
    return [p.detach().clone() for p in trainer.critic.parameters()]


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
