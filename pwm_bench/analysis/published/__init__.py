"""Published results, to be laid beside our own and never mixed into them.

``data`` holds the files, `numbers` and `curves` read them, and `beside` chooses what stands beside a row of ours.
"""

from __future__ import annotations

from pwm_bench.analysis.published.beside import CHOICES, Beside, beside, curves_beside
from pwm_bench.analysis.published.curves import Seed, Series, load_curves
from pwm_bench.analysis.published.numbers import CAVEATS, Published, load_published

__all__ = [
    "CAVEATS",
    "CHOICES",
    "Beside",
    "Published",
    "Seed",
    "Series",
    "beside",
    "curves_beside",
    "load_curves",
    "load_published",
]
