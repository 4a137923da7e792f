"""A whole network of a population in one call each way, on a CPU: products, biases, normalisations and activations.

Networks here are so small that a product takes as long as the call of any operation of torch. ``network.cpp`` goes
through the layers by itself: products are those of the BLAS that torch brings (``sgemm_`` and ``dgemm_``, whose
addresses it is told), what follows them is there. One kernel serves networks of all sizes.

Members follow each other, and a member's numbers do not depend on how many there are.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pwm_bench.envs import native
from pwm_bench.envs.company import made_once
from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.epilogue_kernels import FUNCTIONS, SOURCE

__all__ = ["LayerDescription", "available", "backward", "checked", "forward"]

_NETWORK = Path(__file__).with_name("network.cpp")
_FUNCTIONS_END = "\nconst int lane = "  # what lies before it in the epilogue's text are its functions
_NORMS = ("none", "pre", "post")
_BLAS = {torch.float32: "sgemm_", torch.float64: "dgemm_"}


class LayerDescription(NamedTuple):
    """What a layer is, besides its weights.

    Attributes:
        inputs: features of its input.
        outputs: features of its output.
        activation: one of `FUNCTIONS`, ``"softmax"``, or ``"linear"`` for a product and a bias alone.
        norm: layer normalisation ``"pre"`` or ``"post"`` the activation, or ``"none"``.
        group: features of a softmax.
        eps: added to a row's variance.
    """

    inputs: int
    outputs: int
    activation: str = "linear"
    norm: str = "none"
    group: int = 1
    eps: float = 1e-5

    @property
    def parameters(self) -> int:
        """How many tensors a layer has: weight and bias, and scale and shift of a normalisation."""
        return 2 if self.norm == "none" else 4


class _Network(NamedTuple):
    """The struct `Network` of ``network.cpp``. What is said to be an array is its address, 0 where there is none.

    Numbers are of the dtype of the parameters; P are the members, n the rows, R is `_Network.repeat`.
    """

    multiply: int
    """Address of the BLAS's product of matrices."""
    layer: int
    """Address of the `_Layer` of each."""
    params: int
    """Addresses of the parameters, of each layer ``(P, in, out)``, ``(P, 1, out)`` and, of a norm, twice that."""
    grads: int
    """Addresses of their gradients, of the same shapes; 0: not wanted."""
    members: int
    """P."""
    rows: int
    """n."""
    layers: int
    """How many layers there are."""
    repeat: int
    """How many members, beside each other, share an input."""
    keep: int
    """1: what a backward pass needs is kept, 0: it is not."""
    input: int
    """``(P / R, n, in)``."""
    work: int
    """What is kept, ``(P, k)`` with k of `_kept`; of one member at a time if it is not to be kept."""
    output: int
    """The result, ``(P, n, out)``."""
    grad: int
    """The gradient of the result, ``(P, n, out)``."""
    input_grad: int
    """The gradient of the input, ``(P / R, n, in)``; 0: not wanted."""
    scratch: int
    """Memory of the backward pass, ``(2 n + _LINES, widest)``."""
    spare_c: int
    """Memory for the result of a product, of `_spare_bytes` from the beginning of a cache line on."""
    spare_a: int
    """The same for its first matrix."""
    spare_b: int
    """The same for its second one."""


class _Layer(NamedTuple):
    """The struct `Layer` there."""

    inputs: int
    """Features of its input."""
    outputs: int
    """Features of its output."""
    activation: int
    """Place in `FUNCTIONS`, of a softmax the one behind them, -1 for linear."""
    norm: int
    """Place in `_NORMS`."""
    group: int
    """Features of a softmax."""
    eps_bits: int
    """Added to a row's variance: the bits of a float64."""
    first: int
    """Place of its weight among the parameters; its bias, scale and shift follow."""


def available(dtype: torch.dtype) -> bool:
    """Whether there is a kernel for networks of a precision: torch must bring the BLAS for it."""
    return dtype in _BLAS and _multiply(dtype) is not None


