"""TD-MPC2's own rewards, against values worked out by hand from their definitions."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("dm_control")

from pwm_bench.envs.suites import custom

_GAUSSIAN_HALFWAY = math.exp(math.log(0.1) * 0.25)  # the default sigmoid, half a margin away: 0.1 ** (1/2)^2


def _bodies(**heights):
    table = {(body, "z"): height for body, height in heights.items()}
    return SimpleNamespace(data=SimpleNamespace(xpos=table))


def _walker(height, upright, speed):
    return SimpleNamespace(
        torso_height=lambda: height, torso_upright=lambda: upright, horizontal_velocity=lambda: speed
    )


@pytest.mark.parametrize(
    ("target", "speed", "expected"),
    [
        (1.0, -1.0, 1.0),
        (1.0, -2.0, 1.0),
        (1.0, -0.5, 3.5 / 6),
        (1.0, 0.0, 1 / 6),
        (8.0, -4.0, 3.5 / 6),
        (8.0, 4.0, 1 / 6),
    ],
)
def test_walker_backwards(target, speed, expected):
    task = custom._WalkerBackwards(move_speed=target)
    assert task.get_reward(_walker(1.2, 1.0, speed)) == pytest.approx(expected)


def test_walker_backwards_pays_for_standing():
    task = custom._WalkerBackwards(move_speed=1.0)
    expected = (3 * _GAUSSIAN_HALFWAY + 0.5) / 4  # 0.3 m too low with a margin of 0.6 m, and lying level
    assert task.get_reward(_walker(0.9, 0.0, -1.0)) == pytest.approx(expected)


@pytest.mark.parametrize(("speed", "expected"), [(-8.0, 1.0), (-9.0, 1.0), (-4.0, 0.5), (0.0, 0.0), (5.0, 0.0)])
def test_cheetah_run_backwards(speed, expected):
    assert custom._run_backwards(SimpleNamespace(speed=lambda: speed)) == pytest.approx(expected)


@pytest.mark.parametrize(("foot", "other"), [("bfoot", "ffoot"), ("ffoot", "bfoot")])
def test_cheetah_run_on_one_foot(foot, other):
    def physics(speed, torso, up):
        return SimpleNamespace(speed=lambda: speed, named=_bodies(torso=torso, **{foot: up, other: 0.0}))

    reward = custom._run_lifting(foot)
    assert reward(physics(6.0, 1.2, 1.2)) == pytest.approx(1.0)
    assert reward(physics(3.0, 1.2, 1.2)) == pytest.approx(3.5 / 6)
    assert reward(physics(6.0, 0.9, 1.3)) == pytest.approx((3 + 2 * _GAUSSIAN_HALFWAY) / 5)


def test_cheetah_jump():
    def physics(speed, torso, front, back):
        return SimpleNamespace(speed=lambda: speed, named=_bodies(torso=torso, ffoot=front, bfoot=back))

    assert custom._jump(physics(0.5, 1.2, 1.2, 1.2)) == pytest.approx(1.0)
    assert custom._jump(physics(-0.75, 1.2, 1.2, 1.2)) == pytest.approx(5.5 / 6)
    assert custom._jump(physics(9.0, 1.2, 1.2, 0.6)) == pytest.approx((5 + 5 * _GAUSSIAN_HALFWAY) / 12)


@pytest.mark.parametrize(
    ("height", "speed", "expected"), [(1.0, -1.0, 1.0), (1.0, -0.5, 0.5), (1.0, 0.0, 0.0), (0.5, -1.0, 0.0)]
)
def test_hopper_backwards(height, speed, expected):
    task = custom._HopperBackwards(hopping=True)
    assert task.get_reward(SimpleNamespace(height=lambda: height, speed=lambda: speed)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("distance", "speed", "inside", "expected"),
    [(0.5, 6.0, 0.0, 1.0), (0.25, 3.0, 0.0, 0.5), (0.5, 3.0, 0.0, 2 / 3), (0.0, 0.0, 0.0, 0.0), (0.5, 6.0, 1.0, 0.0)],
)
def test_cup_spin(distance, speed, inside, expected):
    velocity = {"ball_x": 0.6 * speed, "ball_z": -0.8 * speed}

    class Qvel:
        def __getitem__(self, names):
            return np.array([velocity[name] for name in names])

    physics = SimpleNamespace(
        ball_to_target=lambda: np.array([0.0, distance]),
        in_target=lambda: inside,
        named=SimpleNamespace(data=SimpleNamespace(qvel=Qvel())),
    )
    assert custom._CupSpin(random=0).get_reward(physics) == pytest.approx(expected)


def test_cup_spin_begins_mostly_with_the_ball_in_the_cup():
    env = custom.CUSTOM["cup-spin"](np.random.RandomState(0))
    inside = []
    for _ in range(40):
        env.reset()
        inside.append(env.physics.in_target())
        assert env.physics.data.ncon == 0
    assert 28 <= sum(inside) < 40


@pytest.mark.parametrize(("speed", "expected"), [(9.0, 1.0), (-12.0, 1.0), (4.5, 0.5), (0.0, 0.0)])
def test_pendulum_spin(speed, expected):
    physics = SimpleNamespace(angular_velocity=lambda: np.array([speed]))
    assert custom._PendulumSpin(random=0).get_reward(physics) == pytest.approx(expected)


@pytest.mark.parametrize(("task", "radius"), [("reacher-three-easy", 0.05), ("reacher-three-hard", 0.015)])
def test_reacher_rewards_touching_the_target(task, radius):
    env = custom.CUSTOM[task](np.random.RandomState(0))
    env.reset()
    physics = env.physics
    for angles, finger in (((0, 0, 0), (0.27, 0.0)), ((np.pi / 2, -np.pi / 2, 0), (0.18, 0.09))):
        physics.named.data.qpos[["shoulder", "elbow", "wrist"]] = angles
        for gap, expected in ((0.99, 1.0), (1.01, 0.0)):
            physics.named.model.geom_pos["target", ["x", "y"]] = np.array(finger) - (gap * (radius + 0.01), 0.0)
            physics.forward()
            assert physics.named.data.geom_xpos["finger", :2] == pytest.approx(finger, abs=1e-9)
            assert env.task.get_reward(physics) == expected


def test_reacher_targets_can_be_reached():
    env = custom.CUSTOM["reacher-three-easy"](np.random.RandomState(1))
    for _ in range(20):
        env.reset()
        distance = np.linalg.norm(env.physics.named.model.geom_pos["target", :2])
        assert 0.05 <= distance <= 0.2 < 0.27
