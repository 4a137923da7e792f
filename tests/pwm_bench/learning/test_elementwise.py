"""CPU activations against torch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from pwm_bench.learning.elementwise import group_softmax, mish

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


def test_derivatives_match_finite_differences() -> None:
    x = torch.linspace(-4, 4, 24, dtype=torch.float64).view(3, 8).requires_grad_()
    assert torch.autograd.gradcheck(mish, (x,))
    assert torch.autograd.gradcheck(group_softmax, (x,))
