"""Whole networks in one call against torch's operations, layer by layer."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch import Tensor

from pwm_bench.learning import network, network_kernels
from pwm_bench.learning.critic import CriticEnsemble
from pwm_bench.learning.elementwise import torch_alone
from pwm_bench.learning.layers import PopulationMLP
from pwm_bench.learning.random import MemberStream
from pwm_bench.learning.threads import one_thread

P, ROWS, SIZES = 3, 7, (5, 24, 16)
KINDS = [
    {"activation": "elu", "norm": "post"},
    {"activation": "elu", "norm": "none"},
    {"activation": "mish", "norm": "pre", "last": "simnorm"},
    {"activation": "mish", "norm": "post", "last": "hidden"},
    {"activation": "silu", "norm": "pre"},
    {"activation": "tanh", "norm": "none", "last": "spectral"},
    {"activation": "relu", "norm": "post"},
]


@pytest.fixture(autouse=True)
def _one_thread():
    with one_thread():
        yield


def _make(kind, dtype=torch.float64, *, sizes=SIZES, seeds=range(P)) -> PopulationMLP:
    net = PopulationMLP(len(seeds), sizes, **kind, stream=MemberStream(list(seeds)))
    generator = torch.Generator().manual_seed(0)
    for p in net.parameters():  # norms that do something
        p.data += 0.1 * torch.randn(p.shape[1:], generator=generator)
    return net.to(dtype).eval()


def _x(dtype=torch.float64, *, members=P, rows=ROWS, width=SIZES[0]) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(members, rows, width, generator=generator, dtype=torch.float64).to(dtype)


def _computed(net, x: Tensor, *, alone: bool) -> list[Tensor]:
    """Result, and the gradients of a sum of it with slopes of its own, of input and parameters."""
    x = x.clone().requires_grad_()
    with torch_alone() if alone else nullcontext():
        y = net(x)
    slopes = torch.linspace(-1.0, 1.0, y.numel(), dtype=y.dtype).view_as(y)
    return [y.detach(), *torch.autograd.grad((slopes * y).sum(), [x, *net.parameters()])]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("rows", [1, ROWS])
def test_values_and_gradients_are_torch_s(kind, rows: int) -> None:
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 2e-5)):
        net, x = _make(kind, dtype), _x(dtype, rows=rows)
        assert network.suits(net.descriptions, x, dtype)
        ours, theirs = _computed(net, x, alone=False), _computed(net, x, alone=True)
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)
        with torch.no_grad():
            assert torch.equal(net(x), ours[0])


@pytest.mark.parametrize("kind", KINDS[:3], ids=str)
def test_gradients_are_central_finite_differences(kind) -> None:
    net, x = _make(kind), _x()
    assert torch.autograd.gradcheck(net, (x.requires_grad_(),), eps=1e-6, atol=1e-7)
    _, _, *grads = _computed(net, x.detach(), alone=False)

    def loss() -> Tensor:
        with torch.no_grad():
            y = net(x)
        return (torch.linspace(-1.0, 1.0, y.numel(), dtype=y.dtype).view_as(y) * y).sum()

    for p, grad in zip(net.parameters(), grads, strict=True):
        for index in (0, p.numel() - 1):
            place, step = p.data.view(-1), 1e-6
            place[index] += step
            above = loss()
            place[index] -= 2 * step
            below = loss()
            place[index] += step
            torch.testing.assert_close(grad.view(-1)[index], (above - below) / (2 * step), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS[:3], ids=str)
@pytest.mark.parametrize(("rows", "width"), [(ROWS, 5), (1, 5), (ROWS, 1), (64, 37)])
def test_a_member_has_the_same_bits_alone_and_in_company(kind, rows: int, width: int) -> None:
    sizes = (width, *SIZES[1:])
    inputs = _x(torch.float32, rows=rows, width=width)
    together = _computed(_make(kind, torch.float32, sizes=sizes), inputs, alone=False)
    for member in range(P):
        alone = _make(kind, torch.float32, sizes=sizes, seeds=[member])
        slopes = torch.linspace(-1.0, 1.0, P * rows * sizes[-1]).view(P, rows, -1)[member : member + 1]
        x = inputs[member : member + 1].clone().requires_grad_()
        y = alone(x)
        found = [y.detach(), *torch.autograd.grad((slopes * y).sum(), [x, *alone.parameters()])]
        for one, many in zip(found, together, strict=True):
            assert torch.equal(one[0], many[member])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("rows", "sizes"), [(9, (6, 13, 5)), (2, (8, 33, 13)), (3, (13, 33, 7)), (9, (13, 7, 33))])
def test_bits_do_not_depend_on_where_a_member_s_matrices_lie(dtype, rows: int, sizes: tuple[int, ...]) -> None:
    """With these sizes the matrices of other members begin within a cache line, and MKL on AMD's processors minds."""
    kind = {"activation": "elu", "norm": "none"}
    net, x = _make(kind, dtype, sizes=sizes, seeds=[0]), _x(dtype, members=1, rows=rows, width=sizes[0])
    many = PopulationMLP(P, sizes, **kind, stream=MemberStream([0] * P)).to(dtype).eval()
    many.load_state_dict({name: value.expand(P, *value.shape[1:]) for name, value in net.state_dict().items()})
    shared, found = x.expand(P, -1, -1).clone().requires_grad_(), x.clone().requires_grad_()
    slopes = torch.linspace(-1.0, 1.0, rows * sizes[-1], dtype=dtype).view(1, rows, -1)
    alone = [y := net(found), *torch.autograd.grad((slopes * y).sum(), [found, *net.parameters()])]
    together = [y := many(shared), *torch.autograd.grad((slopes * y).sum(), [shared, *many.parameters()])]
    for one, each in zip(alone, together, strict=True):
        assert all(torch.equal(one[0], own) for own in each)


