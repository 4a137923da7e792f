"""Tiny multi-task models, and files of them in TD-MPC2's layouts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from pwm_bench.world_model.multitask.config import ModelConfig
from tests.pwm_bench.world_model.multitask.reference import random_weights

OBS, ACT, LATENT, HIDDEN, TASKS, EMBEDDING, NUM_Q = 7, 3, 16, 24, 3, 5, 4
ACTION_DIMS = (3, 1, 2)


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


def tiny_weights(seed: int = 0, *, tasks: int = TASKS, enc: tuple[int, ...] = (12,)) -> dict[str, np.ndarray]:
    """Weights of `tiny_config`, or of a single-task model with ``tasks=0``."""
    e = EMBEDDING if tasks else 0
    sizes = {"obs": OBS, "act": ACT, "latent": LATENT, "hid": HIDDEN, "num_q": NUM_Q}
    return random_weights(seed, enc=enc, tasks=tasks, e=e, **sizes)


def write_tdmpc2(path: Path, weights: dict[str, np.ndarray], layout: str) -> None:
    """Writes a file as TD-MPC2 of that time did."""
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
        for prefix in ("_Qs.params.", "_detach_Qs_params.", "_target_Qs_params."):
            tensors[f"{prefix}__batch_size"] = torch.Size([NUM_Q])
            tensors[f"{prefix}__device"] = torch.device("cpu")
        tensors["log_std_min"], tensors["log_std_dif"] = torch.tensor(-10.0), torch.tensor(12.0)
        if "_task_emb.weight" in tensors:
            tensors["_action_masks"] = (torch.arange(ACT) < torch.tensor(ACTION_DIMS).unsqueeze(1)).float()
    torch.save({"model": tensors}, path)
