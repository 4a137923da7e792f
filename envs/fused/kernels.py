"""Compiles what `pwm_bench.envs.fused.generate` wrote, for CPU and GPU, and launches it: one thread a world.

The kernels are called through an operator of torch, ``torch.ops.pwm_bench.env_kernel``, so that they take part in what
torch does between a call and its kernel. Warp keeps what is compiled in its cache, under a hash of the sources.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pwm_bench.envs import native
from pwm_bench.envs.company import made_once
from pwm_bench.envs.fused import generate
from pwm_bench.envs.fused.generate import Sources

__all__ = ["Kernels"]

_BLOCK = 32  # threads of a block on a GPU
_INTEGERS = ("key", "episode", "progress", "progress2", "episode2")
_TRUTHS = ("terminated", "truncated", "invalid")
_CALLS = {
    "before": generate.BEFORE,
    "before_back": generate.BEFORE_BACK,
    "after": generate.AFTER,
    "after_back": generate.AFTER_BACK,
}


class Kernels:
    """The four kernels of a task in one precision.

    Args:
        sources: what they compute.
        dtype: ``torch.float32`` or ``torch.float64``.
        largest: a coordinate beyond this makes a world invalid.
    """

    def __init__(self, sources: Sources, dtype: torch.dtype, largest: float) -> None:
        self._handle = _handle(sources, dtype, largest)

    def load(self, device: torch.device) -> None:
        """Loads the kernels, compiling them if the cache has none."""
        native.load(_kernels(self._handle, device.type), device, _BLOCK)

    def compile_for(self, arch: int) -> None:
        """Compiles the kernels for GPUs of a compute capability into the kernel cache."""
        from pwm_bench.envs.warp.runtime import compile_module_for

        compile_module_for(self.module("cuda"), arch, _BLOCK)

    def module(self, kind: str) -> Any:
        """Warp's module with all four, for a kind of device, ``"cpu"`` or ``"cuda"``."""
        return _kernels(self._handle, kind)["after"].module

    def launch(self, name: str, given: Sequence[Tensor | None], made: Sequence[Tensor], length: int = 0) -> None:
        """Runs a kernel, one of ``"before"``, ``"before_back"``, ``"after"``, ``"after_back"``.

        Args:
            name: which.
            given: what it reads, contiguous, in the order of its arguments.
            made: what it writes.
            length: control steps until truncation.
        """
        torch.ops.pwm_bench.env_kernel(self._handle, name, given, made, length)


_texts: list[dict[str, str]] = []


@made_once
def _handle(sources: Sources, dtype: torch.dtype, largest: float) -> int:
    """The number by which the operator knows a task's kernels: where `_texts` has theirs."""
    _texts.append({name: _text(name, sources, dtype, largest) for name in _CALLS})
    return len(_texts) - 1


@made_once
def _kernels(handle: int, kind: str) -> dict[str, Any]:
    return native.kernels("fused", _texts[handle], kind)


def _text(name: str, sources: Sources, dtype: torch.dtype, largest: float) -> str:
    """The body of a kernel's function: its arguments for world ``thread``, then what is computed."""
    sizes = sources.sizes
    widths = {
        **dict.fromkeys(("obs", "final", "g_final", "g_obs", "obs0", "adj_obs0"), sizes.obs),
        **dict.fromkeys(("action", "clamped", "g_clamped", "adj_action"), sizes.action),
        **dict.fromkeys(("ctrl", "g_ctrl"), sizes.ctrl),
        **dict.fromkeys(("q1", "q2", "g_q", "g_q2", "adj_q", "adj_q1"), sizes.q),
        **dict.fromkeys(("v1", "v2", "g_v", "g_v2", "adj_v", "adj_v1"), sizes.v),
    }
    lines = [f"using real = {'float' if dtype == torch.float32 else 'double'};"]
    constants = {"O": sizes.obs, "A": sizes.action, "U": sizes.ctrl, "NQ": sizes.q, "NV": sizes.v}
    lines += [f"const int {constant} = {size};" for constant, size in constants.items()]
    for place, argument in enumerate(_CALLS[name]):
        kind = "wp::int64" if argument in _INTEGERS else ("bool" if argument in _TRUTHS else "real")
        begin = f"({kind}*)p[{place}]"
        offset = f"(wp::int64)thread * {widths.get(argument, 1)}"
        lines.append(f"{kind}* const {argument} = p[{place}] ? {begin} + {offset} : nullptr;")
    lines.append(f"const wp::int64 length = p[{len(_CALLS[name])}];")
    body = getattr(sources, name).replace("LARGEST", repr(float(largest)))
    return "\n".join(lines) + body


def _launch(handle: int, name: str, given: list[Tensor | None], made: list[Tensor], length: int) -> None:
    from pwm_bench.envs.warp.runtime import launch_places

    numbers = [*(0 if x is None else x.data_ptr() for x in (*given, *made)), length]
    worlds, device = made[0].shape[0], made[0].device
    launch_places(_kernels(handle, device.type)[name], worlds, numbers, device=device, block=_BLOCK)


_library = torch.library.Library("pwm_bench", "FRAGMENT")
_library.define("env_kernel(int handle, str name, Tensor?[] given, Tensor(a!)[] made, int length) -> ()")
_library.impl("env_kernel", _launch, "CompositeExplicitAutograd")
