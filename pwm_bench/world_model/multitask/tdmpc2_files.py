"""TD-MPC2's checkpoint files: read without running what is in them, and written."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch

from pwm_bench.envs.errors import UsageError
from pwm_bench.store.files import write_atomic
from pwm_bench.world_model.inert import load_inert
from pwm_bench.world_model.multitask.networks import MultitaskModel
from pwm_bench.world_model.multitask.tdmpc2_config import Told
from pwm_bench.world_model.multitask.tdmpc2_format import from_tdmpc2, to_tdmpc2

__all__ = ["read_tdmpc2", "write_tdmpc2"]


def read_tdmpc2(path: Path, told: Told | None = None, *, device: torch.device | str = "cpu") -> MultitaskModel:
    """Reads a TD-MPC2 checkpoint of either layout, or PWM's subset; nothing in the file is executed.

    Args:
        path: the file.
        told: what it does not say.
        device: where the model goes.

    Raises:
        UsageError: missing, truncated, foreign, it holds anything but tensors and plain values, or what it does not say
            is not told either.
    """
    content = load_inert(path, what="a TD-MPC2 checkpoint", remedy="fetch it again")
    if not isinstance(content, Mapping):
        raise UsageError(f"{path}: not a TD-MPC2 checkpoint: it holds a {type(content).__name__} and no named weights")
    return from_tdmpc2(content, str(path), told, device=device)


def write_tdmpc2(path: Path, model: MultitaskModel, layout: Literal["old", "new"] = "new") -> None:
    """Writes a checkpoint that TD-MPC2 loads, in one rename.

    Raises:
        UsageError: see `to_tdmpc2`.
    """
    content = to_tdmpc2(model, layout)
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomic(path, buffer.getvalue())
