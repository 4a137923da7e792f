"""Is the simulator's gradient right, here and now? A check that every run which relies on it carries in its record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from pwm_bench import envs
from pwm_bench.envs.api import DifferentiableEnv

__all__ = ["Agreement", "GradientCheck", "check_gradient", "check_training_gradient", "compare_with_differences"]

_STEPS = {torch.float64: (1e-5, 1e-6, 2e-7), torch.float32: (1e-2, 3e-3, 1e-3, 3e-4)}


@dataclass(frozen=True, slots=True)
class Agreement:
    """Directional derivatives of one quantity of a short rollout, analytic against central differences."""

    of: Literal["reward", "observation"]
    """``reward``: the sum over the rollout. ``observation``: a fixed random projection of all its observations, which
    finds a wrong gradient of the state where the reward does not feel the state yet."""
    cosine: float
    """Cosine between both, over all worlds and directions; 1 where the gradient is right, also if both are zero."""
    relative_error: float
    """Median of the largest difference relative to the largest derivative, over worlds that have any derivative; zero
    if none has."""


@dataclass(frozen=True, slots=True)
class GradientCheck:
    """The gradient of a short rollout against central differences: of the quantity that agrees worse."""

    of: Literal["reward", "observation"]
    """The quantity; see `Agreement`, also for the next two."""
    cosine: float
    relative_error: float
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
    found = compare_with_differences(env, horizon, seed)
    worst = max(found, key=lambda one: math.inf if math.isnan(one.relative_error) else one.relative_error)
    precision = str(env.dtype).removeprefix("torch.")
    return GradientCheck(worst.of, worst.cosine, worst.relative_error, horizon, env.num_envs, precision)


def compare_with_differences(
    env: DifferentiableEnv, horizon: int, seed: int, directions: int = 4
) -> tuple[Agreement, Agreement]:
    """Compares the environment's action gradient with differences: of the reward, and of the observations.

    Of several step lengths the nearest to the analytic value counts, world by world: the onset of a contact within a
    difference's span makes that one difference wrong, not the gradient.
    """
    generator = torch.Generator().manual_seed(seed)

    def to_env(drawn: Tensor) -> Tensor:
        return drawn.to(env.device, env.dtype)

    def draw() -> Tensor:
        shape = (horizon, env.num_envs, env.action_dim)
        return to_env(torch.rand(shape, generator=generator, dtype=torch.float64) * 1.6 - 0.8)

    start = {name: value.clone() for name, value in env.state_dict().items()}
    actions = draw().requires_grad_()
    weights = to_env(torch.randn((horizon, env.observation_dim), generator=generator, dtype=torch.float64))

    def quantities(actions: Tensor) -> Tensor:
        """The rollout's reward and projection in each world, shape ``(2, N)``."""
        env.load_state_dict(start)
        steps = [env.step(action) for action in actions]
        projected = [step.final_obs @ one for step, one in zip(steps, weights, strict=True)]
        return torch.stack([torch.stack([step.reward for step in steps]).sum(0), torch.stack(projected).sum(0)])

    # A rollout for each: not every simulator can be differentiated twice over one.
    gradients = torch.stack([_gradient(quantities(actions)[of].sum(), actions) for of in range(2)])
    analytic, numeric = [], []
    for _ in range(directions):
        direction = draw()
        slope = (gradients * direction).sum((1, 3))
        with torch.no_grad():
            differences = torch.stack(
                [
                    (quantities(actions + e * direction) - quantities(actions - e * direction)) / (2.0 * e)
                    for e in _STEPS[env.dtype]
                ]
            )
        nearest = (differences - slope).abs().argmin(0, keepdim=True)
        analytic.append(slope)
        numeric.append(differences.gather(0, nearest).squeeze(0))
    a, n = torch.stack(analytic, 1), torch.stack(numeric, 1)  # quantity, direction, world
    return _agreement("reward", a[0], n[0]), _agreement("observation", a[1], n[1])


def _gradient(total: Tensor, actions: Tensor) -> Tensor:
    """The gradient of a sum over worlds; zero where the simulator has cut the graph."""
    if not total.requires_grad:
        return torch.zeros_like(actions)
    (found,) = torch.autograd.grad(total, actions, allow_unused=True)
    return torch.zeros_like(actions) if found is None else found


def _agreement(of: Literal["reward", "observation"], analytic: Tensor, numeric: Tensor) -> Agreement:
    """Both have shape ``(directions, worlds)``."""
    largest = numeric.abs().amax(0)
    felt = (analytic.abs().amax(0) != 0.0) | (largest != 0.0)  # true for what is not a number
    if not felt.any():
        return Agreement(of, 1.0, 0.0)
    cosine = torch.nn.functional.cosine_similarity(analytic.flatten(), numeric.flatten(), dim=0)
    error = ((analytic - numeric).abs().amax(0) / largest.clamp(min=1e-30))[felt]
    return Agreement(of, cosine.item(), error.quantile(0.5).item())  # median() is the lower of two in the middle
