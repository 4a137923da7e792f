"""What runs there are, read as quickly as can be: one small file a run, and next to nothing to import."""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pwm_bench.envs.errors import UsageError
from pwm_bench.store.files import prefetch
from pwm_bench.store.plain import read_plain
from pwm_bench.store.results import Results, RunDirectory, checked_values
from pwm_bench.store.soundness import failed_check
from pwm_bench.text import MISSING

__all__ = ["Entry", "find", "find_run", "scan", "summaries"]

_AHEAD = 200  # records that are asked for before they are read


@dataclass(frozen=True, slots=True)
class Entry:
    """A run in a list. Only ``study``, ``run_id`` and ``status`` are known of a damaged one."""

    study: str
    run_id: str
    path: str
    status: str
    """The status in the record; killed, if it says running and nobody holds it; damaged."""
    kind: str = ""
    task: str = ""
    simulator: str = ""
    algorithm: str = ""
    variant: str = ""
    """What tables call it among others of its algorithm, where it has a name."""
    seeds: int = 0
    diverged: int = 0
    wrong_gradient: bool = False
    """Whether the simulator's gradient, which it follows, has failed its check."""
    env_steps: int = 0
    """Steps per seed."""
    final_return: float | None = None
    """Mean over seeds."""
    started_at: str = ""
    updated_at: str = ""


def scan(results: Results, studies: Iterable[str] | None = None) -> Iterator[Entry]:
    """All runs, by study and id. A study whose folder cannot be read is one damaged entry without an id.

    Args:
        results: the folder.
        studies: which; all by default.
    """
    for study in sorted(studies if studies is not None else results.studies()):
        folder = os.fspath(results.study_path(study))
        try:
            names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
        except FileNotFoundError:  # it was removed meanwhile
            continue
        except OSError:
            yield Entry(study, MISSING, folder, "damaged")
            continue
        for first in range(0, len(names), _AHEAD):
            block = names[first : first + _AHEAD]
            prefetch(f"{folder}/{name}/run.json" for name in block)
            for name in block:
                entry = _read(study, name, f"{folder}/{name}")
                if entry is not None:
                    yield entry


def _read(study: str, run_id: str, path: str, *, left: bool = False) -> Entry | None:
    """The entry of a run; ``left`` says that nobody was working on it when its record was read."""
    try:
        content = read_plain(f"{path}/run.json")
    except (FileNotFoundError, NotADirectoryError):
        return None  # not a run
    except OSError:
        return Entry(study, run_id, path, "damaged")
    try:
        record = checked_values(content)
        spec, members, check = record["spec"], record["members"], record.get("gradient_check")
        returns = [m["final_return"] for m in members if m["final_return"] is not None]
        status = record["status"]
        if status == "running" and left:
            status = "killed"
        elif status == "running" and not RunDirectory(Path(path)).busy:
            return _read(study, run_id, path, left=True)  # it may have ended between the two looks
        entry = Entry(
            study=study,
            run_id=run_id,
            path=path,
            status=status,
            kind=record["kind"],
            task=spec.get("task", ""),
            simulator=spec.get("simulator") or " ".join(spec.get("simulators", ())),
            algorithm=spec.get("algorithm", ""),
            variant=(record.get("variant") or {}).get("name", ""),
            seeds=len(members),
            diverged=sum(m["status"] == "diverged" for m in members),
            wrong_gradient=check is not None and failed_check(check["relative_error"], check["precision"]),
            env_steps=record["counts"]["env_steps"],
            final_return=sum(returns) / len(returns) if returns else None,
            started_at=record["started_at"],
            updated_at=record["updated_at"],
        )
        texts = (status, entry.kind, entry.task, entry.simulator, entry.algorithm, entry.variant)
        times = (entry.started_at, entry.updated_at)
        number = entry.env_steps + (entry.final_return or 0.0)  # no text, for one
        if not all(type(text) is str for text in (*texts, *times)) or not -1e300 < number < 1e300:
            raise ValueError("of another type, or out of range")
        return entry
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return Entry(study, run_id, path, "damaged")


def find(results: Results, name: str) -> list[Path]:
    """Directories of the runs whose id begins with ``name``, in any study; after ``STUDY/``, in that one alone."""
    wanted, slash, run_id = name.rpartition("/")
    if slash and not run_id:
        return []
    found = []
    studies = results.studies()
    for study in studies if not slash else {wanted}.intersection(studies):
        with suppress(OSError), os.scandir(results.study_path(study)) as entries:  # another person's may be unreadable
            found += [Path(entry.path) for entry in entries if entry.name.startswith(run_id) and entry.is_dir()]
    return sorted(found)


def find_run(name: str, results: Results, *, others: Mapping[str, Sequence[str]] | None = None) -> RunDirectory:
    """The run that a name stands for: a run directory's path, or a run id (or its beginning) in a results folder.

    Args:
        name: as typed.
        results: where runs are looked for.
        others: what else may be meant where this is asked, e.g. ``{"task": [...]}``, for the error to suggest.

    Raises:
        UsageError: if there is none, or more than one.
    """
    if os.path.isdir(name):
        return RunDirectory(Path(name))
    found = find(results, name) if len(name) >= 4 else []
    exact = [path for path in found if path.name == name.rpartition("/")[2]]
    if len(exact or found) == 1:
        return RunDirectory((exact or found)[0])
    if found:
        same = " or ".join(os.fspath(path.relative_to(results.root / "runs")) for path in exact)
        raise UsageError(
            f"run '{name}': is in several studies; give {same}"
            if exact
            else f"run '{name}': could be {' or '.join(path.name for path in found)}; write one more digit"
        )
    others = others or {}
    known = [other for names in others.values() for other in names]
    near = difflib.get_close_matches(name, [*known, *(path.name for path in find(results, ""))], n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    lists = "".join(f"{kind}s: {', '.join(names)}; " for kind, names in others.items())
    either = f"neither a {', a '.join(others)}, a" if others else "neither a"
    raise UsageError(
        f"'{name}' is {either} run's directory nor a run in {results.root}: {hint}{lists}runs: pwm-bench list runs"
    )


def summaries(entries: Iterable[Entry]) -> dict[str, Counter[str]]:
    """Study -> how many runs have which status."""
    found: dict[str, Counter[str]] = {}
    for entry in entries:
        found.setdefault(entry.study, Counter())[entry.status] += 1
    return found
