"""Adam of a population in one pass over memory, with the clip of each member's gradient: kernels for a GPU.

All parameters of an optimiser go into one launch, whatever their number and shapes: the kernel is told where each
lies. A member's part of a parameter is cut into pieces of `PIECE` numbers, and a block of threads takes a piece. A step
with a clipped gradient takes three launches (sums of squares, norms, update), one without it two.

The kernels are called as operators of torch (``torch.ops.pwm_bench.adam_update`` and so on), so that they take part in
what torch does between a call and its kernel. They compute on a CPU too, where `pwm_bench.learning.optim` prefers
`pwm_bench.learning.adam_native`.
"""

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pwm_bench.envs.company import made_once

__all__ = ["PIECE", "compile_for", "pieces"]

PIECE = 1024
"""Numbers of a piece."""
_FACTORS = 3  # of a member, for its update: scale of the gradient, 1 - b1^t, sqrt(1 - b2^t)
_LANES = 256
_TENSORS = 128  # whose places fit beside each other into the arguments of a launch


class _Kernels(NamedTuple):
    squares: Any
    norms: Any
    update: Any
    places: Any


def pieces(sizes: Sequence[int], device: torch.device) -> Tensor:
    """Cuts the parameters of a member into pieces.

    Args:
        sizes: numbers in each parameter, of one member.
        device: where the table is to be.

    Returns:
        a row for each piece: parameter, where the piece begins in it, its length, the parameter's size, where the piece
        begins among all of the member's numbers. int32, shape ``(pieces, 5)``.
    """
    rows, before = [], 0
    for parameter, size in enumerate(sizes):
        starts = range(0, size, PIECE)
        rows += [(parameter, start, min(PIECE, size - start), size, before + start) for start in starts]
        before += size
    return torch.tensor(rows, dtype=torch.int32, device=device)


@made_once
def _kernels(dtype: torch.dtype) -> _Kernels:
    import warp as wp

    from pwm_bench.envs.warp.runtime import start_warp

    start_warp()
    real = {torch.float32: wp.float32, torch.float64: wp.float64}[dtype]
    width = wp.uint64(dtype.itemsize)
    many = wp.types.vector(length=_TENSORS, dtype=wp.uint64)

    @wp.kernel(enable_backward=False, module="unique")
    def squares(grads: many, first: int, table: wp.array2d(dtype=int), partial: wp.array2d(dtype=wp.float64)):
        member, piece, lane = wp.tid()
        tensor = table[piece, 0]
        length = table[piece, 2]
        place = grads[tensor - first]
        total = wp.float64(0.0)
        if place != wp.uint64(0):
            begin = wp.uint64(member) * wp.uint64(table[piece, 3]) + wp.uint64(table[piece, 1])
            g = wp.array(ptr=place + width * begin, shape=(length,), dtype=real)
            for i in range(lane, length, wp.block_dim()):
                value = wp.float64(g[i])
                total += value * value
        summed = wp.tile_extract(wp.tile_sum(wp.tile(total)), 0)
        if lane == 0:
            partial[member, piece] = summed

    @wp.kernel(enable_backward=False, module="unique")
    def norms(
        partial: wp.array2d(dtype=wp.float64),
        count: int,
        step: wp.array(dtype=wp.float64),
        largest: wp.float64,
        beta1: wp.float64,
        beta2: wp.float64,
        norm: wp.array(dtype=real),
        factors: wp.array2d(dtype=real),
    ):
        member, lane = wp.tid()
        total = wp.float64(0.0)
        for i in range(lane, count, wp.block_dim()):
            total += partial[member, i]
        summed = wp.tile_extract(wp.tile_sum(wp.tile(total)), 0)
        if lane == 0:
            length = wp.sqrt(wp.float64(real(summed)))  # too large for `real` is not finite, as on a CPU
            scale = largest / (length + wp.float64(1e-6))
            if scale >= wp.float64(1.0):  # not if it is NaN
                scale = wp.float64(1.0)
            after = step[member] + wp.float64(1.0)
            norm[member] = real(length)
            factors[member, 0] = real(scale)
            factors[member, 1] = real(wp.float64(1.0) - wp.pow(beta1, after))
            factors[member, 2] = real(wp.sqrt(wp.float64(1.0) - wp.pow(beta2, after)))

    @wp.kernel(enable_backward=False, module="unique")
    def update(
        params: many,
        grads: many,
        first: int,
        table: wp.array2d(dtype=int),
        factors: wp.array2d(dtype=real),
        lr: wp.array(dtype=wp.float32),
        alive: wp.array(dtype=wp.bool),
        masked: int,
        row: int,
        m_place: wp.uint64,
        v_place: wp.uint64,
        gain1: real,  # 1 - b1, rounded by itself
        beta2: real,
        gain2: real,
        eps: real,
        decay: real,
        step: wp.array(dtype=wp.float64),
    ):
        member, piece, lane = wp.tid()
        if masked == 1 and not alive[member]:
            return
        tensor = table[piece, 0]
        length = table[piece, 2]
        begin = width * (wp.uint64(member) * wp.uint64(table[piece, 3]) + wp.uint64(table[piece, 1]))
        moment = width * (wp.uint64(member) * wp.uint64(row) + wp.uint64(table[piece, 4]))
        place = grads[tensor - first]
        given = place != wp.uint64(0)
        p = wp.array(ptr=params[tensor - first] + begin, shape=(length,), dtype=real)
        m = wp.array(ptr=m_place + moment, shape=(length,), dtype=real)
        v = wp.array(ptr=v_place + moment, shape=(length,), dtype=real)
        g = wp.array(ptr=place + begin, shape=(length,), dtype=real)
        rate = real(lr[member])
        scale = factors[member, 0]
        size = rate / factors[member, 1]
        root = factors[member, 2]
        kept = real(1.0) - rate * decay
        for i in range(lane, length, wp.block_dim()):
            slope = real(0.0)
            if given:
                slope = scale * g[i]
            mean = m[i] + gain1 * (slope - m[i])
            square = beta2 * v[i] + gain2 * slope * slope
            m[i] = mean
            v[i] = square
            p[i] = kept * p[i] - size * mean / (wp.sqrt(square) / root + eps)
        if lane == 0 and piece == 0 and first == 0:  # what no other thread of this launch reads
            step[member] = step[member] + wp.float64(1.0)

    return _Kernels(squares, norms, update, many)


