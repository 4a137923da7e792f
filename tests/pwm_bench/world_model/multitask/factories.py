"""Tiny multi-task models, and files of them in TD-MPC2's layouts."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pwm_bench.envs.suites import spec
from pwm_bench.world_model.multitask.config import ModelConfig
from pwm_bench.world_model.multitask.networks import MultitaskModel
from pwm_bench.world_model.multitask.tdmpc2_config import Told
from pwm_bench.world_model.multitask.tdmpc2_format import from_tdmpc2
from tests.pwm_bench.world_model.multitask.reference import random_weights

OBS, ACT, LATENT, HIDDEN, TASKS, EMBEDDING, NUM_Q = 7, 3, 16, 24, 3, 5, 4
ACTION_DIMS = (3, 1, 2)
SUITE_OF_ROWS = {30: "mt30", 80: "mt80"}


def tiny_config(**changes: Any) -> ModelConfig:
    """Three tasks, some thousand weights."""
    fields: dict[str, Any] = {
        "observation_dim": OBS,
        "action_dim": ACT,
        "tasks": ("a", "b", "c"),
        "action_dims": ACTION_DIMS,
        "episode_lengths": (500, 100, 20),
        "task_dim": EMBEDDING,
        "latent_dim": LATENT,
        "encoder_hidden": (12,),
        "hidden": (HIDDEN, HIDDEN),
        "num_q": NUM_Q,
    }
    return ModelConfig(**(fields | changes))


def tiny_weights(
    seed: int = 0, *, tasks: int = TASKS, enc: tuple[int, ...] = (12,), episodic: bool = False
) -> dict[str, np.ndarray]:
    """Weights of `tiny_config`, or of a single-task model with ``tasks=0``."""
    e = EMBEDDING if tasks else 0
    sizes = {"obs": OBS, "act": ACT, "latent": LATENT, "hid": HIDDEN, "num_q": NUM_Q}
    return random_weights(seed, enc=enc, tasks=tasks, e=e, episodic=episodic, **sizes)


def tiny_model(weights: dict[str, np.ndarray], told: Told | None = None) -> MultitaskModel:
    """The model that these weights are, in float32."""
    return from_tdmpc2({name: torch.tensor(value) for name, value in weights.items()}, "weights", told or TOLD_OLD)


TOLD = Told(tasks=("a", "b", "c"), value_limit=10.0)
"""What the new layout does not say of a tiny model."""
TOLD_OLD = dataclasses.replace(TOLD, log_std=(-10.0, 2.0))
"""What the old layout does not say."""


def write_tdmpc2(
    path: Path, weights: dict[str, np.ndarray], layout: str, *, log_std: tuple[float, float] = (-10, 2)
) -> None:
    """Writes a file as TD-MPC2 of that time did; ``log_std`` as its configuration had it."""
    tensors: dict[str, Any] = {name: torch.tensor(value, dtype=torch.float32) for name, value in weights.items()}
    if layout == "old":
        order = ("weight", "bias", "ln.weight", "ln.bias")
        for new, old in (("_Qs.params.", "_Qs.params."), ("_target_Qs_params.", "_target_Qs.params.")):
            for name in [name for name in tensors if name.startswith(new)]:
                layer, _, part = name.removeprefix(new).partition(".")
                tensors[f"{old}{4 * int(layer) + order.index(part)}"] = tensors.pop(name)
    else:
        for name in [name for name in tensors if name.startswith("_Qs.params.")]:
            tensors[name.replace("_Qs.params.", "_detach_Qs_params.")] = tensors[name]
        members = len(tensors["_Qs.params.0.weight"])
        for prefix in ("_Qs.params.", "_detach_Qs_params.", "_target_Qs_params."):
            tensors[f"{prefix}__batch_size"] = torch.Size([members])
            tensors[f"{prefix}__device"] = None
        tensors["log_std_min"] = torch.tensor(log_std[0])
        tensors["log_std_dif"] = torch.tensor(log_std[1]) - tensors["log_std_min"]
        if "_task_emb.weight" in tensors:
            rows, act = len(tensors["_task_emb.weight"]), tensors["_pi.2.bias"].shape[0] // 2
            dims = spec(SUITE_OF_ROWS[rows]).action_dims if rows in SUITE_OF_ROWS else ACTION_DIMS
            tensors["_action_masks"] = (torch.arange(act) < torch.tensor(dims).unsqueeze(1)).float()
    torch.save({"model": tensors}, path)
