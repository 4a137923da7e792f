"""World-model networks: published sizes, simplices, initial predictions."""

from __future__ import annotations

import pytest
import torch

from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.random import MemberStream
from pwm_bench.world_model.config import WorldModelConfig
from pwm_bench.world_model.networks import WorldModel

OBS, ACT, BATCH = 5, 2, 3


# Single-task models of the released code: obs, act, weights.
@pytest.mark.parametrize(("obs", "act", "millions"), [(11, 3, 1.458), (37, 8, 1.470), (49, 12, 1.477), (76, 21, 1.493)])
def test_published_parameter_counts(obs: int, act: int, millions: float) -> None:
    model = WorldModel(obs, act, WorldModelConfig(), stream=MemberStream([0]))
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 3) == millions


def test_latents_are_simplices_of_eight() -> None:
    model = WorldModel(OBS, ACT, WorldModelConfig(latent_dim=32), stream=MemberStream([0, 1]))
    stream = MemberStream([5, 6])
    latent = model.encode(10 * stream.normal(BATCH, OBS))
    for z in (latent, model.next(latent, stream.normal(BATCH, ACT))):
        assert z.shape == (2, BATCH, 32)
        assert (z >= 0).all()
        torch.testing.assert_close(z.unflatten(-1, (-1, 8)).sum(-1), torch.ones(2, BATCH, 4))
        assert z.std() > 1e-3


def test_rewards_start_at_zero_and_members_differ() -> None:
    stream = MemberStream([0, 1])
    model = WorldModel(OBS, ACT, WorldModelConfig(latent_dim=32), stream=stream)
    obs = stream.normal(BATCH, OBS)
    obs = obs[:1].expand(2, -1, -1)  # the same observations for both members
    latent = model.encode(obs)
    assert torch.equal(model.reward(latent, torch.ones(2, BATCH, ACT)), torch.zeros(2, BATCH))
    assert not torch.allclose(latent[0], latent[1])


def test_unroll_repeats_the_dynamics() -> None:
    stream = MemberStream([0, 1])
    model = WorldModel(OBS, ACT, WorldModelConfig(latent_dim=16), stream=stream)
    latent = model.encode(stream.normal(BATCH, OBS))
    actions = stream.normal(4, BATCH, ACT)
    unrolled = model.unroll(latent, actions)
    assert unrolled.shape == (2, 5, BATCH, 16)
    for t in range(4):
        torch.testing.assert_close(unrolled[:, t], latent)
        latent = model.next(latent, actions[:, t])
    torch.testing.assert_close(unrolled[:, 4], latent)


def test_regularisations_shape_the_latents() -> None:
    stream = MemberStream([5, 6])
    obs, action = 10 * stream.normal(64, OBS), stream.normal(64, ACT)
    found = {}
    for kind in ("simnorm", "layernorm", "relu", "spectral"):
        model = WorldModel(OBS, ACT, WorldModelConfig(latent_dim=32, regularisation=kind), stream=MemberStream([0, 1]))
        latent = model.next(model.encode(obs), action)
        assert latent.shape == (2, 64, 32)
        assert latent.std() > 1e-3
        found[kind] = latent
        names = [name for name, _ in model.named_modules()]
        assert any(".norm" in name for name in names) == (kind != "relu")
    torch.testing.assert_close(found["simnorm"].sum(-1), torch.full((2, 64), 4.0))
    assert found["layernorm"].min() < -0.1  # Mish after LayerNorm: above -0.31, unbounded above
    assert found["layernorm"].min() > -0.31
    assert found["layernorm"].max() > 1.0
    assert found["spectral"].max() > 1.0
    assert found["relu"].min() < -0.01  # the last layer is linear
    with pytest.raises(UsageError, match="regularisation"):
        WorldModelConfig(regularisation="simnrom")
