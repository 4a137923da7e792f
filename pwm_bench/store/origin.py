"""Which code, packages and machines numbers come from, and whether code and packages are today's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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


_Held = dict[str, dict[str, tuple[set[str], set[int]]]]
"""Version -> name of a row -> where its runs of that version were, and their seeds."""


def origin_notes(rows: Iterable[tuple[str, str, Sequence[int], Provenance | None]]) -> tuple[str, ...]:
    """What a table must say where its rows, or the seeds of one, come from different code or packages, or a run from
    several machines: nothing if they do not.

    Args:
        rows: for all runs: the name of the row, task, seeds, and provenance.
    """
    code: _Held = {}
    versions: dict[str, _Held] = {}
    plugins: dict[str, _Held] = {}
    earlier: _Held = {}
    machines: _Held = {}
    for name, task, seeds, origin in rows:
        if origin is None:
            continue
        held = [(code, code_name(origin)), *((earlier, one) for one in origin.earlier)]
        held += [
            (versions.setdefault(package, {}), version)
            for package, version in origin.packages.items()
            if package != _OURS
        ]
        held += [(machines, one) for one in origin.earlier_machines]
        held += [(plugins.setdefault(module, {}), version) for module, version in origin.plugins.items()]
        for found, version in held:
            tasks, theirs = found.setdefault(version, {}).setdefault(name, (set(), set()))
            tasks.add(task)
            theirs.update(seeds)
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
        shown = _listed(earlier, of_one=True)
        notes.append(f"Runs were resumed with other code, packages or task than they began with: {shown}.")
    if machines:
        notes.append(
            "Runs were resumed on another machine, and their processor seconds are those of both; they began on: "
            f"{_listed(machines, of_one=True)}."
        )
    return tuple(notes)


def _listed(held: _Held, *, of_one: bool = False) -> str:
    """Versions with the rows that have runs of them; of one, where a run may have several."""
    texts = []
    for version, rows in held.items():
        names = list(rows) if of_one else [_which(name, version, held) for name in rows]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        texts.append(f"{version} ({', '.join(names[:_NAMED])}{more})")
    return ", ".join(texts)


def _which(name: str, version: str, held: _Held) -> str:
    """The name of a row; where it has runs of several versions, with the tasks or the seeds that tell them apart."""
    tasks, seeds = held[version][name]
    others = [rows[name] for other, rows in held.items() if other != version and name in rows]
    if not others:
        return name
    if not any(tasks & elsewhere for elsewhere, _ in others):
        return f"{name} on {', '.join(sorted(tasks))}"
    if not any(seeds & theirs for _, theirs in others):
        return f"{name}, seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, sorted(seeds)))}"
    return f"{name} in part"
