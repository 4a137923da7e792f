"""Two problems whose gradients are known in closed form: a linear-quadratic one, and a ball that may bounce."""

from __future__ import annotations

import math

import mujoco
import numpy as np
import torch
from torch import Tensor

from pwm_bench.envs.simulator import State
from pwm_bench.envs.tasks.base import Task
from pwm_bench.gradients.controls import OpenLoop
from pwm_bench.gradients.landscape import Problem
from pwm_bench.gradients.simulated import SimulatedWorld
from tests.toy import PointMass, SimulatorToy

DISCOUNT = 0.9
RESTITUTION, PUSH, THRESHOLD, SPEED = 0.5, 2.0, 1.0, -0.8
BALL_NOISE = 0.25


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


class Ball(Task):
    """A falling ball: pushed by the action, it bounces within the step if it is fast enough to reach the ground.

    With v the velocity after the push, the next velocity is v, or -e v if v < -c. The reward is the velocity.
    """

    name, observation_dim, action_dim, noise_dim = "ball", 2, 1, 2
    episode_length, control_dt, substeps, source = 10, 1.0, {"toy": 1}, "tests"

    def model(self) -> mujoco.MjModel:
        return mujoco.MjModel.from_xml_string(
            '<mujoco><worldbody><body><joint name="z" type="slide" axis="0 0 1"/><geom size="0.1" mass="1"/></body>'
            '</worldbody><actuator><motor joint="z"/></actuator></mujoco>'
        )

    def observation(self, state: State, action: Tensor) -> Tensor:
        return torch.cat((state.qpos, state.qvel), dim=1)

    def reward(self, observation: Tensor, action: Tensor) -> Tensor:
        return observation[:, 1]

    def terminated(self, observation: Tensor) -> Tensor:
        return torch.zeros(observation.shape[0], dtype=torch.bool)

    def reset_state(self, noise: Tensor) -> State:
        return State(noise[:, :1], noise[:, 1:])


class SimulatorBall(SimulatorToy):
    """Its dynamics, with the right gradient on either side of the jump."""

    def step(self, state: State, ctrl: Tensor) -> State:
        v = state.qvel + PUSH * ctrl
        return State(state.qpos, torch.where(v < -THRESHOLD, -RESTITUTION * v, v))


def ball(rows: int = 256) -> tuple[SimulatedWorld, Problem]:
    """The ball in float64 and the action 0 at a velocity from which about every third sample bounces."""
    task = Ball()
    world = SimulatedWorld(task, SimulatorBall(task.model(), num_worlds=rows, dtype=torch.float64))
    control = OpenLoop(2, 1)
    start = State(torch.zeros(1, 1, dtype=torch.float64), torch.full((1, 1), SPEED, dtype=torch.float64))
    return world, Problem(start, control, torch.zeros(1, 2, dtype=torch.float64), (2,), 1, BALL_NOISE, 1.0)


def ball_answer() -> tuple[float, float]:
    """d E[reward] / d action, and what the pathwise gradient gives instead: it does not see the jump.

    With v ~ N(V, (k s)^2) and z = (-c - V) / (k s):  d/da = k [1 - Phi(z) - e Phi(z)] - (1 + e) c phi(z) / s.
    """
    z = (-THRESHOLD - SPEED) / (PUSH * BALL_NOISE)
    below = 0.5 * (1.0 + math.erf(z / math.sqrt(2.0)))
    density = math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    pathwise = PUSH * (1.0 - below - RESTITUTION * below)
    return pathwise - (1.0 + RESTITUTION) * THRESHOLD * density / BALL_NOISE, pathwise
