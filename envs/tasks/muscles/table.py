"""The format of the muscle table: one entry a muscle (or compartment) of one leg.

Points are in millimetres in the frame of the bone that they move with: x forward, y outwards (away from the body's
midline), z up, axes parallel to the world's in the upright posture. One table so serves both sides. Origins of the
frames: pelvis, midway between the anterior superior iliac spines; femur, hip centre; tibia, knee centre; foot, ankle
centre. Points on the toes are written in the foot's frame too, with the toes straight.
"""

from __future__ import annotations

from dataclasses import dataclass

from pwm_bench.envs.errors import UsageError

__all__ = ["BONES", "Muscle", "muscle"]

BONES = {"P": "pelvis", "F": "femur", "T": "tibia", "A": "foot", "H": "hallux", "L": "toes"}
"""Letters of the table -> bodies."""


@dataclass(frozen=True, slots=True)
class Muscle:
    """A Hill-type muscle on a path of straight lines between via points."""

    name: str
    """Anatomical name, compartments numbered; without the side."""
    force: float
    """Maximal isometric force [N]."""
    fibre_length: float
    """Optimal fibre length [m]."""
    pennation: float
    """Pennation angle at the optimal fibre length [degrees]."""
    path: tuple[tuple[str, tuple[float, float, float]], ...]
    """(body, point [m] in the frame of the module's docstring), from origin to insertion."""


def muscle(name: str, force: float, fibre: float, pennation: float, path: str) -> Muscle:
    """An entry of the table; ``fibre`` in mm, ``path`` as text, e.g. ``"P -41 121 30, F -22 56 -12"``."""
    points = []
    for entry in path.split(","):
        bone, *numbers = entry.split()
        if bone not in BONES or len(numbers) != 3:
            raise UsageError(
                f"path of muscle '{name}' has the point '{entry.strip()}': write a letter of {set(BONES)}, x y z"
            )
        x, y, z = (float(number) / 1000.0 for number in numbers)
        points.append((BONES[bone], (x, y, z)))
    return Muscle(name, float(force), fibre / 1000.0, float(pennation), tuple(points))
