"""Checks of a task: spaces, resets, batched and differentiable functions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pwm_bench.envs import random
from pwm_bench.envs.simulator import State
from pwm_bench.envs.tasks import load_task
from pwm_bench.envs.tasks.base import Task
from pwm_bench.testing.host_sync import no_host_sync

__all__ = ["check_task"]

_STEPS = (1e-4, 1e-5, 1e-6)


def check_task(task: str | Task, *, worlds: int = 16, tolerance: float = 1e-5) -> None:
    """Checks a task's spaces, its reset states, and that its functions are batched, pure and differentiable.

    Args:
        task: its name, or the task.
        worlds: rows that are tried.
        tolerance: largest relative error of a directional derivative of the reward in a row, float64.

    Raises:
        AssertionError: it does not conform.
        UsageError: there is no such task.
    """
    one = load_task(task) if isinstance(task, str) else task
    name, model = one.name, one.model()
    noise = 2.0 * random.uniform(random.seed_keys(range(worlds)), one.noise_dim, torch.float64) - 1.0
    keys = random.seed_keys(range(worlds, 2 * worlds))
    action = 1.6 * random.uniform(keys, one.action_dim, torch.float64) - 0.8
    for dtype in (torch.float32, torch.float64):
        _check_spaces(one, noise.to(dtype), action.to(dtype))
    start = one.reset_state(noise)
    assert (start.qpos.shape[1], start.qvel.shape[1]) == (model.nq, model.nv), (
        f"{name}: resets to {start.qpos.shape[1]} positions and {start.qvel.shape[1]} velocities; its model has "
        f"{model.nq} and {model.nv}"
    )
    controls = one.control(action).shape[1]
    assert controls == model.nu, (
        f"{name}: action_dim={one.action_dim} makes {controls} controls, but its model has {model.nu}"
    )
    assert torch.equal(start.qpos, one.reset_state(noise).qpos), f"{name}: a reset must depend on its noise alone"
    spread = torch.cat((start.qpos, start.qvel), 1).std(0).max()
    assert spread > 0.0, f"{name}: all episodes begin in the same state"
    assert not one.terminated(one.observation(start, torch.zeros_like(action))).any(), f"{name}: a reset is terminated"
    # Away from the reset, where more happens.
    state = State(start.qpos, start.qvel + 0.3 * random.normal(random.fold(keys, 1), model.nv, torch.float64))
    observation = one.observation(state, action)
    row = slice(0, 1)
    alone = one.observation(State(state.qpos[row], state.qvel[row]), action[row])
    assert torch.allclose(alone, observation[row], rtol=1e-12), f"{name}: a row's observation depends on the other rows"
    reward = one.reward(observation, action)
    assert torch.equal(one.reward(observation, action), reward), f"{name}: a reward differs when it is computed again"
    assert torch.allclose(one.reward(observation[row], action[row]), reward[row], rtol=1e-12), (
        f"{name}: a row's reward depends on the other rows"
    )
    with no_host_sync():
        one.terminated(one.observation(state, action))
        one.reward(observation, action)
    of_action = _error(lambda a: one.reward(observation, a), action)
    of_qpos = _error(lambda q: one.reward(one.observation(State(q, state.qvel), action), action), state.qpos)
    of_qvel = _error(lambda v: one.reward(one.observation(State(state.qpos, v), action), action), state.qvel)
    for what, error in (("the action", of_action), ("positions", of_qpos), ("velocities", of_qvel)):
        assert error < tolerance, (
            f"{name}: the reward's derivative with respect to {what} differs from central differences by {error:.1e}"
        )


def _check_spaces(one: Task, noise: Tensor, action: Tensor) -> None:
    rows, dtype = noise.shape[0], noise.dtype
    state = one.reset_state(noise)
    observation = one.observation(state, action)
    found = {
        "reset_state": (state.qpos, (rows, state.qpos.shape[-1]), dtype),
        "observation": (observation, (rows, one.observation_dim), dtype),
        "reward": (one.reward(observation, action), (rows,), dtype),
        "terminated": (one.terminated(observation), (rows,), torch.bool),
        "control": (one.control(action), (rows, one.control(action).shape[-1]), dtype),
    }
    for what, (tensor, shape, kind) in found.items():
        assert tuple(tensor.shape) == shape, f"{one.name}: {what} has the shape {tuple(tensor.shape)}, not {shape}"
        assert tensor.dtype == kind, f"{one.name}: {what} is {tensor.dtype}, not {kind}"
        assert torch.isfinite(tensor).all(), f"{one.name}: {what} is not finite"


def _error(function: Callable[[Tensor], Tensor], at: Tensor) -> float:
    """Largest relative error over rows of a random directional derivative; the nearest of a few step lengths counts."""
    direction = torch.randn(at.shape, generator=torch.Generator().manual_seed(0), dtype=at.dtype)
    leaf = at.clone().requires_grad_()
    value = function(leaf)
    gradient = torch.zeros_like(at)
    if value.requires_grad:
        (gradient,) = torch.autograd.grad(value.sum(), leaf)
    slope = (gradient * direction).sum(1)
    with torch.no_grad():
        ends = [(function(at + e * direction), function(at - e * direction), e) for e in _STEPS]
    numeric = torch.stack([(plus - minus) / (2.0 * e) for plus, minus, e in ends])
    error = (numeric - slope).abs().amin(0)
    return float((error / numeric.abs().amax(0).clamp(min=1.0)).max())
