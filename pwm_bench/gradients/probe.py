"""Is the simulator's gradient right, here and now? A check that every run which relies on it carries in its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pwm_bench import envs
from pwm_bench.envs.api import DifferentiableEnv

__all__ = ["GradientCheck", "check_gradient", "check_training_gradient", "compare_with_differences"]

_STEPS = {torch.float64: (1e-5, 1e-6, 2e-7), torch.float32: (3e-2, 1e-2, 3e-3)}


@dataclass(frozen=True, slots=True)
class GradientCheck:
    """Directional derivatives of the reward collected over a short rollout, analytic against central differences."""

    cosine: float
    """Cosine between both, over all worlds and directions; 1 where the gradient is right."""
    relative_error: float
    """Median over worlds of the largest difference relative to the largest derivative."""
    horizon: int
    """Control steps."""
    worlds: int
    precision: str
    """``float64``, or ``float32`` where differences themselves are no better than about 1e-3."""


def check_training_gradient(env: DifferentiableEnv, *, horizon: int = 8) -> GradientCheck:
    """Checks the gradients that a run is about to train with; the environment is left as it was.

    In float64 on worlds of its own where that compiles in seconds, else on the environment itself.
    """
    if env.simulator.capabilities.quick_to_compile:
        return _check(_twin(env), horizon, seed=0)
    saved = {name: value.clone() for name, value in env.state_dict().items()}
    try:
        return _check(env, horizon, seed=0)
    finally:
        env.load_state_dict(saved)


def _twin(env: DifferentiableEnv, worlds: int = 8) -> DifferentiableEnv:
    """The same task in the same simulator, in float64."""
    task, one = env.task, env.simulator
    able = one.capabilities
    build: Any = type(one)
    simulator = build(
        task.model_for(able),
        num_worlds=worlds,
        substeps=one.substeps,
        timestep=one.timestep,
        device=one.device,
        dtype=torch.float64,
        **task.simulator_options(able),
    )
    return DifferentiableEnv(task, simulator, seeds=(0,))


def check_gradient(
    task: str,
    simulator: str,
    *,
    horizon: int = 8,
    worlds: int = 8,
    seed: int = 0,
    device: str | torch.device = "cpu",
    options: Mapping[str, Any] | None = None,
) -> GradientCheck:
    """Checks a task's action gradient in float64, from reset states under random actions.

    Args:
        task: name of the task.
        simulator: name of a differentiable simulator.
        horizon: control steps that the gradient passes through.
        worlds: independent rollouts.
        seed: of reset states, actions and directions.
        device: where the simulator runs.
        options: the simulator's options.
    """
    env = envs.make(
        task, simulator, num_envs=worlds, device=device, dtype=torch.float64, seed=seed, **dict(options or {})
    )
    return _check(env, horizon, seed)


def _check(env: DifferentiableEnv, horizon: int, seed: int) -> GradientCheck:
    cosine, error = compare_with_differences(env, horizon, seed)
    return GradientCheck(cosine, error, horizon, env.num_envs, str(env.dtype).removeprefix("torch."))


def compare_with_differences(
    env: DifferentiableEnv, horizon: int, seed: int, directions: int = 4
) -> tuple[float, float]:
    """Cosine and median relative error of the environment's action gradient; see `GradientCheck`.

    Of several step lengths the nearest to the analytic value counts, world by world: the onset of a contact within a
    difference's span makes that one difference wrong, not the gradient.
    """
    generator = torch.Generator().manual_seed(seed)
    shape = (horizon, env.num_envs, env.action_dim)

    def draw() -> Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64).to(env.device, env.dtype) * 1.6 - 0.8

    start = {name: value.clone() for name, value in env.state_dict().items()}

    def rewards(actions: Tensor) -> Tensor:
        env.load_state_dict(start)
        return torch.stack([env.step(action).reward for action in actions]).sum(0)

    actions = draw().requires_grad_()
    total = rewards(actions).sum()
    gradient = torch.zeros_like(actions)
    if total.requires_grad:  # else the simulator has cut the graph: its gradient is none
        (found,) = torch.autograd.grad(total, actions, allow_unused=True)
        gradient = gradient if found is None else found
    analytic, numeric = [], []
    for _ in range(directions):
        direction = draw()
        slope = (gradient * direction).sum((0, 2))
        with torch.no_grad():
            differences = torch.stack(
                [
                    (rewards(actions + e * direction) - rewards(actions - e * direction)) / (2.0 * e)
                    for e in _STEPS[env.dtype]
                ]
            )
        nearest = (differences - slope).abs().argmin(0, keepdim=True)
        analytic.append(slope)
        numeric.append(differences.gather(0, nearest).squeeze(0))
    a, n = torch.stack(analytic), torch.stack(numeric)
    cosine = torch.nn.functional.cosine_similarity(a.flatten(), n.flatten(), dim=0)
    error = (a - n).abs().amax(0) / n.abs().amax(0).clamp(min=1e-30)
    return cosine.item(), error.quantile(0.5).item()  # median() is the lower of two in the middle
