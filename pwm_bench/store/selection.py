"""Runs of one or several studies, of some tasks, simulators and algorithms."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.store.curves import Curves
from pwm_bench.store.frames import Loaded, LoadedRun, load_study
from pwm_bench.store.results import Results

__all__ = ["Selection"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """What a table, a figure or an export is about. Names that are not given select everything.

    Attributes:
        studies: at least one.
        tasks: also those of the members of a run that trained several.
        simulators: as in the records.
        algorithms: likewise.
    """

    studies: Sequence[str]
    tasks: Sequence[str] = ()
    simulators: Sequence[str] = ()
    algorithms: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.studies:
            raise UsageError("STUDY is missing: name at least one; see `pwm-bench results ls`")
        twice = sorted({name for name in self.studies if self.studies.count(name) > 1})
        if twice:
            raise UsageError(f"study '{twice[0]}': named twice; name each study once")

    @property
    def title(self) -> str:
        """The studies' names, for a heading."""
        return " + ".join(self.studies)

    @property
    def folder(self) -> str:
        """The studies' names, for files."""
        return "+".join(self.studies)

    def load(self, results: Results) -> Loaded:
        """Reads the runs. Damaged ones are reported, not fatal.

        Raises:
            UsageError: no such study, or a name that no run of the studies has.
        """
        loaded = Loaded()
        for study in self.studies:
            found = load_study(results, study)
            loaded.runs += found.runs
            loaded.damaged += found.damaged
            loaded.unscored += found.unscored
        if loaded.runs or not loaded.unscored:
            self._check(loaded.runs)
        loaded.runs = [part for run in loaded.runs if (part := self._part(run)) is not None]
        if not loaded.runs and not loaded.unscored and (self.tasks or self.simulators or self.algorithms):
            raise UsageError(f"study '{self.title}' has no run of that task, simulator and algorithm together")
        return loaded

    def holds(self, *, task: str, simulator: str, algorithm: str) -> bool:
        """Whether a policy is selected."""
        wanted = ((self.tasks, task), (self.simulators, simulator), (self.algorithms, algorithm))
        return all(not names or name in names for names, name in wanted)

    def _check(self, runs: Iterable[LoadedRun]) -> None:
        there: dict[str, set[str]] = {"task": set(), "simulator": set(), "algorithm": set()}
        for run in runs:
            there["task"] |= {member.task or run.record.spec["task"] for member in run.record.members}
            for kind in ("simulator", "algorithm"):
                there[kind].add(run.record.spec[kind])
        for kind, names in (("task", self.tasks), ("simulator", self.simulators), ("algorithm", self.algorithms)):
            for name in names:
                if name not in there[kind]:
                    raise unknown(f"{kind} of study '{self.title}'", name, there[kind])

    def _part(self, run: LoadedRun) -> LoadedRun | None:
        """A run with those of its members that are selected; None if there are none."""
        record = run.record
        spec = record.spec
        kept = [
            index
            for index, member in enumerate(record.members)
            if self.holds(task=member.task or spec["task"], simulator=spec["simulator"], algorithm=spec["algorithm"])
        ]
        if len(kept) == len(record.members):
            return run
        if not kept:
            return None
        curves = Curves(
            run.curves.axes, run.curves.lines, {name: means[:, kept] for name, means in run.curves.means.items()}
        )
        members = [record.members[index] for index in kept]
        return dataclasses.replace(run, record=record.model_copy(update={"members": members}), curves=curves)
