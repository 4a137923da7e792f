"""A cache of what tables read, so that a study of thousands of runs is read in a second or two.

It is kept outside the results folder, in ``$XDG_CACHE_HOME/pwm-bench/index``, and can be deleted at any time. An entry
counts only while size, times and inode of both files it was made from are those of today, so copying, merging and
editing results needs no care. Small studies are not cached, and a cache that cannot be written is done without.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["StudyIndex", "fingerprint"]

_FORMAT = 4  # raise it when an entry's content changes its meaning
_LEAST = 200  # runs from which a cache pays
_STALE = 0.02  # share of entries that may be out of date before the file is written again


def fingerprint(*files: str | Path) -> list[int]:
    """What changes when a file does: size, time of content and of inode [ns], inode. Zeros if there is no file."""
    found: list[int] = []
    for file in files:
        try:
            stat = os.stat(file)
            found += [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        except OSError:
            found += [0, 0, 0, 0]
    return found


class StudyIndex:
    """The cached entries of one study's folder.

    Args:
        folder: of the study's runs.
        schema: version of the records in it; entries of another are not used.
    """

    def __init__(self, folder: Path, *, schema: int) -> None:
        place = str(folder.resolve())
        self._header = {"format": _FORMAT, "schema": schema, "folder": place}
        self.file = cache_folder() / f"{hashlib.sha256(os.fsencode(place)).hexdigest()[:16]}.jsonl"
        self._entries = self._read()
        self._fresh: dict[str, Any] = {}
        self._new = 0

    def get(self, run_id: str, stamp: list[int]) -> Any | None:
        """The entry of a run, if its files are unchanged."""
        entry = self._entries.get(run_id)
        if entry is None or entry[0] != stamp:
            return None
        self._fresh[run_id] = entry
        return entry[1]

    def put(self, run_id: str, stamp: list[int], content: Mapping[str, Any]) -> None:
        """Remembers a run as just read; ``stamp`` is from before reading."""
        self._fresh[run_id] = [stamp, content]
        self._new += 1

    def save(self) -> None:
        """Writes what was seen, if that is worth it."""
        gone = len(self._entries.keys() - self._fresh.keys())
        if len(self._fresh) < _LEAST or self._new + gone <= _STALE * len(self._fresh):
            return
        from pydantic_core import to_json

        from pwm_bench.store.files import write_atomic

        lines = [to_json(self._header), *(to_json([run_id, *entry]) for run_id, entry in self._fresh.items())]
        with contextlib.suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self.file, b"\n".join(lines) + b"\n")

    def _read(self) -> dict[str, Any]:
        from pydantic_core import from_json

        try:
            with open(self.file, "rb") as file:
                if from_json(file.readline()) != self._header:
                    return {}
                return {run_id: [stamp, content] for run_id, stamp, content in map(from_json, file)}
        except (OSError, ValueError, TypeError):
            return {}


def cache_folder() -> Path:
    """Where the caches of all results folders are."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "pwm-bench" / "index"
