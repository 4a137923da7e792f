"""Kernels are told addresses: what they cannot take is refused, made contiguous, or left to torch."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import forward_ad

from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.critic import CriticEnsemble
from pwm_bench.learning.elementwise import torch_alone
from pwm_bench.learning.layers import PopulationLinear, PopulationMLP
from pwm_bench.learning.optim import PopulationAdam
from pwm_bench.learning.random import MemberStream
from pwm_bench.learning.regression import Regression
from pwm_bench.learning.threads import one_thread

SIZES = (5, 8, 3)


@pytest.fixture(autouse=True)
def alone():
    with one_thread():
        yield


def network(members: int = 2, activation: str = "elu", norm: str = "post") -> PopulationMLP:
    return PopulationMLP(members, SIZES, activation, norm, stream=MemberStream(list(range(members))))


def by_torch(net: torch.nn.Module, *args: torch.Tensor) -> torch.Tensor:
    with torch_alone():
        return net(*args)


@pytest.mark.parametrize("shape", [(2, 4, 4), (2, 4, 6), (1, 4, 5), (3, 4, 5)])
def test_an_input_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"2 members take \(2, n, 5\)"):
        network()(torch.randn(shape))


def test_parameters_may_lie_anyhow() -> None:
    net, x = network(), torch.randn(2, 4, 5)
    shared = {name: value[:1].expand_as(value) for name, value in net.named_parameters()}
    found = torch.func.functional_call(net, shared, (x,))
    with torch_alone():
        expected = torch.func.functional_call(net, shared, (x,))
    torch.testing.assert_close(found, expected)
    linear = net.layers[0].linear
    linear.weight = torch.nn.Parameter(linear.weight.detach().mT.contiguous().mT)
    torch.testing.assert_close(net(x), by_torch(net, x))
    linear.weight = torch.nn.Parameter(linear.weight.detach().double())
    with pytest.raises(UsageError, match=r"do not fit 2 members"):
        net(x)


def test_what_looks_into_functions_gets_torchs() -> None:
    net, x = network(1), torch.randn(1, 4, 5)
    with pytest.warns(torch.jit.TracerWarning):
        traced = torch.jit.trace(net, (x,))
    other = torch.randn(1, 4, 5)
    torch.testing.assert_close(traced(other), net(other))
    (slope,) = torch.autograd.grad(net(x.requires_grad_()).sum(), x)
    x = x.detach()
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(net(forward_ad.make_dual(x, torch.ones_like(x)))).tangent
    torch.testing.assert_close(tangent.sum(), slope.sum())
    torch.testing.assert_close(torch.func.jacrev(lambda z: net(z).sum())(x), slope)


def test_a_layer_that_was_put_in_computes() -> None:
    net, x = network(), torch.randn(2, 4, 5)
    net.layers[-1] = PopulationLinear(2, 8, 3, stream=MemberStream([7, 8]))
    torch.testing.assert_close(net(x), by_torch(net, x))


@pytest.mark.parametrize("activation", ["mish", "elu", "silu"])
def test_what_is_no_number_is_seen(activation: str) -> None:
    """An overflow that a normalisation would hide, and the slope at NaN."""
    net, x = network(1, activation, "pre"), torch.randn(1, 4, 5)
    with torch.no_grad():
        net.layers[0].linear.weight.mul_(1e25)
        assert net(x).isnan().all() == by_torch(net, x).isnan().all() == torch.tensor(True)
    plain = network(1, activation, "none")
    (slope,) = torch.autograd.grad(
        plain(torch.full((1, 4, 5), torch.nan, requires_grad=True)).sum(), plain.layers[0].linear.bias
    )
    assert slope.isnan().all()


def test_mish_far_out_is_the_identity() -> None:
    net = PopulationMLP(1, (1, 1, 1), "mish", "none", stream=MemberStream([0]), last="hidden")
    with torch.no_grad():
        for layer in net.layers:
            layer.linear.weight.fill_(1.0)
            layer.linear.bias.zero_()
    x = torch.tensor([[[1e18], [1e26], [30.0]]], requires_grad=True)
    y = net(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(y, x)
    torch.testing.assert_close(slope, torch.ones_like(slope))


def test_adam_takes_what_its_kernel_can() -> None:
    half = torch.nn.Parameter(torch.zeros(2, 4, dtype=torch.bfloat16))
    with pytest.raises(UsageError, match="on a CPU float32 or float64"):
        PopulationAdam([half], 0.1, members=2).step()
    mixed = [torch.nn.Parameter(torch.zeros(2, 3, dtype=dtype)) for dtype in (torch.float32, torch.float64)]
    with pytest.raises(UsageError, match=r"torch\.float64: all must be in torch\.float32"):
        PopulationAdam(mixed, 0.1, members=2).clip_grad_norm(1.0)


def moved(alive: torch.Tensor) -> tuple[list[float], list[float]]:
    p = torch.nn.Parameter(torch.zeros(4, 2))
    optimiser = PopulationAdam([p], 1.0, members=4)
    p.grad = torch.ones(4, 2)
    optimiser.step(alive=alive)
    return p[:, 0].round().tolist(), optimiser.state_dict()["step"].tolist()


def test_flags_of_the_living_may_lie_anyhow() -> None:
    assert moved(torch.tensor(True).expand(4)) == ([-1.0] * 4, [1.0] * 4)
    assert moved(torch.tensor([True, False, False, True] * 2)[::2]) == ([-1.0, 0.0, -1.0, 0.0], [1.0, 0.0, 1.0, 0.0])
    for wrong in (torch.tensor([0, 1, 1, 1]), torch.ones(1, dtype=torch.bool)):
        with pytest.raises(UsageError, match=r"alive is .* must be \(4,\) torch.bool"):
            moved(wrong)


def test_targets_of_any_dtype_fit_critics() -> None:
    critic = CriticEnsemble(3, 2, 5, (16,), stream=MemberStream([0, 1, 2]))
    fit = Regression(critic, PopulationAdam(critic.parameters(), 1e-3, members=3), max_norm=1.0)
    x, y, nobody = torch.randn(3, 8, 5), torch.randn(3, 8), lambda *_: torch.zeros(3, dtype=torch.bool)
    with torch_alone():
        expected = fit.step(x, y, nobody)
    for found in (fit.step(x, y, nobody), fit.step(x, y.double(), nobody)):
        torch.testing.assert_close([x.float() for x in found], list(expected))
    for p in critic.parameters():
        p.grad = torch.zeros(tuple(reversed(p.shape))).permute(*reversed(range(p.dim())))
    torch.testing.assert_close(list(fit.step(x, y, nobody)), list(expected))
    with pytest.raises(UsageError, match=r"targets of shape \(3, 1\): must be \(3, 8\)"):
        fit.step(x, y[:, :1], nobody)


class Scaled(CriticEnsemble):
    """Its values are not those of the network alone."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(10.0 * x)


def test_a_critic_with_a_pass_of_its_own_is_asked() -> None:
    critic = Scaled(1, 2, 5, (16,), stream=MemberStream([0]))
    fit = Regression(critic, PopulationAdam(critic.parameters(), 1e-3, members=1), max_norm=1.0)
    x, y = torch.randn(1, 8, 5), torch.randn(1, 8)
    loss, _ = fit.step(x, y, lambda *_: torch.zeros(1, dtype=torch.bool))
    values = critic(x).view(1, 2, 8)
    torch.testing.assert_close(loss, (values - y.unsqueeze(1)).square().mean((1, 2)).detach())
