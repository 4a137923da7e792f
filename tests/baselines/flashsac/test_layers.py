"""Layers of FlashSAC against torch's, their projections, and whose statistics move."""

from __future__ import annotations

import math

import torch
from torch import nn

from pwm_bench.baselines.flashsac.layers import BatchNorm, RMSNorm, UnitLinear, project_weights
from pwm_bench.learning.random import MemberStream

GENERATOR = torch.Generator().manual_seed(0)


def test_batch_norm_equals_torch_s_for_each_member() -> None:
    norm = BatchNorm(2, 3)
    others = [nn.BatchNorm1d(3, eps=1e-5, momentum=0.01) for _ in range(2)]
    with torch.no_grad():
        norm.weight.copy_(torch.rand(2, 1, 3, generator=GENERATOR))
        norm.bias.copy_(torch.rand(2, 1, 3, generator=GENERATOR))
        for p, other in enumerate(others):
            other.weight.copy_(norm.weight[p, 0])
            other.bias.copy_(norm.bias[p, 0])
    for _ in range(3):
        x = 2.0 + torch.randn(2, 7, 3, generator=GENERATOR)
        y = norm(x, torch.ones(2, dtype=torch.bool))
        for p, other in enumerate(others):
            torch.testing.assert_close(y[p], other(x[p]))
    for p, other in enumerate(others):
        torch.testing.assert_close(norm.mean[p, 0], other.running_mean)
        torch.testing.assert_close(norm.var[p, 0], other.running_var)
        torch.testing.assert_close(norm(x)[p], other.eval()(x[p]))


def test_statistics_of_a_frozen_member_and_of_running_ones_stay() -> None:
    norm = BatchNorm(2, 3)
    x = torch.randn(2, 7, 3, generator=GENERATOR)
    norm(x)
    assert (norm.mean == 0.0).all()
    x[1] = torch.nan  # what it was frozen for
    norm(x, torch.tensor([True, False]))
    assert (norm.mean[0] != 0.0).all()
    assert (norm.mean[1] == 0.0).all()
    assert (norm.var[1] == 1.0).all()


def test_rms_norm() -> None:
    norm = RMSNorm(1, 4)
    x = torch.tensor([[[1.0, 1.0, 5.0, 3.0]]])
    torch.testing.assert_close(norm(x), x / 3.0, atol=1e-6, rtol=0.0)


def test_projections() -> None:
    linear = UnitLinear(5, 3, stream=MemberStream((0, 1)), bias=True)
    norm, rms = BatchNorm(2, 9), RMSNorm(2, 4)
    module = nn.ModuleList((linear, norm, rms))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += torch.rand(parameter.shape, generator=GENERATOR)
    ratio = norm.weight[0, 0, 0] / norm.bias[0, 0, 1]
    bias = linear.bias.clone()
    project_weights(module)
    torch.testing.assert_close(linear.weight.norm(dim=1), torch.ones(2, 3))
    assert torch.equal(linear.bias, bias)
    size = torch.cat((norm.weight, norm.bias), -1).norm(dim=-1)
    torch.testing.assert_close(size, torch.full((2, 1), 3.0))
    torch.testing.assert_close(norm.weight[0, 0, 0] / norm.bias[0, 0, 1], ratio)
    torch.testing.assert_close(rms.weight.norm(dim=-1), torch.full((2, 1), 2.0))


def test_a_projection_leaves_out_who_is_not_alive() -> None:
    module = nn.ModuleList((UnitLinear(5, 3, stream=MemberStream((0, 1))), BatchNorm(2, 9), RMSNorm(2, 4)))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += torch.rand(parameter.shape, generator=GENERATOR)
    before = [p.clone() for p in module.parameters()]
    project_weights(module, torch.tensor([True, False]))
    for parameter, old in zip(module.parameters(), before, strict=True):
        assert torch.equal(parameter[1], old[1])
    moved = [not torch.equal(p[0], old[0]) for p, old in zip(module.parameters(), before, strict=True)]
    assert moved == [True, False, True, True, True]  # the second is the layer's bias, which keeps its size


def test_unit_linear_starts_orthogonal_and_trains_its_bias_only_if_it_has_one() -> None:
    without = UnitLinear(6, 4, stream=MemberStream((0,)))
    assert not without.bias.requires_grad
    gram = without.weight[0].T @ without.weight[0]
    torch.testing.assert_close(gram, torch.eye(4), atol=1e-5, rtol=0.0)
    assert math.isclose(without(torch.zeros(1, 2, 6)).abs().max().item(), 0.0)
