"""The 11 tasks that TD-MPC2 added to dm_control's models.

Each is one of dm_control's tasks with another reward (and, for the cup, other starts); the rewards follow TD-MPC2's
published definitions, whose numbers are stated at the constants. ``tolerance`` is dm_control's: 1 inside the bounds,
falling to ``value_at_margin`` at a distance ``margin`` outside them.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from importlib import resources
from typing import Any

import numpy as np
from dm_control import mujoco
from dm_control.rl import control
from dm_control.suite import ball_in_cup, base, cheetah, hopper, pendulum, reacher, walker
from dm_control.utils.rewards import tolerance

__all__ = ["CUSTOM"]

_INF = float("inf")
_CHEETAH_HEIGHT = 1.2  # [m] of torso and lifted foot
_CHEETAH_SLOW = 0.5  # [m/s] at most while jumping
_HOP_BACKWARDS = 1.0  # [m/s], half of hop's speed
_CUP_DISTANCE = 0.5  # [m] of the ball from the cup
_CUP_SPEED = 6.0  # [m/s] of the ball
_CUP_START_ANYWHERE = 0.1  # chance; else the ball starts in the cup
_PENDULUM_SPEED = 9.0  # [rad/s]
_REACHER_EASY, _REACHER_HARD = 0.05, 0.015  # [m] radius of the target


def _at_most(value: float, bound: float, margin: float, value_at_margin: float) -> float:
    return tolerance(value, (-_INF, bound), margin=margin, value_at_margin=value_at_margin, sigmoid="linear")


def _at_least(value: float, bound: float, margin: float, value_at_margin: float) -> float:
    return tolerance(value, (bound, _INF), margin=margin, value_at_margin=value_at_margin, sigmoid="linear")


class _WalkerBackwards(walker.PlanarWalker):
    """Stand upright and move backwards at a speed [m/s]."""

    def get_reward(self, physics: Any) -> float:
        height = walker._STAND_HEIGHT
        standing = tolerance(physics.torso_height(), (height, _INF), margin=height / 2)
        stand = (3 * standing + (1 + physics.torso_upright()) / 2) / 4
        move = _at_most(physics.horizontal_velocity(), -self._move_speed, self._move_speed / 2, 0.5)
        return stand * (5 * move + 1) / 6


class _Cheetah(cheetah.Cheetah):
    """Cheetah with the reward of one of the functions below."""

    def __init__(self, reward: Callable[[Any], float], random: Any) -> None:
        super().__init__(random=random)
        self._reward = reward

    def get_reward(self, physics: Any) -> float:
        return self._reward(physics)


def _height(physics: Any, body: str) -> float:
    return physics.named.data.xpos[body, "z"]


def _high(height: float) -> float:
    return tolerance(height, (_CHEETAH_HEIGHT, _INF), margin=_CHEETAH_HEIGHT / 2)


def _run_backwards(physics: Any) -> float:
    speed = 0.8 * cheetah._RUN_SPEED
    return _at_most(physics.speed(), -speed, speed, 0.0)


def _run_lifting(foot: str) -> Callable[[Any], float]:
    """Run with a foot and the torso up in the air."""
    speed = 0.6 * cheetah._RUN_SPEED

    def reward(physics: Any) -> float:
        up = (3 * _high(_height(physics, foot)) + 2 * _high(_height(physics, "torso"))) / 5
        return up * (5 * _at_least(physics.speed(), speed, speed, 0.0) + 1) / 6

    return reward


def _jump(physics: Any) -> float:
    """Both feet and the torso in the air, staying in place."""
    torso = _height(physics, "torso")
    slow = tolerance(
        physics.speed(), (-_CHEETAH_SLOW, _CHEETAH_SLOW), margin=_CHEETAH_SLOW, value_at_margin=0.0, sigmoid="linear"
    )
    feet = (_high((torso + _height(physics, foot)) / 2) for foot in ("bfoot", "ffoot"))
    return sum((5 * high + slow) / 6 for high in feet) / 2


class _HopperBackwards(hopper.Hopper):
    """Stand and hop backwards."""

    def get_reward(self, physics: Any) -> float:
        standing = tolerance(physics.height(), (hopper._STAND_HEIGHT, 2))
        return standing * _at_most(physics.speed(), -_HOP_BACKWARDS, _HOP_BACKWARDS / 2, 0.5)


class _ReacherPhysics(mujoco.Physics):
    """What the reacher's task asks of the three-link arm."""

    def finger_to_target(self) -> np.ndarray:
        return self.named.data.geom_xpos["target", :2] - self.named.data.geom_xpos["finger", :2]

    def finger_to_target_dist(self) -> float:
        return float(np.linalg.norm(self.finger_to_target()))


