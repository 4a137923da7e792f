"""Lower body with 152 muscles, as published."""

from __future__ import annotations

from dataclasses import replace

import mujoco
from torch import Tensor

from pwm_bench.envs.contact import CompliantContact, CompliantLimit
from pwm_bench.envs.integrator import DFLEX
from pwm_bench.envs.tasks.base import load_asset
from pwm_bench.envs.tasks.free_root import FreeRootTask

__all__ = ["SnuHumanoid"]

_LEG = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)  # femur, tibia, talus, hallux, toes
_LIMITS = {"tibia": 200.0, "hallux": 40.0 / 3.0, "toes": 40.0 / 3.0}  # [N m/rad]


class SnuHumanoid(FreeRootTask):
    """Run forward on two legs moved by muscles.

    Observation (53): that of `FreeRootTask` with 22 joint coordinates (per leg, right first: hip quaternion, knee,
    ankle quaternion, hallux, toes) and 18 velocities, without the last action. Action (152): activation of each
    muscle in [-1, 1]; its tension is activation x strength along straight lines through via points, without force-
    length, force-velocity or passive parts; a negative one pushes. Reward: v_x + 0.1 up + heading - 0.001 sum |a|;
    the released code computes a term for the height and does not add it. Ends when the height falls below 0.46 m.
    Mass: 37 kg: pelvis and legs, nothing above.

    As released with PWM (NVlabs maps actions to activations in [0, 1]). Strengths are 0.36 times those of the released
    muscle file, whose scale of 0.6 is applied twice. The noise of the reset is added to the four numbers of each ball
    joint's quaternion, which start an episode as they then are, not of unit length.
    """

    name = "snu_humanoid"
    observation_dim = 53
    action_dim = 152
    noise_dim = 53
    episode_length = 1000
    substeps = {"warp": 48, "mjx": 8, "mujoco_c": 8}
    contact = CompliantContact(stiffness=5e3, damping=2e3, friction_damping=1e3, friction=0.5)
    limit = CompliantLimit(
        stiffness={f"{side}_{part}": value for side in ("right", "left") for part, value in _LIMITS.items()}
    )
    integrator = replace(DFLEX, matrix_refresh=8)
    constraint_geoms = tuple(f"{side}_{part}" for side in ("right", "left") for part in ("talus", "hallux", "toes"))
    source = "dflex SNU (PWM)"
    position = (0.0, 0.0, 1.0)
    orientation = (0.5, 0.5, 0.5, 0.5)
    forward = (0.0, 0.0, 1.0)
    up = (0.0, 1.0, 0.0)
    posture = _LEG + _LEG
    balls = (0, 5, 11, 16)
    observes_action = False

    def model(self) -> mujoco.MjModel:
        return load_asset("snu_humanoid.xml")

    def reward(self, observation: Tensor, action: Tensor) -> Tensor:
        return self.running_reward(observation) - 0.001 * action.abs().sum(1)

    def terminated(self, observation: Tensor) -> Tensor:
        return observation[:, 0] < 0.46
