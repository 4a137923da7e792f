"""Recorded kernels of earlier processes: recording takes up to a second a model, and every start would do it anew.

They lie beside what Warp compiled from them, under a hash of all that they are made of: our own sources, and the model
with its numbers, since a comparison between two of them is decided when it is recorded.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import warp as wp

import pwm_bench.envs.warp
from pwm_bench.envs.compiling import keep, kept

__all__ = ["Recorded", "stored"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """The bodies of a model's two kernels in C++, and the numbers they read."""

    forward: str
    adjoint: str
    parameters: np.ndarray
    adjoint_parameters: np.ndarray


def stored(content: Any, record: Callable[[], Recorded]) -> Recorded:
    """What was recorded of the same content before, else what is recorded now.

    Args:
        content: all that the result depends on besides our sources: numbers, texts, arrays, and dataclasses, mappings
            and sequences of them.
        record: gives the result.
    """
    if wp.config.kernel_cache_dir is None:  # Warp keeps nothing either
        return record()
    digest = hashlib.sha256(_sources())
    _feed(digest.update, content)
    file = Path(wp.config.kernel_cache_dir) / f"recorded-{digest.hexdigest()[:32]}.npz"
    try:
        with np.load(io.BytesIO(kept(file)), allow_pickle=False) as found:
            return Recorded(**{name: _plain(found[name]) for name in (field.name for field in fields(Recorded))})
    except Exception:  # absent or damaged: whatever it is, it can be made anew
        made = record()
    packed = io.BytesIO()
    np.savez_compressed(packed, **asdict(made))
    with contextlib.suppress(OSError):  # no folder to keep it in: the next start records again
        keep(file, packed.getvalue(), alike="recorded-*.npz")
    return made


def _plain(array: np.ndarray) -> Any:
    return array if array.ndim else str(array)


@cache
def _sources() -> bytes:
    """All sources of the simulator: a change of any of them may change what is recorded."""
    folder = Path(pwm_bench.envs.warp.__file__).parent
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("[!.]*.py")))  # an editor's lock has a dot


def _feed(take: Callable[[bytes], object], thing: Any) -> None:
    """Hands over bytes that differ where two contents do."""
    if is_dataclass(thing):
        thing = {field.name: getattr(thing, field.name) for field in fields(thing)}
    take(f"{type(thing).__name__} ".encode())
    if isinstance(thing, Mapping):
        thing = list(thing.items())
    if isinstance(thing, (tuple, list)):
        take(f"{len(thing)} ".encode())
        for part in thing:
            _feed(take, part)
    elif isinstance(thing, (str, type)) or thing is None:
        take(f"{thing!r} ".encode())
    else:
        array = thing.numpy() if isinstance(thing, wp.array) else np.asarray(thing)
        if array.dtype.hasobject:  # Warp's scalars, of which NumPy would give the addresses
            array = array.astype(np.float64)
        take(f"{array.dtype.str} {array.shape} ".encode())
        take(array.tobytes())
