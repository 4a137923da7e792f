"""Records of older schema versions become records of today, step by step. Files on disk stay as they are.

To change the schema: raise `schema.SCHEMA_VERSION` and add the step from the version before, which takes a record's
values of that version and returns those of the next. Steps are never removed or changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pwm_bench.envs.errors import UsageError

__all__ = ["MIGRATIONS", "Migration", "migrate"]

Migration = Callable[[dict[str, Any]], dict[str, Any]]

MIGRATIONS: dict[int, Migration] = {}
"""Version -> step to the next. Empty: records of version 1 have other ids, and their tasks have changed since."""


def migrate(
    values: Mapping[str, Any], *, current: int, source: object, migrations: Mapping[int, Migration] | None = None
) -> dict[str, Any]:
    """Brings a record's values to the current version.

    Args:
        values: as read, with ``schema_version``.
        current: version wanted.
        source: the file, for messages.
        migrations: steps; `MIGRATIONS` by default.

    Raises:
        UsageError: the record is newer, or older than the oldest step.
    """
    steps = MIGRATIONS if migrations is None else migrations
    found = dict(values)
    version = found["schema_version"]
    if not isinstance(version, int) or isinstance(version, bool):
        raise UsageError(
            f"{source}: schema version {version!r} is no number; restore it, or remove the run's directory"
        )
    if version > current:
        raise UsageError(f"{source}: schema version {version} is newer than this pwm-bench: update it")
    for step in range(version, current):
        if step not in steps:
            raise UsageError(
                f"{source}: schema version {version} is older than this pwm-bench reads, since ids have changed; "
                "run it again, or read it with the version that wrote it"
            )
        found = steps[step](found) | {"schema_version": step + 1}
    return found
