"""How parity records of all kinds are stored and read back."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from pwm_bench.envs.errors import UsageError
from pwm_bench.store.files import write_atomic
from pwm_bench.store.plain import read_plain, unreadable
from pwm_bench.store.seal import AlteredError, read_sealed, seal_text

__all__ = ["read_record", "write_record"]

Record = TypeVar("Record", bound=BaseModel)


def write_record(path: Path, record: BaseModel) -> Path:
    """Stores a record, replacing an earlier one. Returns its path.

    Raises:
        UsageError: the folder can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, seal_text(record.model_dump_json(indent=2)))
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be written ({error.strerror}); choose another folder with --results"
        ) from None
    return path


def read_record(path: Path, kind: type[Record], version: int, remedy: str) -> Record:
    """Reads a record of a kind.

    Args:
        path: the file.
        kind: its schema.
        version: the newest schema version that is understood.
        remedy: how to make the record where there is none.

    Raises:
        UsageError: there is none, it is damaged, or a newer version wrote it.
    """
    try:
        values = read_sealed(read_plain(path))
        written = values["schema_version"]
    except FileNotFoundError:
        raise UsageError(f"{path}: no such record; {remedy}") from None
    except OSError as error:
        raise unreadable(path, error) from None
    except AlteredError as error:
        raise UsageError(f"{path}: {error}; measure it again") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(f"{path}: damaged (not a parity record); measure it again") from None
    if not isinstance(written, int) or written > version:
        raise UsageError(f"{path}: schema version {written} is newer than this pwm-bench: update it")
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"{path}: damaged ({where}: {first['msg']}); measure it again") from None
