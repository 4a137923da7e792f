"""``pwm-bench bench simulators``: exactness and speed of the simulators on this machine."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import torch

from pwm_bench import envs
from pwm_bench.bench.ledger import Value, as_table, begun
from pwm_bench.bench.timing import interleaved, median_seconds
from pwm_bench.bench.workloads import Rollout, make_rollout, mujoco_rollout
from pwm_bench.cli.showing import terminal
from pwm_bench.envs.simulator import State
from pwm_bench.envs.tasks import load_task

__all__ = ["main"]

_WORLDS = (1, 64, 1024)
_WORLDS_QUICK = {"warp": (1, 64), "mjx": (64,), "mujoco_c": (1, 64)}
_HORIZON = 16


def main(*, quick: bool = False, task: Sequence[str] = (), output: Path | None = None) -> None:
    """Prints all tables.

    Args:
        quick: at most 64 worlds.
        task: names of tasks; all by default.
        output: file for the rows.

    Raises:
        UsageError: there is no such task.
    """
    envs.TASKS.check(*task)
    tasks, console = tuple(task) or tuple(envs.TASKS.own), terminal()
    devices = {name: envs.resolve_device("auto", name) for name in envs.SIMULATORS.own}
    gpu = max(devices.values(), key=lambda device: device.type == "cuda")
    ledger = begun(console, output, str(gpu))
    where = "per second on a GPU, per processor second of one thread on a CPU"
    parts = {
        "exactness": ("Warp, float64: relative errors", _exactness(tasks)),
        "speed": (f"Environment steps {where}, float32, horizon {_HORIZON}", _speed(devices, tasks, quick)),
    }
    if gpu.type == "cpu":
        parts["mujoco"] = (f"Physics substeps, forward, {where}, 64 worlds, float32", _against_mujoco(tasks))
    for table, (title, rows) in parts.items():
        with console.status(table):
            for row in rows:
                ledger.add(table, **row)
        console.print(as_table(title, ledger.tables()[table]))


def _exactness(tasks: Sequence[str]) -> Iterator[dict[str, Value]]:
    for task in tasks:
        yield {
            "task": task,
            "acceleration against MuJoCo C, contacts off": _acceleration_error(task),
            "action gradient against differences": _gradient_error(task),
        }


def _acceleration_error(task: str) -> float:
    model = load_task(task).model().__copy__()
    model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_CONSTRAINT)
    # Published axes have float32's rounding: lengths that are not 1, which MuJoCo and these kernels take differently.
    model.jnt_axis /= np.linalg.norm(model.jnt_axis, axis=1, keepdims=True)
    timestep, worlds, rng = 1e-3, 16, np.random.default_rng(0)
    model.opt.timestep = timestep
    data = mujoco.MjData(model)
    before, after, states = [], [], []
    for _ in range(worlds):
        mujoco.mj_resetData(model, data)
        mujoco.mj_integratePos(model, data.qpos, rng.normal(size=model.nv), 1.0)
        data.qvel[:] = 2.0 * rng.normal(size=model.nv)
        states.append(data.qpos.copy())
        before.append(data.qvel.copy())
        mujoco.mj_step(model, data)
        after.append(data.qvel.copy())
    simulator = envs.make_simulator(
        "warp", model, num_worlds=worlds, substeps=1, timestep=timestep, dtype=torch.float64
    )
    state = State(torch.from_numpy(np.array(states)), torch.from_numpy(np.array(before)))
    result = simulator.step(state, torch.zeros(worlds, model.nu, dtype=torch.float64)).qvel.numpy()
    return float(np.abs(result - after).max() / np.abs(np.array(after) - before).max())


def _gradient_error(task: str) -> float:
    """Worst relative error over worlds, of a rollout that meets the ground where there is one."""
    rollout = make_rollout(task, "warp", 16, _HORIZON, dtype=torch.float64)
    grad = rollout.gradient()
    generator = torch.Generator().manual_seed(2)
    numeric, analytic = [], []
    for _ in range(8):
        direction = torch.randn(grad.shape, generator=generator, dtype=torch.float64)
        totals = []
        for sign in (1.0, -1.0):
            shifted = Rollout(rollout.simulator, rollout.start, rollout.ctrl.clamp(-0.9, 0.9) + sign * 1e-6 * direction)
            state = shifted.forward()
            totals.append(state.qpos.sum(1) + state.qvel.sum(1))
        numeric.append((totals[0] - totals[1]) / 2e-6)
        base = Rollout(rollout.simulator, rollout.start, rollout.ctrl.clamp(-0.9, 0.9))
        analytic.append((base.gradient() * direction).sum((0, 2)))
    error = (torch.stack(numeric) - torch.stack(analytic)).abs().amax(0) / torch.stack(numeric).abs().amax(0)
    return error.quantile(0.5).item()


def _speed(devices: dict[str, torch.device], tasks: Sequence[str], quick: bool) -> Iterator[dict[str, Value]]:
    """Times rollouts. One thread steps the worlds on a CPU (XLA has threads of its own) and processor time counts, that
    of all threads, which others' work disturbs least; on a GPU elapsed time does."""
    for simulator, device in devices.items():
        timing: dict[str, Any] = {"repeats": 3, "clock": "processor" if device.type == "cpu" else "wall"}
        threads = "threads" in inspect.signature(envs.SIMULATORS.load(simulator).Simulator).parameters
        options: dict[str, Any] = {"threads": 1} if threads and device.type == "cpu" else {}
        for task, worlds in itertools.product(tasks, _WORLDS_QUICK[simulator] if quick else _WORLDS):
            rollout = make_rollout(task, simulator, worlds, _HORIZON, device=device, **options)
            differentiable = rollout.simulator.differentiable
            rollout.simulator.compile(gradient=differentiable)
            rollout.check()
            forward = rollout.env_steps / median_seconds(rollout.forward, **timing)
            yield {
                "task": task,
                "simulator": simulator if device.type == "cpu" else f"{simulator} ({device})",
                "substeps": rollout.simulator.substeps,
                "worlds": worlds,
                "forward": forward,
                "forward + backward": rollout.env_steps / median_seconds(rollout.gradient, **timing)
                if differentiable
                else None,
                "compile [s]": round(rollout.simulator.compile_seconds, 1),
            }


def _against_mujoco(tasks: Sequence[str]) -> Iterator[dict[str, Value]]:
    for task in tasks:
        rollout = make_rollout(task, "warp", 64, _HORIZON, threads=1)
        rollout.check()
        substeps = rollout.env_steps * rollout.simulator.substeps
        reference = mujoco_rollout(task, 64, substeps // 64, rollout.simulator.timestep)
        seconds = interleaved({"warp": rollout.forward, "mujoco": reference}, clock="processor")
        yield {
            "task": task,
            "Warp": substeps / seconds["warp"],
            "MuJoCo C, full step": substeps / seconds["mujoco"],
            "ratio": seconds["mujoco"] / seconds["warp"],
        }
