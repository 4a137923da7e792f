"""What follows the product of a layer in one kernel each way, for CPU and GPU: bias, normalisation and activation.

The kernels are ``epilogue.cpp``, compiled for each epilogue, width of rows and precision. On a GPU they are called as
operators of torch (``torch.ops.pwm_bench.epilogue_forward`` and so on), so that they take part in what torch does
between a call and its kernel; on a CPU that detour would take as long as a small kernel.

Gradients of bias, scale and shift are added up over the rows of a block, one after the other, and then over the blocks
by a kernel of their own, so that they depend on nothing but the member's rows.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from pwm_bench.envs import native
from pwm_bench.envs.company import made_once
from pwm_bench.learning.choices import ACTIVATIONS

__all__ = ["FUNCTIONS", "SOURCE", "WIDEST", "Key", "backward", "columns", "compile_for", "forward"]

FUNCTIONS = ("none", *ACTIVATIONS)
"""Activation functions that the kernels have; and softmax over groups."""
WIDEST = 8192
"""Numbers of a row, at most."""
_LANES, _THREADS = 32, 128  # of a GPU's warp and block
_ROWS, _ROWS_GPU = 512, 8  # of a block of rows
_SHARED = 1 << 17  # from so many numbers on the threads of a CPU share the work
F = TypeVar("F", bound=Callable[..., Any])
SOURCE = Path(__file__).with_name("epilogue.cpp")
"""The kernels' text."""


class Key(NamedTuple):
    """What a kernel is compiled for, besides its precision.

    Attributes:
        activation: one of `FUNCTIONS`.
        post: whether it comes after the activation.
        group: numbers of a softmax, which then is the activation; else 1.
    """

    activation: str
    post: bool
    group: int


class _Kernels(NamedTuple):
    forward: Any
    backward: Any
    columns: Any


_library = torch.library.Library("pwm_bench", "FRAGMENT")


def _operator(schema: str) -> Callable[[F], F]:
    """Makes a function of a key, tensors and numbers an operator of torch; on a CPU it is called without that."""

    def decorate(function: F) -> F:
        name = f"epilogue_{function.__name__}"
        _library.define(f"{name}(str activation, bool post, int group, {schema}")
        _library.impl(name, lambda *args: function(Key(*args[:3]), *args[3:]), "CompositeExplicitAutograd")

        @functools.wraps(function)
        def call(key: Key, *args: Any) -> Any:
            given = next(x for x in args if isinstance(x, Tensor))
            return (
                function(key, *args) if given.device.type == "cpu" else getattr(torch.ops.pwm_bench, name)(*key, *args)
            )

        return call  # type: ignore[return-value]

    return decorate


