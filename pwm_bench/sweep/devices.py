"""What the runs of a sweep compute on, settled once and before the first of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pwm_bench.envs.devices import choose_device, remark, view

if TYPE_CHECKING:
    import torch

    from pwm_bench.sweep.sweep import Item

__all__ = ["settle_devices"]


def settle_devices(items: Sequence[Item]) -> set[tuple[str, tuple[str, ...]]]:
    """Says what the runs will compute on, or refuses an absent GPU, once and before the first run.

    Returns:
        the pairs of a spec's device and computing simulators that stand for a GPU.
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
    for (_, computing), choice in zip(wanted, chosen, strict=True):
        simulators.setdefault(choice, []).extend(computing)
    for (device, why), names in simulators.items():
        if why:
            remark(device, why, *names)
    return {pair for pair, (device, _) in zip(wanted, chosen, strict=True) if device.type != "cpu"}


def _choose(wanted: list[tuple[str, tuple[str, ...]]]) -> list[tuple[torch.device, str]]:
    return [choose_device(device, *simulators) for device, simulators in wanted]