def checked(
    layers: tuple[LayerDescription, ...], x: Tensor, params: Sequence[Tensor], repeat: int = 1
) -> tuple[Tensor, list[Tensor]]:
    """Input and parameters as `forward` takes them: contiguous, since the kernel is told addresses alone.

    Args:
        layers: as there, like all else.
        x: as there.
        params: as there.
        repeat: as there.

    Raises:
        UsageError: what does not fit the layers.
    """
    members = params[0].shape[0]
    if x.dim() != 3 or x.shape[2] != layers[0].inputs or x.shape[0] * repeat != members:
        raise UsageError(
            f"an input of shape {tuple(x.shape)}: {members} members take ({members // repeat}, n, {layers[0].inputs})"
        )
    if [p.numel() for p in params] != _numbers(layers, members) or any(p.dtype != x.dtype for p in params):
        shapes = ", ".join(f"{tuple(p.shape)} {p.dtype}" for p in params)
        raise UsageError(f"parameters {shapes}: do not fit {members} members of {layers} in {x.dtype}")
    return x.contiguous(), [p if p.is_contiguous() else p.contiguous() for p in params]


@functools.lru_cache(maxsize=1024)
def _numbers(layers: tuple[LayerDescription, ...], members: int) -> list[int]:
    """Numbers in each parameter."""
    found: list[int] = []
    for layer in layers:
        found += [members * layer.inputs * layer.outputs, *[members * layer.outputs] * (layer.parameters - 1)]
    return found


def forward(
    layers: tuple[LayerDescription, ...], x: Tensor, params: Sequence[Tensor], repeat: int = 1, *, keep: bool
) -> tuple[Tensor, Tensor]:
    """Computes a network.

    Args:
        layers: P of them, one after the other.
        x: contiguous, shape ``(P / repeat, n, in)``.
        params: contiguous; of each layer ``(P, in, out)``, ``(P, 1, out)`` and, of a normalisation, twice that.
        repeat: how many members, beside each other, share an input.
        keep: what `backward` needs.

    Returns:
        the result, shape ``(P, n, out)``, and what was kept.
    """
    members, n = params[0].shape[0], x.shape[1]
    out = x.new_empty(members, n, layers[-1].outputs)
    work, (spare_c, spare_a, spare_b) = _with_spares(layers, x, _kept(layers, n) * (members if keep else 1))
    values = native.Table.of(params)
    network = _Network(
        multiply=_multiply(x.dtype) or 0, layer=_table(layers).address, params=values.address, grads=0,
        members=members, rows=n, layers=len(layers), repeat=repeat, keep=int(keep),
        input=x.data_ptr(), work=work.data_ptr(), output=out.data_ptr(), grad=0, input_grad=0, scratch=0,
        spare_c=spare_c, spare_a=spare_a, spare_b=spare_b,
    )  # fmt: skip
    native.call(_kernels(x.dtype)["forward"], network)
    return out, work


def backward(
    layers: tuple[LayerDescription, ...],
    grad: Tensor,
    x: Tensor,
    params: Sequence[Tensor],
    work: Tensor,
    repeat: int = 1,
    *,
    into: Sequence[Tensor],
    wanted: bool,
) -> Tensor | None:
    """Differentiates `forward`.

    Args:
        layers: as there, like all that is not said here.
        grad: of the result, contiguous.
        x: as there.
        params: as there.
        work: what was kept.
        repeat: as there.
        into: where the gradients of the parameters go, each of the shape of its parameter; none for no such gradients.
        wanted: whether the gradient of ``x`` is.

    Returns:
        the gradient of ``x``, if it is wanted.
    """
    members, n = params[0].shape[0], x.shape[1]
    slope = torch.empty_like(x) if wanted else None
    scratch, (spare_c, spare_a, spare_b) = _with_spares(layers, x, (2 * n + _LINES) * _widest(layers))
    values, grads = native.Table.of(params), native.Table.of(into)
    network = _Network(
        multiply=_multiply(x.dtype) or 0, layer=_table(layers).address, params=values.address,
        grads=grads.address if into else 0, members=members, rows=n, layers=len(layers), repeat=repeat, keep=1,
        input=x.data_ptr(), work=work.data_ptr(), output=0, grad=grad.data_ptr(),
        input_grad=0 if slope is None else slope.data_ptr(), scratch=scratch.data_ptr(),
        spare_c=spare_c, spare_a=spare_a, spare_b=spare_b,
    )  # fmt: skip
    native.call(_kernels(x.dtype)["backward"], network)
    return slope


