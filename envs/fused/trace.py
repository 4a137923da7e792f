"""Traces what a task's torch function computes for one world, number by number.

The function runs once, on one world. Every operation of torch that it carries out is carried out on the numbers of a
`pwm_bench.envs.fused.graph.Graph` beside it. A tensor is an array of nodes of its own shape, so that whatever moves
numbers about is NumPy's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from pwm_bench.envs.fused.graph import Graph

__all__ = ["UnsupportedError", "trace"]


_LEAVES = ("tolist", "numpy", "__array__", "data_ptr", "__dlpack__", "untyped_storage")


class UnsupportedError(Exception):
    """An operation that has no counterpart here."""


def trace(graph: Graph, function: Callable[..., Tensor], *args: tuple[Tensor, np.ndarray]) -> np.ndarray:
    """Runs a function and adds what it computes to a graph.

    Args:
        graph: what is added to.
        function: of tensors of one world, ``(1, ...)``.
        args: its arguments: values that are possible, and the nodes they stand for, of the shapes ``(1, n)``.

    Returns:
        the nodes of the result, in its shape.

    Raises:
        UnsupportedError: it does what has no counterpart here, or asks for values.
    """
    with torch.no_grad(), _Tracer(graph) as tracer, _Guard(tracer):
        values = []
        for value, nodes in args:
            values.append(value.clone())
            tracer.known[id(values[-1])] = (values[-1], nodes)
        return tracer.nodes(function(*values))


class _Guard(TorchFunctionMode):
    """Refuses what takes numbers out of torch, where they could not be traced."""

    def __init__(self, tracer: _Tracer) -> None:
        super().__init__()
        self._tracer = tracer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in _LEAVES and any(isinstance(x, Tensor) and id(x) in self._tracer.known for x in args):
            raise UnsupportedError(f"{name}: takes numbers out of torch")
        return func(*args, **(kwargs or {}))


class _Tracer(TorchDispatchMode):
    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self.known: dict[int, tuple[Tensor, np.ndarray]] = {}  # tensors are kept, so that none has another's id

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Says no: torch would import its compiler, which takes seconds, only to keep it away from here."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        out = func(*args, **(kwargs or {}))
        flat = [x for arg in args for x in (arg if isinstance(arg, (list, tuple)) else (arg,))]
        if not any(isinstance(x, Tensor) and id(x) in self.known for x in flat):
            if name.endswith("_") and name != "lift_fresh":
                raise UnsupportedError(f"{name}: a change in place")
            return out
        if name not in _TABLE:
            raise UnsupportedError(name)
        try:
            found = _TABLE[name](_Operations(self.graph), *(self._nodes_of(arg) for arg in args), **(kwargs or {}))
        except (TypeError, ValueError, IndexError) as error:
            raise UnsupportedError(f"{name}: of this form") from error
        outs, nodes = (out, found) if isinstance(out, (list, tuple)) else ((out,), (found,))
        for tensor, array in zip(outs, nodes, strict=True):
            made = np.asarray(array, dtype=np.int64)
            if made.shape != tuple(tensor.shape):
                raise UnsupportedError(f"{name}: of this form")
            self.known[id(tensor)] = (tensor, made)
        return out

    def _nodes_of(self, arg: Any) -> Any:
        if isinstance(arg, Tensor):
            return self.nodes(arg)
        if isinstance(arg, (list, tuple)) and any(isinstance(x, Tensor) for x in arg):
            return [self.nodes(x) for x in arg]
        return arg

    def nodes(self, tensor: Tensor) -> np.ndarray:
        """The nodes of a tensor; those of constants if nothing depends on the inputs."""
        if id(tensor) in self.known:
            return self.known[id(tensor)][1]
        values = tensor.numpy()
        flat = [self.graph.constant(value) for value in values.ravel().tolist()]
        return np.array(flat, dtype=np.int64).reshape(values.shape)


class _Operations:
    """Torch's operations on arrays of nodes; numbers of Python's count as constants."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def array(self, x: Any) -> np.ndarray:
        return x if isinstance(x, np.ndarray) else np.array(self.graph.constant(x))

    def each(self, operation: str, *args: Any) -> np.ndarray:
        arrays = np.broadcast_arrays(*(self.array(arg) for arg in args))
        flat = [
            self.graph.apply(operation, *map(int, nodes)) for nodes in zip(*(a.ravel() for a in arrays), strict=True)
        ]
        return np.array(flat, dtype=np.int64).reshape(arrays[0].shape)

    def real(self, x: np.ndarray) -> np.ndarray:
        """Truth values as 0 and 1."""
        if x.size and self.graph.is_logical(int(x.flat[0])):
            return self.each("where", x, 1.0, 0.0)
        return x

    def logical(self, x: np.ndarray) -> np.ndarray:
        if x.size and not self.graph.is_logical(int(x.flat[0])):
            return self.each("ne", x, 0.0)
        return x

    def fold(self, operation: str, x: np.ndarray, dim: Any, keepdim: bool) -> np.ndarray:
        """Combines the numbers along axes, in order."""
        dims = range(x.ndim) if dim is None or dim == [] else ([dim] if isinstance(dim, int) else dim)
        axes = sorted({d % x.ndim for d in dims})
        if operation in ("max", "min") and math.prod(x.shape[axis] for axis in axes) > 2:
            raise UnsupportedError("a maximum or minimum of more than two numbers, whose gradient is shared at ties")
        for axis in reversed(axes):
            parts = np.moveaxis(x, axis, 0)
            total = parts[0]
            for part in parts[1:]:
                total = self.each(operation, total, part)
            x = np.expand_dims(total, axis) if keepdim else total
        return x