@_operator("float eps, Tensor y, Tensor bias, Tensor scale, Tensor shift) -> (Tensor, Tensor)")
def forward(key: Key, eps: float, y: Tensor, bias: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Finishes the rows of a layer.

    Args:
        key: how.
        eps: added to a row's variance.
        y: contiguous, shape ``(K, n, F)``.
        bias: contiguous, shape ``(K, 1, F)``.
        scale: likewise, or one for all, shape ``(F,)``.
        shift: as ``scale``.

    Returns:
        the result, like ``y``; mean and inverse deviation of the rows, shape ``(2, K, n)``.
    """
    a, statistics = torch.empty_like(y), bias.new_empty(2, *y.shape[:2])
    _launch(False, key, eps, [y, bias, scale, shift, a, statistics], y, scale)
    return a, statistics


@_operator(
    "float eps, Tensor grad, Tensor y, Tensor bias, Tensor scale, Tensor shift, Tensor statistics, bool learns) "
    "-> (Tensor, Tensor)"
)
def backward(
    key: Key,
    eps: float,
    grad: Tensor,
    y: Tensor,
    bias: Tensor,
    scale: Tensor,
    shift: Tensor,
    statistics: Tensor,
    learns: bool,
) -> tuple[Tensor, Tensor]:
    """Differentiates `forward`.

    Args:
        key: as there, like all that is not said here.
        eps: as there.
        grad: of the result, contiguous.
        y: as there.
        bias: as there.
        scale: as there.
        shift: as there.
        statistics: that came of it.
        learns: whether the gradients of bias, scale and shift are wanted.

    Returns:
        the gradient of ``y``; those of bias, scale and shift, shape ``(3, K, blocks, F)``, to be added up over the
        blocks by `columns`.
    """
    members, n, width = y.shape
    out, sums = torch.empty_like(y), bias.new_empty(3 if learns else 0, members, -(-n // _rows(y)), width)
    given = [grad, y, bias, scale, shift, statistics, out, sums if learns else None]
    _launch(True, key, eps, given, y, scale)
    return out, sums


@_operator("ScalarType dtype, Tensor sums) -> Tensor")
def columns(key: Key, dtype: torch.dtype, sums: Tensor) -> Tensor:
    """Adds ``(C, K, blocks, F)`` up over the blocks, in order.

    Args:
        key: that of `backward`.
        dtype: of the rows there.
        sums: that came of it.

    Returns:
        shape ``(C, K, 1, F)``.
    """
    from pwm_bench.envs.warp.runtime import launch_places

    many, members, blocks, width = sums.shape
    out = sums.new_empty(many, members, 1, width)
    kernel = _kernels(key, width, dtype, sums.device.type).columns
    numbers = [sums.data_ptr(), out.data_ptr(), blocks]
    launch_places(kernel, out.numel(), numbers, device=sums.device, block=_THREADS)
    return out


def _rows(y: Tensor) -> int:
    return _ROWS if y.device.type == "cpu" else _ROWS_GPU


def _launch(back: bool, key: Key, eps: float, tensors: list[Tensor | None], y: Tensor, scale: Tensor) -> None:
    from pwm_bench.envs.warp.runtime import launch_places  # Warp takes a third of a second to import

    members, n, width = y.shape
    rows, device = _rows(y), y.device
    blocks = -(-n // rows)
    parts = members * blocks
    own = int(scale.dim() == 3)
    kernels = _kernels(key, width, y.dtype, device.type)
    kernel = kernels.backward if back else kernels.forward
    addresses = [0 if x is None else x.data_ptr() for x in tensors]
    numbers = [*addresses, native.bits(eps), n, rows, blocks, parts, own, members * n]

    def share(first: int, last: int) -> None:
        threads = (last - first) * (1 if device.type == "cpu" else _LANES)
        launch_places(kernel, threads, [*numbers, first], device=device, block=_THREADS)

    shares = 1 if device.type != "cpu" or y.numel() < _SHARED else min(torch.get_num_threads(), parts)
    native.in_shares(share, parts, shares)


_ARRAYS = {
    "forward": "const stored* y, const real* bias, const real* scale, const real* shift, stored* a, real* statistics",
    "backward": "const stored* g, const stored* y, const real* bias, const real* scale, const real* shift, "
    "const real* statistics, stored* out, real* sums",
}
_SIZES = ("eps_bits", "n", "rows", "blocks", "parts", "own", "count", "start")
_COLUMNS = r"""
const real* sums = (const real*)p[0];
real* out = (real*)p[1];
const wp::int64 blocks = p[2], row = thread / F, i = thread % F;
real total = 0;
for (wp::int64 block = 0; block < blocks; block++) total += sums[(row * blocks + block) * F + i];
out[thread] = total;
"""


def _text(name: str, key: Key, width: int, dtype: torch.dtype) -> str:
    """The body of a kernel's function, in C++."""
    real = "double" if dtype == torch.float64 else "float"
    lines = [f"typedef {real} real; typedef {'unsigned short' if dtype == torch.bfloat16 else real} stored;"]
    lines += [f"const int F = {width}, group = {key.group};"]
    if name == "columns":
        return "\n".join([*lines, _COLUMNS])
    lines += [f"const int {function.upper()} = {number};" for number, function in enumerate(FUNCTIONS)]
    lines += [f"const int activation = {key.activation.upper()};"]
    lines += [f"const bool post = {int(key.post)};"]
    arrays = _ARRAYS[name].split(", ")
    for place, array in enumerate(arrays):
        kind, called = array.rsplit(" ", 1)
        lines.append(f"{kind} {called} = ({kind})p[{place}];")
    lines += [f"const wp::int64 {size} = p[{len(arrays) + place}];" for place, size in enumerate(_SIZES)]
    flags = {"BACKWARD": name == "backward", "DOUBLE": dtype == torch.float64, "BFLOAT16": dtype == torch.bfloat16}
    defined = [f"#define {flag} {int(value)}" for flag, value in flags.items()]
    undefined = [f"#undef {flag}" for flag in flags]
    return "\n".join(["", *defined, *lines, "{", SOURCE.read_text(), "}", *undefined, ""])


def compile_for(arch: int, key: Key, width: int, dtype: torch.dtype) -> None:
    """Compiles the kernels for GPUs of a compute capability into the kernel cache."""
    from pwm_bench.envs.warp.runtime import compile_module_for

    compile_module_for(_made(key, width, dtype, "cuda").forward.module, arch, _THREADS)


@made_once
def _kernels(key: Key, width: int, dtype: torch.dtype, where: str) -> _Kernels:
    """The kernels for rows of one width, compiled and loaded for a kind of device."""
    made = _made(key, width, dtype, where)
    native.load(made._asdict(), where, _THREADS)
    return made


@made_once
def _made(key: Key, width: int, dtype: torch.dtype, where: str) -> _Kernels:
    texts = {name: _text(name, key, width, dtype) for name in _Kernels._fields}
    return _Kernels(**native.kernels("epilogue", texts, where))
