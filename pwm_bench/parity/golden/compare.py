"""The comparisons with a recorded file, each a function of a task and the file.

The simulator is Warp, with the task's own constants, substeps and integrator; ``options`` are further ones of
`pwm_bench.envs.warp.SimulatorWarp`, such as ``device`` and ``specialised``. In float64 a substep lasts as long as the
file's float64 copy says (which rounded it to float32), in float32 as long as the task says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pwm_bench import envs
from pwm_bench.envs import warp
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.simulator import Simulator, State
from pwm_bench.envs.tasks.base import Task
from pwm_bench.parity.golden.constants import compare_constants
from pwm_bench.parity.golden.file import BALL, FREE, HINGE, SLIDE, GoldenFile
from pwm_bench.parity.golden.frames import to_ours, to_theirs
from pwm_bench.parity.golden.judge import judge, judge_gradient, relative
from pwm_bench.parity.golden.our_model import our_constants
from pwm_bench.parity.golden.published_model import published_constants
from pwm_bench.parity.golden.record import Check, ConstantGroup

__all__ = [
    "JUDGED_STEPS", "check_constants", "check_fit", "check_gradient", "check_observation", "check_published_adjoint",
    "check_reward", "check_single_steps", "check_termination", "check_trajectory",
]  # fmt: skip

JUDGED_STEPS = 50
"""Control steps of the recorded motion that are simulated and compared."""
_Q, _QD = 1e-5, 1e-4  # of float64 trajectories; the latter relative to max(1, |qd|)
_Q_FLOAT32, _NOISE, _STEP_NOISE = 1e-4, 3.0, 5.0
_GIVEN = 1e-5  # of observations and rewards from given states, relative to max(1, |x|)
_GRADIENT = 1e-3
_MUJOCO_KINDS = {FREE: 0, BALL: 1, SLIDE: 2, HINGE: 3}


def check_fit(task: Task, golden: GoldenFile) -> None:
    """Refuses a file of another robot.

    Raises:
        UsageError: joints or actions do not correspond.
    """
    ours = task.model().jnt_type.tolist()
    theirs = [_MUJOCO_KINDS[joint.kind] for joint in golden.joints]
    if ours != theirs:
        words = {0: "free", 1: "ball", 2: "slide", 3: "hinge"}
        shown = [" ".join(words[kind] for kind in kinds) for kinds in (ours, theirs)]
        raise UsageError(
            f"{golden.path}: records task '{golden.meta['task']}' with joints {shown[1]}, but '{task.name}' has "
            f"{shown[0]}: give a file of this robot"
        )
    actions = golden.arrays["actions"].shape[-1]
    if task.action_dim != actions:
        raise UsageError(f"{golden.path}: has {actions} actions, but '{task.name}' has {task.action_dim}")


def check_constants(task: Task, golden: GoldenFile) -> list[ConstantGroup]:
    """Every constant of the compiled robot against the file's, grouped by quantity."""
    groups: dict[str, list] = {}
    for row in compare_constants(our_constants(task, golden), published_constants(golden)):
        groups.setdefault(row.quantity, []).append(row)
    return [
        ConstantGroup(quantity=quantity, compared=len(rows), misfits=[row.words for row in rows if not row.agrees])
        for quantity, rows in groups.items()
    ]


@torch.no_grad()
def check_trajectory(
    task: Task, golden: GoldenFile, dtype: torch.dtype, *, steps: int = JUDGED_STEPS, **options: Any
) -> list[Check]:
    """joint_q (and in float64 joint_qd) along the whole motion from the file's starts with its actions."""
    published_q, published_qd = _states(golden, dtype)
    steps = min(steps, golden.steps)
    simulator = _simulator(task, golden, dtype, golden.worlds, options)
    state = _start(golden, simulator, published_q[0], published_qd[0])
    moved = []
    for action in _actions(golden, simulator)[:steps]:
        state = simulator.step(state, task.control(action))
        moved.append(_back(golden, state))
    q, qd = (np.stack(part) for part in zip(*moved, strict=True))
    run, precision, after = "trajectory", _precision(dtype), range(1, steps + 1)
    published_q, published_qd = published_q[1 : steps + 1], published_qd[1 : steps + 1]
    if dtype == torch.float64:
        return [
            judge("joint_q", run, precision, q, published_q, np.array(_Q), _q_name(golden), after),
            judge("joint_qd", run, precision, qd, published_qd, relative(_QD, published_qd), _qd_name(golden), after),
        ]
    noise = np.full((steps, golden.worlds), _Q_FLOAT32)
    if "divergence" in golden.arrays:
        noise = np.maximum(noise, _NOISE * golden.arrays["divergence"][1 : steps + 1, None])
    if "float32_error" in golden.arrays:
        noise = np.maximum(noise, _NOISE * golden.arrays["float32_error"][1 : steps + 1])
    return [judge("joint_q", run, precision, q, published_q, noise[..., None], _q_name(golden), after)]


