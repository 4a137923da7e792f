"""Differentiable environments: tasks written once, run by any simulator.

Importing this package is cheap; simulators and their engines are imported when one is made.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pwm_bench.envs.capability import Capabilities
from pwm_bench.envs.devices import resolve_device
from pwm_bench.envs.errors import UsageError, check_count, unknown
from pwm_bench.envs.plugins import Registry
from pwm_bench.envs.tasks import TASKS

if TYPE_CHECKING:
    import mujoco
    import torch

    from pwm_bench.envs.api import DifferentiableEnv
    from pwm_bench.envs.simulator import Simulator

__all__ = [
    "SIMULATORS",
    "TASKS",
    "Capabilities",
    "UsageError",
    "capabilities",
    "check_gradient_of",
    "make",
    "make_simulator",
    "resolve_device",
    "simulators",
    "tasks",
]


SIMULATORS = Registry(
    "simulator",
    "pwm_bench.simulators",
    {"warp": "pwm_bench.envs.warp", "mjx": "pwm_bench.envs.mjx", "mujoco_c": "pwm_bench.envs.mujoco_c"},
    lambda thing: "" if isinstance(getattr(thing, "capabilities", None), Capabilities) else "it has no 'capabilities'",
)
"""Each is a class that satisfies `pwm_bench.envs.simulator.Simulator`, or a module with ``capabilities`` whose
attribute ``Simulator`` is that class, so that the capabilities can be known before an engine is imported."""


def tasks() -> list[str]:
    """Names of all tasks, ours first."""
    return list(TASKS)


def simulators() -> list[str]:
    """Names of all simulators, ours first."""
    return list(SIMULATORS)


def capabilities(simulator: str) -> Capabilities:
    """What a simulator can do; for ours, without importing their engines."""
    return SIMULATORS.load(simulator).capabilities


def check_gradient_of(simulator: str, who: str) -> None:
    """Checks that a simulator gives gradients.

    Args:
        simulator: its name.
        who: what needs them, for the message.

    Raises:
        UsageError: it gives none, or there is no such simulator.
    """
    if not capabilities(simulator).gradient:
        able = [name for name in SIMULATORS.own if capabilities(name).gradient]
        raise UsageError(
            f"{who} needs the simulator's gradient, which '{simulator}' does not give: use {' or '.join(able)}"
        )


def make_simulator(
    name: str,
    model: mujoco.MjModel,
    *,
    num_worlds: int,
    substeps: int,
    timestep: float,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    members: int = 1,
    **options: Any,
) -> Simulator:
    """Builds a simulator of any compiled MuJoCo model.

    Args:
        name: one of `simulators`, or ``module:attribute``.
        model: the compiled model; it is copied.
        num_worlds: independent copies that are advanced together.
        substeps: substeps in a control step.
        timestep: duration of a substep [s].
        device: of all tensors; a torch device or a name, see `resolve_device`.
        dtype: ``torch.float32`` (default) or ``torch.float64``.
        members: members of a population that share the worlds evenly; for a simulator that takes it. What it decides by
            the number of worlds must be decided by those of one member, whose numbers depend on no other's.
        options: the simulator's own (see its class).

    Raises:
        UsageError: unknown simulator, absent device, or a model element the simulator can't represent; a simulator
            from outside that is not what it was asked to be.
    """
    import torch

    thing = SIMULATORS.load(name)
    check_count("num_worlds", num_worlds)
    check_count("substeps", substeps)
    dtype = torch.float32 if dtype is None else dtype
    if dtype not in (torch.float32, torch.float64):
        raise UsageError(f"dtype={dtype}: simulators run in torch.float32 or torch.float64")
    device = resolve_device(device, name)
    cls = getattr(thing, "Simulator", None) if inspect.ismodule(thing) else thing
    if cls is None:
        raise UsageError(f"simulator '{name}': its module has 'capabilities' and no 'Simulator', the class")
    fixed = {"model", "num_worlds", "timestep", "device", "dtype", "members"}
    parameters = inspect.signature(cls).parameters
    known = [option for option in parameters if option not in fixed]
    takes_any = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    for option in () if takes_any else options:
        if option in _TASK_CONSTANTS and option not in known and thing.capabilities.task_constants:
            raise UsageError(
                f"simulator '{name}': its capabilities say task_constants=True, and its constructor takes no "
                f"'{option}'; let it take {', '.join(_TASK_CONSTANTS)}, or leave task_constants out"
            )
        if option not in known:
            raise unknown(f"option of simulator '{name}'", option, known)
    if "members" in parameters:
        options["members"] = members
    made = cls(
        model, num_worlds=num_worlds, substeps=substeps, timestep=timestep, device=device, dtype=dtype, **options
    )
    if name not in SIMULATORS.own:
        _check_made(name, made, num_worlds=num_worlds, substeps=substeps, timestep=timestep, device=device, dtype=dtype)
    return made


_TASK_CONSTANTS = ("contact", "limit", "integrator")


def _check_made(name: str, made: Any, **asked: Any) -> None:
    """Refuses a simulator from outside that lacks what the rest of the house reads, or that is not what was asked."""
    from pwm_bench.envs.simulator import Simulator

    lacking = [one for one in (*Simulator.__annotations__, "step", "compile") if not hasattr(made, one)]
    if lacking:
        raise UsageError(
            f"simulator '{name}': lacks {', '.join(lacking)}; see pwm_bench.envs.simulator.Simulator for what each is"
        )
    for what, due in asked.items():
        found = getattr(made, what)
        same = found == due
        if what == "timestep":
            same = math.isclose(found, due, rel_tol=1e-6)
        elif what == "device":
            same = getattr(found, "type", None) == due.type
        if not same:
            raise UsageError(
                f"simulator '{name}': was made with {what}={due} and has {what}={found!r}; let its constructor keep "
                "what it is given, or refuse it"
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
        task: one of `tasks`, or ``module:attribute``.
        simulator: one of `simulators`, or ``module:attribute``.
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
    from pwm_bench.envs.random import as_seeds
    from pwm_bench.envs.tasks import load_task
    from pwm_bench.envs.tasks.stiffness import on_ground

    check_count("num_envs", num_envs)
    ground = {name: simulator_options.pop(f"contact_{name}", None) for name in ("stiffness", "damping")}
    if "contact" in simulator_options and any(value is not None for value in ground.values()):
        raise UsageError("contact and contact_stiffness (or contact_damping): give one of them, which sets the same")
    definition = on_ground(load_task(task), **ground)
    able = capabilities(simulator)
    options = {"substeps": definition.substeps_for(able)} | definition.simulator_options(able) | simulator_options
    substeps = options.pop("substeps")
    check_count("substeps", substeps)
    seeds = as_seeds(seed)
    engine = make_simulator(
        simulator,
        definition.model_for(able),
        num_worlds=num_envs,
        substeps=substeps,
        timestep=definition.control_dt / substeps,
        device=device,
        dtype=dtype,
        members=len(seeds),
        **options,
    )
    return DifferentiableEnv(definition, engine, seeds=seeds, episode_length=episode_length)
