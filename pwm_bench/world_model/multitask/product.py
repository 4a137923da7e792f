"""Products with constant weights, in whichever of two ways works on this processor.

*Packed*: the weight is kept in the blocked layout that oneDNN's products read, which they would otherwise make in every
call. The operations for it are not torch's public ones, and in bfloat16 they need instructions that not every
processor has (AVX-512 or newer), so a small product is tried before the first use. *Plain*: torch's own product,
which gives the same within rounding everywhere.

``PWM_BENCH_AVX512=0`` chooses as on a processor that has neither AVX-512 nor AMX; ``ONEDNN_MAX_CPU_ISA=AVX2`` is
oneDNN's own switch, which keeps oneDNN from using them too.
"""

from __future__ import annotations

import functools
import logging
import os

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["ConstantProduct", "why_plain"]

_log = logging.getLogger("pwm_bench.products")


class ConstantProduct:
    """x W^T and its derivative g W for a constant W, in W's precision.

    Args:
        weight: W, shape ``(out, in)``; copied.
    """

    def __init__(self, weight: Tensor) -> None:
        self.dtype = weight.dtype
        self._forward, self._backward = weight.contiguous(), weight.t().contiguous()
        self.packed = weight.device.type == "cpu" and not why_plain(self.dtype)
        if self.packed:
            self._forward, self._backward = _pack(self._forward), _pack(self._backward)

    def __call__(self, x: Tensor) -> Tensor:
        """``(..., in)`` to ``(..., out)``."""
        return self._multiply(x.to(self.dtype), self._forward)

    def backward(self, grad: Tensor) -> Tensor:
        """``(..., out)`` to ``(..., in)``."""
        return self._multiply(grad.to(self.dtype), self._backward)

    def _multiply(self, x: Tensor, weight: Tensor) -> Tensor:
        """Multiplies by a weight that is packed if the processor has it so."""
        return _multiply_packed(x, weight) if self.packed else F.linear(x, weight)


@functools.cache
def why_plain(dtype: torch.dtype) -> str:
    """Why products of ``dtype`` are not packed on this processor, or "" if they are.

    For bfloat16 it is also said in one line, since torch's plain products then take several times as long as float32's.
    """
    if dtype == torch.float64:
        return "oneDNN has no products in float64"
    if not (torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled):
        return "this torch is without oneDNN"
    reason = ""
    if dtype == torch.bfloat16 and os.environ.get("PWM_BENCH_AVX512") == "0":
        reason = "PWM_BENCH_AVX512=0 hides AVX-512 and AMX"
    else:
        try:
            weight, x = (torch.linspace(-1.0, 1.0, n * 24).view(n, 24).to(dtype) for n in (20, 3))
            if not torch.allclose(_multiply_packed(x, _pack(weight)), F.linear(x, weight), rtol=0.02, atol=0.1):
                reason = "its packed products are wrong"
        except (AttributeError, RuntimeError) as error:  # another torch, or a processor without the instructions
            reason = str(error).splitlines()[0]
    if reason and dtype == torch.bfloat16:
        _log.info("bfloat16 has no fast products here, so float32 would be faster (%s)", reason)
    return reason


def _pack(weight: Tensor) -> Tensor:
    """Gives a weight ``(out, in)`` in oneDNN's blocked layout."""
    return torch.ops.mkldnn._reorder_linear_weight(weight)  # type: ignore[no-any-return]


def _multiply_packed(x: Tensor, weight: Tensor) -> Tensor:
    """Multiplies ``(..., in)`` by a packed weight, to ``(..., out)``."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")  # type: ignore[no-any-return]