@torch.no_grad()
def check_single_steps(
    task: Task, golden: GoldenFile, dtype: torch.dtype, *, steps: int = JUDGED_STEPS, **options: Any
) -> list[Check]:
    """joint_qd (and in float64 joint_q) one control step after each of the first states, all in one batch."""
    published_q, published_qd = _states(golden, dtype)
    steps = min(steps, golden.steps)
    simulator = _simulator(task, golden, dtype, steps * golden.worlds, options)
    state = _start(golden, simulator, published_q[:steps], published_qd[:steps])
    action = _actions(golden, simulator)[:steps].flatten(0, 1)
    q, qd = _back(golden, simulator.step(state, task.control(action)))
    run, precision, after = "one step", _precision(dtype), range(1, steps + 1)
    published_q, published_qd = published_q[1 : steps + 1], published_qd[1 : steps + 1]
    q, qd = q.reshape(published_q.shape), qd.reshape(published_qd.shape)
    tolerance = relative(_QD, published_qd)
    if dtype == torch.float32 and "step_error_qd" in golden.arrays:
        tolerance = np.maximum(tolerance, _STEP_NOISE * golden.arrays["step_error_qd"][:steps, :, None])
    checks = [judge("joint_qd", run, precision, qd, published_qd, tolerance, _qd_name(golden), after)]
    if dtype == torch.float64:
        names = _q_name(golden)
        checks.insert(0, judge("joint_q", run, precision, q, published_q, np.array(_Q), names, after))
    return checks


@torch.no_grad()
def check_observation(task: Task, golden: GoldenFile) -> Check:
    """Observations of the file's own states, without the block of actions."""
    published, counts = golden.arrays["obs"].astype(np.float64), golden.observed
    ours = _observations(task, golden).numpy()
    run = "given states"
    if ours.shape != published.shape:
        words = f"ours has {ours.shape[-1]} entries, the published one {published.shape[-1]}"
        return Check(
            name="observation", run=run, precision="float64", compared=0, error=None, tolerance=None, fraction=None,
            over_time=[], agrees=False, words=words,
        )  # fmt: skip
    tolerance = np.where(counts, relative(_GIVEN, published), np.inf)
    ours = np.where(counts, ours, published)
    steps = range(golden.steps + 1)
    names = golden.observation_name
    return judge("observation", run, "float64", ours, published, tolerance, names, steps, "at state")


@torch.no_grad()
def check_reward(task: Task, golden: GoldenFile) -> Check:
    """Rewards of the file's own states and actions."""
    published = golden.arrays["reward"].astype(np.float64)
    actions = _clamped(golden, torch.float64)
    observations = _observations(task, golden)[:-1]
    ours = task.reward(observations.flatten(0, 1), actions.flatten(0, 1)).view(published.shape).numpy()
    tolerance = relative(_GIVEN, published)
    steps = range(1, golden.steps + 1)
    run, names = "given states", _one_name("reward")
    return judge("reward", run, "float64", ours, published, tolerance, names, steps, "at step")


@torch.no_grad()
def check_termination(task: Task, golden: GoldenFile) -> Check:
    """Ends of episodes at the file's own states: equal."""
    published = golden.arrays["done"].astype(np.float64)
    observations = _observations(task, golden)[1:]
    ours = task.terminated(observations.flatten(0, 1)).view(published.shape).double().numpy()
    steps = range(1, golden.steps + 1)
    zero = np.zeros_like(published)
    run, names = "given states", _one_name("done")
    return judge("termination", run, "float64", ours, published, zero, names, steps, "at state")


