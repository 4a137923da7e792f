"""A dataset, a world model and runs on them, tiny, in two real tasks of dm_control."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pwm_bench.jobs.clone import CloneSpec
from pwm_bench.jobs.compare import CompareSpec
from pwm_bench.jobs.extract import ExtractionSpec
from pwm_bench.store.inputs import find_input
from pwm_bench.world_model.multitask.config import ModelConfig
from pwm_bench.world_model.multitask.files import save_model
from pwm_bench.world_model.multitask.networks import MultitaskModel
from pwm_bench.world_model.multitask.planner import PlannerConfig
from tests.pwm_bench.world_model.multitask.datasets import REAL_TASKS, write_linear_data

TASKS = tuple(task.name for task in REAL_TASKS)
PLANNER = PlannerConfig(horizon=1, samples=8, policy_samples=2, elites=4, iterations=1)
EXTRACTION = {
    "iterations": 12, "batch_size": 8, "horizon": 4, "hidden_actor": (12,), "hidden_critic": (12,),
    "critic_iterations": 2,
}  # fmt: skip
CLONING = {"iterations": 12, "batch_size": 8, "hidden_actor": (12,), "normalising_samples": 64}


def make_place(path: Path, *, seed: int = 0) -> Path:
    """Writes ``data`` and ``model``, which is untrained."""
    write_linear_data(path / "data", episodes=10, tasks=REAL_TASKS)
    config = ModelConfig(
        observation_dim=5, action_dim=1, tasks=TASKS, action_dims=(1, 1), episode_lengths=(500, 500),
        task_dim=4, latent_dim=16, encoder_hidden=(16,), hidden=(24, 24), num_q=2,
    )  # fmt: skip
    save_model(path / "model", MultitaskModel(config, seed=seed))
    return path


def common(**fields: Any) -> dict[str, Any]:
    """Fields of all specs."""
    return {"tasks": TASKS, "evaluation_episodes": 1, "workers": 0, "device": "cpu"} | fields


def extraction(place: Path, *, config: dict[str, Any] | None = None, **fields: Any) -> ExtractionSpec:
    """A run of a second or two."""
    inputs = {name: find_input(place / name, name) for name in ("model", "data")}
    settings = ExtractionSpec.from_dict({"tasks": TASKS, "inputs": {**inputs}, "config": EXTRACTION | (config or {})})
    return ExtractionSpec(inputs=inputs, config=settings.config, **common(**{"evaluations": 2} | fields))


def cloning(place: Path, *, config: dict[str, Any] | None = None, **fields: Any) -> CloneSpec:
    """Likewise."""
    inputs = {"data": find_input(place / "data", "data")}
    settings = CloneSpec.from_dict({"tasks": TASKS, "inputs": inputs, "config": CLONING | (config or {})})
    return CloneSpec(inputs=inputs, config=settings.config, **common(**{"evaluations": 2} | fields))


def evaluation(place: Path, arm: str, policies: Path | None = None, **fields: Any) -> CompareSpec:
    """Likewise; ``policies`` is the directory of an extraction."""
    inputs = {"model": find_input(place / "model", "model")}
    if policies is not None:
        inputs["policies"] = find_input(policies, "policies")
    config = PLANNER if "planning" in arm else None
    return CompareSpec(arm=arm, inputs=inputs, **common(**{"config": config} | fields))
