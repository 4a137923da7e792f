"""Which device computes: one answer for every command, simulator, learner and benchmark.

A GPU is of use only to a library that sees it. Warp and JAX each bring a CUDA of their own beside torch's and can fail
to see a GPU that torch sees, so each is asked, as far as the simulators at hand need it.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from pwm_bench.envs.errors import UsageError

if TYPE_CHECKING:
    import torch

__all__ = ["LIBRARIES", "View", "choose_device", "remark", "resolve_device", "view"]

_log = logging.getLogger("pwm_bench.devices")
_EXTRA = "pip install 'pwm-bench[gpu]'"


@dataclass(frozen=True, slots=True)
class View:
    """What a library sees of this machine's GPUs."""

    library: str
    """The library with its version, e.g. ``"warp 1.19.0"``."""
    gpus: int
    """Number of GPUs that it can use."""
    remedy: str
    """What would let it see one (more)."""

    @property
    def lack(self) -> str:
        """What it does not see, in a clause."""
        if self.gpus == 0:
            return f"{self.library} sees no GPU here"
        return f"{self.library} sees {self.gpus} GPU{'s' if self.gpus > 1 else ''} here, numbered from 0"


def view(library: str) -> View:
    """Asks ``"torch"``, ``"warp"`` or ``"jax"`` for the GPUs that it can use.

    Warp and JAX take some memory of every GPU that they see when they are asked first.
    """
    return LIBRARIES[library]()


def resolve_device(name: str | torch.device | None = None, *simulators: str) -> torch.device:
    """The torch device that a name stands for on this machine; a GPU always with its index, as Warp needs it.

    Args:
        name: ``"cpu"``, ``"cuda"`` (torch's current GPU), ``"cuda:N"``, or ``"auto"`` (and None): a GPU where torch
            and the simulators' own libraries see one, else the CPU. What ``"auto"`` chose and why is logged, once.
        simulators: names of the simulators that are to compute there.

    Raises:
        UsageError: no such device, a library that does not see it, or a simulator that can't use it.
    """
    device, why = choose_device(name, *simulators)
    if why:
        remark(device, why, *simulators)
    return device


def choose_device(name: str | torch.device | None = None, *simulators: str) -> tuple[torch.device, str]:
    """Resolves like `resolve_device`, silently: the device, and why if the choice was left open (else "")."""
    import torch

    from pwm_bench.envs import capabilities

    able = {simulator: capabilities(simulator) for simulator in simulators}
    needed = ("torch", *dict.fromkeys(a.library for a in able.values() if a.library != "torch"))
    if name is None or name == "auto":
        for simulator in simulators:
            if "cuda" not in able[simulator].devices:
                return torch.device("cpu"), f"'{simulator}' computes on CPUs only"
        index, seen = _current(), []
        for library in needed:
            found = view(library)
            if index >= found.gpus:
                return torch.device("cpu"), f"{found.lack}; to use one: {found.remedy}"
            seen.append(found.library)
        return torch.device("cuda", index), f"{' and '.join(seen)} see{'s' if len(seen) == 1 else ''} it"
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise UsageError(f"device={name}: must be auto, cpu, cuda or cuda:N")
    for simulator in simulators:
        if device.type not in able[simulator].devices:
            raise UsageError(f"device={name}: simulator '{simulator}' runs on {' or '.join(able[simulator].devices)}")
    if device.type == "cpu":
        return torch.device("cpu"), ""
    index = _current() if device.index is None else device.index
    for library in needed:
        found = view(library)
        if index >= found.gpus:
            raise UsageError(f"device={name}: {found.lack}; use --device cpu, or to use one: {found.remedy}")
    return torch.device("cuda", index), ""


@functools.cache
def remark(device: torch.device, why: str, *simulators: str) -> None:
    """Logs a choice, once in a process."""
    _log.info("device%s: %s (%s)", f" of {', '.join(simulators)}" if simulators else "", device, why)


def _current() -> int:
    """Index of torch's current GPU, which nobody can have changed before torch started CUDA."""
    import torch

    return torch.cuda.current_device() if torch.cuda.is_initialized() else 0


def _torch() -> View:
    import torch

    remedy = "install a CUDA build of torch" if torch.version.cuda is None else "see nvidia-smi for the driver's state"
    return View(f"torch {torch.__version__}", torch.cuda.device_count() if torch.cuda.is_available() else 0, remedy)


def _warp() -> View:
    import warp as wp

    from pwm_bench.envs.warp.runtime import start_warp

    start_warp()
    built, driver = wp.get_cuda_toolkit_version(), wp.get_cuda_driver_version()
    remedy = "see nvidia-smi for the driver's state"
    if built is not None and driver is not None and built[0] > driver[0]:
        remedy = (
            f"install a driver for CUDA {built[0]} (this one is for {driver[0]}.{driver[1]}), or an older warp-lang"
        )
    return View(f"warp {wp.config.version}", wp.get_cuda_device_count(), remedy)


def _jax() -> View:
    from pwm_bench.envs.mjx.runtime import jax

    remedy = _EXTRA
    try:
        count = len(jax.devices("cuda"))
    except RuntimeError as error:
        count = 0
        if any("cuda" in plugin.name for plugin in entry_points(group="jax_plugins")):
            said = f"it says: {str(error).splitlines()[0]}"
            remedy = said if view("torch").gpus else "let torch see one first"
    return View(f"jax {jax.__version__}", count, remedy)


LIBRARIES: dict[str, Callable[[], View]] = {"torch": _torch, "warp": _warp, "jax": _jax}
"""How each library is asked."""
