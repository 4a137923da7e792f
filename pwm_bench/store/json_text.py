"""JSON as it was meant: no key twice, and not deeper than can be read."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["parse_json"]


def parse_json(text: str | bytes) -> Any:
    """The values of a JSON text.

    Raises:
        ValueError: it is not JSON, is nested too deeply, or an object has a key twice, of which readers would take one
            or the other.
    """
    try:
        return json.loads(text, object_pairs_hook=_each_once)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {json.dumps(next(name for name in names if names.count(name) > 1))} is there twice")
    return values
