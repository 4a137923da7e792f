"""Which code, packages and machines numbers come from, and whether code and packages are today's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pwm_bench.store.provenance import code_hash, package_versions, plugin_version
from pwm_bench.store.schema import Provenance

__all__ = ["code_name", "differences", "differences_of_last_attempt", "origin_notes"]

_OURS = "pwm-bench"
_NAMED = 6  # rows that a note names for one version


def code_name(origin: Provenance) -> str:
    """What a person calls the code that made a run."""
    if origin.code is not None:
        return f"code {origin.code}"
    if origin.git_commit is not None:
        return f"commit {origin.git_commit[:7]}{' with changes' if origin.git_dirty else ''}"
    return f"{_OURS} {origin.packages.get(_OURS, 'of unknown version')}"


def differences(origin: Provenance | None) -> str:
    """How a run's code and packages differ from those here, in a few words; empty if they do not. The part of its work
    that earlier attempts did counts."""
    if origin is None:
        return "unknown code"
    parts = [f"in part {one}" for one in origin.earlier]
    return "; ".join(filter(None, (differences_of_last_attempt(origin), *parts)))


def differences_of_last_attempt(origin: Provenance) -> str:
    """How the code and packages of the attempt that a record describes differ from those here; empty if they do not."""
    now = package_versions()
    found = [] if origin.code == code_hash() else [code_name(origin)]
    names = sorted((origin.packages.keys() & now.keys()) - {_OURS})
    found += [
        f"{module} {version}, now {plugin_version(module)}"
        for module, version in sorted(origin.plugins.items())
        if version != plugin_version(module)
    ]
    found += [
        f"{name} {origin.packages[name]}, now {now[name]}" for name in names if origin.packages[name] != now[name]
    ]
    return "; ".join(found)


def origin_notes(rows: Iterable[tuple[str, Provenance | None]]) -> tuple[str, ...]:
    """What a table must say where its rows come from different code or packages, or a run from several machines.

    Args:
        rows: name of a row and provenance of one of its runs, for all runs.
    """
    seen = set()  # few, of many runs
    code: dict[str, dict[str, None]] = {}
    versions: dict[str, dict[str, dict[str, None]]] = {}
    plugins: dict[str, dict[str, dict[str, None]]] = {}
    earlier: dict[str, dict[str, None]] = {}
    machines: dict[str, dict[str, None]] = {}
    for name, origin in rows:
        if origin is None:
            continue
        known = (
            name,
            origin.code,
            origin.git_commit,
            origin.git_dirty,
            *origin.packages.items(),
            *origin.plugins.items(),
            *origin.earlier,
            *origin.earlier_machines,
        )
        if known in seen:
            continue
        seen.add(known)
        code.setdefault(code_name(origin), {})[name] = None
        for package, version in origin.packages.items():
            if package != _OURS:
                versions.setdefault(package, {}).setdefault(version, {})[name] = None
        for module, version in origin.plugins.items():
            plugins.setdefault(module, {}).setdefault(version, {})[name] = None
        for one in origin.earlier:
            earlier.setdefault(one, {})[name] = None
        for one in origin.earlier_machines:
            machines.setdefault(one, {})[name] = None
    notes = []
    if len(code) > 1:
        notes.append(f"Rows come from different code: {_listed(code)}.")
    notes += [
        f"Rows come from different code of {module}: {_listed(held)}."
        for module, held in sorted(plugins.items())
        if len(held) > 1
    ]
    mixed = {package: held for package, held in sorted(versions.items()) if len(held) > 1}
    if mixed:
        shown = "; ".join(f"{package} {_listed(held)}" for package, held in mixed.items())
        notes.append(f"Rows come from different versions of packages: {shown}.")
    if earlier:
        notes.append(f"Runs were resumed with other code, packages or task than they began with: {_listed(earlier)}.")
    if machines:
        notes.append(
            "Runs were resumed on another machine, and their processor seconds are those of both; they began on: "
            f"{_listed(machines)}."
        )
    return tuple(notes)


def _listed(held: Mapping[str, Mapping[str, None]]) -> str:
    texts = []
    for version, names in held.items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        texts.append(f"{version} ({', '.join(list(names)[:_NAMED])}{more})")
    return ", ".join(texts)
