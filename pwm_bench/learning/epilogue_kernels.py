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
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_type_hints

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


class _Forward(NamedTuple):
    """The addresses that the kernel `forward` is told, of contiguous arrays; `_Sizes` follow.

    The kernels have a variable for each field here and below, of its name and with the type in C++ beside it: `stored`
    is the dtype of the rows, `real` that of the arithmetic. K are the members, n their rows, F is their width.
    """

    y: Annotated[int, "const stored*"]
    """Products of the layer, ``(K, n, F)``."""
    bias: Annotated[int, "const real*"]
    """``(K, 1, F)``."""
    scale: Annotated[int, "const real*"]
    """``(K, 1, F)``, or ``(F,)``: `_Sizes.own`."""
    shift: Annotated[int, "const real*"]
    """The shape is that of ``scale``."""
    a: Annotated[int, "stored*"]
    """The result, ``(K, n, F)``."""
    statistics: Annotated[int, "real*"]
    """Mean and inverse deviation of the rows, ``(2, K, n)``."""


class _Backward(NamedTuple):
    """The addresses that the kernel `backward` is told; `_Sizes` follow."""

    g: Annotated[int, "const stored*"]
    """The gradient of the result, ``(K, n, F)``."""
    y: Annotated[int, "const stored*"]
    """That of `_Forward`."""
    bias: Annotated[int, "const real*"]
    """That of `_Forward`."""
    scale: Annotated[int, "const real*"]
    """That of `_Forward`."""
    shift: Annotated[int, "const real*"]
    """That of `_Forward`."""
    statistics: Annotated[int, "const real*"]
    """That of `_Forward`."""
    out: Annotated[int, "stored*"]
    """The gradient of ``y``, ``(K, n, F)``."""
    sums: Annotated[int, "real*"]
    """Those of bias, scale and shift, ``(3, K, blocks, F)``; 0: not wanted."""


class _Sizes(NamedTuple):
    """The numbers that both are told."""

    eps_bits: int
    """Added to a row's variance: the bits of a float64."""
    n: int
    """Rows of a member."""
    rows: int
    """Rows of a block, at most."""
    blocks: int
    """Blocks of a member."""
    parts: int
    """Blocks of all members."""
    own: int
    """1: each member has a scale and shift of its own, 0: there is one for all."""
    count: int  # type: ignore[assignment]  # a method of tuples, which is not used here
    """Rows of all members."""
    start: int
    """The first block of the launch."""


class _Columns(NamedTuple):
    """What the kernel `columns` is told."""

    sums: Annotated[int, "const real*"]
    """``(C, K, blocks, F)``."""
    out: Annotated[int, "real*"]
    """Its sums over the blocks, ``(C, K, 1, F)``."""
    blocks: int
    """Blocks of a member."""


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
    arrays = _Forward(
        y=y.data_ptr(), bias=bias.data_ptr(), scale=scale.data_ptr(), shift=shift.data_ptr(), a=a.data_ptr(),
        statistics=statistics.data_ptr(),
    )  # fmt: skip
    _launch(key, arrays, eps, y, scale)
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
    arrays = _Backward(
        g=grad.data_ptr(), y=y.data_ptr(), bias=bias.data_ptr(), scale=scale.data_ptr(), shift=shift.data_ptr(),
        statistics=statistics.data_ptr(), out=out.data_ptr(), sums=sums.data_ptr() if learns else 0,
    )  # fmt: skip
    _launch(key, arrays, eps, y, scale)
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
    numbers = _Columns(sums=sums.data_ptr(), out=out.data_ptr(), blocks=blocks)
    launch_places(kernel, out.numel(), numbers, device=sums.device, block=_THREADS)
    return out


def _rows(y: Tensor) -> int:
    return _ROWS if y.device.type == "cpu" else _ROWS_GPU


def _launch(key: Key, arrays: _Forward | _Backward, eps: float, y: Tensor, scale: Tensor) -> None:
    from pwm_bench.envs.warp.runtime import launch_places  # Warp takes a third of a second to import

    members, n, width = y.shape
    rows, device = _rows(y), y.device
    blocks = -(-n // rows)
    parts = members * blocks
    kernels = _kernels(key, width, y.dtype, device.type)
    kernel = kernels.forward if isinstance(arrays, _Forward) else kernels.backward

    def share(first: int, last: int) -> None:
        threads = (last - first) * (1 if device.type == "cpu" else _LANES)
        sizes = _Sizes(
            eps_bits=native.bits(eps), n=n, rows=rows, blocks=blocks, parts=parts, own=int(scale.dim() == 3),
            count=members * n, start=first,
        )  # fmt: skip
        launch_places(kernel, threads, [*arrays, *sizes], device=device, block=_THREADS)

    shares = 1 if device.type != "cpu" or y.numel() < _SHARED else min(torch.get_num_threads(), parts)
    native.in_shares(share, parts, shares)


_TOLD = {"forward": (_Forward, _Sizes), "backward": (_Backward, _Sizes), "columns": (_Columns,)}
_COLUMNS = r"""
const wp::int64 row = thread / F, i = thread % F;
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
        return "\n".join([*lines, *_declarations(name), _COLUMNS])
    lines += [f"const int {function.upper()} = {number};" for number, function in enumerate(FUNCTIONS)]
    lines += [f"const int activation = {key.activation.upper()};"]
    lines += [f"const bool post = {int(key.post)};"]
    lines += _declarations(name)
    flags = {"BACKWARD": name == "backward", "DOUBLE": dtype == torch.float64, "BFLOAT16": dtype == torch.bfloat16}
    defined = [f"#define {flag} {int(value)}" for flag, value in flags.items()]
    undefined = [f"#undef {flag}" for flag in flags]
    return "\n".join(["", *defined, *lines, "{", SOURCE.read_text(), "}", *undefined, ""])


def _declarations(name: str) -> list[str]:
    """The variables of what a kernel is told, in C++: the fields of its tuples follow each other in `p`."""
    fields = [field for told in _TOLD[name] for field in get_type_hints(told, include_extras=True).items()]
    lines = []
    for place, (called, type_) in enumerate(fields):
        kinds = get_args(type_)  # of an address: int, and the type that it has there
        lines.append(
            f"{kinds[1]} {called} = ({kinds[1]})p[{place}];" if kinds else f"const wp::int64 {called} = p[{place}];"
        )
    return lines


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
