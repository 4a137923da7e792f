"""A problem whose gradients are known in closed form: a ball that may bounce."""

from __future__ import annotations

import math

import mujoco
import torch
from torch import Tensor

from pwm_bench.envs.simulator import State
from pwm_bench.envs.tasks.base import Task
from pwm_bench.gradients.controls import OpenLoop
from pwm_bench.gradients.landscape import Problem
from pwm_bench.gradients.simulated import SimulatedWorld
from pwm_bench.testing.toy import SimulatorToy

RESTITUTION, PUSH, THRESHOLD, SPEED = 0.5, 2.0, 1.0, -0.8
BALL_NOISE = 0.25


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
