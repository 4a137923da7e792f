"""A linear-quadratic problem, whose gradients are known in closed form: the point mass, without limits."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pwm_bench.envs.simulator import State
from pwm_bench.gradients.controls import OpenLoop
from pwm_bench.gradients.landscape import Problem
from pwm_bench.gradients.simulated import SimulatedWorld
from pwm_bench.testing.toy import PointMass, SimulatorToy

__all__ = ["DISCOUNT", "point_mass", "quadratic_answer", "quadratic_problem", "quadratic_value"]

DISCOUNT = 0.9
VALUE_WEIGHT, VALUE_SLOPE = np.diag([2.0, 0.5, 0.3, 0.2]), np.array([1.0, -0.5, 0.2, 0.1])


def quadratic_value(features: Tensor) -> Tensor:
    """V(x) = -x' P x + q' x of states ``(N, 4)``: with it at the end of a horizon, returns stay quadratic."""
    weight, slope = (torch.from_numpy(x).to(features) for x in (VALUE_WEIGHT, VALUE_SLOPE))
    return -((features @ weight) * features).sum(1) + features @ slope


def point_mass(rows: int = 64, *, value: bool = False) -> SimulatedWorld:
    """The point mass in float64, with `quadratic_value` at the end of a horizon if asked for."""
    task = PointMass()
    simulator = SimulatorToy(task.model(), num_worlds=rows, dtype=torch.float64)
    return SimulatedWorld(task, simulator, termination=False, value=quadratic_value if value else None)


def quadratic_problem(states: int = 3, horizons: tuple[int, ...] = (2, 4), noise: float = 0.1) -> Problem:
    """Start states and actions so small that no action is ever clipped."""
    generator = torch.Generator().manual_seed(1)
    start = State(*(torch.randn(states, 2, generator=generator, dtype=torch.float64) for _ in range(2)))
    control = OpenLoop(horizons[-1], 2, scale=0.3)
    theta = control.nominal(states, 0, torch.float64, torch.device("cpu"))
    return Problem(start, control, theta, horizons, 2, noise, DISCOUNT)


def quadratic_answer(problem: Problem, horizon: int, *, value: bool = False) -> tuple[Tensor, Tensor]:
    """Gradient ``(S, D)`` and Hessian ``(D, D)`` of the return, by writing the linear dynamics out.

    Where ``value`` is asked for, gamma^H V(s_H) of `quadratic_value` is part of the return.
    """
    dt, size = PointMass.control_dt, 2 * horizon
    free, forced = np.eye(4), np.zeros((4, size))
    step = np.block([[np.eye(2), dt * np.eye(2)], [np.zeros((2, 2)), np.eye(2)]])
    push = np.vstack([dt * dt * 4.0 * np.eye(2), dt * 4.0 * np.eye(2)])
    weight = np.diag([1.0, 1.0, 0.1, 0.1])
    hessian, by_start = np.zeros((size, size)), np.zeros((size, 4))
    for t in range(horizon):
        scale = -2.0 * DISCOUNT**t
        hessian += scale * forced.T @ weight @ forced
        by_start += scale * forced.T @ weight @ free
        pick = np.zeros((2, size))
        pick[:, 2 * t : 2 * t + 2] = np.eye(2)
        hessian += scale * 0.01 * pick.T @ pick
        free, forced = step @ free, step @ forced + push @ pick
    constant = np.zeros(size)
    if value:  # free and forced have arrived at s_H
        scale = DISCOUNT**horizon
        hessian += -2.0 * scale * forced.T @ VALUE_WEIGHT @ forced
        by_start += -2.0 * scale * forced.T @ VALUE_WEIGHT @ free
        constant = scale * forced.T @ VALUE_SLOPE
    start = torch.cat((problem.start.qpos, problem.start.qvel), 1)
    h = torch.from_numpy(hessian)
    return start @ torch.from_numpy(by_start).T + problem.theta[:, :size] @ h + torch.from_numpy(constant), h