def test_a_member_that_is_not_finite_leaves_the_others_alone() -> None:
    for kind in KINDS:
        net, x = _make(kind, torch.float32), _x(torch.float32)
        sound = _computed(net, x, alone=False)
        x[1, 2, 3] = torch.nan
        found = _computed(net, x, alone=False)
        assert found[0][1, 2].isnan().all()
        for one, other in zip(sound, found, strict=True):
            assert torch.equal(one[0::2], other[0::2])


def test_critics_share_their_input() -> None:
    critics = CriticEnsemble(2, 3, 5, (8, 8), stream=MemberStream([0, 1])).double()
    x = _x(members=2)
    for ours, theirs in zip(_computed(critics, x, alone=False), _computed(critics, x, alone=True), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_only_gradients_that_are_wanted_are_computed(monkeypatch) -> None:
    net, x = _make(KINDS[0]), _x().requires_grad_()
    asked: list[tuple[int, bool]] = []
    real = network_kernels.backward

    def noted(*args, into, wanted):
        asked.append((len(into), wanted))
        return real(*args, into=into, wanted=wanted)

    monkeypatch.setattr(network_kernels, "backward", noted)
    net(x.detach()).sum().backward()
    net.requires_grad_(False)
    torch.autograd.grad(net(x).sum(), x)
    net(x.detach())
    assert asked == [(6, False), (0, True)]


@pytest.mark.parametrize("reason", ["no BLAS", "reduced precision", "another dtype", "several threads"])
def test_torch_computes_where_the_kernels_cannot(reason: str, monkeypatch) -> None:
    net, x = _make(KINDS[0], torch.float32), _x(torch.float32)
    if reason == "no BLAS":
        monkeypatch.setattr(network_kernels, "_multiply", lambda dtype: None)
    if reason == "several threads":
        monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
        monkeypatch.setattr(network, "_SHARED", 8)
    monkeypatch.setattr(network_kernels, "forward", lambda *args, **kwargs: pytest.fail("the kernel was called"))
    if reason == "another dtype":
        assert not network.suits(net.descriptions, x.double(), torch.float32)
        return
    with torch.autocast("cpu", torch.bfloat16, enabled=reason == "reduced precision"):
        assert net(x).shape == (P, ROWS, SIZES[-1])
