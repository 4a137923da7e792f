"""Torch functions in JAX: a task's observation, reward and the like stay written once, in torch.

A function is traced once with `make_fx`, which turns it into a graph of ATen operations, and the graph is run by JAX's
counterparts of these. Where torch and JAX define another derivative at a kink (`clamp` at its bounds, the norm of
zero), the counterpart has torch's.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import torch
from jax import Array
from jax import numpy as jnp
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from pwm_bench.envs.errors import UsageError

__all__ = ["OPERATIONS", "to_jax"]


def to_jax(function: Callable[..., Any], *examples: Tensor, name: str) -> Callable[..., tuple[Array, ...]]:
    """The JAX function that computes what a torch function does.

    Args:
        function: of tensors alone, without branches on their values; it returns a tensor or a tuple of them.
        examples: arguments; the JAX function takes arrays of their shapes.
        name: how errors call it.

    Returns:
        a function of arrays that always returns a tuple.

    Raises:
        UsageError: it uses an operation that has no counterpart in `OPERATIONS`.
    """
    with torch.no_grad():
        function(*examples)  # whatever it keeps from its first call is no part of the graph then
        graph = make_fx(lambda *arguments: function(*arguments))(*examples)
    for node in graph.graph.nodes:
        if node.op == "call_function" and node.target not in OPERATIONS:
            raise UsageError(
                f"{name}: uses the torch operation {node.target}, which has no counterpart in JAX; write it with "
                "others, or add one to OPERATIONS in pwm_bench.envs.mjx.functional.from_torch"
            )
    constants = {
        node.target: getattr(graph, node.target).detach().cpu().numpy()
        for node in graph.graph.nodes
        if node.op == "get_attr"
    }

    def run(*arguments: Array) -> tuple[Array, ...]:
        known: dict[torch.fx.Node, Any] = {}
        given = iter(arguments)
        for node in graph.graph.nodes:
            if node.op == "placeholder":
                known[node] = next(given)
            elif node.op == "get_attr":
                known[node] = constants[node.target]
            elif node.op == "call_function":
                mine, named = torch.fx.map_arg((node.args, node.kwargs), known.__getitem__)
                known[node] = OPERATIONS[node.target](*mine, **named)
            else:
                result = torch.fx.map_arg(node.args[0], known.__getitem__)
        return tuple(result) if isinstance(result, (tuple, list)) else (result,)

    return run


_TYPES = {torch.bool: jnp.bool_, torch.int64: jnp.int32, torch.float32: jnp.float32, torch.float64: jnp.float64}
_aten = torch.ops.aten


def _clamp(x: Array, low: Any = None, high: Any = None) -> Array:
    """Passes the gradient on at the bounds, as torch does."""
    x = x if low is None else jnp.where(x < low, low, x)
    return x if high is None else jnp.where(x > high, high, x)


def _norm(x: Array, order: float = 2, dim: Sequence[int] | None = None, keepdim: bool = False, **_: Any) -> Array:
    """The Euclidean norm, whose derivative at zero is zero, as torch has it."""
    if order != 2:
        raise UsageError(f"vector norm of order {order}: has no counterpart in JAX here; use 2")
    square = jnp.sum(x * x, axis=None if dim is None else tuple(dim), keepdims=keepdim)
    zero = square == 0.0
    return jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, square)))


def _slice(x: Array, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Array:
    index = [slice(None)] * x.ndim
    index[dim] = slice(start, end, step)
    return x[tuple(index)]


def _expand(x: Array, sizes: Sequence[int], **_: Any) -> Array:
    new = len(sizes) - x.ndim
    shape = [x.shape[axis - new] if size == -1 else size for axis, size in enumerate(sizes)]
    return jnp.broadcast_to(x, shape)


def _split(x: Array, sizes: Sequence[int], dim: int = 0) -> list[Array]:
    ends = [sum(sizes[: number + 1]) for number in range(len(sizes) - 1)]
    return jnp.split(x, ends, axis=dim)


def _like(value: float) -> Callable[..., Array]:
    return lambda x, **_: jnp.full_like(x, value)


OPERATIONS: Mapping[Any, Callable[..., Any]] = {
    operator.getitem: operator.getitem,
    _aten.abs.default: lambda x: jnp.sign(x) * x,  # the derivative at zero is zero, as in torch
    _aten.add.Tensor: lambda x, y, alpha=1: x + (y if alpha == 1 else alpha * y),
    _aten.alias.default: lambda x: x,
    _aten.atan2.default: jnp.arctan2,
    _aten.bitwise_and.Tensor: jnp.bitwise_and,
    _aten.bitwise_not.default: jnp.bitwise_not,
    _aten.bitwise_or.Tensor: jnp.bitwise_or,
    _aten.cat.default: lambda parts, dim=0: jnp.concatenate(parts, axis=dim),
    _aten.clamp.default: _clamp,
    _aten.clamp_min.default: _clamp,
    _aten.clamp_max.default: lambda x, high: _clamp(x, None, high),
    _aten.clone.default: lambda x, **_: x,
    _aten.cos.default: jnp.cos,
    _aten.detach.default: jax.lax.stop_gradient,
    _aten.div.Tensor: jnp.divide,
    _aten.exp.default: jnp.exp,
    _aten.expand.default: _expand,
    _aten.ge.Scalar: jnp.greater_equal,
    _aten.gt.Scalar: jnp.greater,
    _aten.le.Scalar: jnp.less_equal,
    _aten.lift_fresh_copy.default: lambda x: x,
    _aten.linalg_cross.default: lambda x, y, dim=-1: jnp.cross(x, y, axis=dim),
    _aten.linalg_vector_norm.default: _norm,
    _aten.log.default: jnp.log,
    _aten.logical_and.default: jnp.logical_and,
    _aten.logical_not.default: jnp.logical_not,
    _aten.logical_or.default: jnp.logical_or,
    _aten.lt.Scalar: jnp.less,
    _aten.mean.dim: lambda x, dim, keepdim=False: jnp.mean(x, axis=tuple(dim), keepdims=keepdim),
    _aten.mul.Tensor: jnp.multiply,
    _aten.neg.default: jnp.negative,
    _aten.ones_like.default: _like(1.0),
    _aten.pow.Tensor_Scalar: lambda x, power: x**power,
    _aten.rsub.Scalar: lambda x, y, alpha=1: y - (x if alpha == 1 else alpha * x),
    _aten.scalar_tensor.default: lambda value, **_: value,
    _aten.select.int: lambda x, dim, index: jnp.take(x, index, axis=dim),
    _aten.sin.default: jnp.sin,
    _aten.slice.Tensor: _slice,
    _aten.split_with_sizes.default: _split,
    _aten.sqrt.default: jnp.sqrt,
    _aten.squeeze.dim: lambda x, dim: jnp.squeeze(x, axis=dim) if x.shape[dim] == 1 else x,
    _aten.stack.default: lambda parts, dim=0: jnp.stack(parts, axis=dim),
    _aten.sub.Tensor: lambda x, y, alpha=1: x - (y if alpha == 1 else alpha * y),
    _aten.sum.dim_IntList: lambda x, dim, keepdim=False: jnp.sum(x, axis=tuple(dim), keepdims=keepdim),
    _aten.tanh.default: jnp.tanh,
    _aten.unbind.int: lambda x, dim=0: [jnp.take(x, index, axis=dim) for index in range(x.shape[dim])],
    _aten.unsqueeze.default: lambda x, dim: jnp.expand_dims(x, dim),
    _aten.where.self: jnp.where,
    _aten.zeros.default: lambda sizes, dtype=None, **_: jnp.zeros(sizes, _TYPES.get(dtype, float)),
    _aten.zeros_like.default: _like(0.0),
}
"""ATen operation -> its counterpart."""
