"""LayerNorm with Mish before or after it, in one pass over each row, for large layers on a CPU.

    norm_mish: a = mish(LayerNorm(y + b) s + t)        mish_norm: a = LayerNorm(mish(y + b)) s + t

One after the other, torch's operations move every number through memory about twenty times, forward and backward
together; that costs as much as the matrix products of a layer in bfloat16. ``rowwise.c`` does it in one pass each way.
It is compiled by the system's C compiler when it is first needed (a second or two), into a folder that is deleted
at once: nothing compiled is ever read from disk. Where there is no compiler, or ``PWM_BENCH_NATIVE=0`` is set,
`available` is False and callers use torch's operations, which give the same within rounding.

Storage is float32 or bfloat16, arithmetic float32. With u = LayerNorm's normalised row, backward uses

    dL/dx = (p - mean(p) - u mean(p u)) / sigma    for p = dL/du
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["EPS", "available", "mish_norm", "mish_norm_backward", "mish_norm_forward", "norm_mish", "suits"]

EPS = 1e-5
"""What the kernels add to a row's variance."""
_WIDEST = 8192
_BLOCK = 32
_NAMES = {torch.float32: "f32", torch.bfloat16: "bf16"}
_FLAGS = ["-O3", "-std=c11", "-fPIC", "-shared", "-fopenmp", "-ffp-contract=fast"]
# Sums may be reordered, but NaN and infinity stay what they are.
_FLAGS += ["-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math", "-fno-math-errno", "-freciprocal-math"]


def _hidden() -> list[str]:
    """Flags that leave out the instructions that ``PWM_BENCH_AVX512=0`` hides."""
    return ["-mno-avx512f"] if os.environ.get("PWM_BENCH_AVX512") == "0" else []


@functools.cache
def _library() -> ctypes.CDLL | None:
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
    if compiler is None or os.environ.get("PWM_BENCH_NATIVE") == "0" or platform.system() != "Linux":
        return None
    source = Path(__file__).with_suffix(".c")
    with tempfile.TemporaryDirectory(prefix="pwm-bench-") as folder:
        target = Path(folder) / "rowwise.so"
        for march in (["-march=native", *_hidden()], []):
            command = [compiler, *_FLAGS, *march, str(source), "-o", str(target), "-lm"]
            try:
                done = subprocess.run(command, capture_output=True, timeout=120, start_new_session=True)
                if done.returncode == 0:
                    return ctypes.CDLL(str(target))
            except (OSError, subprocess.TimeoutExpired):
                return None
    return None


def available() -> bool:
    """Whether the kernels can be used here; compiles them when first asked."""
    return _library() is not None


def suits(x: Tensor, width: int) -> bool:
    """Whether the kernels take rows of ``width`` numbers of the device and dtype of ``x``."""
    usable = x.device.type == "cpu" and x.dtype in _NAMES and width <= _WIDEST
    return usable and not torch.compiler.is_compiling() and available()


def _call(name: str, dtype: torch.dtype, *arguments: Tensor | int | None) -> None:
    assert all(x.is_contiguous() for x in arguments if isinstance(x, Tensor))
    plain = [ctypes.c_void_p(x.data_ptr()) if isinstance(x, Tensor) else x for x in arguments]
    numbers = [ctypes.c_long(x) if isinstance(x, int) else x for x in plain]
    getattr(_library(), f"{name}_{_NAMES[dtype]}")(*numbers)


def _sums(y: Tensor) -> Tensor:
    """Space for what a backward pass adds up, per block of rows: shape ``(K, blocks, 3, F)``."""
    return torch.empty(y.shape[0], -(-y.shape[1] // _BLOCK), 3, y.shape[2])


def mish_norm_forward(y: Tensor, bias: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """LayerNorm(mish(y + bias)) scale + shift.

    Args:
        y: contiguous, shape ``(K, n, F)``, float32 or bfloat16.
        bias: float32, shape ``(K, 1, F)``; scale and shift likewise.

    Returns:
        the result, of the shape and dtype of ``y``; mean and inverse deviation of the rows, shape ``(K, n)``.
    """
    a, statistics = torch.empty_like(y), torch.empty(2, *y.shape[:2])
    _call("mish_norm", y.dtype, y, bias, scale, shift, a, statistics[0], statistics[1], *y.shape)
    return a, statistics[0], statistics[1]


def mish_norm_backward(
    grad: Tensor, y: Tensor, bias: Tensor, scale: Tensor, mean: Tensor, rstd: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of `mish_norm_forward`.

    Returns:
        that of ``y``, and those of scale, shift and bias beside each other, shape ``(K, 3, F)``.
    """
    out, sums = torch.empty_like(y), _sums(y)
    _call("mish_norm_backward", y.dtype, grad, y, bias, scale, mean, rstd, out, sums, *y.shape)
    return out, sums.sum(1)


class _MishNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, bias: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        y, bias, scale, shift = (x.contiguous() for x in (y, bias, scale, shift))
        a, mean, rstd = mish_norm_forward(y, bias, scale, shift)
        ctx.save_for_backward(y, bias, scale, mean, rstd)
        return a

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        y, bias, scale, mean, rstd = ctx.saved_tensors
        out, sums = mish_norm_backward(grad.to(y.dtype).contiguous(), y, bias, scale, mean, rstd)
        ds, dt, db = sums.unsqueeze(2).unbind(1)
        return out, db, ds, dt


class _NormMish(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, bias: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        y, bias, scale, shift = (x.contiguous() for x in (y, bias, scale, shift))
        a, statistics = torch.empty_like(y), torch.empty(2, *y.shape[:2])
        own = int(scale.dim() == 3)
        _call("norm_mish", y.dtype, y, bias, scale, shift, a, statistics[0], statistics[1], *y.shape, own)
        ctx.save_for_backward(y, bias, scale, shift, statistics)
        return a

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
        y, bias, scale, shift, (mean, rstd) = ctx.saved_tensors
        learns = any(ctx.needs_input_grad[1:])
        out, sums, own = torch.empty_like(y), _sums(y) if learns else None, int(scale.dim() == 3)
        arguments = (grad.to(y.dtype).contiguous(), y, bias, scale, shift, mean, rstd, out, sums, *y.shape, own)
        _call("norm_mish_backward", y.dtype, *arguments)
        if sums is None:
            return out, None, None, None
        ds, dt, db = sums.sum(1).unsqueeze(2).unbind(1)
        return (out, db, ds, dt) if own else (out, db, ds.sum(0).view_as(scale), dt.sum(0).view_as(shift))


def mish_norm(y: Tensor, bias: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """LayerNorm(mish(y + bias)) scale + shift, differentiable; arguments as for `mish_norm_forward`."""
    return _MishNorm.apply(y, bias, scale, shift)  # type: ignore[no-any-return]


def norm_mish(y: Tensor, bias: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """mish(LayerNorm(y + bias) scale + shift), differentiable.

    Args:
        y: shape ``(K, n, F)``, float32 or bfloat16, see `suits`.
        bias: float32, contiguous, shape ``(K, 1, F)``.
        scale: likewise, or one for all, shape ``(F,)``.
        shift: as ``scale``.
    """
    return _NormMish.apply(y, bias, scale, shift)  # type: ignore[no-any-return]
