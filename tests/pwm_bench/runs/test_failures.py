from __future__ import annotations

import pytest
import torch

from pwm_bench.runs.failures import classify


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (MemoryError(), "oom"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), "oom"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 5 bytes"), "oom"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "oom"),
        (OSError(12, "Cannot allocate memory"), "oom"),
        (RuntimeError("shapes differ"), "failed"),
        (KeyError("out of memory"), "failed"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_what_an_exception_means(error, status):
    assert classify(error)[0] == status


def test_the_reason_is_one_short_line():
    _, reason = classify(ValueError("first\n  second " + "x" * 1000))
    assert reason.startswith("ValueError: first second x")
    assert len(reason) <= 300
    assert "\n" not in reason
    assert classify(ZeroDivisionError())[1] == "ZeroDivisionError"