class _CupSpin(ball_in_cup.BallInCup):
    """Swing the ball fast and far from the cup."""

    def initialize_episode(self, physics: Any) -> None:
        anywhere = self.random.uniform() < _CUP_START_ANYWHERE
        while True:
            physics.named.data.qpos["ball_x"] = self.random.uniform(-0.2, 0.2)
            physics.named.data.qpos["ball_z"] = self.random.uniform(0.2, 0.5)
            physics.after_reset()
            if physics.data.ncon == 0 and (anywhere or physics.in_target()):
                break
        base.Task.initialize_episode(self, physics)

    def get_reward(self, physics: Any) -> float:
        distance = float(np.linalg.norm(physics.ball_to_target()))
        speed = float(np.linalg.norm(physics.named.data.qvel[["ball_x", "ball_z"]]))
        far = _at_least(distance, _CUP_DISTANCE, _CUP_DISTANCE / 2, 0.5)
        fast = _at_least(speed, _CUP_SPEED, _CUP_SPEED / 2, 0.5)
        return (1 - physics.in_target()) * (far + 2 * fast) / 3


class _PendulumSpin(pendulum.SwingUp):
    """Turn fast, either way."""

    def get_reward(self, physics: Any) -> float:
        speed = float(np.linalg.norm(physics.angular_velocity()))
        return _at_least(speed, _PENDULUM_SPEED, _PENDULUM_SPEED / 2, 0.5)


def _on(module: Any, task: base.Task, timestep: float | None) -> control.Environment:
    """A task on the model of one of dm_control's domains."""
    physics = module.Physics.from_xml_string(*module.get_model_and_assets())
    return control.Environment(physics, task, time_limit=_INF, control_timestep=timestep)


def _walker(speed: float, random: Any) -> control.Environment:
    return _on(walker, _WalkerBackwards(move_speed=speed, random=random), walker._CONTROL_TIMESTEP)


def _cheetah(reward: Callable[[Any], float], random: Any) -> control.Environment:
    return _on(cheetah, _Cheetah(reward, random), None)


def _reacher(radius: float, random: Any) -> control.Environment:
    xml = resources.files("pwm_bench.envs.assets").joinpath("reacher_three.xml").read_text()
    return control.Environment(
        _ReacherPhysics.from_xml_string(xml), reacher.Reacher(target_size=radius, random=random), time_limit=_INF
    )


CUSTOM: collections.OrderedDict[str, Callable[[Any], control.Environment]] = collections.OrderedDict(
    {
        "walker-walk-backwards": lambda random: _walker(walker._WALK_SPEED, random),
        "walker-run-backwards": lambda random: _walker(walker._RUN_SPEED, random),
        "cheetah-run-backwards": lambda random: _cheetah(_run_backwards, random),
        "cheetah-run-front": lambda random: _cheetah(_run_lifting("bfoot"), random),
        "cheetah-run-back": lambda random: _cheetah(_run_lifting("ffoot"), random),
        "cheetah-jump": lambda random: _cheetah(_jump, random),
        "hopper-hop-backwards": lambda random: _on(
            hopper, _HopperBackwards(hopping=True, random=random), hopper._CONTROL_TIMESTEP
        ),
        "reacher-three-easy": lambda random: _reacher(_REACHER_EASY, random),
        "reacher-three-hard": lambda random: _reacher(_REACHER_HARD, random),
        "cup-spin": lambda random: _on(ball_in_cup, _CupSpin(random=random), ball_in_cup._CONTROL_TIMESTEP),
        "pendulum-spin": lambda random: _on(pendulum, _PendulumSpin(random=random), None),
    }
)
"""Builders by task name; each takes the seed or random state of the starts."""
