"""Compares a task with a recorded file and gathers the record."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch

from pwm_bench import envs
from pwm_bench.envs.tasks import load_task
from pwm_bench.parity.golden import compare
from pwm_bench.parity.golden.file import GoldenFile
from pwm_bench.parity.golden.record import Check, GoldenRecord
from pwm_bench.store import provenance
from pwm_bench.store.results import now

__all__ = ["measure"]


def measure(
    task_name: str,
    golden: GoldenFile,
    *,
    device: str = "cpu",
    tell: Callable[[str, float], None] = lambda stage, share: None,
) -> GoldenRecord:
    """Makes every comparison that the file has the arrays for.

    Args:
        task_name: a name from `pwm_bench.envs.tasks`.
        golden: the file.
        device: see `pwm_bench.envs.resolve_device`.
        tell: called before each stage with its name and the share that is done.

    Raises:
        UsageError: unknown task, or a file of another robot.
    """
    task = load_task(task_name)
    place = envs.resolve_device(device, "warp")
    compare.check_fit(task, golden)
    began = time.monotonic()
    has_double = golden.double("joint_q") is not None and golden.double("joint_qd") is not None
    has_gradient = f"gradient_H{golden.horizon}_full64" in golden.arrays
    has_adjoint = has_gradient and f"gradient_H{golden.horizon}" in golden.arrays
    stages: list[tuple[str, Callable[[], list[Check]]]] = [
        ("observation", lambda: [compare.check_observation(task, golden)]),
        ("reward", lambda: [compare.check_reward(task, golden)]),
        ("termination", lambda: [compare.check_termination(task, golden)]),
    ]
    if has_double:
        stages += [
            ("one step, float64", partial(compare.check_single_steps, task, golden, torch.float64, device=place)),
            ("trajectory, float64", partial(compare.check_trajectory, task, golden, torch.float64, device=place)),
        ]
    if golden.arrays["joint_q"].dtype != "float64":
        stages += [
            ("one step, float32", partial(compare.check_single_steps, task, golden, torch.float32, device=place)),
            ("trajectory, float32", partial(compare.check_trajectory, task, golden, torch.float32, device=place)),
        ]
    if has_gradient and has_double:
        stages.append(("gradient", lambda: [compare.check_gradient(task, golden, device=place)]))
    if has_adjoint:
        stages.append(("published adjoint", lambda: [compare.check_published_adjoint(golden)]))
    absent = [name for name, there in (("trajectory in float64", has_double), ("gradient", has_gradient)) if not there]
    tell("constants", 0.0)
    constants = compare.check_constants(task, golden)
    checks: list[Check] = []
    for done, (name, check) in enumerate(stages, start=1):
        tell(name, done / (len(stages) + 1))
        checks += check()
    return GoldenRecord(
        task=task_name,
        file=golden.path.name,
        digest=golden.digest,
        simulator=str(golden.meta.get("simulator", "unknown")),
        worlds=golden.worlds,
        control_steps=golden.steps,
        constants=constants,
        checks=checks,
        absent=absent,
        seconds=time.monotonic() - began,
        created_at=now(),
        provenance=provenance.collect(str(place), "float64 and float32"),
    )
