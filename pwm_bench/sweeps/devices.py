"""What the runs of a sweep compute on, settled once and before the first of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pwm_bench.envs.devices import choose_device, remark, view

if TYPE_CHECKING:
    import torch

    from pwm_bench.store.spec import Spec
    from pwm_bench.sweeps.sweep import Item

__all__ = ["Gpu", "Gpus", "gpu_of", "settle_devices"]


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as a sweep finds it.

    Attributes:
        device: with its index, e.g. ``"cuda:0"``.
        free: bytes of its memory that nobody had when the sweep began.
    """

    device: str
    free: int


Gpus = Mapping[tuple[str, tuple[str, ...]], Gpu]
"""What stands for a GPU: pairs of a spec's device and computing simulators."""


def gpu_of(spec: Spec, gpus: Gpus) -> Gpu | None:
    """Where a run computes; None for a CPU."""
    return gpus.get((spec.device, spec.computing_simulators))


def settle_devices(items: Sequence[Item]) -> Gpus:
    """Says what the runs will compute on, or refuses an absent GPU, once and before the first run.

    Returns:
        What stands for a GPU.
    """
    wanted = sorted(
        {(item.spec.device, item.spec.computing_simulators) for item in items if item.to_do or item.plan == "wait"}
    )
    if view("torch").gpus == 0:
        chosen = _choose(wanted)
    else:  # a child asks, as Warp and JAX keep memory of every GPU that they see, and a GPU may admit one process only
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            chosen = pool.submit(_choose, wanted).result()
    simulators: dict[tuple[torch.device, str], list[str]] = {}
    for (_, computing), (device, why, _) in zip(wanted, chosen, strict=True):
        simulators.setdefault((device, why), []).extend(computing)
    for (device, why), names in simulators.items():
        if why:
            remark(device, why, *names)
    settled = zip(wanted, chosen, strict=True)
    return {pair: Gpu(str(device), free) for pair, (device, _, free) in settled if device.type != "cpu"}


def _choose(wanted: list[tuple[str, tuple[str, ...]]]) -> list[tuple[torch.device, str, int]]:
    """The device of each, why it was chosen, and the free bytes of its memory if it is a GPU."""
    import torch

    choices = [choose_device(device, *simulators) for device, simulators in wanted]
    return [(x, why, torch.cuda.mem_get_info(x)[0] if x.type == "cuda" else 0) for x, why in choices]
