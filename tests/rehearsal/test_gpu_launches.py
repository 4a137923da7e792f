"""Kernels that a GPU launches in an update, counted by torch's profiler, against the table of the rehearsal."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from pwm_bench.registry import algorithms
from tests.rehearsal.learners import LAUNCHES, MORE, UPDATES, learner, measured
from tests.rehearsal.test_gpu import REHEARSED

pytestmark = pytest.mark.gpu

MARGIN = 0.1
"""Fraction of the table by which the launches may exceed it: the rehearsal knows no kernel that torch splits in two."""
_NO_KERNELS = ("Memcpy", "Memset")


def profiled(device: torch.device, algorithm: str) -> tuple[int, float]:
    """Kernels of one update, and the seconds that the GPU was at them."""
    agent = learner(algorithm, device)
    for _ in range(UPDATES - 1 + MORE.get(algorithm, 0)):
        agent.update()
    torch.cuda.synchronize(device)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        agent.update()
        torch.cuda.synchronize(device)
    kernels = [
        event
        for event in profile.events() or ()
        if event.device_type == torch.autograd.DeviceType.CUDA and not event.name.startswith(_NO_KERNELS)
    ]
    return len(kernels), sum(event.self_device_time_total for event in kernels) / 1e6


@pytest.mark.parametrize("algorithm", algorithms())
def test_launches_of_an_update(
    algorithm: str, gpu: torch.device, rehearsed: bool, record_property: Callable[[str, object], None]
) -> None:
    if rehearsed and algorithm not in REHEARSED:
        pytest.skip(f"rehearsed with {', '.join(REHEARSED)}")
    launches, seconds = (measured(algorithm), None) if rehearsed else profiled(gpu, algorithm)
    for name, value in (("algorithm", algorithm), ("launches", launches), ("rehearsed", LAUNCHES[algorithm])):
        record_property(name, value)
    record_property("on the GPU [ms]", None if seconds is None else 1e3 * seconds)
    assert launches <= (1.0 + MARGIN) * LAUNCHES[algorithm]