def _launch(kernel: Any, dim: tuple[int, ...], inputs: list[Any], device: torch.device) -> None:
    import warp as wp

    from pwm_bench.envs.warp.runtime import stream_of

    wp.launch_tiled(
        kernel, dim=dim, inputs=inputs, device=wp.device_from_torch(device), stream=stream_of(device), block_dim=_LANES
    )


def compile_for(arch: int, dtype: torch.dtype) -> None:
    """Compiles the kernels for GPUs of a compute capability into the kernel cache."""
    from pwm_bench.envs.warp.runtime import compile_module_for

    for kernel in _kernels(dtype)[:3]:
        compile_module_for(kernel.module, arch, _LANES)


def _ctype(tensor: Tensor) -> Any:
    import warp as wp

    return wp.from_torch(tensor, return_ctype=True)


def _groups(sizes: Sequence[int]) -> list[tuple[int, int, int]]:
    """What goes into each launch: its first parameter, its first piece and the one after its last."""
    counts = [-(-size // PIECE) for size in sizes]
    found = []
    for first in range(0, len(sizes), _TENSORS):
        begin = sum(counts[:first])
        found.append((first, begin, begin + sum(counts[first : first + _TENSORS])))
    return found


def _places(tensors: Sequence[Tensor | None], first: int, many: Any) -> Any:
    found = [0 if x is None else x.data_ptr() for x in tensors[first : first + _TENSORS]]
    return many.from_buffer_copy(struct.pack(f"{_TENSORS}Q", *found, *[0] * (_TENSORS - len(found))))


def _squares(grads: list[Tensor | None], sizes: list[int], table: Tensor, members: int, dtype: torch.dtype) -> Tensor:
    """Sums of squares of each piece of the members' gradients, float64, shape ``(P, pieces)``."""
    kernels, device = _kernels(dtype), table.device
    partial = torch.empty(members, len(table), dtype=torch.float64, device=device)
    for first, begin, end in _groups(sizes):
        places = _places(grads, first, kernels.places)
        inputs = [places, first, _ctype(table[begin:end]), _ctype(partial[:, begin:end])]
        _launch(kernels.squares, (members, end - begin), inputs, device)
    return partial


def _norms(
    partial: Tensor, step: Tensor, dtype: torch.dtype, max_norm: float, beta1: float, beta2: float
) -> tuple[Tensor, Tensor]:
    """Norms of the members' gradients, shape ``(P,)``, from sums of squares; and the factors for their update."""
    members, count = partial.shape
    norm = torch.empty(members, dtype=dtype, device=step.device)
    factors = norm.new_empty(members, _FACTORS)
    inputs = [_ctype(partial), count, _ctype(step), max_norm, beta1, beta2, _ctype(norm), _ctype(factors)]
    _launch(_kernels(dtype).norms, (members,), inputs, step.device)
    return norm, factors


def _update(
    params: list[Tensor],
    grads: list[Tensor | None],
    sizes: list[int],
    table: Tensor,
    moments: Tensor,
    step: Tensor,
    factors: Tensor,
    lr: Tensor,
    alive: Tensor | None,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
) -> None:
    """Moves parameters, moments ``(2, P, n)`` and step counts; ``factors`` are those of `_norms`."""
    kernels, members, row = _kernels(factors.dtype), step.shape[0], sum(sizes)
    first_moment = moments.data_ptr()
    for first, begin, end in _groups(sizes):
        inputs = [
            *(_places(x, first, kernels.places) for x in (params, grads)), first,
            _ctype(table[begin:end]), _ctype(factors), _ctype(lr),
            _ctype(step.bool() if alive is None else alive), int(alive is not None), row,
            first_moment, first_moment + members * row * moments.element_size(),
            1.0 - beta1, beta2, 1.0 - beta2, eps, weight_decay, _ctype(step),
        ]  # fmt: skip
        _launch(kernels.update, (members, end - begin), inputs, step.device)


_library = torch.library.Library("pwm_bench", "FRAGMENT")
_library.define("adam_squares(Tensor?[] grads, int[] sizes, Tensor table, int members, ScalarType dtype) -> Tensor")
_library.define(
    "adam_norms(Tensor partial, Tensor step, ScalarType dtype, float max_norm, float beta1, float beta2) "
    "-> (Tensor, Tensor)"
)
_library.define(
    "adam_update(Tensor(a!)[] params, Tensor?[] grads, int[] sizes, Tensor table, Tensor(b!) moments, "
    "Tensor(c!) step, Tensor factors, Tensor lr, Tensor? alive, float beta1, float beta2, float eps, "
    "float weight_decay) -> ()"
)
for _name, _function in (("adam_squares", _squares), ("adam_norms", _norms), ("adam_update", _update)):
    _library.impl(_name, _function, "CompositeExplicitAutograd")
