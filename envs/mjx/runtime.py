"""JAX as this package uses it: settings made once, before JAX starts; precision, devices and the cache folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Read when JAX first touches a GPU: without it, JAX takes three quarters of the memory that torch needs too.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import torch

__all__ = ["cache_folder", "jax_device", "precision"]


def cache_folder() -> Path:
    """Folder of compiled programs: ``$PWM_BENCH_CACHE``, else ``pwm-bench`` in the user's cache folder."""
    if chosen := os.environ.get("PWM_BENCH_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "pwm-bench"


@contextmanager
def precision(dtype: torch.dtype) -> Iterator[None]:
    """Context in which JAX traces, imports and runs arrays of ``dtype``.

    JAX's 64-bit switch is a default for everything made without an explicit type, and MJX makes many such arrays: with
    the switch on, a float32 model would compute in float64. So the switch is set around every entry into JAX instead
    of once, and simulators of both precisions can live in one process.

    Products keep all of float32: on a recent GPU JAX would round their factors to TF32, which has 10 bits of mantissa,
    and the solver could not converge to its tolerance.
    """
    with jax.enable_x64(dtype == torch.float64), jax.default_matmul_precision("highest"):
        yield


def jax_device(device: torch.device) -> jax.Device:
    """The JAX device that is the same piece of hardware as a torch device that `pwm_bench.envs.resolve_device` gave."""
    return jax.devices(device.type)[device.index or 0]


def _look_for_gpus_only_where_torch_sees_one() -> None:
    """JAX's CUDA part crashes the process where there is no driver (seen with 0.12). The user's word is kept."""
    if not getattr(jax.config, "jax_platforms", None) and not torch.cuda.is_available():
        jax.config.update("jax_platforms", "cpu")


def _enable_persistent_cache() -> None:
    """Keeps compiled programs on disk, unless the user already told JAX where (or not) to."""
    if getattr(jax.config, "jax_compilation_cache_dir", None) is None:
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "jax"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


_look_for_gpus_only_where_torch_sees_one()
_enable_persistent_cache()
