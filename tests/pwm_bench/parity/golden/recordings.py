"""Recordings for tests: the published ones, copies with changed arrays, and recordings of our own simulator."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pwm_bench import envs
from pwm_bench.envs import warp
from pwm_bench.envs.simulator import Simulator, State
from pwm_bench.envs.tasks.base import Task
from pwm_bench.parity.golden.file import Joint, read_golden
from pwm_bench.parity.golden.frames import to_ours, to_theirs

__all__ = ["GOLDEN", "arrays_of", "recorded_from", "save", "shortened", "with_meta"]

GOLDEN = Path(__file__).parents[3] / "envs" / "golden"


def arrays_of(task: str) -> dict[str, np.ndarray]:
    """All arrays of a published recording."""
    with np.load(GOLDEN / f"{task}.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def save(path: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """Writes arrays as a recording."""
    content = io.BytesIO()
    np.savez(content, **arrays)
    path.write_bytes(content.getvalue())
    return path


def shortened(arrays: Mapping[str, np.ndarray], steps: int) -> dict[str, np.ndarray]:
    """The first control steps of a recording of 100."""
    along = {n for n, a in arrays.items() if a.ndim and len(a) in (100, 101) and not n.startswith("model_")}
    return {name: a[: len(a) - 100 + steps] if name in along else a for name, a in arrays.items()}


def with_meta(arrays: Mapping[str, np.ndarray], **entries: Any) -> dict[str, np.ndarray]:
    """The arrays with entries of ``meta`` replaced; None removes one."""
    meta = json.loads(str(arrays["meta"])) | entries
    text = json.dumps({name: value for name, value in meta.items() if value is not None})
    return dict(arrays) | {"meta": np.array(text)}


@torch.no_grad()
def recorded_from(task: Task, steps: int, worlds: int = 2) -> dict[str, np.ndarray]:
    """A recording of one of our own tasks, with everything but the constants as our simulator gives it.

    The starts and actions are those of the published recording; the gradient is made of central differences.
    """
    arrays = arrays_of(task.name)
    joints = read_golden(GOLDEN / f"{task.name}.npz").joints
    meta = json.loads(str(arrays["meta"]))
    actions = torch.from_numpy(arrays["actions"][:steps, :worlds])
    start = [torch.from_numpy(arrays[name][:worlds]).double() for name in ("joint_q0", "joint_qd0")]
    kept = {name: array for name, array in arrays.items() if name == "meta" or name.startswith("model_")}
    for dtype, suffix in ((torch.float32, ""), (torch.float64, "_f64")):
        substeps = task.substeps_for(warp.capabilities)
        timestep = task.control_dt / substeps if dtype == torch.float32 else meta["substep_dt_used"]
        simulator = envs.make_simulator(
            "warp", task.model(), num_worlds=worlds, substeps=substeps, timestep=timestep, dtype=dtype,
            **task.simulator_options(warp.capabilities),
        )  # fmt: skip
        state = State(*(x.to(dtype) for x in _parts(to_ours(joints, *start))))
        q, qd, _ = _play(task, simulator, state, actions.to(dtype), joints)
        kept[f"joint_q{suffix}"], kept[f"joint_qd{suffix}"] = q.to(dtype).numpy(), qd.to(dtype).numpy()
    recorded = to_ours(joints, *(torch.from_numpy(kept[n]).double().flatten(0, 1) for n in ("joint_q", "joint_qd")))
    observations = task.observation(recorded, recorded.qpos.new_zeros(len(recorded.qpos), task.action_dim))
    observations = observations.view(steps + 1, worlds, -1)
    flat = observations[:-1].flatten(0, 1), actions.double().flatten(0, 1)
    kept |= {
        "actions": actions.numpy(),
        "obs": observations.float().numpy(),
        "reward": task.reward(*flat).view(steps, worlds).float().numpy(),
        "done": task.terminated(observations[1:].flatten(0, 1)).view(steps, worlds).numpy(),
        "divergence": np.zeros(steps + 1),
        "float32_error": np.zeros((steps + 1, worlds)),
        "step_error_qd": np.zeros((steps, worlds)),
    }
    horizon = min(steps, 8)
    meta["gradient"]["H"] = horizon
    gradient = np.zeros((horizon, worlds, task.action_dim))
    first = State(*(x.double() for x in _parts(to_ours(joints, *start))))
    for t in range(horizon):
        for a in range(task.action_dim):
            ends = []
            for sign in (1.0, -1.0):
                moved = actions[:horizon].double().clone()
                moved[t, :, a] += sign * 1e-5
                ends.append(_play(task, simulator, first, moved, joints)[2])
            gradient[t, :, a] = (ends[0] - ends[1]).sum(0).numpy() / 2e-5
    kept[f"gradient_H{horizon}_full64"] = gradient
    kept[f"gradient_H{horizon}"] = gradient.astype(np.float32)
    return with_meta(kept, gradient=meta["gradient"])


def _parts(state: State) -> tuple[Tensor, Tensor]:
    """Both parts of a state."""
    return state.qpos, state.qvel


def _play(
    task: Task, simulator: Simulator, state: State, actions: Tensor, joints: Sequence[Joint]
) -> tuple[Tensor, Tensor, Tensor]:
    states, rewards = [to_theirs(joints, State(*(x.double() for x in _parts(state))))], []
    for action in actions:
        rewards.append(task.reward(task.observation(state, torch.zeros_like(action)), action))
        state = simulator.step(state, task.control(action))
        states.append(to_theirs(joints, State(*(x.double() for x in _parts(state)))))
    q, qd = (torch.stack(part) for part in zip(*states, strict=True))
    return q, qd, torch.stack(rewards)
