"""The title strip of a frame."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from pwm_bench.render.rollout import Moment

__all__ = ["caption"]

_STRIP = (255, 255, 255, 215)
_INK = (35, 40, 48)
_FAINT = (110, 117, 128)


def caption(picture: np.ndarray, label: str, moment: Moment) -> np.ndarray:
    """Draws a strip with the label, step, return, reward and forward velocity over the top of a picture.

    Args:
        picture: uint8, ``(height, width, 3)``.
        label: what is shown.
        moment: the numbers.

    Returns:
        A new picture of the same shape.
    """
    from PIL import Image, ImageDraw

    width = picture.shape[1]
    size = max(9, round(width / 42))
    strip_height = round(3.3 * size)
    image = Image.fromarray(picture).convert("RGBA")
    strip = Image.new("RGBA", (width, strip_height), _STRIP)
    image.alpha_composite(strip)
    draw = ImageDraw.Draw(image)
    margin, font = round(0.7 * size), _font(size)
    where = f"{label} · episode {moment.episode}" if moment.episode > 1 else label
    draw.text((margin, round(0.45 * size)), where, font=font, fill=_INK)
    fields = [("step", f"{moment.step}"), ("return", f"{moment.total:,.1f}"), ("reward", f"{moment.reward:,.2f}")]
    if moment.velocity is not None:
        fields.append(("velocity", f"{moment.velocity:.2f} m/s"))
    top = round(1.85 * size)
    for column, (name, value) in enumerate(fields):  # in fixed columns: numbers that change don't push each other
        x = margin + column * round((width - margin) * 0.25)
        draw.text((x, top), name, font=font, fill=_FAINT)
        draw.text((x + font.getlength(name + " "), top), value, font=font, fill=_INK)
    return np.asarray(image.convert("RGB"))


@cache
def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)
