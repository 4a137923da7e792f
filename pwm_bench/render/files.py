"""Frames to files: MP4, GIF, or a PNG contact sheet, by the file's suffix."""

from __future__ import annotations

import importlib.util
import math
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.store.files import replacing

__all__ = ["FORMATS", "Format", "format_of", "write"]

_TILES, _COLUMNS, _GAP = 12, 4, 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """Defaults of a kind of file."""

    size: tuple[int, int]
    """Width and height of a frame [pixels]."""
    fps: float | None
    """Frames in a second of the world's time; None for a contact sheet."""
    packages: tuple[tuple[str, str], ...]
    """Module and distribution that write it."""

    def choose(self, moments: int, control_dt: float, fps: float | None) -> tuple[list[int], float]:
        """Which of ``moments`` states to draw, and how many of them are shown in a second.

        States are a control step apart, so the frame rate becomes the nearest one that shows every n-th of them in
        the world's own time.
        """
        if self.fps is None:
            count = min(_TILES, moments)
            return [round(i * (moments - 1) / max(count - 1, 1)) for i in range(count)], 0.0
        stride = max(1, round(1.0 / (control_dt * (fps or self.fps))))
        return list(range(0, moments, stride)), 1.0 / (control_dt * stride)


_PILLOW = ("PIL", "pillow")
FORMATS = {
    ".mp4": Format(size=(640, 480), fps=30.0, packages=(_PILLOW, ("imageio_ffmpeg", "imageio-ffmpeg"))),
    ".gif": Format(size=(400, 300), fps=20.0, packages=(_PILLOW,)),
    ".png": Format(size=(480, 360), fps=None, packages=(_PILLOW,)),
}


def format_of(path: Path) -> Format:
    """The format that a file's suffix stands for.

    Raises:
        UsageError: another suffix, a folder that can't be written, or a package that is not installed.
    """
    if path.suffix.lower() not in FORMATS:
        raise unknown("suffix of --out", path.suffix, FORMATS)
    folder = path.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"--out {path}: {folder} is not a folder that can be written; make it, or choose another")
    chosen = FORMATS[path.suffix.lower()]
    for module, distribution in chosen.packages:
        if importlib.util.find_spec(module) is None:
            raise UsageError(f"--out {path}: {path.suffix} needs {distribution}: pip install 'pwm-bench[render]'")
    return chosen


def write(path: Path, frames: Iterable[np.ndarray], fps: float) -> None:
    """Writes frames, all uint8 of one shape ``(height, width, 3)``; the file appears when it is complete."""
    with replacing(path, suffix=path.suffix) as temporary:
        {".mp4": _mp4, ".gif": _gif, ".png": _sheet}[path.suffix.lower()](temporary, frames, fps)


def _mp4(path: Path, frames: Iterable[np.ndarray], fps: float) -> None:
    import imageio_ffmpeg

    writer: Any = None
    try:
        for frame in frames:
            if writer is None:
                size = (frame.shape[1], frame.shape[0])
                writer = imageio_ffmpeg.write_frames(
                    str(path),
                    size,
                    fps=fps,
                    quality=None,
                    macro_block_size=2,  # H.264 with halved colour resolution needs even sizes
                    output_params=["-crf", "20", "-preset", "medium", "-movflags", "+faststart"],
                    ffmpeg_log_level="error",
                )
                with warnings.catch_warnings():  # Python warns of forking beside JAX's threads; ffmpeg follows at once
                    warnings.filterwarnings("ignore", message="os.fork", category=RuntimeWarning)
                    writer.send(None)
            writer.send(np.ascontiguousarray(frame))
    finally:
        if writer is not None:
            writer.close()


def _gif(path: Path, frames: Iterable[np.ndarray], fps: float) -> None:
    from PIL import Image

    palette, images = None, []
    for frame in frames:
        image = Image.fromarray(frame)
        if palette is None:  # one palette for all, without dithering: still parts stay still, and compress
            palette = image.quantize(256, method=Image.Quantize.MEDIANCUT)
        images.append(image.quantize(palette=palette, dither=Image.Dither.NONE))
    images[0].save(path, save_all=True, append_images=images[1:], duration=round(1000.0 / fps), loop=0)


def _sheet(path: Path, frames: Iterable[np.ndarray], fps: float) -> None:
    from PIL import Image

    tiles = list(frames)
    height, width = tiles[0].shape[:2]
    columns = min(_COLUMNS, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    sheet = Image.new("RGB", (columns * (width + _GAP) - _GAP, rows * (height + _GAP) - _GAP), "white")
    for index, tile in enumerate(tiles):
        sheet.paste(Image.fromarray(tile), (index % columns * (width + _GAP), index // columns * (height + _GAP)))
    sheet.save(path)
