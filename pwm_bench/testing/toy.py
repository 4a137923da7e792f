"""A point mass in the plane: an environment for learner tests that needs no simulator and runs at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mujoco
import torch
from torch import Tensor

from pwm_bench.envs.api import DifferentiableEnv
from pwm_bench.envs.capability import Capabilities
from pwm_bench.envs.simulator import State
from pwm_bench.envs.tasks.base import Task

_MJCF = """
<mujoco><worldbody><body>
  <joint name="x" type="slide" axis="1 0 0"/><joint name="y" type="slide" axis="0 1 0"/>
  <geom type="sphere" size="0.1" mass="1"/>
</body></worldbody>
<actuator><motor joint="x"/><motor joint="y"/></actuator></mujoco>
"""


class PointMass(Task):
    """Drive the mass to the origin and stop there. Reward: -|x|^2 - 0.1 |v|^2 - 0.01 |a|^2."""

    name = "point_mass"
    observation_dim = 4
    action_dim = 2
    noise_dim = 4
    episode_length = 20
    control_dt = 0.1
    source = "pwm_bench.testing"

    def model(self) -> mujoco.MjModel:
        return mujoco.MjModel.from_xml_string(_MJCF)

    def observation(self, state: State, action: Tensor) -> Tensor:
        return torch.cat((state.qpos, state.qvel), dim=1)

    def reward(self, observation: Tensor, action: Tensor) -> Tensor:
        position, velocity = observation[:, :2], observation[:, 2:]
        return -position.square().sum(1) - 0.1 * velocity.square().sum(1) - 0.01 * action.square().sum(1)

    def terminated(self, observation: Tensor) -> Tensor:
        return observation[:, :2].abs().amax(1) > 5.0

    def reset_state(self, noise: Tensor) -> State:
        return State(noise[:, :2], 0.5 * noise[:, 2:])


class SimulatorToy:
    """Semi-implicit Euler on a unit mass pushed with ``4 x ctrl`` newtons, in plain torch."""

    capabilities = Capabilities(
        name="toy",
        gradient="exact",
        contact="none",
        package="torch",
        stable_timestep=PointMass.control_dt,
        graphable=True,
    )
    name = capabilities.name
    substeps = 1
    differentiable = True
    compile_seconds = 0.0

    def __init__(
        self,
        model: mujoco.MjModel,
        *,
        num_worlds: int,
        substeps: int = 1,
        timestep: float = PointMass.control_dt,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.model = model
        self.num_worlds = num_worlds
        self.dtype = dtype
        self.device = torch.device(device)
        self.timestep = timestep

    def step(self, state: State, ctrl: Tensor) -> State:
        qvel = state.qvel + self.timestep * 4.0 * ctrl
        return State(state.qpos + self.timestep * qvel, qvel)

    def compile(self, *, gradient: bool) -> float:
        return 0.0


class Aim(PointMass):
    """Episodes of one step: hit the action that the observation asks for. Reward: -|a - observation / 2|^2."""

    name = "aim"
    observation_dim = 2

    def observation(self, state: State, action: Tensor) -> Tensor:
        return state.qpos

    def reward(self, observation: Tensor, action: Tensor) -> Tensor:
        return -(action - 0.5 * observation).square().sum(1)

    def terminated(self, observation: Tensor) -> Tensor:
        return torch.ones_like(observation[:, 0], dtype=torch.bool)


def toy_env(
    num_envs: int = 8,
    seeds: Sequence[int] = (0,),
    dtype: torch.dtype = torch.float32,
    task: Task | None = None,
    device: torch.device | str = "cpu",
    **kwargs: Any,
):
    """A `DifferentiableEnv` of the point mass (or another task of its model), with ``num_envs`` worlds in all."""
    task = task or PointMass()
    simulator = SimulatorToy(task.model(), num_worlds=num_envs, dtype=dtype, device=device)
    return DifferentiableEnv(task, simulator, seeds=seeds, **kwargs)


@torch.no_grad()
def mean_return(learner: Any, seeds: Sequence[int] = (0,), episodes: int = 32) -> Tensor:
    """Return of the deterministic policy, mean over full episodes on worlds of its own, per member ``(P,)``."""
    env = toy_env(episodes * len(seeds), [1000 + s for s in seeds])
    obs, total, running = env.reset(), torch.zeros(env.num_envs), torch.ones(env.num_envs)
    for _ in range(env.episode_length):
        step = env.step(learner.act(obs.view(len(seeds), episodes, -1)).flatten(0, 1))
        total += running * step.reward
        running *= 1.0 - step.done.float()
        obs = step.obs
    return total.view(len(seeds), episodes).mean(1)
