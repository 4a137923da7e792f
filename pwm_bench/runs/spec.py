"""What a run is: everything that determines its numbers. Every kind of work has the same base and the same id."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar

__all__ = ["NOT_HASHED", "Spec", "identity"]

NOT_HASHED = ("study", "device")
"""Fields of a spec that say where a run is filed and where it computes: they do not change what is computed."""
_FORMAT = 2  # raise it when a field changes its meaning, so that old ids are not taken for new ones


class Spec:
    """Everything that determines the numbers of a run; subclasses are frozen dataclasses.

    A spec that reads something has it in the ``inputs`` of `to_dict`: a name for each input, with the ``path`` where it
    lies and the ``digest`` of its content. The id contains the digest alone, so that a copy elsewhere is the same input
    and a changed file is another one.
    """

    kind: ClassVar[str]
    """What kind of work it is."""
    study: str
    """The folder that the run is filed under."""

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        raise NotImplementedError

    @property
    def id(self) -> str:
        """Content hash, see `identity`."""
        return identity(self.kind, self.to_dict())


def identity(kind: str, values: Mapping[str, Any]) -> str:
    """The name of a run: a hash of what determines its numbers.

    Args:
        kind: of work.
        values: the spec as JSON values, as `Spec.to_dict` gives them and as records hold them.

    Returns:
        12 hexadecimal digits.

    Raises:
        ValueError: a value that JSON does not have, such as NaN.
    """
    content = {name: value for name, value in values.items() if name not in NOT_HASHED}
    if "inputs" in content:
        content["inputs"] = {name: one["digest"] for name, one in content["inputs"].items()}
    text = json.dumps(
        {"format": _FORMAT, "kind": kind, **content},
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=True,
        allow_nan=False,
    )
    return hashlib.sha256(text.encode()).hexdigest()[:12]
