"""What a run reads: artifacts of other runs, or files, known by their content and never by their path."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pwm_bench.envs.errors import UsageError
from pwm_bench.store.plain import open_plain, unreadable

__all__ = ["Input", "Pending", "content_digest", "find_input", "numbered"]

T = TypeVar("T")
_SETTLED = 2_000_000_000
"""Age at which a file's time stamps tell whether it has changed since [ns]."""
_read: dict[Path, tuple[tuple[int, ...], str]] = {}
"""Files that were read: their state then, and their digest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Input:
    """A file or a folder that a run reads."""

    path: str
    """Where it lies; it is not part of the run's id."""
    digest: str
    """`content_digest` of it."""

    def open(self) -> Path:
        """The path, once the content is what it was.

        Raises:
            UsageError: it is missing, or something else lies there by now.
        """
        path = Path(self.path)
        if content_digest(path) != self.digest:
            raise UsageError(f"{path}: its content has changed since the run was asked for; restore it, or ask anew")
        return path


@dataclass(frozen=True, slots=True)
class Pending:
    """What another run of the same study will leave."""

    node: str
    """The run's name within its study."""
    artifact: str
    """Which of its artifacts."""


def content_digest(path: Path) -> str:
    """The SHA-256 of a file's content; of a folder, that of its files' names and contents, hidden files left out.

    Raises:
        UsageError: there is no such file or folder, or it cannot be read.
    """
    try:
        if path.is_dir():
            digest = hashlib.sha256()
            for file in sorted(x for x in path.rglob("*") if x.is_file()):
                name = file.relative_to(path)
                if not any(part.startswith(".") for part in name.parts) and name.name != "lock":
                    text = f"{name.as_posix()}\0{_of_file(file)}\0"
                    digest.update(text.encode(errors="surrogateescape"))  # a name may be any bytes
            return digest.hexdigest()
        return _of_file(path)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file or folder; check the path") from None
    except OSError as error:
        raise unreadable(path, error) from None


def find_input(path: Path | str, artifact: str) -> Input:
    """An input for a spec.

    Args:
        path: a run's directory, or the file or folder itself.
        artifact: which artifact of the run.

    Raises:
        UsageError: nothing is there; the run is not finished, or leaves no such artifact.
    """
    from pwm_bench.store.results import RunDirectory

    path = Path(path)
    directory = RunDirectory(path)
    if not directory.record_file.exists():
        return Input(path=str(path), digest=content_digest(path))
    record = directory.read()
    if artifact not in record.artifacts:
        if record.status != "ok":
            raise UsageError(f"{path}: the run is not finished ({record.status}), so it has left no {artifact} yet")
        several = [found.file for name, found in record.artifacts.items() if name.rpartition(".")[0] == artifact]
        if several:
            raise UsageError(
                f"{path}: this run has left a {artifact} of each seed; give that of one, e.g. {path / several[0]}"
            )
        what = record.spec.get("algorithm", record.kind)
        there = f"only {', '.join(sorted(record.artifacts))}" if record.artifacts else "nor anything else to read"
        raise UsageError(
            f"{path}: this run of '{what}' has left no {artifact}, {there}; give a run that has one, or set this "
            "one aside with `pwm-bench results remove` and make it again, as earlier versions left less"
        )
    found = record.artifacts[artifact]
    if not (path / found.file).exists():
        raise UsageError(
            f"{path / found.file}: the run's artifact '{artifact}' is gone; restore it, or remove the run's directory, "
            "and it is made again"
        )
    return Input(path=str(path / found.file), digest=found.digest)


def numbered(name: str, several: Sequence[T]) -> dict[str, T]:
    """Inputs of one kind by the names that `Spec.open_inputs` reads: NAME for a single one, else NAME.0, NAME.1 ..."""
    return {f"{name}.{number}" if len(several) > 1 else name: one for number, one in enumerate(several)}


def _of_file(path: Path) -> str:
    """The SHA-256 of a file. Within one process what lies unchanged is read once: an input is looked at when a run is
    asked for and again when it begins, and data may be larger than memory."""
    before = _state(path)
    known = _read.get(path)
    if known is not None and known[0] == before:
        return known[1]
    with open_plain(path) as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    settled = time.time_ns() - before[-1] > _SETTLED  # a file's time stamps are too coarse for what changes at once
    if settled and _state(path) == before:
        _read[path] = before, digest
    return digest


def _state(path: Path) -> tuple[int, ...]:
    """What differs after a file was written to or replaced; last the time of that."""
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
