"""A whole network as one differentiable function, where `pwm_bench.learning.network_kernels` can compute it.

Layer by layer, torch's operations and autograd's nodes take longer than the arithmetic of small networks. Both ways
give the same within rounding; which is taken depends on device, precision, layers and, on several threads, rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import Parameter

from pwm_bench.learning import network_kernels
from pwm_bench.learning.elementwise import torch_wanted
from pwm_bench.learning.network_kernels import LayerDescription

__all__ = ["evaluate", "suits"]

_SHARED = 1 << 17  # products of so many numbers, on several threads, are better off with what follows them on these too


def suits(layers: tuple[LayerDescription, ...], x: Tensor, dtype: torch.dtype) -> bool:
    """Whether `evaluate` can compute a network, and should.

    Args:
        layers: of the network.
        x: its input, shape ``(P, ..., in)``.
        dtype: of the weights.
    """
    if x.device.type != "cpu" or x.dtype != dtype or torch_wanted() or torch.is_autocast_enabled("cpu"):
        return False
    if type(x) is not Tensor and type(x) is not Parameter:
        return False
    if not x.numel() or not network_kernels.available(dtype):
        return False
    return torch.get_num_threads() == 1 or x[0, ..., 0].numel() * max(layer.outputs for layer in layers) < _SHARED


def evaluate(layers: tuple[LayerDescription, ...], x: Tensor, params: Sequence[Tensor], repeat: int = 1) -> Tensor:
    """Computes a network, differentiably once; second derivatives need `pwm_bench.learning.elementwise.torch_alone`.

    Args:
        layers: one after the other.
        x: shape ``(P / repeat, n, in)``.
        params: of P members; of each layer weight ``(P, in, out)``, bias ``(P, 1, out)`` and, of a normalisation, scale
            and shift, likewise.
        repeat: how many members, beside each other, share an input.

    Returns:
        shape ``(P, n, out)``.

    Raises:
        UsageError: members, features or a parameter that do not fit.
    """
    x, params = network_kernels.checked(layers, x, params, repeat)
    if torch.is_grad_enabled() and (x.requires_grad or any(p.requires_grad for p in params)):
        return _Evaluate.apply(layers, repeat, x, *params)  # type: ignore[no-any-return]
    return network_kernels.forward(layers, x, params, repeat, keep=False)[0]


class _Evaluate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, layers: tuple[LayerDescription, ...], repeat: int, x: Tensor, *params: Tensor) -> Tensor:
        out, work = network_kernels.forward(layers, x, params, repeat, keep=True)
        ctx.layers, ctx.repeat = layers, repeat
        ctx.save_for_backward(x, work, *params)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, work, *params = ctx.saved_tensors
        wanted, learns = ctx.needs_input_grad[2], any(ctx.needs_input_grad[3:])
        into = [torch.empty_like(p) for p in params] if learns else []
        slope = network_kernels.backward(
            ctx.layers, grad.contiguous(), x, params, work, ctx.repeat, into=into, wanted=wanted
        )
        return None, None, slope, *(into if learns else [None] * len(params))
