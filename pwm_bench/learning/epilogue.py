"""What follows the matrix product of a layer: bias, layer normalisation and activation, as one differentiable function.

    "pre":   a = f(LayerNorm(y + b) s + t)
    "post":  a = LayerNorm(f(y + b)) s + t

One after the other, torch's operations launch four kernels forward and about ten backward, each of which moves every
number through memory. `pwm_bench.learning.epilogue_kernels` has one kernel each way (without normalisation, where a
kernel of one's own gains nothing, layers are left to torch). It is taken on every GPU, and on a
CPU for layers that are not tiny; whether it is depends on the rows of a member alone, and so do its results to the bit.
Torch's operations give the same within rounding. With u = (x - mean) / sigma the backward pass of the normalisation is

    dL/dx = (p - mean(p) - u mean(p u)) / sigma    for p = dL/du

Source: Ba, Kiros and Hinton, "Layer normalization", 2016.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pwm_bench.envs.errors import UsageError
from pwm_bench.learning import epilogue_kernels
from pwm_bench.learning.elementwise import activation_function, group_softmax, torch_wanted
from pwm_bench.learning.epilogue_kernels import FUNCTIONS, WIDEST, Key

__all__ = ["Epilogue"]

_FEWEST = 1 << 14  # numbers of a member from which on the kernel is quicker on a CPU, forward and backward


@dataclass(frozen=True)
class Epilogue:
    """Bias, normalisation and activation.

    Attributes:
        activation: name of a function of `activation_function`, or ``"softmax"``, which goes over groups of features.
        norm: ``"pre"`` normalises before the activation, ``"post"`` after it; for ``"none"`` there are no kernels.
        group: features of a softmax.
        eps: added to a row's variance.
        widen: whether the result has the precision of the bias where that of the product is lower, as it should at the
            end of a network.

    Raises:
        UsageError: if there is no activation of that name.
    """

    activation: str
    norm: Literal["none", "pre", "post"] = "none"
    group: int = 1
    eps: float = 1e-5
    widen: bool = False

    def __post_init__(self) -> None:
        if self.activation != "softmax":
            activation_function(self.activation)

    def suits(self, x: Tensor, rows: int, bias: Tensor) -> bool:
        """Whether there are kernels for a layer, and whether they pay.

        Args:
            x: input of the layer.
            rows: n, of each member.
            bias: of the layer.
        """
        known = self.activation in (*FUNCTIONS, "softmax") and bias.shape[-1] <= WIDEST
        exact = x.dtype == bias.dtype and bias.dtype in (torch.float32, torch.float64)
        if torch_wanted() or not known or not (exact or (x.dtype, bias.dtype) == (torch.bfloat16, torch.float32)):
            return False
        return self.norm != "none" and (x.device.type != "cpu" or rows * bias.shape[-1] >= _FEWEST)

    def activate(self, x: Tensor) -> Tensor:
        """The activation alone, by torch's operations."""
        if self.activation == "softmax":
            return group_softmax(x.unflatten(-1, (-1, self.group))).flatten(-2)
        return activation_function(self.activation)(x)

    @property
    def key(self) -> Key:
        """What the kernels are compiled for."""
        return Key("none" if self.activation == "softmax" else self.activation, self.norm == "post", self.group)

    def __call__(self, y: Tensor, bias: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Finishes a layer by the kernels.

        Args:
            y: product of input and weights, shape ``(K, n, F)``.
            bias: shape ``(K, 1, F)``; of the dtype of ``y``, or float32 where that is bfloat16.
            scale: likewise, or one for all, shape ``(F,)``.
            shift: as ``scale``.

        Returns:
            a, of the shape and dtype of ``y``, or the dtype of the bias; see `widen`.

        Raises:
            UsageError: a parameter of another shape or dtype.
        """
        if self.widen:
            y = y.to(bias.dtype)
        _check(y, bias, scale, shift)
        return _Finish.apply(self, y, bias, scale, shift)  # type: ignore[no-any-return]


def _check(y: Tensor, bias: Tensor, scale: Tensor, shift: Tensor) -> None:
    """Refuses what the kernels would read as something else: they get addresses alone."""
    own, width = (y.shape[0], 1, y.shape[2]), (y.shape[2],)
    kinds = (y.dtype,) if y.dtype != torch.bfloat16 else (torch.float32,)
    for name, x in (("bias", bias), ("scale", scale), ("shift", shift)):
        if x.dtype not in kinds or not (x.shape == own or (x.shape == width and x is not bias)):
            raise UsageError(
                f"{name} is {tuple(x.shape)} {x.dtype}: for products {tuple(y.shape)} {y.dtype} it must be "
                f"{own}{'' if x is bias else f' or {width}'} {kinds[0]}"
            )
    if scale.shape != shift.shape:
        raise UsageError(f"shift is {tuple(shift.shape)}: must have the shape of scale, {tuple(scale.shape)}")


class _Finish(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, how: Epilogue, *given: Tensor) -> Tensor:
        y, bias, scale, shift = (x.contiguous() for x in given)
        a, statistics = epilogue_kernels.forward(how.key, how.eps, y, bias, scale, shift)
        ctx.how = how
        ctx.save_for_backward(y, bias, scale, shift, statistics)
        return a

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        how, (y, bias, scale, shift, statistics) = ctx.how, ctx.saved_tensors
        learns, grad = any(ctx.needs_input_grad[2:]), grad.to(y.dtype).contiguous()
        out, sums = epilogue_kernels.backward(how.key, how.eps, grad, y, bias, scale, shift, statistics, learns)
        if not learns:
            return None, out, None, None, None
        if sums.shape[2] > 1 or y.device.type != "cpu":  # there, whatever the number of rows
            sums = epilogue_kernels.columns(how.key, y.dtype, sums)
        db, ds, dt = sums
        if scale.dim() == 1:
            ds, dt = (x.sum(0).view_as(scale) for x in (ds, dt))
        return None, out, db, ds, dt
