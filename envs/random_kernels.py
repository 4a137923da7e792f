"""The hash of `pwm_bench.envs.random` in one launch, for a GPU, where torch would need a dozen for every draw.

The kernels are called as operators of torch (``torch.ops.pwm_bench.hash_uniform`` and so on), so that they take part in
what torch does between a call and its kernel. They give the bits that torch's operations give (normal numbers but for
the rounding of logarithm, sine and cosine), on a CPU too, where `pwm_bench.envs.random` leaves draws to torch.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pwm_bench.envs.company import made_once
from pwm_bench.envs.random import GOLDEN, MIX, PER_FOLD

__all__ = ["compile_for"]

_BLOCK = 256


class _Kernels(NamedTuple):
    fold: Any
    uniform: Any
    normal: Any


@made_once
def _kernels(dtype: torch.dtype) -> _Kernels:
    import warp as wp

    from pwm_bench.envs.warp.runtime import start_warp

    start_warp()
    real = {torch.float32: wp.float32, torch.float64: wp.float64}[dtype]
    turn = wp.constant(real(2.0 * math.pi))  # as a number in a kernel it would be one of float32
    golden, step, offset, mix_a, mix_b = (wp.constant(wp.uint64(x)) for x in (GOLDEN, *PER_FOLD, *MIX))

    @wp.func
    def mixed(value: wp.uint64) -> wp.uint64:
        x = (value ^ (value >> wp.uint64(30))) * mix_a
        x = (x ^ (x >> wp.uint64(27))) * mix_b
        return x ^ (x >> wp.uint64(31))

    @wp.kernel(enable_backward=False, module="unique")
    def fold(
        key: wp.array(dtype=wp.int64), data: wp.array(dtype=wp.int64), every: int, folded: wp.array(dtype=wp.int64)
    ):
        i = wp.tid()
        folded[i] = wp.int64(mixed(wp.uint64(key[i]) ^ (wp.uint64(data[i * every]) * step + offset)))

    @wp.func
    def unit(key: wp.int64, j: int) -> real:
        bits = mixed(wp.uint64(key) + wp.uint64(j + 1) * golden) >> wp.uint64(40)
        return real(bits) * real(1.0 / 16777216.0)

    @wp.kernel(enable_backward=False, module="unique")
    def uniform(key: wp.array(dtype=wp.int64), drawn: wp.array2d(dtype=real)):
        i, j = wp.tid()
        drawn[i, j] = unit(key[i], j)

    @wp.kernel(enable_backward=False, module="unique")
    def normal(key: wp.array(dtype=wp.int64), half: int, drawn: wp.array2d(dtype=real)):
        i, j = wp.tid()
        pair = j % half  # of uniform numbers, the second of which is `half` further on
        radius = wp.sqrt(real(-2.0) * wp.log(unit(key[i], pair) + real(0.5 / 16777216.0)))
        angle = turn * unit(key[i], half + pair)
        if j < half:
            drawn[i, j] = radius * wp.cos(angle)
        else:
            drawn[i, j] = radius * wp.sin(angle)

    return _Kernels(fold, uniform, normal)


def _launch(kernel: Any, dim: Any, tensors: list[Any], device: torch.device) -> None:
    import warp as wp

    from pwm_bench.envs.warp.runtime import stream_of

    inputs = [wp.from_torch(x, return_ctype=True) if isinstance(x, Tensor) else x for x in tensors]
    where = {"device": wp.device_from_torch(device), "stream": stream_of(device)}
    wp.launch(kernel, dim=dim, inputs=inputs, **where, block_dim=_BLOCK)


def compile_for(arch: int, dtype: torch.dtype) -> None:
    """Compiles the kernels for GPUs of a compute capability into the kernel cache."""
    from pwm_bench.envs.warp.runtime import compile_module_for

    for kernel in _kernels(dtype):
        compile_module_for(kernel.module, arch, _BLOCK)


def _fold(key: Tensor, data: Tensor) -> Tensor:
    """New keys like ``key``, int64, from contiguous ``data`` of as many numbers or of one."""
    folded = torch.empty_like(key)
    tensors = [key.view(-1), data.view(-1), int(data.numel() > 1), folded.view(-1)]
    _launch(_kernels(torch.float32).fold, key.numel(), tensors, key.device)
    return folded


def _uniform(key: Tensor, dim: int, dtype: torch.dtype) -> Tensor:
    """Uniform numbers, ``(*key.shape, dim)``, from contiguous keys."""
    drawn = torch.empty(*key.shape, dim, dtype=dtype, device=key.device)
    if dim:
        _launch(_kernels(dtype).uniform, (key.numel(), dim), [key.view(-1), drawn.view(-1, dim)], key.device)
    return drawn


def _normal(key: Tensor, dim: int, dtype: torch.dtype) -> Tensor:
    """Standard normal numbers, ``(*key.shape, dim)``, from contiguous keys."""
    drawn = torch.empty(*key.shape, dim, dtype=dtype, device=key.device)
    if dim:
        tensors = [key.view(-1), (dim + 1) // 2, drawn.view(-1, dim)]
        _launch(_kernels(dtype).normal, (key.numel(), dim), tensors, key.device)
    return drawn


_library = torch.library.Library("pwm_bench", "FRAGMENT")
_library.define("hash_fold(Tensor key, Tensor data) -> Tensor")
_library.define("hash_uniform(Tensor key, int dim, ScalarType dtype) -> Tensor")
_library.define("hash_normal(Tensor key, int dim, ScalarType dtype) -> Tensor")
_library.impl("hash_fold", _fold, "CompositeExplicitAutograd")
_library.impl("hash_uniform", _uniform, "CompositeExplicitAutograd")
_library.impl("hash_normal", _normal, "CompositeExplicitAutograd")
