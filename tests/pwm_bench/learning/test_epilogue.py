"""The kernels of bias, normalisation and activation against torch's operations."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import warp
from torch import Tensor

from pwm_bench.envs.errors import UsageError
from pwm_bench.learning import epilogue, epilogue_kernels
from pwm_bench.learning.epilogue import Epilogue
from pwm_bench.learning.layers import PopulationMLP
from pwm_bench.learning.random import MemberStream

EXTREMES = torch.tensor([-1e4, -100.0, -88.0, -20.0, 0.0, 20.0, 88.0, 1e4])
WIDTH = 24
KINDS = [
    Epilogue("elu", "post"),
    Epilogue("mish", "post"),
    Epilogue("mish", "pre"),
    Epilogue("silu", "post"),
    Epilogue("tanh", "post", eps=1e-3),
    Epilogue("relu", "pre", eps=1e-3),
    Epilogue("softmax", "pre", group=8),
]


def _inputs(how: Epilogue, dtype: torch.dtype, *, members: int = 2, rows: int = 70, shared: bool = False):
    generator = torch.Generator().manual_seed(0)
    y = 3.0 * torch.randn(members, rows, WIDTH, generator=generator, dtype=torch.float64)
    y[0, 0, : len(EXTREMES)] = EXTREMES
    columns = [torch.randn(members, 1, WIDTH, generator=generator, dtype=torch.float64) for _ in range(3)]
    columns[1] = columns[1].abs() + 0.5
    if shared:
        columns[1:] = [x[0, 0].contiguous() for x in columns[1:]]
    grad = torch.randn(y.shape, generator=generator, dtype=torch.float64)
    arithmetic = torch.float32 if dtype == torch.bfloat16 else dtype
    given = [y.to(dtype), *(x.to(arithmetic) for x in columns)]
    return [x.requires_grad_() for x in given], grad.to(dtype)


def _in_torch(how: Epilogue, y: Tensor, bias: Tensor, scale: Tensor, shift: Tensor):
    x = y + bias

    def norm(x: Tensor) -> Tensor:
        return F.layer_norm(x, (WIDTH,), eps=how.eps) * scale + shift

    return how.activate(norm(x)) if how.norm == "pre" else norm(how.activate(x))


def _cases():
    for dtype in (torch.float64, torch.float32):
        yield from ((how, dtype, False) for how in KINDS)
    yield from ((how, torch.bfloat16, False) for how in KINDS[1:3])
    yield KINDS[2], torch.float32, True


@pytest.mark.parametrize(("how", "dtype", "shared"), _cases(), ids=lambda x: str(getattr(x, "activation", x)))
def test_values_and_gradients_equal_torch(how: Epilogue, dtype: torch.dtype, shared: bool) -> None:
    """Relative to the largest of each; torch computes in double precision on the very inputs."""
    inputs, grad = _inputs(how, dtype, shared=shared)
    found = how(*inputs)
    exact = [x.detach().double().requires_grad_() for x in inputs]
    wanted = _in_torch(how, *exact)
    assert found.dtype == dtype
    tolerance = {torch.float64: 1e-13, torch.float32: 1e-6, torch.bfloat16: 4e-3}[dtype]
    for a, b in zip(
        (found, *torch.autograd.grad(found, inputs, grad)),
        (wanted, *torch.autograd.grad(wanted, exact, grad.double())),
        strict=True,
    ):
        assert a.shape == b.shape
        scale = b.abs().max()
        torch.testing.assert_close(a.double() / scale, b / scale, rtol=0.0, atol=tolerance)


def test_mish_keeps_its_digits_far_below_zero() -> None:
    y = torch.linspace(-60.0, -1.0, WIDTH).expand(1, 1, WIDTH)
    scale, shift, zero = torch.zeros(1, 1, WIDTH), y.contiguous(), torch.zeros(1, 1, WIDTH)
    found = Epilogue("mish", "pre")(y, zero, scale, shift)  # of the shift alone
    torch.testing.assert_close(found.double(), F.mish(y.double()), rtol=2e-6, atol=0.0)


@pytest.mark.parametrize("how", KINDS, ids=lambda x: f"{x.activation}-{x.norm}")
def test_gradients_equal_central_differences(how: Epilogue) -> None:
    inputs, _ = _inputs(how, torch.float64, rows=3)
    with torch.no_grad():
        inputs[0].clamp_(-3.0, 3.0)
    assert torch.autograd.gradcheck(how, inputs, eps=1e-6, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("how", [*KINDS[1:3], KINDS[-1]], ids=lambda x: f"{x.activation}-{x.norm}")
def test_what_is_not_finite_stays_so_in_its_row_alone(how: Epilogue) -> None:
    for bad in (torch.nan, torch.inf, -torch.inf):
        inputs, grad = _inputs(how, torch.float32, members=1, rows=5)
        with torch.no_grad():
            inputs[0][0, 2, 3] = bad
        a = how(*inputs)
        gradient, weights, *_ = torch.autograd.grad(a, inputs, grad)
        assert not torch.isfinite(a[0, 2]).any()
        assert torch.isfinite(a[0, [0, 1, 3, 4]]).all()
        assert torch.isfinite(gradient[0, [0, 1, 3, 4]]).all()
        assert not torch.isfinite(weights).all()


def test_a_member_has_the_same_bits_in_any_company() -> None:
    """Alone and as the last of three, over several blocks of rows; and whatever the number of threads."""
    how, rows = KINDS[0], epilogue_kernels._ROWS + 9
    inputs, grad = _inputs(how, torch.float32, members=3, rows=rows)
    together = torch.autograd.grad(how(*inputs), inputs, grad)
    alone = [x.detach()[2:].contiguous().requires_grad_() for x in inputs]
    for a, b in zip(torch.autograd.grad(how(*alone), alone, grad[2:]), together, strict=True):
        assert torch.equal(a, b[2:])
    threads = torch.get_num_threads()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(epilogue_kernels, "_SHARED", 1)
            torch.set_num_threads(2)
            shared = torch.autograd.grad(how(*inputs), inputs, grad)
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(shared, together, strict=True))


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("last", ["linear", "simnorm", "spectral"])
def test_a_perceptron_of_kernels_equals_one_of_torch(norm, last, monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for fewest in (1, 1 << 30):
        monkeypatch.setattr(epilogue, "_FEWEST", fewest)
        net = PopulationMLP(2, (6, WIDTH, WIDTH), "elu", norm, last=last, stream=MemberStream([1, 2]))
        y = net(MemberStream([5, 6]).normal(9, 6))
        results.append((y, *torch.autograd.grad(y.square().sum(), list(net.parameters()))))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_weights_that_do_not_learn_get_no_gradient() -> None:
    inputs, grad = _inputs(KINDS[0], torch.float32)
    whole = torch.autograd.grad(KINDS[0](*inputs), inputs[0], grad)
    fixed = [inputs[0], *(x.detach() for x in inputs[1:])]
    assert torch.equal(*whole, *torch.autograd.grad(KINDS[0](*fixed), inputs[0], grad))


def test_the_end_of_a_network_has_full_precision() -> None:
    inputs, _ = _inputs(KINDS[1], torch.bfloat16)
    assert KINDS[1](*inputs).dtype == torch.bfloat16
    assert Epilogue("mish", "post", widen=True)(*inputs).dtype == torch.float32


def test_what_the_kernels_take() -> None:
    how, x, bias = Epilogue("elu", "post"), torch.zeros(1, 256, 8), torch.zeros(1, 1, 64)
    assert how.suits(x, 256, bias)
    assert not how.suits(x[:, :1], 1, bias)  # torch is quicker
    assert not Epilogue("elu").suits(x, 256, bias)
    assert not how.suits(x.half(), 256, bias)
    assert not how.suits(x, 256, bias.double())
    assert not how.suits(x, 256, torch.zeros(1, 1, epilogue_kernels.WIDEST + 1))
    with pytest.raises(UsageError, match="unknown activation 'mihs'"):
        Epilogue("mihs")


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("bias", torch.zeros(2, 1, 8, dtype=torch.float64), r"bias is \(2, 1, 8\) torch.float64: .* torch.float32"),
        ("scale", torch.ones(8, dtype=torch.bfloat16), r"scale is \(8,\) torch.bfloat16"),
        ("shift", torch.zeros(2, 1, 6), r"shift is \(2, 1, 6\) .* must be \(2, 1, 8\) or \(8,\) torch.float32"),
        ("bias", torch.zeros(8), r"bias is \(8,\) .* must be \(2, 1, 8\) torch.float32"),
        ("shift", torch.zeros(8), r"shift is \(8,\): must have the shape of scale"),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_parameters_that_kernels_would_misread_are_refused(name: str, given: Tensor, message: str, dtype) -> None:
    params = {"bias": torch.zeros(2, 1, 8), "scale": torch.ones(2, 1, 8), "shift": torch.zeros(2, 1, 8)}
    with pytest.raises(UsageError, match=message):
        Epilogue("mish", "pre")(torch.zeros(2, 70, 8, dtype=dtype), **params | {name: given})


@pytest.mark.slow
@pytest.mark.parametrize("how", [KINDS[0], KINDS[-1]], ids=lambda x: f"{x.activation}-{x.norm}")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_kernels_compile_for_a_gpu(how: Epilogue, dtype: torch.dtype, tmp_path: Path) -> None:
    module = epilogue_kernels._kernels(how.key, WIDTH, dtype, "cpu").forward.module
    warp.compile_aot_module(module, arch=90, module_dir=tmp_path)
    assert next(tmp_path.glob("*.cubin")).stat().st_size > 0
