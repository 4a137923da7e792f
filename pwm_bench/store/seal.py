"""A checksum at the end of a JSON file: what describes other files, and is described by none."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from pwm_bench.store.json_text import parse_json

__all__ = ["SEAL", "AlteredError", "check_seal", "read_sealed", "seal", "seal_text", "without_seal"]

SEAL = "sha256"
"""The last key; its value is a SHA-256 of all bytes before that key."""
_KEY = b'"sha256": "'
_END = re.compile(rb'([0-9a-f]{64})"\s*\}\s*')


class AlteredError(ValueError):
    """The file is not as it was written."""


def seal(values: Mapping[str, Any], *, indent: int | None = None) -> str:
    """JSON text of the values with their checksum.

    Args:
        values: JSON-able, at least one.
        indent: spaces a level; all in one line by default.
    """
    return seal_text(json.dumps(values, indent=indent))


def seal_text(text: str) -> str:
    """The JSON text of an object with its checksum as the last key, laid out as the others are."""
    body = text.rstrip()[:-1]
    values = body.rstrip()
    layout = body[len(values) :]  # what stands before the closing brace: a new line, or nothing
    first = re.match(r"\{(\s*)", values)
    head = f"{values},{first[1] if first and first[1] else ' '}"
    digest = hashlib.sha256(head.encode()).hexdigest()
    return f'{head}"{SEAL}": "{digest}"{layout}}}\n'


def check_seal(content: bytes) -> None:
    """Makes sure that a file is as `seal` wrote it, byte by byte. Reading it as JSON is not needed for that.

    Raises:
        AlteredError: it has no checksum, or has been altered.
    """
    head, _, tail = content.rpartition(_KEY)
    found = _END.fullmatch(tail)
    if not head or found is None or hashlib.sha256(head).hexdigest().encode() != found[1]:
        raise AlteredError("altered: its checksum does not match")


def read_sealed(content: bytes) -> Any:
    """The JSON values of a file as it was written, without its checksum; files from before there were any have none.

    Raises:
        AlteredError: it has a checksum, and has been altered.
        ValueError: it is not JSON.
    """
    values = parse_json(content)
    if not isinstance(values, dict) or SEAL not in values:
        return values
    check_seal(content)
    return without_seal(values)


def without_seal(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a sealed file without the checksum."""
    return {name: value for name, value in values.items() if name != SEAL}
