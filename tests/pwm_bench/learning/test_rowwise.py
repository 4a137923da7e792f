"""The one-pass kernels against torch's operations."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from pwm_bench.learning import rowwise
from pwm_bench.learning.layers import PopulationMLP
from pwm_bench.learning.random import MemberStream

needs_compiler = pytest.mark.skipif(not rowwise.available(), reason="no C compiler here")
EXTREMES = torch.tensor([-1e4, -100.0, -88.0, -20.0, 0.0, 20.0, 88.0, 1e4])


def _inputs(k: int, n: int, width: int, dtype: torch.dtype, shared: bool = False):
    generator = torch.Generator().manual_seed(0)
    y = 3.0 * torch.randn(k, n, width, generator=generator)
    y[0, 0, : len(EXTREMES)] = EXTREMES
    rows = [torch.randn(k, 1, width, generator=generator) for _ in range(3)]
    rows[1] = rows[1].abs() + 0.5
    if shared:
        rows[1:] = [r[0, 0].contiguous() for r in rows[1:]]
    return [x.requires_grad_() for x in (y.to(dtype), *rows)], torch.randn(k, n, width, generator=generator).to(dtype)


def _reference(name: str, y, bias, scale, shift):
    x = y.float() + bias
    if name == "mish_norm":
        return F.layer_norm(F.mish(x), (x.shape[-1],), eps=1e-5) * scale + shift
    return F.mish(F.layer_norm(x, (x.shape[-1],), eps=1e-5) * scale + shift)


@needs_compiler
@pytest.mark.parametrize("shape", [(1, 1, 8), (2, 70, 33), (3, 32, 100)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("name", "shared"), [("mish_norm", False), ("norm_mish", False), ("norm_mish", True)])
def test_values_and_gradients_equal_torch(name, shared, dtype, shape) -> None:
    inputs, grad = _inputs(*shape, dtype, shared)
    got = getattr(rowwise, name)(*inputs)
    want = _reference(name, *inputs)
    assert got.dtype == dtype
    tolerance = {"rtol": 2e-5, "atol": 2e-5} if dtype == torch.float32 else {"rtol": 1e-2, "atol": 1e-2}
    torch.testing.assert_close(got.float(), want, **tolerance)
    mine = torch.autograd.grad(got, inputs, grad)
    torchs = torch.autograd.grad(want, inputs, grad.float())
    for a, b in zip(mine, torchs, strict=True):
        scale = b.float().abs().max()
        torch.testing.assert_close(a.float() / scale, b.float() / scale, **tolerance)


@needs_compiler
def test_inputs_that_are_not_finite_stay_so_in_their_row_alone() -> None:
    for bad in (torch.nan, torch.inf, -torch.inf):
        for name in ("mish_norm", "norm_mish"):
            inputs, grad = _inputs(1, 5, 16, torch.float32)
            with torch.no_grad():
                inputs[0][0, 2, 3] = bad
            a = getattr(rowwise, name)(*inputs)
            gradient, weights, *_ = torch.autograd.grad(a, inputs, grad)
            assert not torch.isfinite(a[0, 2]).any()
            assert torch.isfinite(a[0, [0, 1, 3, 4]]).all()
            assert torch.isfinite(gradient[0, [0, 1, 3, 4]]).all()
            assert not torch.isfinite(weights).all()


@needs_compiler
def test_results_do_not_depend_on_the_number_of_threads() -> None:
    inputs, grad = _inputs(2, 150, 40, torch.float32)
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append(torch.autograd.grad(rowwise.mish_norm(*inputs), inputs, grad))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@needs_compiler
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_fused_perceptron_equals_a_plain_one(norm) -> None:
    nets = [PopulationMLP(2, (6, 16, 12, 3), "mish", norm, stream=MemberStream([1, 2])) for _ in range(2)]
    nets[1].fuse()
    x = MemberStream([5, 6]).normal(9, 6)
    results = []
    for net in nets:
        y = net(x)
        results.append((y, *torch.autograd.grad(y.square().sum(), list(net.parameters()))))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_without_a_compiler_nothing_is_used() -> None:
    code = (
        "import torch; from pwm_bench.learning import rowwise; from pwm_bench.learning.layers import PopulationMLP\n"
        "from pwm_bench.learning.random import MemberStream\n"
        "assert not rowwise.available()\n"
        "net = PopulationMLP(1, (4, 8, 1), 'mish', 'post', stream=MemberStream([0])); net.fuse()\n"
        "assert torch.isfinite(net(torch.ones(1, 3, 4))).all()"
    )
    for change in ({"PWM_BENCH_NATIVE": "0"}, {"CC": "no-such-compiler", "PATH": ""}):
        done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **change}, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