def _slice(o: _Operations, x: np.ndarray, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    index: list[Any] = [slice(None)] * x.ndim
    index[dim] = slice(start, end, step)
    return x[tuple(index)]


def _split(o: _Operations, x: np.ndarray, sizes: Sequence[int], dim: int = 0) -> list[np.ndarray]:
    return np.split(x, np.cumsum(sizes)[:-1], axis=dim)


def _expand(o: _Operations, x: np.ndarray, size: Sequence[int], **options: Any) -> np.ndarray:
    kept = [None] * (len(size) - x.ndim) + list(x.shape)
    return np.broadcast_to(x, [old if new == -1 else new for old, new in zip(kept, size, strict=True)])


def _squeeze(o: _Operations, x: np.ndarray, dim: Any = None) -> np.ndarray:
    dims = range(x.ndim) if dim is None else ([dim] if isinstance(dim, int) else dim)
    return np.squeeze(x, tuple(d for d in dims if x.shape[d] == 1))


def _cross(o: _Operations, x: np.ndarray, y: np.ndarray, *, dim: int = -1) -> np.ndarray:
    x, y = np.broadcast_arrays(x, y)
    a, b = np.moveaxis(x, dim, 0), np.moveaxis(y, dim, 0)
    parts = [o.each("sub", o.each("mul", a[i], b[j]), o.each("mul", a[j], b[i])) for i, j in ((1, 2), (2, 0), (0, 1))]
    return np.moveaxis(np.stack(parts), 0, dim)


def _norm(o: _Operations, x: np.ndarray, order: float = 2, dim: Any = None, keepdim: bool = False, **kw: Any) -> Any:
    if order != 2 or kw:
        raise UnsupportedError("a norm of this order")
    return o.each("norm", o.fold("add", o.each("mul", x, x), dim, keepdim))


def _power(o: _Operations, x: np.ndarray, power: float) -> np.ndarray:
    if power == 2:
        return o.each("mul", x, x)
    if power == 3:
        return o.each("mul", o.each("mul", x, x), x)
    return o.each("sqrt", x) if power == 0.5 else o.each("pow", x, float(power))


def _clamp(o: _Operations, x: np.ndarray, low: Any = None, high: Any = None) -> np.ndarray:
    x = x if low is None else o.each("above", x, low)
    return x if high is None else o.each("below", x, high)


def _sum(o: _Operations, x: np.ndarray, dim: Any = None, keepdim: bool = False, **kw: Any) -> np.ndarray:
    return o.fold("add", o.real(x), dim, keepdim)


def _mean(o: _Operations, x: np.ndarray, dim: Any = None, keepdim: bool = False, **kw: Any) -> np.ndarray:
    total = o.fold("add", x, dim, keepdim)
    return o.each("div", total, float(x.size // max(total.size, 1)))


def _add(o: _Operations, x: Any, y: Any, alpha: float = 1) -> np.ndarray:
    return o.each("add", o.real(o.array(x)), o.real(o.array(y)) if alpha == 1 else o.each("mul", y, alpha))


def _sub(o: _Operations, x: Any, y: Any, alpha: float = 1) -> np.ndarray:
    return o.each("sub", x, y if alpha == 1 else o.each("mul", y, alpha))


def _convert(o: _Operations, x: np.ndarray, **kw: Any) -> np.ndarray:
    dtype = kw.get("dtype")
    if dtype in (None, torch.float64):
        return o.real(x) if dtype else x
    if dtype == torch.bool:
        return o.logical(x)
    raise UnsupportedError(f"a conversion to {dtype}")


def _simple(operation: str) -> Callable[..., np.ndarray]:
    return lambda o, *args: o.each(operation, *args)


def _number(operation: str) -> Callable[..., np.ndarray]:
    return lambda o, x, y: o.each(operation, o.real(o.array(x)), o.real(o.array(y)))


def _logic(operation: str) -> Callable[..., np.ndarray]:
    return lambda o, *args: o.each(operation, *(o.logical(o.array(arg)) for arg in args))


def _reduced(operation: str) -> Callable[..., np.ndarray]:
    return lambda o, x, dim=None, keepdim=False: o.fold(operation, x, dim, keepdim)


def _same(o: _Operations, x: np.ndarray, *args: Any, **kw: Any) -> np.ndarray:
    return x


def _filled(value: float) -> Callable[..., np.ndarray]:
    def make(o: _Operations, x: np.ndarray, dtype: Any = None, **kw: Any) -> np.ndarray:
        logical = dtype == torch.bool or (dtype is None and x.size and o.graph.is_logical(int(x.flat[0])))
        return np.broadcast_to(o.array(bool(value) if logical else value), x.shape)

    return make


_TABLE: dict[str, Callable[..., Any]] = {
    **{name: _simple(name) for name in ("neg", "abs", "sqrt", "sin", "cos", "exp", "log", "tanh", "sign", "atan2")},
    **{name: _number(name) for name in ("lt", "le", "gt", "ge", "eq", "ne", "mul")},
    **{name: _logic(own) for own in ("and", "or", "not") for name in (f"bitwise_{own}", f"logical_{own}")},
    "add": _add,
    "sub": _sub,
    "rsub": lambda o, x, y, alpha=1: _sub(o, o.array(y), x, alpha),
    "div": _simple("div"),
    "reciprocal": lambda o, x: o.each("div", 1.0, x),
    "rsqrt": lambda o, x: o.each("div", 1.0, o.each("sqrt", x)),
    "square": lambda o, x: o.each("mul", x, x),
    "sigmoid": lambda o, x: o.each("div", 1.0, o.each("add", 1.0, o.each("exp", o.each("neg", x)))),
    "pow": _power,
    "maximum": _simple("max"),
    "minimum": _simple("min"),
    "clamp": _clamp,
    "clamp_min": lambda o, x, low: _clamp(o, x, low),
    "clamp_max": lambda o, x, high: _clamp(o, x, None, high),
    "where": lambda o, condition, x, y: o.each("where", condition, x, y),
    "masked_fill": lambda o, x, mask, value: o.each("where", mask, value, x),
    "sum": _sum,
    "mean": _mean,
    "amax": _reduced("max"),
    "amin": _reduced("min"),
    "any": lambda o, x, dim=None, keepdim=False: o.fold("or", o.logical(x), dim, keepdim),
    "all": lambda o, x, dim=None, keepdim=False: o.fold("and", o.logical(x), dim, keepdim),
    "linalg_vector_norm": _norm,
    "linalg_cross": _cross,
    "slice": _slice,
    "select": lambda o, x, dim, index: np.take(x, index, axis=dim),
    "unbind": lambda o, x, dim=0: list(np.moveaxis(x, dim, 0)),
    "split_with_sizes": _split,
    "cat": lambda o, parts, dim=0: np.concatenate([p for p in parts if p.ndim > 1 or p.size], axis=dim),
    "stack": lambda o, parts, dim=0: np.stack(parts, axis=dim),
    "expand": _expand,
    "unsqueeze": lambda o, x, dim: np.expand_dims(x, dim),
    "squeeze": _squeeze,
    "view": lambda o, x, shape: x.reshape(shape),
    "_unsafe_view": lambda o, x, shape: x.reshape(shape),
    "permute": lambda o, x, dims: np.transpose(x, dims),
    "transpose": lambda o, x, first, second: np.swapaxes(x, first, second),
    "flip": lambda o, x, dims: np.flip(x, tuple(dims)),
    "alias": _same,
    "clone": _same,
    "_to_copy": _convert,
    "detach": lambda o, x: x if x.size and o.graph.is_logical(int(x.flat[0])) else o.each("stop", x),
    "zeros_like": _filled(0.0),
    "ones_like": _filled(1.0),
    "new_zeros": lambda o, x, size, **kw: np.full(size, o.graph.constant(0.0)),
    "new_ones": lambda o, x, size, **kw: np.full(size, o.graph.constant(1.0)),
}
