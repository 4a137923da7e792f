"""What a run is: everything that determines its numbers. Every kind of work has the same base and the same id."""

from __future__ import annotations

from typing import Any, ClassVar

from pwm_bench.store.identity import identity

__all__ = ["Spec"]


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
