"""Measures a task in several simulators and gathers the parity record."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from pwm_bench import envs
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.integrator import Integrator
from pwm_bench.envs.simulator import Simulator
from pwm_bench.envs.tasks import load_task
from pwm_bench.envs.tasks.base import Task
from pwm_bench.parity.compare import (
    compare_angles,
    compare_contact,
    compare_in_air,
    compare_resets,
    gradients,
    integrates_otherwise,
    play,
)
from pwm_bench.parity.schema import ParityRecord, SimulatorFacts
from pwm_bench.store import provenance
from pwm_bench.store.results import now

__all__ = ["QUICK", "Sizes", "measure"]

_PREFERRED = ("mujoco_c", "mjx", "warp")
"""The reference is the first of these that is measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How much is measured."""

    worlds: int = 16
    episode_length: int | None = None
    """Control steps of an episode for the returns; the task's own by default."""
    air_steps: int = 16
    contact_steps: int = 64
    horizons: tuple[int, ...] = (1, 2, 4, 8, 16, 32)


QUICK = Sizes(worlds=4, episode_length=60, air_steps=8, contact_steps=16, horizons=(1, 2, 4, 8))
"""A look within seconds once the simulators are compiled."""


def measure(
    task_name: str,
    simulators: Sequence[str],
    *,
    sizes: Sizes = Sizes(),
    seed: int = 0,
    device: str = "cpu",
    tell: Callable[[str, float], None] = lambda stage, share: None,
) -> ParityRecord:
    """Measures everything, in float64. A simulator that refuses the task is recorded with its reason.

    Args:
        task_name: a name from `pwm_bench.envs.tasks`.
        simulators: names, at least two.
        sizes: how much.
        seed: of starts and actions.
        device: see `pwm_bench.envs.resolve_device`; simulators that have no use for a GPU compute on the CPU.
        tell: called before each stage with its name and the share that is done.

    Raises:
        UsageError: unknown names, an absent device, or fewer than two simulators that run the task.
    """
    for name in simulators:
        envs.SIMULATORS.check(name)
    simulators = list(dict.fromkeys(simulators))
    devices = {name: _place(name, device) for name in simulators}
    task = load_task(task_name)
    stages = len(simulators) * 6 + 1
    done = 0

    def stage(text: str) -> None:
        nonlocal done
        tell(text, done / stages)
        done += 1

    began = time.monotonic()
    native: dict[str, Simulator] = {}
    refused: dict[str, str] = {}
    for name in simulators:
        stage(f"{name}: compiling")
        try:
            native[name] = _build(task, name, sizes.worlds, devices[name])
            native[name].compile(gradient=native[name].differentiable)
        except UsageError as error:
            native.pop(name, None)
            refused[name] = str(error)
    if len(native) < 2:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
        raise UsageError(f"--simulators {' '.join(simulators)}: parity needs two that run '{task_name}' ({reasons})")
    reference = next(name for name in (*_PREFERRED, *native) if name in native)

    stage("starts")
    reset = compare_resets(task, native, reference, seed)
    returns = []
    for policy in ("random", "zero"):
        for name, simulator in native.items():
            stage(f"{name}: {policy} actions")
            returns.append(play(task, simulator, policy, seed=seed, episode_length=sizes.episode_length))
    stage("in the air")
    substeps = min(simulator.substeps for simulator in native.values())
    even = {
        name: simulator
        if simulator.substeps == substeps and not integrates_otherwise(simulator)
        else _build(task, name, sizes.worlds, devices[name], substeps, integrator=Integrator())
        for name, simulator in native.items()
    }
    air = compare_in_air(task, even, reference, steps=sizes.air_steps, seed=seed)
    stage("in contact")
    contact = compare_contact(task, native, reference, steps=sizes.contact_steps, seed=seed)
    norms, found = [], {}
    for name, simulator in native.items():
        if simulator.differentiable:
            stage(f"{name}: gradients")
            curve, found[name] = gradients(task, simulator, horizons=sizes.horizons, seed=seed)
            norms.append(curve)
    return ParityRecord(
        task=task_name,
        reference=reference,
        simulators=[_facts(task, name, native.get(name), refused.get(name)) for name in simulators],
        reset=reset,
        returns=returns,
        air=air,
        contact=contact,
        gradients=norms,
        angles=compare_angles(found),
        worlds=sizes.worlds,
        seed=seed,
        seconds=time.monotonic() - began,
        created_at=now(),
        provenance=provenance.collect(str(max(devices.values(), key=lambda d: d.type == "cuda")), "float64"),
    )


def _place(name: str, device: str) -> torch.device:
    """The device of one simulator, which is the CPU if it has no use for a GPU."""
    able = "cuda" in envs.capabilities(name).devices
    return envs.resolve_device(device if able else "cpu", name)


def _build(
    task: Task,
    name: str,
    worlds: int,
    device: torch.device,
    substeps: int | None = None,
    integrator: Integrator | None = None,
) -> Simulator:
    """A task's simulator, where asked with other substeps, or (if it has a choice) another integrator."""
    able = envs.capabilities(name)
    substeps = substeps or task.substeps_for(able)
    options = task.simulator_options(able)
    if integrator is not None and "integrator" in options:
        options["integrator"] = integrator
    return envs.make_simulator(
        name,
        task.model_for(able),
        num_worlds=worlds,
        substeps=substeps,
        timestep=task.control_dt / substeps,
        device=device,
        dtype=torch.float64,
        **options,
    )


def _facts(task: Task, name: str, simulator: Simulator | None, refused: str | None) -> SimulatorFacts:
    if simulator is None:
        return SimulatorFacts(simulator=name, refused=refused)
    return SimulatorFacts(
        simulator=name,
        observation_dim=task.observation_dim,
        action_dim=task.action_dim,
        control_dt=simulator.timestep * simulator.substeps,
        substeps=simulator.substeps,
        timestep=simulator.timestep,
        contact=simulator.capabilities.contact,
        differentiable=simulator.differentiable,
        compile_seconds=simulator.compile_seconds,
    )
