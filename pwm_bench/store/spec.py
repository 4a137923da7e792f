"""What a run is: everything that determines its numbers. Every kind of work has the same base and the same id."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pwm_bench.store.identity import identity
from pwm_bench.store.schema import Member

if TYPE_CHECKING:
    from pwm_bench.runs.job import Job

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
    def members(self) -> tuple[Member, ...]:
        """The population as the record lists it before any work; empty if there is none."""
        return ()

    @property
    def label(self) -> str:
        """What a person calls the run."""
        return self.kind

    def job(self, folder: Path) -> Job:
        """Builds the work.

        Args:
            folder: the run's directory, for work that writes as it goes on.

        Raises:
            UsageError: the device is absent, an input is missing or not what its digest says, or a part refuses the
                spec.
        """
        raise NotImplementedError

    @property
    def id(self) -> str:
        """Content hash, see `identity`."""
        return identity(self.kind, self.to_dict())
