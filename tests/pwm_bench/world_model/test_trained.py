"""A world model by itself, told and read back."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pwm_bench.learning.normalise import RunningNorm
from pwm_bench.learning.random import MemberStream
from pwm_bench.world_model.config import WorldModelConfig
from pwm_bench.world_model.networks import WorldModel
from pwm_bench.world_model.trained import TrainedModel, select_member

OBSERVATIONS, ACTIONS, LATENT = 3, 2, 16


@pytest.mark.parametrize(
    "changes",
    [
        {"normalize_observations": True, "termination": True},
        {"ensemble": 2, "regularisation": "spectral"},
        {"encoder_hidden": (), "dynamics_hidden": (), "reward_hidden": ()},
        {"encoder_hidden": (), "dynamics_hidden": (), "reward_hidden": (), "regularisation": "relu"},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_a_member_comes_back_from_its_state(changes: dict[str, Any]) -> None:
    hidden = {"encoder_hidden": (5,), "dynamics_hidden": (6,), "reward_hidden": (7,)}
    config = WorldModelConfig(**(hidden | {"latent_dim": LATENT} | changes))
    population = WorldModel(OBSERVATIONS, ACTIONS, config, stream=MemberStream((0, 1)))
    own = select_member(population, RunningNorm(2, 1), config, 1, {"task": "toy"})
    back = TrainedModel.from_state(own.state_dict())
    obs, action = torch.randn(2, 4, OBSERVATIONS), torch.rand(2, 4, ACTIONS)
    latent = population.encode(obs)
    assert torch.equal(back.model.encode(obs[1:]), latent[1:])
    assert torch.equal(back.model.next(latent[1:], action[1:]), population.next(latent, action)[1:])
    assert back.config == config
    assert back.description == {"task": "toy"}
