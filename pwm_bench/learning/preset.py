"""The two sizes that recipes come in."""

from __future__ import annotations

from typing import Literal

__all__ = ["PRESETS", "Preset"]

Preset = Literal["cpu", "published"]
"""``"published"`` is what papers and their released code ran, on GPUs and for millions of steps; ``"cpu"`` is sized for
minutes on a few cores."""
PRESETS: tuple[Preset, ...] = ("cpu", "published")
