"""Wrong constants, one at a time, on the published robots: a check names each, and the motion shows it too."""

from __future__ import annotations

from dataclasses import replace

import mujoco
import pytest
import torch

from pwm_bench import envs
from pwm_bench.envs.tasks import load_task
from pwm_bench.envs.tasks.base import Task
from pwm_bench.parity.golden import compare
from tests.envs.golden.published import PUBLISHED, altered, recording, with_model


def misfits(task: Task, name: str) -> list[str]:
    groups = compare.check_constants(task, recording(name))
    return [words for group in groups for words in group.misfits]


def moves_alike(task: Task, name: str) -> bool:
    return all(c.agrees for c in compare.check_single_steps(task, recording(name), torch.float64))


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_robot_itself_passes(name: str):
    assert misfits(load_task(name), name) == []
    assert moves_alike(load_task(name), name)


@pytest.mark.parametrize(
    ("name", "joints", "value"), [("hopper", "rootx rootz rooty", 1), ("cheetah", "ignorex ignorez ignorey", 0.1)]
)
def test_armature_of_the_root(name: str, joints: str, value: float):
    def plant(model: mujoco.MjModel) -> None:
        model.dof_armature[:3] = 0.0

    task = with_model(name, plant)
    assert misfits(task, name) == [f"armature of {joint}: ours 0, published {value}" for joint in joints.split()]
    assert not moves_alike(task, name)


@pytest.mark.parametrize("name", PUBLISHED)
def test_mass(name: str):
    """The last body's, times 1.4."""

    def plant(model: mujoco.MjModel) -> None:
        model.body_mass[-1] *= 1.4

    task = with_model(name, plant)
    (words,) = misfits(task, name)
    assert words.startswith(f"mass of {recording(name).joints[-1].name}: ours ")
    assert not moves_alike(task, name)


@pytest.mark.parametrize("name", ["hopper", "ant", "anymal", "humanoid", "cheetah", "snu_humanoid"])
def test_friction(name: str):
    contact = load_task(name).contact
    task = altered(name, contact=replace(contact, friction=0.9 * contact.friction))
    found = misfits(task, name)
    assert found
    assert all(words.startswith("friction of ") for words in found)
    assert not moves_alike(task, name)


def test_strength_of_a_muscle():
    def plant(model: mujoco.MjModel) -> None:
        model.actuator_gainprm[17, 0] *= 1.1

    name = str(recording("snu_humanoid").arrays["model_muscle_names"][17])
    task = with_model("snu_humanoid", plant)
    (words,) = misfits(task, "snu_humanoid")
    assert words.startswith(f"tension at action -1 and 1 of {name}: ours (-")
    assert not moves_alike(task, "snu_humanoid")


@pytest.mark.parametrize(
    ("name", "entry", "words"),
    [
        ("hopper", 7, "entry 7 (all joint velocities, rooty) at state "),
        ("ant", 28, "entry 28 (heading) at state "),
        ("anymal", 13, "entry 13 (joint coordinates, LF_KFE) at state "),
        ("humanoid", 9, "entry 9 (angular velocity of the root, world axes, root_wy) at state "),
        ("cartpole", 2, "entry 2 (sin pole angle) at state "),
        ("snu_humanoid", 33, "entry 33 (joint velocities, scaled, FemurR_wx) at state "),
    ],
)
def test_sign_of_an_observation(name: str, entry: int, words: str):
    published = type(load_task(name))
    signs = torch.ones(published.observation_dim)
    signs[entry] = -1.0
    task = altered(name, observation=lambda self, state, action: published.observation(self, state, action) * signs)
    check = compare.check_observation(task, recording(name))
    assert not check.agrees
    assert check.words.startswith(words)
    assert misfits(task, name) == []


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_substep_fewer(name: str):
    substeps = load_task(name).substeps_for(envs.capabilities("warp"))
    task = altered(name, substeps={"warp": substeps - 1})
    assert f"substeps of a control step: ours {substeps - 1}, published {substeps}" in misfits(task, name)
    assert not moves_alike(task, name)


@pytest.mark.parametrize("name", PUBLISHED)
def test_damping_of_a_joint(name: str):
    """The last joint's, without what the published limits add at all times."""

    def plant(model: mujoco.MjModel) -> None:
        model.dof_damping[-1] *= 0.5

    task = with_model(name, plant)
    (words,) = misfits(task, name)
    assert words.startswith(f"damping of {recording(name).joints[-1].name}: ours ")
    assert not moves_alike(task, name)


@pytest.mark.parametrize(("name", "joint"), [("hopper", "foot_joint"), ("ant", "ankle_4")])
def test_contact_points(name: str, joint: str):
    """The capsule of the last body does not collide."""

    def plant(model: mujoco.MjModel) -> None:
        geoms = (model.geom_bodyid == model.nbody - 1) & (model.geom_contype > 0)
        model.geom_contype[geoms] = model.geom_conaffinity[geoms] = 0

    task = with_model(name, plant)
    (words,) = misfits(task, name)
    assert words.startswith(f"contact points of {joint}: ours 0, published 2 (missing here: (")
    assert not moves_alike(task, name)


def test_the_integrator():
    """Not among constants of a body, and as much part of the robot."""
    integrator = load_task("ant").integrator
    for change, words in (
        ({"matrix_refresh": 4}, "substeps a mass matrix of the integrator: ours 4, published 16"),
        ({"damping": "implicit"}, "damping scheme of the integrator: ours implicit, published explicit"),
        ({"rotation": "exponential"}, "rotation scheme of the integrator: ours exponential, published linear"),
    ):
        task = altered("ant", integrator=replace(integrator, **change))
        assert misfits(task, "ant") == [words]
        assert not moves_alike(task, "ant")
