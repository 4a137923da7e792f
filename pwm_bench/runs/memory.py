"""The largest memory in use."""

from __future__ import annotations

import sys

import torch

from pwm_bench.envs.company import shares_process
from pwm_bench.store.schema import PeakMemory

__all__ = ["peak_memory"]


def peak_memory(device: torch.device, before: PeakMemory) -> PeakMemory:
    """The largest memory in use up to now, given that of earlier attempts.

    Beside other runs in this process the resident memory is that of all, and the GPU's is not known.
    """
    import resource

    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    gpu = before.gpu
    if device.type == "cuda" and not shares_process():
        gpu = max(gpu or 0, torch.cuda.max_memory_allocated(device))
    return PeakMemory(resident=max(before.resident, resident), gpu=gpu)
