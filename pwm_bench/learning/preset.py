"""What the recipes of all algorithms share: the two sizes that they come in, and which tasks count as alike."""

from __future__ import annotations

from typing import Literal

__all__ = ["MUSCLE_TASKS", "PRESETS", "SETTINGS_OF", "Preset"]

Preset = Literal["cpu", "published"]
"""``"published"`` is what papers and their released code ran, on GPUs and for millions of steps; ``"cpu"`` is sized for
minutes on a few cores."""
PRESETS: tuple[Preset, ...] = ("cpu", "published")

MUSCLE_TASKS = ("snu_humanoid", "muscle_humanoid", "muscle_humanoid_raw")
"""Tasks whose robots are moved by muscles: they have the most actions, and recipes give them the largest networks."""

SETTINGS_OF = {
    "double_pendulum": "cartpole",
    "pendulum": "cartpole",
    "hopper_stiff": "hopper",
    "muscle_humanoid": "snu_humanoid",
    "muscle_humanoid_raw": "snu_humanoid",
}
"""Tasks without published settings of their own, and the task whose settings they take."""
