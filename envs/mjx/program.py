"""A JAX function compiled ahead of time for fixed shapes and kept on disk in both its forms."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import torch

from pwm_bench.envs.compiling import alone, keep, kept
from pwm_bench.envs.mjx.runtime import cache_folder, precision

__all__ = ["Program"]

# XLA's newer CPU code generator takes about a third longer to compile these programs of many small fusions, which then
# run no faster. Named where known; a JAX that does not know it compiles with its defaults.
_CPU_OPTIONS: dict[str, str | bool] = {"xla_cpu_use_fusion_emitters": False}


class Program:
    """A function of arrays with fixed shapes, compiled when first called or when `compile` is.

    Two caches make a second start quick. XLA keeps the machine code; but before it can look for it, MJX has to be
    traced and lowered, which takes longer than loading. So the lowered function (StableHLO, as `jax.export` writes it)
    is kept as well, under a hash of everything that it is made of.

    Args:
        function: pure JAX function of flat arrays, returning a flat tuple of arrays.
        arguments: shapes and types of its arguments.
        name: for the file name.
        content: bytes that, with this package's source and its versions, determine the function.
        dtype: precision to trace and run in.
        device: where it runs.
    """

    def __init__(
        self,
        function: Callable[..., tuple[jax.Array, ...]],
        arguments: Sequence[jax.ShapeDtypeStruct],
        *,
        name: str,
        content: bytes,
        dtype: torch.dtype,
        device: jax.Device,
    ) -> None:
        self._function = function
        self._arguments = tuple(arguments)
        self._dtype = dtype
        self._device = device
        self._file = cache_folder() / "mjx" / f"{name}-{self._digest(content)}.stablehlo"
        self._compiled: Callable[..., Any] | None = None

    def compile(self) -> float:
        """Compiles or loads the function unless that was done. Returns the seconds it took."""
        if self._compiled is not None:
            return 0.0
        start = time.perf_counter()
        lock = alone(self._file.with_suffix(".lock"))
        with lock, precision(self._dtype), jax.default_device(self._device):
            lowered = jax.jit(self._lower()).lower(*self._placed())
            try:
                self._compiled = lowered.compile(_CPU_OPTIONS if self._device.platform == "cpu" else None)
            except jax.errors.JaxRuntimeError:
                self._compiled = lowered.compile()
        return time.perf_counter() - start

    def export(self, platform: str) -> jax.export.Exported:
        """The function lowered for ``"cpu"`` or ``"cuda"``, whether or not this machine has one."""
        with precision(self._dtype):
            return jax.export.export(jax.jit(self._function), platforms=[platform])(*self._arguments)

    def __call__(self, *arrays: jax.Array) -> tuple[jax.Array, ...]:
        """Runs the compiled function, without waiting for its result."""
        assert self._compiled is not None
        return self._compiled(*arrays)

    def _placed(self) -> list[jax.ShapeDtypeStruct]:
        sharding = jax.sharding.SingleDeviceSharding(self._device)
        return [jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding) for a in self._arguments]

    def _lower(self) -> Callable[..., Any]:
        try:
            return jax.export.deserialize(bytearray(kept(self._file))).call
        except Exception:  # absent, cut short or of another JAX: whatever it is, it can be made anew
            exported = self.export(self._platform())
        with contextlib.suppress(OSError):  # no folder to keep it in: the next start traces again
            keep(self._file, bytes(exported.serialize()), alike="*.stablehlo")
        return exported.call

    def _platform(self) -> str:
        return "cuda" if self._device.platform == "gpu" else self._device.platform

    def _digest(self, content: bytes) -> str:
        digest = hashlib.sha256(content)
        for package in ("jax", "jaxlib", "mujoco", "mujoco-mjx"):
            digest.update(f"{package} {version(package)}\n".encode())
        for source in sorted(Path(__file__).parent.glob("[!.]*.py")):  # an editor's lock begins with a dot
            digest.update(source.read_bytes())
        digest.update(repr((self._platform(), [(a.shape, str(a.dtype)) for a in self._arguments])).encode())
        return digest.hexdigest()[:32]
