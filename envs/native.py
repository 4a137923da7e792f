"""Kernels of our own in C++: compiled by Warp, launched without its detours, shared by threads of a CPU.

Warp keeps what is compiled in its cache, under a hash of the text.
"""

import functools
import hashlib
import itertools
import struct
import sys
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pwm_bench.envs.compiling import alone
from pwm_bench.envs.cores import at_once

__all__ = ["Table", "bits", "call", "in_shares", "kernels", "load"]

# A compiler takes half of AVX-512's registers unless told otherwise; these loops gain a quarter.
_WIDE = "-mprefer-vector-width=512"


def kernels(name: str, texts: Mapping[str, str], where: str = "cpu") -> dict[str, Any]:
    """Makes kernels, each of one argument `p` of the type `Places`, with the number of its ``thread``.

    Args:
        name: what their module is called. Each kind of device has one: Warp compiles by options of a module.
        texts: bodies of functions in C++, by the kernels' names.
        where: ``"cpu"`` or ``"cuda"``.
    """
    import warp as wp  # which takes a third of a second to import

    from pwm_bench.envs.warp.runtime import start_warp

    start_warp()
    mark = hashlib.sha256("".join(texts.values()).encode()).hexdigest()[:16]
    module = f"pwm_bench_{name}_{where}_{mark}"
    made = {kernel: _kernel(f"{kernel}_{mark}", body, module) for kernel, body in texts.items()}
    if where == "cpu":
        options = next(iter(made.values())).module.options
        options["cpu_compiler_flags"] = f"{wp.config.cpu_compiler_flags or '-march=native'} {_WIDE}"
    return made


def load(made: Mapping[str, Any], device: str | torch.device = "cpu", block: int | None = None) -> None:
    """Compiles what `kernels` made, if the cache does not have it, and loads it.

    Args:
        made: kernels of one module.
        device: where they will run.
        block: threads of a block, on a GPU; each number is compiled apart.
    """
    import warp as wp

    module = next(iter(made.values())).module
    with alone(Path(wp.config.kernel_cache_dir or "") / f"{module.name}.lock"):
        where = torch.device(device)
        wp.load_module(module, device=wp.device_from_torch(where), block_dim=None if where.type == "cpu" else block)


def _kernel(name: str, body: str, module: str) -> Any:
    import warp as wp

    from pwm_bench.envs.warp.runtime import Places

    def compute(thread: int, p: Places): ...

    compute.__qualname__ = f"compute_{name}"
    function = wp.func_native(body)(compute)

    def run(p: Places):
        function(wp.tid(), p)

    run.__qualname__ = name
    return wp.kernel(run, enable_backward=False, module=module)


class Table:
    """Numbers in memory, for kernels.

    Args:
        numbers: not negative, or -1.

    Attributes:
        address: where they are while this lives.
    """

    __slots__ = ("_memory", "address")

    def __init__(self, numbers: Sequence[int]) -> None:
        self._memory = array("q", numbers)
        self.address = self._memory.buffer_info()[0]

    @classmethod
    def of(cls, tensors: Iterable[Tensor | None]) -> "Table":
        """The addresses of tensors, 0 for None."""
        return cls([0 if x is None else x.data_ptr() for x in tensors])


def call(kernel: Any, numbers: Sequence[int]) -> None:
    """Calls a kernel once, on a CPU, with these numbers in `p`."""
    from pwm_bench.envs.warp.runtime import launch_places

    launch_places(kernel, 1, numbers, device=_CPU, block=1)


_CPU = torch.device("cpu")


def in_shares(work: Callable[[int, int], None], parts: int, shares: int) -> None:
    """Lets threads share work.

    Args:
        work: does the parts from one number to before another.
        parts: how many there are.
        shares: into how many pieces they go, each for a thread.
    """
    if shares == 1:  # as for most of the small kernels, to which what follows would add a microsecond
        work(0, parts)
        return
    bounds = [parts * number // shares for number in range(shares + 1)]
    at_once(*(functools.partial(work, *pair) for pair in itertools.pairwise(bounds)))


@functools.cache
def bits(x: float) -> int:
    """The 64 bits of a number."""
    return int.from_bytes(struct.pack("d", x), sys.byteorder)
