"""What every task must have beside its code: a line of documentation, a picture, a parity record, recipes, tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from pwm_bench import envs, registry
from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.parity.schema import ParityRecord
from tests.envs.mjx import test_conformance
from tests.envs.tasks import test_physics

ROOT = Path(__file__).parents[2]
SAME_MODEL = {"hopper_stiff": "hopper", "muscle_humanoid_raw": "muscle_humanoid"}
"""Tasks that vary another's contact constants or the meaning of its actions: its picture and MJX tests are theirs."""


@pytest.mark.parametrize("name", envs.tasks())
def test_a_task_is_documented_pictured_compared_and_learnable(name: str) -> None:
    text = (ROOT / "docs" / "tasks.md").read_text()
    assert f"| `{name}` |" in text
    record = ParityRecord.model_validate_json((ROOT / "results/reference/parity" / f"{name}.json").read_text())
    assert record.task == name
    there = {s.simulator for s in record.simulators}
    assert there == {"warp", "mjx", "mujoco_c"}
    assert record.agrees
    for algorithm in registry.algorithms():
        spec = RunSpec.create(task=name, simulator="warp", algorithm=algorithm, env_steps=1)
        assert spec.config


@pytest.mark.parametrize("name", envs.tasks())
def test_a_task_is_tested_in_both_simulators(name: str) -> None:
    assert name in test_physics.NAMES
    tested = {task if isinstance(task, str) else task.values[0] for task in test_conformance.TASKS}
    assert SAME_MODEL.get(name, name) in tested


def test_the_picture_shows_every_model() -> None:
    """One tile of 300 x 260 pixels each, in rows of six."""
    from PIL import Image

    shown = [name for name in envs.tasks() if name not in SAME_MODEL]
    with Image.open(ROOT / "docs" / "images" / "tasks.png") as picture:
        width, height = picture.size
    assert (width / 300, height / 260) == (6, -(-len(shown) // 6))
