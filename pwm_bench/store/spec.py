"""What a run is: everything that determines its numbers. Every kind of work has the same base and the same id."""

from __future__ import annotations

import dataclasses
import json
import os
import typing
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

from pwm_bench import configs
from pwm_bench.envs.contact import GROUND_OPTIONS
from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.store.identity import identity
from pwm_bench.store.inputs import Input, Pending
from pwm_bench.store.json_text import parse_json
from pwm_bench.store.schema import Member, RunRecord, Variant

__all__ = ["Spec", "check_study_name", "check_variant", "parse_spec", "plain_options"]

_LONGEST_VARIANT = 60  # characters; a table has it beside the algorithm's name
_LONGEST_NAME = 200  # bytes; file systems allow 255, of which files beside take some


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
    device: str = "auto"
    """Where it computes: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; it is not part of the id."""
    graphed: str = "off"
    """Whether its updates are launched as CUDA graphs where they can be, for work that has the choice; it is not part
    of the id. See `pwm_bench.learning.graphed.graphs_of`."""
    variant: str = ""
    """What tables and figures call the run among others of its algorithm, e.g. ``"five models"``, for work that has
    scores; empty where its settings say it. It is not part of the id."""
    inputs: Mapping[str, Input | Pending] = MappingProxyType({})
    """What it reads, by name."""
    settings: ClassVar[str] = "config"
    """The field that holds the settings of the work, where there is such a one."""
    seeds_repeat: ClassVar[bool] = True
    """Whether other seeds, where there are any, give more of the same numbers; not if each stands for a setting."""

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        return configs.to_json(self)

    def to_json(self) -> str:
        """Kind and fields as a JSON text, which ``pwm-bench run`` takes."""
        return json.dumps({"kind": self.kind, **self.to_dict()}, indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The spec that `to_dict` described.

        Raises:
            UsageError: unknown or missing fields, or impossible values.
        """
        return configs.from_json(cls, values)  # type: ignore[type-var]  # subclasses are dataclasses

    @classmethod
    def study_keys(cls) -> Mapping[str, Any]:
        """What a person may say of such a run in a study file, inputs and settings aside: name -> type."""
        hints = typing.get_type_hints(cls)
        left_out = {"inputs", "study", cls.settings}
        fields = dataclasses.fields(cls)  # type: ignore[arg-type]  # subclasses are dataclasses
        return {field.name: hints[field.name] for field in fields if field.name not in left_out}

    @classmethod
    def draft(cls, fields: Mapping[str, Any], settings: Mapping[str, Any], reads: Mapping[str, Spec]) -> Self:
        """The spec that a person asks for; what is left out is filled in.

        Args:
            fields: those of `study_keys`, ``inputs`` and ``study``, of the types that these have.
            settings: changes of the settings of the work; nested ones by dots.
            reads: the specs of the runs that leave the `Pending` inputs, by input.

        Raises:
            UsageError: unknown or missing fields, or impossible values.
        """
        values = dict(fields)
        if settings:
            if cls.settings not in typing.get_type_hints(cls):
                raise UsageError(f"set: work of the kind '{cls.kind}' has no settings; leave it out")
            values[cls.settings] = configs.nested(settings)
        return cls.from_dict(values)

    @classmethod
    def from_json(cls, text: str, *, source: str = "spec") -> Self:
        """Reads what `to_json` wrote.

        Args:
            text: JSON.
            source: how errors call it, e.g. a file name.

        Raises:
            UsageError: not JSON, another kind of work, or not a possible spec.
        """
        kind, values = parse_spec(text, source=source)
        if kind not in (None, cls.kind):
            raise UsageError(f"{source}: describes work of the kind '{kind}', not '{cls.kind}'")
        return cls.from_dict(values)

    @property
    def members(self) -> tuple[Member, ...]:
        """The population as the record lists it before any work; empty if there is none."""
        return ()

    @property
    def computing_simulators(self) -> tuple[str, ...]:
        """The simulators that compute in the run, which may see other devices than torch."""
        return ()

    @property
    def cpu_threads(self) -> int | None:
        """Threads that the work computes with on a CPU; None for all of torch's."""
        return None

    @property
    def takes_the_machine(self) -> bool:
        """Whether the work keeps all cores busy, e.g. with worker processes of its own: nothing runs beside it then."""
        return False

    @property
    def counts_time(self) -> bool:
        """Whether its processor time decides when it ends, so that it must not share a process with other runs."""
        return False

    @property
    def memory(self) -> int:
        """Bytes of memory that must be free for the work to begin: about twice what small work takes, by default."""
        return 2 * 2**30

    @property
    def gpu_memory(self) -> int:
        """Bytes of a GPU's memory that the work takes there, as long as no finished run of its sort has shown it."""
        return 4 * 2**30

    @property
    def gpu_share(self) -> float:
        """Fraction of a GPU that the work takes where it computes on one."""
        return 1.0

    @property
    def amount(self) -> float:
        """How much work it is, in a unit of its kind's own: the time that it takes is about proportional to it."""
        return 1.0

    @property
    def label(self) -> str:
        """What a person calls the run."""
        return self.kind

    def called(self, *parts: str) -> str:
        """A label of these parts and the variant's name, e.g. ``"hopper · warp · pwm · five models"``."""
        return " · ".join(filter(None, (*parts, self.variant)))

    def begun(self, time: str) -> RunRecord:
        """The record of the run as it begins.

        Args:
            time: as records hold it.
        """
        return RunRecord(
            kind=self.kind,
            id=self.id,
            study=self.study,
            spec=self.to_dict(),
            status="running",
            variant=Variant(name=self.variant) if self.variant else None,
            members=[member.model_copy() for member in self.members],
            started_at=time,
            updated_at=time,
        )

    def open_input(self, name: str) -> Path:
        """Where an input lies, once its content is what it was.

        Raises:
            UsageError: there is no such input, it is another run's that is not finished, or its content has changed.
        """
        if name not in self.inputs:
            raise unknown("input of the spec", name, self.inputs)
        one = self.inputs[name]
        if isinstance(one, Pending):
            raise UsageError(f"inputs.{name}: run '{one.node}' has not left it yet; carry that one out first")
        return one.open()

    def open_inputs(self, name: str) -> list[Path]:
        """Where the inputs NAME, or NAME.0, NAME.1 and so on lie, in that order.

        Raises:
            UsageError: there is none, or as `open_input`.
        """
        parts = [(other.partition("."), other) for other in self.inputs]
        found = [(number, other) for (base, _, number), other in parts if base == name]
        for number, other in found:
            if number and not number.isdecimal():
                raise UsageError(f"inputs.{other}: must be '{name}', or '{name}.' and a number")
        found.sort(key=lambda one: int(one[0] or -1))
        return [self.open_input(other) for _, other in found] if found else [self.open_input(name)]

    def check_reads(self, reads: Mapping[str, Spec]) -> None:
        """Makes sure that what a run will read from others of its study suits it.

        Args:
            reads: the specs of the runs that leave the `Pending` inputs, by input.

        Raises:
            UsageError: something does not.
        """

    def check_place(self, device: str) -> None:
        """Checks where and as what the run is filed, and where it computes.

        Raises:
            UsageError: ``study`` is no plain folder name, ``variant`` cannot be shown in a table, or there is no such
                kind of device.
        """
        check_variant(self.variant)
        if device not in ("auto", "cpu") and str(device).partition(":")[0] != "cuda":
            raise UsageError(f"device={device}: must be auto, cpu, cuda or cuda:N")
        check_study_name(self.study)

    @property
    def id(self) -> str:
        """Content hash, see `identity`."""
        return identity(self.kind, self.to_dict())


def check_study_name(name: str) -> None:
    """Makes sure that a study's name can be that of a folder.

    Raises:
        UsageError: it cannot.
    """
    plain = isinstance(name, str) and name.isprintable() and not any(c in name for c in "/\\")
    if not plain or not name or name.startswith("."):
        raise UsageError(f"study={name!r}: must be a plain folder name")
    if len(os.fsencode(name)) > _LONGEST_NAME:
        raise UsageError(f"study={name[:30]!r}...: must be at most {_LONGEST_NAME} bytes long, as a folder's name")


def check_variant(name: str) -> None:
    """Makes sure that what tables call a run fits there.

    Raises:
        UsageError: it does not.
    """
    if not isinstance(name, str) or name != name.strip() or not name.isprintable() or "," in name:
        raise UsageError(f"variant={name!r}: must be a plain text without a comma, e.g. 'five models'")
    if len(name) > _LONGEST_VARIANT:
        raise UsageError(f"variant={name[:30]!r}...: must be at most {_LONGEST_VARIANT} characters long")


def plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of an environment as a spec has them: 20000 and 2e4 are one stiffness of the ground, and so one id."""
    ground = {name: float(options[name]) for name in GROUND_OPTIONS if type(options.get(name)) is int}
    return {**options, **ground}


def parse_spec(text: str, *, source: str) -> tuple[str | None, dict[str, Any]]:
    """Kind (None where it is not said) and fields of a spec in JSON.

    Args:
        text: JSON.
        source: how errors call it, e.g. a file name.

    Raises:
        UsageError: not JSON, or not an object.
    """
    try:
        values = parse_json(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{source}: not valid JSON ({error}); see docs/results.md for the format") from None
    if not isinstance(values, dict):
        raise UsageError(f"{source}: must be a JSON object with the fields of a run spec")
    kind = values.pop("kind", None)
    if not isinstance(kind, str | None):
        raise UsageError(f"{source}: kind={json.dumps(kind)}: must be the name of a kind of work")
    return kind, values