_CACHE_LINE = 64  # bytes


def _with_spares(layers: tuple[LayerDescription, ...], x: Tensor, numbers: int) -> tuple[Tensor, tuple[int, int, int]]:
    """Memory for so many numbers and, behind them, for the three matrices of a product.

    Returns:
        the memory, and where each of the matrices begins, which is at a cache line.
    """
    each = x.element_size()
    size = _spare_bytes(layers, x.shape[1], each)
    memory = x.new_empty(numbers + (3 * size + _CACHE_LINE) // each)
    begin = _whole_lines(memory.data_ptr() + numbers * each)
    return memory, (begin, begin + size, begin + 2 * size)


@functools.lru_cache(maxsize=1024)
def _spare_bytes(layers: tuple[LayerDescription, ...], n: int, bytes_each: int) -> int:
    """Size of the largest matrix of a product: inputs and results of n rows, and weights."""
    weights = max(layer.inputs * layer.outputs for layer in layers)
    return _whole_lines(bytes_each * max(n * _widest(layers), weights))


@functools.lru_cache(maxsize=1024)
def _widest(layers: tuple[LayerDescription, ...]) -> int:
    """The most features of an input or a result."""
    return max(max(layer.inputs, layer.outputs) for layer in layers)


def _whole_lines(size: int) -> int:
    return -(-size // _CACHE_LINE) * _CACHE_LINE


_LINES = 5  # rows that the backward pass has to itself


@functools.lru_cache(maxsize=1024)
def _kept(layers: tuple[LayerDescription, ...], n: int) -> int:
    """Numbers that the forward pass keeps of a member."""
    times = [2] * (len(layers) - 1) + [1]  # the product and, of all but the last, the result
    pairs = zip(times, layers, strict=True)
    return n * sum(time * layer.outputs + 2 for time, layer in pairs if layer.activation != "linear")


@functools.lru_cache(maxsize=1024)
def _table(layers: tuple[LayerDescription, ...]) -> native.Table:
    kinds = {"linear": -1, "softmax": len(FUNCTIONS)} | {name: i for i, name in enumerate(FUNCTIONS)}
    numbers: list[int] = []
    first = 0
    for layer in layers:
        numbers += _Layer(
            inputs=layer.inputs, outputs=layer.outputs, activation=kinds[layer.activation],
            norm=_NORMS.index(layer.norm), group=layer.group, eps_bits=native.bits(layer.eps), first=first,
        )  # fmt: skip
        first += layer.parameters
    return native.Table(numbers)


@functools.cache
def _multiply(dtype: torch.dtype) -> int | None:
    """Address of the matrix product in the library that torch computes with, if it is to be found."""
    for path in sorted(Path(torch.__file__).parent.glob("lib/*torch_cpu*")):
        try:
            function = getattr(ctypes.CDLL(str(path)), _BLAS[dtype])
        except (AttributeError, OSError):
            continue
        return ctypes.cast(function, ctypes.c_void_p).value
    return None


@made_once
def _kernels(dtype: torch.dtype) -> dict[str, Any]:
    """The kernels of a precision, compiled and loaded."""
    made = native.kernels("network", {name: _text(name, dtype) for name in ("forward", "backward")})
    native.load(made)
    return made


def _text(name: str, dtype: torch.dtype) -> str:
    """The body of a kernel's function, in C++."""
    real = "double" if dtype == torch.float64 else "float"
    lines = [f"typedef {real} real; typedef {real} stored;"]
    lines += [f"const int {kind.upper()} = {number};" for number, kind in enumerate((*FUNCTIONS, "softmax"))]
    flags = {"BACKWARD": name == "backward", "DOUBLE": dtype == torch.float64, "BFLOAT16": False}
    defined = [f"#define {flag} {int(value)}" for flag, value in flags.items()]
    functions = SOURCE.read_text().partition(_FUNCTIONS_END)[0]
    body = _NETWORK.read_text().replace("FUNCTIONS\n", functions + "\n", 1)
    return "\n".join(["", *defined, *lines, body, *(f"#undef {flag}" for flag in flags), ""])
