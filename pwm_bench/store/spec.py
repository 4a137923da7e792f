"""What a run is: everything that determines its numbers. Every kind of work has the same base and the same id."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Self

from pwm_bench.store.identity import identity
from pwm_bench.store.inputs import Input, Pending
from pwm_bench.store.schema import Member

__all__ = ["Spec"]


class Spec:
    """Everything that determines the numbers of a run; subclasses are frozen dataclasses.

    A spec that reads something has it in ``inputs``: an `Input` for each name, with the path where it lies and the
    digest of its content. The id contains the digest alone: a copy elsewhere is the same input, and a changed file is
    another one. In a study an input may be `Pending`: the artifact of another run that is not finished yet.
    """

    kind: ClassVar[str]
    """What kind of work it is."""
    study: str
    """The folder that the run is filed under."""
    inputs: Mapping[str, Input | Pending] = MappingProxyType({})
    """What it reads, by name."""

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        raise NotImplementedError

    def to_json(self) -> str:
        """Kind and fields as a JSON text, which ``pwm-bench run`` takes."""
        return json.dumps({"kind": self.kind, **self.to_dict()}, indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The spec that `to_dict` described.

        Raises:
            UsageError: unknown or missing fields, or impossible values.
        """
        raise NotImplementedError

    @property
    def members(self) -> tuple[Member, ...]:
        """The population as the record lists it before any work; empty if there is none."""
        return ()

    @property
    def label(self) -> str:
        """What a person calls the run."""
        return self.kind

    @property
    def id(self) -> str:
        """Content hash, see `identity`."""
        return identity(self.kind, self.to_dict())
