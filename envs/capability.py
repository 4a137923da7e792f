"""What a simulator says of itself, without being imported as a whole."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pwm_bench.envs.errors import UsageError

__all__ = ["Capabilities"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Capabilities:
    """What a simulator is called, what it can do, and what a task must do for it."""

    name: str
    """Name by which a task's ``substeps`` know it."""
    label: str = ""
    """Its name in print; ``name`` if left out."""
    gradient: str = ""
    """How gradients are found; empty where there are none."""
    devices: tuple[str, ...] = ("cpu",)
    """``"cpu"``, ``"cuda"`` or both."""
    library: str = "torch"
    """What computes and so must see the GPU: ``"torch"``, ``"warp"`` or ``"jax"``."""
    contact: str
    """Contact model."""
    package: str
    """Distribution whose version matters."""
    stable_timestep: float
    """Longest substep that is stable for ordinary robots [s]; a task may ask for shorter ones."""
    task_constants: bool = False
    """Whether the constructor takes the task's constants, as ``contact``, ``limit`` and ``integrator``, and lets all
    geoms meet the ground. Others take contacts from the model, where each one is a constraint that costs time."""
    graphable: bool = False
    """Whether a step on a GPU, forward and backward, can be part of a captured CUDA graph."""
    fuses_tasks: bool = False
    """Whether its environments compute what surrounds the simulator's step (observation, reward, termination, resets)
    by kernels generated from the task's functions, see `pwm_bench.envs.fused`. It is so where kernels are compiled
    anyway; elsewhere, and for tasks that cannot be followed, torch computes the functions."""
    quick_to_compile: bool = True
    """Whether another instance, in another precision, compiles within seconds."""

    def __post_init__(self) -> None:
        if not 0.0 < self.stable_timestep < math.inf:
            raise UsageError(f"stable_timestep={self.stable_timestep}: must be a positive number of seconds")
        kinds, libraries = ("cpu", "cuda"), ("torch", "warp", "jax")
        if isinstance(self.devices, str) or not self.devices or not set(self.devices) <= set(kinds):
            raise UsageError(f"devices={self.devices!r}: must be a tuple of one or both of {', '.join(kinds)}")
        if self.library not in libraries:
            raise UsageError(f"library={self.library!r}: must be one of {', '.join(libraries)}; torch if in doubt")
        if not self.label:
            object.__setattr__(self, "label", self.name)

    def substeps(self, control_dt: float) -> int:
        """Fewest stable substeps of a control step that takes ``control_dt`` seconds."""
        return max(1, math.ceil(control_dt / self.stable_timestep - 1e-9))
