"""Elementwise functions for CPUs: Mish and grouped softmax that are faster than torch's, and `aligned`.

torch's Mish computes a logarithm, an exponential and a hyperbolic tangent an element, and its softmax over a short last
axis is not vectorised (10 to 20 times slower than its arithmetic). Both are algebraically equal to torch's and agree
with it within rounding. With h = e^x + e^2x / 2 and q = h / (h + 1), which do not cancel for any x::

    mish(x) = x tanh(log(1 + e^x)) = x q
    mish'(x) = q + 2 x q (1 - q) (1 - 1 / (2 + e^x))

Half precision is computed in float32. On other devices, and inside torch.compile, torch's own functions are used:
their kernels are single there.

torch's vectors and its remainders: some functions (ELU, SiLU, softplus, sigmoid, and the derivative of the binary
cross-entropy of logits) take whole vectors of numbers by one formula and those left over at the end of a tensor by
another, which differs in the last bit. So a member's numbers would depend on where it lies among the others. Mish here
is made of functions that do not do so (exp, sqrt, tanh and arithmetic do not); the others go through `aligned`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad
from torch.autograd.function import once_differentiable

from pwm_bench.envs.errors import unknown

__all__ = ["activation_function", "aligned", "group_softmax", "mish", "torch_alone", "torch_wanted"]

_SATURATED = 20.0  # from here on Mish is the identity, in float64 too
_WHOLE = 64  # a multiple of all that torch takes at once: at most two vectors of 32 numbers


class _Mish(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        e = x.clamp(max=_SATURATED).exp_()
        h = torch.addcmul(e, e, e, value=0.5)
        q = h.div_(torch.add(h, 1.0, out=e))
        ctx.save_for_backward(x, q)
        return x * q

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        x, q = ctx.saved_tensors
        z = x.exp().add_(2.0).reciprocal_()  # infinity gives 1 / inf = 0
        rise = torch.addcmul(q, q, q, value=-1.0).mul_(x)  # x q (1 - q)
        return rise.addcmul_(rise, z, value=-1.0).mul_(2.0).add_(q).mul_(grad)


class _GroupSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = (x - x.amax(-1, keepdim=True)).exp_()
        y.div_(y.sum(-1, keepdim=True))
        ctx.save_for_backward(y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        weighted = grad * y
        return weighted.addcmul_(y, weighted.sum(-1, keepdim=True), value=-1.0)


_ALONE: ContextVar[bool] = ContextVar("torch_alone", default=False)


@contextmanager
def torch_alone() -> Iterator[None]:
    """Torch's own functions compute everywhere in this thread: what is traced for use without this package needs that,
    and so do second derivatives."""
    token = _ALONE.set(True)
    try:
        yield
    finally:
        _ALONE.reset(token)


def torch_wanted() -> bool:
    """Whether only torch's own functions may compute: within `torch_alone`, and inside torch.compile, torch.jit.trace,
    torch.func's transformations and forward-mode differentiation, which cannot look into kernels."""
    if torch.compiler.is_compiling() or _ALONE.get() or torch.jit.is_tracing():
        return True
    return torch._C._functorch.peek_interpreter_stack() is not None or forward_ad._current_level >= 0


def _use_torch(x: Tensor) -> bool:
    return x.device.type != "cpu" or torch_wanted()


def _full(x: Tensor) -> Tensor:
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def aligned(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Makes an elementwise function of ``(P, ...)`` give a member the same bits in any company, its gradient too.

    It may take several tensors, all of one shape. Members that do not fill whole vectors are padded with zeros; the
    common sizes do fill them and cost nothing.
    """

    @functools.wraps(function)
    def apply(*given: Tensor) -> Tensor:
        x = given[0]
        numbers = math.prod(x.shape[1:])
        rest = -numbers % _WHOLE
        if not rest or _use_torch(x):
            return function(*given)
        return function(*(F.pad(tensor.flatten(1), (0, rest)) for tensor in given))[:, :numbers].reshape(x.shape)

    return apply


def mish(x: Tensor) -> Tensor:
    """x tanh(softplus(x)), elementwise.

    Source: Misra, "Mish: a self regularized non-monotonic activation function", BMVC 2020.
    """
    return F.mish(x) if _use_torch(x) else _Mish.apply(_full(x))


def group_softmax(x: Tensor) -> Tensor:
    """Softmax over a short last axis."""
    return x.softmax(dim=-1) if _use_torch(x) else _GroupSoftmax.apply(_full(x))


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "elu": aligned(F.elu),
    "mish": mish,
    "relu": F.relu,
    "silu": aligned(F.silu),
    "tanh": torch.tanh,
}


def activation_function(name: str) -> Callable[[Tensor], Tensor]:
    """Looks an activation function up by name.

    Raises:
        UsageError: if there is none of that name.
    """
    if name not in _ACTIVATIONS:
        raise unknown("activation", name, _ACTIVATIONS)
    return _ACTIVATIONS[name]
