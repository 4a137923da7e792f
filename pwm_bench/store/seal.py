"""A checksum within a JSON file: what describes other files, and is described by none."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["SEAL", "AlteredError", "seal", "seal_of", "unsealed"]

SEAL = "sha256"
"""The key; its value is a SHA-256 over all others."""


class AlteredError(ValueError):
    """Values are not those that were written."""


def seal_of(values: Mapping[str, Any]) -> str:
    """The SHA-256 of JSON values, whatever the order of their keys and the spaces between them."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def seal(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with their checksum."""
    return {**values, SEAL: seal_of(values)}


def unsealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values without their checksum.

    Raises:
        AlteredError: there is none, or they have been altered.
    """
    rest = dict(values)
    if rest.pop(SEAL, None) != seal_of(rest):
        raise AlteredError("altered: its checksum does not match")
    return rest
