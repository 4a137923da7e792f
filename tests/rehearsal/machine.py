"""A machine whose GPU is the mirror device: whole runs go on it with ``device="auto"``, Warp's simulator included.

Warp's kernels run on the CPU, in the memory layout that they have on a GPU, on the numbers that the tensors hold.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
import warp as wp

from pwm_bench.envs import devices
from pwm_bench.envs.company import sharing_process
from pwm_bench.envs.warp.simulator import SimulatorWarp
from pwm_bench.learning import graphed
from pwm_bench.sweeps.executors import together
from tests.rehearsal.mirror import DEVICE, RecordedGraph, Rehearsal, known, on_device, rehearsal, to_cpu

__all__ = ["machine"]


@contextmanager
def machine(*, graphs: bool = False) -> Iterator[Rehearsal]:
    """Within this context ``"auto"`` is the mirror device, wherever a library is not asked for more.

    Args:
        graphs: whether learners' updates go as graphs there, after one update.
    """
    choose, known = devices.choose_device, wp.device_from_torch
    construct = SimulatorWarp.__init__

    def choose_device(name: Any = None, *simulators: str) -> tuple[torch.device, str]:
        return (DEVICE, "") if str(name) in ("None", "auto", str(DEVICE)) else choose(name, *simulators)

    def device_from_torch(device: torch.device) -> Any:
        return known(torch.device("cpu") if device == DEVICE else device)

    def init(
        self: SimulatorWarp, *args: Any, device: Any = "cpu", coalesced: bool | None = None, **options: Any
    ) -> None:
        mirrored = devices.resolve_device(device) == DEVICE
        construct(self, *args, device=device, coalesced=True if mirrored else coalesced, **options)
        if mirrored:  # the kernels run on the CPU, with memory of their own there
            kernels = vars(self._kernels)
            kernels.update({name: to_cpu(value) for name, value in kernels.items()}, _device=torch.device("cpu"))

    with (
        rehearsal() as seen,
        mock.patch.object(devices, "choose_device", choose_device),
        mock.patch.object(wp, "device_from_torch", device_from_torch),
        mock.patch.object(SimulatorWarp, "__init__", functools.wraps(construct)(init)),
        mock.patch.object(SimulatorWarp, "_run_forward", _launched(SimulatorWarp._run_forward)),
        mock.patch.object(SimulatorWarp, "_run_adjoint", _launched(SimulatorWarp._run_adjoint)),
        mock.patch.object(SimulatorWarp, "_new_trajectory", _launched(SimulatorWarp._new_trajectory, launches=0)),
        mock.patch.object(graphed.Graphed.__init__, "__kwdefaults__", {"warm_up": 1}),
        mock.patch.object(together, "sharing_process", _sharing),
        mock.patch.dict(graphed.GRAPHS, {DEVICE.type: lambda device: RecordedGraph} if graphs else {}),
    ):
        yield seen


@contextmanager
def _sharing(device: torch.device) -> Iterator[None]:
    """A thread of its own knows the device, as it would have streams of a GPU."""
    with sharing_process(device), known():
        yield


def _launched(method: Any, *, launches: int = 1) -> Any:
    """A method that launches one kernel, or only takes memory: on the device if the simulator is there."""

    @functools.wraps(method)
    def launch(self: SimulatorWarp, *tensors: Any) -> Any:
        if self.device != DEVICE:
            return method(self, *tensors)
        return on_device(functools.partial(method, self), *tensors, launches=launches)

    return launch
