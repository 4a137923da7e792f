"""The one function that names runs, whatever kind of work they do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["NOT_HASHED", "identity"]

NOT_HASHED = ("study", "variant", "setting", "device", "workers", "graphed")
"""Fields of a spec that say where a run is filed, as what, and where and how it computes: no number depends on them."""
_FORMAT = 2  # raise it when a field changes its meaning, so that old ids are not taken for new ones


def identity(kind: str, values: Mapping[str, Any]) -> str:
    """The name of a run: a hash of what determines its numbers.

    Args:
        kind: of work.
        values: the spec as JSON values, as `pwm_bench.store.spec.Spec.to_dict` gives them and as records hold them.

    Returns:
        12 hexadecimal digits.

    Raises:
        ValueError: a value that JSON does not have, such as NaN.
    """
    content = {name: value for name, value in values.items() if name not in NOT_HASHED}
    inputs = content.pop("inputs", {})
    if inputs:
        content["inputs"] = {name: one["digest"] for name, one in inputs.items()}
    text = json.dumps(
        {"format": _FORMAT, "kind": kind, **content},
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=True,
        allow_nan=False,
    )
    return hashlib.sha256(text.encode()).hexdigest()[:12]
