"""Wrong constants, one at a time, on the published robots: a check names each, and the motion shows it too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import mujoco
import pytest
import torch

from envs.tasks import load_task
from envs.tasks.base import Task
from pwm_bench.parity.golden import compare
from tests.envs.golden.published import altered, recording, with_model

STEPS = 60
"""Recorded states from which one control step is made; the feet slide in some of them."""


def misfits(task: Task, of: str) -> list[str]:
    return [words for group in compare.check_constants(task, recording(of)) for words in group.misfits]


def motion_differs(task: Task, of: str, steps: int = STEPS) -> bool:
    checks = compare.check_single_steps(task, recording(of), torch.float64, steps=steps)
    return not all(check.agrees for check in checks)


def root_armature_zero(model: mujoco.MjModel) -> None:
    model.dof_armature[:3] = 0.0


def mass_times_1_4(model: mujoco.MjModel) -> None:
    model.body_mass[model.body("leg").id] *= 1.4


def joint_damping(model: mujoco.MjModel) -> None:
    model.dof_damping[model.joint("leg").dofadr] -= 10.0  # the limits' damping, which acts always


def contact_point_missing(model: mujoco.MjModel) -> None:
    model.geom_contype[model.geom_bodyid == model.body("foot").id] = 0
    model.geom_conaffinity[model.geom_bodyid == model.body("foot").id] = 0


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (root_armature_zero, [f"armature of root{axis}: ours 0, published 1" for axis in "xzy"]),
        (mass_times_1_4, ["mass of leg_joint: ours 3.8939, published 2.781357"]),
        (joint_damping, ["damping of leg_joint: ours 2, published 12"]),
    ],
)
def test_a_wrong_constant_of_the_model_is_named(change: Callable, expected: list[str]):
    task = with_model("hopper", change)
    assert misfits(task, "hopper") == expected
    assert motion_differs(task, "hopper")


def test_a_missing_contact_point_is_named():
    task = with_model("hopper", contact_point_missing)
    (words,) = misfits(task, "hopper")
    assert words.startswith("contact points of foot_joint: ours 0, published 2 (missing here: (")
    assert motion_differs(task, "hopper")


def test_wrong_friction_is_named():
    task = altered("hopper", contact=replace(load_task("hopper").contact, friction=0.8))
    assert misfits(task, "hopper") == [
        f"friction of {joint}: ours 0.8, published 0.9" for joint in ("rooty", "thigh_joint", "leg_joint", "foot_joint")
    ]
    assert motion_differs(task, "hopper")


def test_a_substep_fewer_is_named():
    task = altered("hopper", substeps={"warp": 15})
    found = misfits(task, "hopper")
    assert "substeps of a control step: ours 15, published 16" in found
    assert motion_differs(task, "hopper")


def test_another_sign_of_an_observation_is_named():
    published = type(load_task("hopper"))

    def observation(self, state, action):
        return published.observation(self, state, action) * torch.tensor([1.0] * 7 + [-1.0] + [1.0] * 3)

    task = altered("hopper", observation=observation)
    check = compare.check_observation(task, recording("hopper"))
    assert not check.agrees
    assert check.words.startswith("entry 7 (all joint velocities, rooty) at state ")
    assert misfits(task, "hopper") == []
    assert not motion_differs(task, "hopper")


@pytest.mark.parametrize("task", ["hopper"])
def test_the_robot_itself_passes_the_same_checks(task: str):
    assert misfits(load_task(task), task) == []
    assert not motion_differs(load_task(task), task)
