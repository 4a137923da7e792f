"""What an exception that ends a run means."""

from __future__ import annotations

import torch

from pwm_bench.store.schema import Status
from pwm_bench.text import printable

__all__ = ["classify"]

_MEMORY_MESSAGES = (
    "out of memory",  # CUDA
    "resource_exhausted",  # XLA
    "can't allocate memory",  # torch on a CPU
    "failed to allocate",  # Warp
    "cannot allocate memory",  # the operating system
)


def classify(error: BaseException) -> tuple[Status, str]:
    """The status and one-line reason to record for an exception."""
    message = printable(" ".join(str(error).split()))
    name = type(error).__name__
    reason = f"{name}: {message}" if message else name
    reason = reason if len(reason) <= 300 else reason[:297] + "..."
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", "stopped at once; resumes from the last checkpoint"
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return "oom", reason
    if isinstance(error, (RuntimeError, OSError)) and any(m in message.lower() for m in _MEMORY_MESSAGES):
        return "oom", reason
    return "failed", reason
