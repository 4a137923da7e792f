"""A task of one's own: bring a load that hangs on a cart by a spring to the middle."""

from functools import cache

import mujoco
import torch

from pwm_bench.envs.simulator import State
from pwm_bench.envs.tasks import Task

MJCF = """
<mujoco><option gravity="0 0 0"/><default><geom type="sphere" size="0.1" contype="0" conaffinity="0"/></default>
<worldbody><body>
  <joint name="cart" type="slide" axis="1 0 0" damping="0.5"/><geom mass="1"/>
  <body><joint name="load" type="slide" axis="1 0 0" stiffness="20" damping="0.1"/><geom mass="0.5"/></body>
</body></worldbody>
<actuator><motor joint="cart" gear="10" ctrllimited="true" ctrlrange="-1 1"/></actuator></mujoco>
"""


@cache
def model():
    return mujoco.MjModel.from_xml_string(MJCF)


class Shuttle(Task):
    """Observation: where cart and load are [m], and their velocities [m/s]. Reward: 1 - |load|^2 - 0.05 a^2."""

    name, label, source = "shuttle", "Shuttle", "spring-lab"
    observation_dim, action_dim, noise_dim = 4, 1, 4
    episode_length = 120

    def model(self):
        return model()

    def observation(self, state, action):
        return torch.cat((state.qpos, state.qvel), dim=1)

    def reward(self, observation, action):
        load = observation[:, 0] + observation[:, 1]
        return 1.0 - load.square() - 0.05 * action.square().sum(1)

    def terminated(self, observation):
        return observation[:, 0].abs() > 5.0

    def reset_state(self, noise):
        return State(noise[:, :2], 0.1 * noise[:, 2:])
