"""CPU activations against torch's own."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from pwm_bench.learning.elementwise import aligned, group_softmax, mish
from pwm_bench.learning.threads import one_thread

EXTREMES = torch.tensor([-1e4, -100.0, -88.0, -20.0, -1.0, 0.0, 1.0, 20.0, 88.0, 100.0, 1e4])


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-13), (torch.bfloat16, 2e-2)]
)
def test_values_equal_torch(dtype: torch.dtype, tolerance: float) -> None:
    x = torch.cat((EXTREMES, torch.linspace(-30, 30, 301))).to(dtype)
    torch.testing.assert_close(mish(x).to(dtype), F.mish(x), rtol=tolerance, atol=tolerance)
    y = x.view(-1, 8)
    torch.testing.assert_close(group_softmax(y).to(dtype), y.softmax(-1), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-13)])
def test_gradients_equal_torch(dtype: torch.dtype, tolerance: float) -> None:
    x = torch.cat((EXTREMES, torch.linspace(-30, 30, 301))).to(dtype).requires_grad_()
    weight = torch.linspace(-1, 2, len(x), dtype=dtype)
    for fast, reference in (
        (mish(x), F.mish(x)),
        (group_softmax(x.view(-1, 8)).flatten(), x.view(-1, 8).softmax(-1).flatten()),
    ):
        got, want = (torch.autograd.grad(y @ weight, x)[0] for y in (fast, reference))
        torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_mish_has_a_small_relative_error(dtype: torch.dtype, tolerance: float) -> None:
    """For negative numbers too, where 1 - 2 / (1 + (1 + e^x)^2) cancels; and for infinite ones."""
    x = torch.cat((torch.linspace(-80.0, -2.0, 157), torch.linspace(0.1, 90.0, 157))).to(dtype).requires_grad_()
    e = [math.exp(value) for value in x.tolist()]
    gates = [(a + a * a / 2) / (1 + a + a * a / 2) for a in e]
    exact = [value * gate for value, gate in zip(x.tolist(), gates, strict=True)]
    slopes = [g + v * (a + a * a) / (1 + a + a * a / 2) ** 2 for v, g, a in zip(x.tolist(), gates, e, strict=True)]
    y = mish(x)
    for found, wanted in ((y, exact), (torch.autograd.grad(y.sum(), x)[0], slopes)):
        torch.testing.assert_close(found.double(), torch.tensor(wanted, dtype=torch.float64), rtol=tolerance, atol=0.0)
    assert mish(torch.tensor(torch.inf, dtype=dtype)) == torch.inf


def test_derivatives_match_finite_differences() -> None:
    x = torch.linspace(-4, 4, 24, dtype=torch.float64).view(3, 8).requires_grad_()
    assert torch.autograd.gradcheck(mish, (x,))
    assert torch.autograd.gradcheck(group_softmax, (x,))


@pytest.mark.parametrize(
    "function", [aligned(f) for f in (F.elu, F.silu, F.softplus, torch.sigmoid)] + [mish, torch.tanh, torch.exp]
)
@pytest.mark.parametrize("shape", [(5, 3), (3, 11), (31,), (4, 48)])
def test_a_member_has_the_same_bits_in_any_company(function, shape: tuple[int, ...]) -> None:
    """What torch leaves over at the end of a tensor, and computes by another formula, is nobody's in particular."""

    def value_and_gradient(x: torch.Tensor) -> torch.Tensor:
        x = x.clone().requires_grad_()
        y = function(x)
        return torch.stack((y.detach(), *torch.autograd.grad(y.square().sum(), x)), dim=1)

    x = 2.0 * torch.randn(9, *shape, generator=torch.Generator().manual_seed(0))
    with one_thread():
        together = value_and_gradient(x)
        for first in range(9):
            for count in {1, 2, 3, 9 - first}:
                own = x[first : first + count]
                assert torch.equal(value_and_gradient(own), together[first : first + count][:count])


def test_a_function_of_two_tensors_is_aligned_by_both() -> None:
    """The derivative of a cross-entropy has a sigmoid in it."""
    cross_entropy = aligned(partial(F.binary_cross_entropy_with_logits, reduction="none"))
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 7, generator=generator)
    ended = (torch.rand(3, 4, 7, generator=generator) < 0.3).float()

    def gradient(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        x = x.clone().requires_grad_()
        return torch.autograd.grad(cross_entropy(x, y).sum(), x)[0]

    with one_thread():
        together = gradient(logits, ended)
        for n in range(3):
            assert torch.equal(gradient(logits[n : n + 1], ended[n : n + 1]), together[n : n + 1])
    torch.testing.assert_close(together, logits.sigmoid() - ended)


@pytest.mark.parametrize("rows", [1, 3, 64])
def test_padding_changes_no_value(rows: int) -> None:
    x = torch.linspace(-5, 5, 3 * rows * 5, dtype=torch.float64).view(3, rows, 5)
    for function in (F.elu, F.silu, F.softplus):
        torch.testing.assert_close(aligned(function)(x), function(x), rtol=1e-14, atol=1e-14)
