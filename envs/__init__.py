"""Differentiable environments: tasks written once, run by any simulator.

Importing this package is cheap; simulators and their engines are imported when one is made.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pwm_bench.envs.tasks  # noqa: F401  before `tasks` is defined below: a later import would put the module in its place
from pwm_bench.envs.devices import resolve_device
from pwm_bench.envs.errors import UsageError, unknown

if TYPE_CHECKING:
    import mujoco
    import torch

    from pwm_bench.envs.api import DifferentiableEnv
    from pwm_bench.envs.simulator import Simulator

__all__ = [
    "Capabilities",
    "UsageError",
    "capabilities",
    "make",
    "make_simulator",
    "resolve_device",
    "simulators",
    "tasks",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Capabilities:
    """What a simulator can do, as `pwm-bench doctor` prints it."""

    forward: bool
    gradient: str
    """How gradients are found, or "" where there are none."""
    devices: tuple[str, ...]
    library: str = "torch"
    """What computes and so must see the GPU: ``"torch"``, ``"warp"`` or ``"jax"``."""
    contact: str
    """Contact model."""
    package: str
    """Distribution whose version matters."""


_SIMULATORS = {
    "warp": "pwm_bench.envs.warp:SimulatorWarp",
    "mjx": "pwm_bench.envs.mjx:SimulatorMjx",
    "mujoco_c": "pwm_bench.envs.mujoco_c:SimulatorMujocoC",
}
_CAPABILITIES = {
    "warp": Capabilities(
        forward=True,
        gradient="implicit (hand-derived adjoint)",
        devices=("cpu", "cuda"),
        library="warp",
        contact="compliant, ground plane",
        package="warp-lang",
    ),
    "mjx": Capabilities(
        forward=True,
        gradient="implicit (differentiated optimality)",
        devices=("cpu", "cuda"),
        library="jax",
        contact="MuJoCo constraints",
        package="mujoco-mjx",
    ),
    "mujoco_c": Capabilities(
        forward=True, gradient="", devices=("cpu",), contact="MuJoCo constraints", package="mujoco"
    ),
}


def tasks() -> list[str]:
    """Names of all tasks."""
    from pwm_bench.envs.tasks import TASKS

    return sorted(TASKS)


def simulators() -> list[str]:
    """Names of all simulators."""
    return list(_SIMULATORS)


def capabilities(simulator: str) -> Capabilities:
    """What a simulator can do, without importing it."""
    if simulator not in _CAPABILITIES:
        raise unknown("simulator", simulator, _CAPABILITIES)
    return _CAPABILITIES[simulator]


def make_simulator(
    name: str,
    model: mujoco.MjModel,
    *,
    num_worlds: int,
    substeps: int,
    timestep: float,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    **options: Any,
) -> Simulator:
    """Builds a simulator of any compiled MuJoCo model.

    Args:
        name: ``"warp"``, ``"mjx"`` or ``"mujoco_c"``.
        model: the compiled model; it is copied.
        num_worlds: independent copies that are advanced together.
        substeps: substeps in a control step.
        timestep: duration of a substep [s].
        device: of all tensors; a torch device or a name, see `resolve_device`.
        dtype: ``torch.float32`` (default) or ``torch.float64``.
        options: the simulator's own (see its class).

    Raises:
        UsageError: unknown simulator, absent device, or a model element the simulator can't represent.
    """
    import torch

    if name not in _SIMULATORS:
        raise unknown("simulator", name, _SIMULATORS)
    dtype = torch.float32 if dtype is None else dtype
    if dtype not in (torch.float32, torch.float64):
        raise UsageError(f"dtype={dtype}: simulators run in torch.float32 or torch.float64")
    device = resolve_device(device, name)
    module, attribute = _SIMULATORS[name].split(":")
    cls = getattr(importlib.import_module(module), attribute)
    fixed = {"model", "num_worlds", "timestep", "device", "dtype"}
    known = [option for option in inspect.signature(cls).parameters if option not in fixed]
    for option in options:
        if option not in known:
            raise unknown(f"option of simulator '{name}'", option, known)
    return cls(
        model, num_worlds=num_worlds, substeps=substeps, timestep=timestep, device=device, dtype=dtype, **options
    )


def make(
    task: str,
    simulator: str = "warp",
    num_envs: int = 64,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    seed: int | Sequence[int] = 0,
    episode_length: int | None = None,
    **simulator_options: Any,
) -> DifferentiableEnv:
    """Builds a batched differentiable environment.

    Args:
        task: one of `tasks`.
        simulator: one of `simulators`.
        num_envs: number of worlds in all.
        device: of all tensors; a torch device or a name, see `resolve_device`.
        dtype: ``torch.float32`` (default) or ``torch.float64``.
        seed: one seed, or a sequence of P seeds for a population of P members with ``num_envs / P`` worlds each.
        episode_length: control steps until truncation; the task's own by default.
        simulator_options: overrides of the simulator's options, e.g. ``substeps=8``; for every simulator also
            ``contact_stiffness`` [N/m] and ``contact_damping`` [N s/m^2] of the ground (see
            `pwm_bench.envs.tasks.stiffness`).

    Raises:
        UsageError: unknown names or impossible values.
    """
    from pwm_bench.envs.api import DifferentiableEnv
    from pwm_bench.envs.tasks import load_task
    from pwm_bench.envs.tasks.stiffness import on_ground

    ground = {name: simulator_options.pop(f"contact_{name}", None) for name in ("stiffness", "damping")}
    definition = on_ground(load_task(task), **ground)
    if simulator not in _SIMULATORS:
        raise unknown("simulator", simulator, _SIMULATORS)
    options = {"substeps": definition.substeps[simulator]} | definition.simulator_options(simulator) | simulator_options
    substeps = options.pop("substeps")
    engine = make_simulator(
        simulator,
        definition.model_for(simulator),
        num_worlds=num_envs,
        substeps=substeps,
        timestep=definition.control_dt / max(substeps, 1),
        device=device,
        dtype=dtype,
        **options,
    )
    seeds = (seed,) if isinstance(seed, int) else tuple(seed)
    return DifferentiableEnv(definition, engine, seeds=seeds, episode_length=episode_length)
