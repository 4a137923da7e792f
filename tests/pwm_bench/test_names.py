"""Names in print, and under which name publications report a task."""

from __future__ import annotations

import pytest

from pwm_bench import envs
from pwm_bench.analysis.naming import algorithm_name, look_of_algorithm
from pwm_bench.analysis.published import load_curves, load_published
from pwm_bench.names import published_task, simulator_name, task_name


@pytest.mark.parametrize(
    ("task", "shown"),
    [
        ("hopper", "Hopper"),
        ("double_pendulum", "Double pendulum"),
        ("hopper_stiff", "Hopper (stiff)"),
        ("dmc/walker-walk", "Walker walk"),
        ("mw-button-press", "Button press (Meta-World)"),
        ("anymal", "ANYmal"),
    ],
)
def test_tasks(task, shown):
    assert task_name(task) == shown


def test_algorithms_and_simulators():
    assert [algorithm_name(name) for name in ("pwm", "tdmpc2", "mine")] == ["PWM", "TD-MPC2", "mine"]
    assert [algorithm_name(name) for name in ("my.lab:", "my.lab:learner")] == ["my.lab", "learner"]
    assert [look_of_algorithm(name) for name in ("pwm", "TD-MPC2", "SHAC (gamma=0.9)", "mine")] == [0, 5, 1, None]
    learners_of_data = ("bc", "BC (best=0.1)", "pwm-multitask", "PWM (multi-task)")
    assert [look_of_algorithm(name) for name in learners_of_data] == [6, 6, 0, 0]
    assert [simulator_name(name) for name in ("warp", "mujoco_c", "mine")] == ["Warp", "MuJoCo", "mine"]


def test_names_in_print_differ():
    assert len({task_name(task) for task in envs.tasks()}) == len(envs.tasks())


def test_published_names_are_those_of_publications():
    assert published_task("snu_humanoid") == "humanoidsnu"
    assert published_task("muscle_humanoid") == "muscle_humanoid"  # our own robot: nobody has published numbers on it
    assert not load_curves("muscle_humanoid")
    known = {row.task for row in load_published()}
    assert {published_task(task) for task in ("hopper", "hopper_stiff", "ant", "anymal", "snu_humanoid")} <= known