def check_gradient(task: Task, golden: GoldenFile, **options: Any) -> Check:
    """Gradient of the return over the first H control steps with respect to the actions, world by world.

    The return is the sum of r(s_t, a_t) for t < H; the error is relative to the norm of the world's true gradient,
    which the file has from float64 differences.
    """
    horizon = golden.horizon
    simulator = _simulator(task, golden, torch.float64, golden.worlds, options)
    q, qd = _states(golden, torch.float64)
    state = _start(golden, simulator, q[0], qd[0])
    actions = torch.as_tensor(golden.arrays["actions"][:horizon]).to(simulator.device, torch.float64).requires_grad_()
    total = actions.new_zeros(golden.worlds)
    previous = torch.zeros_like(actions[0])
    for action in actions.clamp(-1.0, 1.0):
        total = total + task.reward(task.observation(state, previous), action)
        state, previous = simulator.step(state, task.control(action)), action
    (gradient,) = torch.autograd.grad(total.sum(), actions)
    return judge_gradient("gradient", golden, gradient.cpu().numpy(), "float64", _GRADIENT)


def check_published_adjoint(golden: GoldenFile) -> Check:
    """How far the recorded simulator's own float32 adjoint is from the true gradient; shown, not judged."""
    recorded = golden.arrays[f"gradient_H{golden.horizon}"]
    return judge_gradient("published adjoint", golden, recorded.astype(np.float64), str(recorded.dtype), None)


def _one_name(name: str) -> Callable[[int], str]:
    return lambda index: name


def _q_name(golden: GoldenFile) -> Callable[[int], str]:
    return lambda index: str(golden.meta["q_names"][index])


def _qd_name(golden: GoldenFile) -> Callable[[int], str]:
    return lambda index: f"velocity of {golden.meta['qd_names'][index]}"


def _precision(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _states(golden: GoldenFile, dtype: torch.dtype) -> tuple[np.ndarray, np.ndarray]:
    """joint_q and joint_qd as recorded in an arithmetic.

    Raises:
        UsageError: the file has no trajectory in it.
    """
    if dtype == torch.float32:
        q, qd = golden.arrays["joint_q"], golden.arrays["joint_qd"]
        return q.astype(np.float64), qd.astype(np.float64)
    q64, qd64 = golden.double("joint_q"), golden.double("joint_qd")
    if q64 is None or qd64 is None:
        raise UsageError(f"{golden.path}: has no trajectory in float64")
    return q64, qd64


def _simulator(
    task: Task, golden: GoldenFile, dtype: torch.dtype, worlds: int, options: Mapping[str, Any]
) -> Simulator:
    substeps = task.substeps_for(warp.capabilities)
    used = float(golden.meta["substep_dt_used"])
    return envs.make_simulator(
        "warp",
        task.model(),
        num_worlds=worlds,
        substeps=substeps,
        timestep=used if dtype == torch.float64 else task.control_dt / substeps,
        dtype=dtype,
        **task.simulator_options(warp.capabilities),
        **options,
    )


def _start(golden: GoldenFile, simulator: Simulator, q: np.ndarray, qd: np.ndarray) -> State:
    """Recorded states (..., n) as a batch of the simulator; they are converted in float64."""
    state = to_ours(golden.joints, torch.as_tensor(q), torch.as_tensor(qd))
    return State(*(x.reshape(-1, x.shape[-1]).to(simulator.device, simulator.dtype) for x in (state.qpos, state.qvel)))


def _back(golden: GoldenFile, state: State) -> tuple[np.ndarray, np.ndarray]:
    q, qd = to_theirs(golden.joints, State(state.qpos.cpu().double(), state.qvel.cpu().double()))
    return q.numpy(), qd.numpy()


def _clamped(golden: GoldenFile, dtype: torch.dtype) -> Tensor:
    return torch.as_tensor(golden.arrays["actions"], dtype=dtype).clamp(-1.0, 1.0)


def _actions(golden: GoldenFile, simulator: Simulator) -> Tensor:
    return _clamped(golden, simulator.dtype).to(simulator.device)


def _observations(task: Task, golden: GoldenFile) -> Tensor:
    """Our observations of all recorded states, float64, (T + 1, W, O)."""
    q, qd = (torch.as_tensor(golden.arrays[name].astype(np.float64)) for name in ("joint_q", "joint_qd"))
    state = to_ours(golden.joints, q.flatten(0, 1), qd.flatten(0, 1))
    observations = task.observation(state, state.qpos.new_zeros(len(state.qpos), task.action_dim))
    return observations.view(*q.shape[:2], -1)
