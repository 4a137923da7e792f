"""``pwm-bench results``: look after the results folder."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from pwm_bench.cli.commands.options import ResultsFolder, default_results, option
from pwm_bench.cli.showing import show_left_out
from pwm_bench.envs.errors import UsageError, unknown

if TYPE_CHECKING:
    import pandas as pd

    from pwm_bench.store.results import Results as Store
    from pwm_bench.store.schema import RunRecord

__all__ = ["ACTIONS", "Results"]

ACTIONS = ("ls", "show", "verify", "merge", "export", "export-policy", "name", "remove")
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "all": ("ls",),
    **dict.fromkeys(("task", "simulator", "algorithm"), ("export",)),
    "member": ("export-policy",),
    **dict.fromkeys(("format", "output"), ("export", "export-policy")),
}
"""Option -> the actions that it is for."""


@dataclass(frozen=True, kw_only=True)
class Results:
    """List, show, check, merge, export and remove the runs in the results folder.

    ACTION and NAME are:
      ls [STUDY ...]               list studies, or the runs of these
      show RUN                     show one run, by its id, STUDY/ID or directory
      verify [STUDY | FOLDER ...]  check the files of studies, or of the folder of a data set or world model
      merge FOLDER ...             copy runs of other results folders into this one
      export STUDY ...             write data files
      export-policy RUN            write its policy, with its normaliser, for use without pwm-bench
      name RUN NAME                say what tables call a finished run among others of its algorithm
      remove RUN ...               move runs to removed/ in the results folder

    For example:
      pwm-bench results ls
      pwm-bench results export-policy RUN --output policy.onnx
    """

    action: Annotated[str, tyro.conf.Positional, option("ACTION")]
    """What to do, see above."""
    names: Annotated[tuple[str, ...], tyro.conf.Positional, option("NAME ...")] = ()
    """Studies, a run id or its beginning, or folders."""
    all: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """ls: the runs of all studies."""
    task: Annotated[tuple[str, ...], option("NAME ...", "all")] = ()
    """export: only these tasks."""
    simulator: Annotated[tuple[str, ...], option("NAME ...", "all")] = ()
    """export: only these simulators."""
    algorithm: Annotated[tuple[str, ...], option("NAME ...", "all")] = ()
    """export: only these algorithms."""
    member: Annotated[int | None, option("SEED", "the best")] = None
    """export-policy: training seed of the policy."""
    format: Annotated[str | None, option("NAME", "parquet; torchscript")] = None
    """export: parquet or csv. export-policy: torchscript or onnx, by default as the ending of --output says."""
    output: Annotated[Path | None, option("PATH", "in exports/ in the results folder")] = None
    """export: folder to write into. export-policy: file to write."""
    results: ResultsFolder = field(default_factory=default_results)
    """Results folder."""

    def __call__(self) -> int:
        """Does it. Returns 1 if `verify` or `merge` found something wrong."""
        from pwm_bench.store.results import Results as Store

        if self.action not in ACTIONS:
            raise unknown("action", self.action, ACTIONS)
        for name, actions in _OPTIONS.items():
            if self.action not in actions and getattr(self, name) != getattr(type(self), name):
                raise UsageError(f"--{name}: is for {' and '.join(actions)}, not for {self.action}; leave it out")
        store = Store(self.results)
        folders = [name for name in self.names if self.action == "verify" and _is_folder(Path(name))]
        if self.action != "merge" and not store.studies() and not folders:
            raise UsageError(f"{store.root}: holds no runs yet; begin with `pwm-bench sweep quickstart`")
        if self.action in ("ls", "verify"):
            for name in self.names:
                if name not in store.studies() and name not in folders:
                    raise unknown("study", name, store.studies())
        return {
            "ls": lambda: _ls(store, self.names, self.all),
            "show": lambda: _show(store, self.names),
            "verify": lambda: _verify(store, self.names),
            "name": lambda: _name(store, self.names),
            "remove": lambda: _remove(store, self.names),
            "merge": lambda: _merge(store, self.names),
            "export": self._export,
            "export-policy": self._export_policy,
        }[self.action]()

    def _export(self) -> int:
        from pwm_bench.store.export import check_format, score_frames, stage_frames, write_frames
        from pwm_bench.store.results import Results as Store
        from pwm_bench.store.selection import Selection

        format = self.format or "parquet"
        check_format(format)
        selection = Selection(studies=self.names, tasks=self.task, simulators=self.simulator, algorithms=self.algorithm)
        store = Store(self.results)
        loaded = selection.load(store)
        frames: dict[str, pd.DataFrame] = {}
        left_out = list(loaded.damaged)
        if loaded.runs:
            frames |= score_frames(store, selection, loaded, left_out=left_out)
        if loaded.unscored:
            from pwm_bench.analysis.gradients.selected import selected_rows
            from pwm_bench.gradients.rows import FILE
            from pwm_bench.store.results import FINISHED, RunDirectory

            rest = {path: RunDirectory(path).status() for path in loaded.unscored if not (path / FILE).exists()}
            stages = [path for path, status in rest.items() if status in FINISHED]
            frames |= stage_frames(stages, left_out=left_out)
            if len(rest) < len(loaded.unscored) or not frames:
                frames["gradients"], more = selected_rows(store, selection, loaded)
            else:
                more = [f"{path}: {status}" for path, status in rest.items() if path not in stages]
            left_out = left_out + more
        if not frames:
            names = shlex.join(self.names)
            raise UsageError(f"{store.root}: no run of {names} could be read; see `pwm-bench results verify {names}`")
        folder = self.output or self.results / "exports" / selection.folder
        print("\n".join(map(str, write_frames(frames, folder, format=format))))
        show_left_out(left_out)
        return 0

    def _export_policy(self) -> int:
        from pwm_bench.jobs.export_policy import FORMATS, export_policy, format_of
        from pwm_bench.jobs.trained import member_policy
        from pwm_bench.store.listing import find_run
        from pwm_bench.store.results import Results as Store

        if len(self.names) != 1:
            raise UsageError("results export-policy: give one run, by its directory or id; see `pwm-bench list runs`")
        format = self.format or ("torchscript" if self.output is None else format_of(self.output))
        if format not in FORMATS:
            raise unknown("format of a policy", format, FORMATS)
        directory = find_run(self.names[0], Store(self.results))
        about, policy = member_policy(directory, self.member)
        name = f"{directory.path.name}-seed{about.seeds[0]}{FORMATS[format]}"
        path = self.output or self.results / "exports" / "policies" / name
        difference = export_policy(policy, about, path, format=format)
        print(path)
        print(f"actions differ by at most {difference:.1g} from the original's, on random observations")
        return 0


def _ls(store: Store, studies: Sequence[str], everything: bool) -> int:
    from pwm_bench.analysis.tables.runs import plain_columns, runs_table
    from pwm_bench.cli.showing import terminal_width
    from pwm_bench.store.listing import scan, summaries

    entries = list(scan(store, studies or None))
    if studies or everything:
        print(runs_table(entries, width=terminal_width()))
        return 0
    rows = []
    for study, statuses in summaries(entries).items():
        latest = max(entry.updated_at for entry in entries if entry.study == study)
        held = ", ".join(f"{number} {status}" for status, number in sorted(statuses.items()))
        rows.append((study, str(sum(statuses.values())), latest[:16].replace("T", " "), held))
    print(plain_columns([("study", "runs", "last change", "status")], rows, right=(1,)))
    return 0


def _show(store: Store, names: Sequence[str]) -> int:
    from pwm_bench.cli.showing import described, terminal_width
    from pwm_bench.store.listing import find
    from pwm_bench.store.results import RunDirectory
    from pwm_bench.text import count, duration, number

    if len(names) != 1:
        raise UsageError("results show: give one run id, or its beginning; see `pwm-bench results ls --all`")
    found = [Path(names[0])] if os.path.isfile(f"{names[0]}/run.json") else find(store, names[0])
    if not found:
        raise UsageError(f"results show {names[0]}: no such run in {store.root}; see `pwm-bench results ls --all`")
    if len(found) > 1:
        raise UsageError(
            f"results show {names[0]}: means {', '.join(path.name for path in found[:5])}; give more of it"
        )
    directory = RunDirectory(found[0])
    record = directory.read()
    clocks, origin = record.clocks, record.provenance
    lines = [
        ("run", f"{record.id}  (study {directory.path.parent.name})"),
        ("what", _what(record)),
        ("status", f"{directory.status()}{f': {record.reason}' if record.reason else ''}"),
    ]
    if directory.traceback.exists():
        lines.append(("traceback", str(directory.traceback)))
    if record.members:
        lines.append(
            (
                "work per seed",
                f"{record.counts.env_steps:,} environment steps, "
                f"{record.counts.gradient_steps:,} gradient steps, {record.counts.imagined_steps:,} imagined",
            )
        )
    lines += [
        ("time", ", ".join(f"{name} {duration(getattr(clocks, name))}" for name in type(clocks).model_fields)),
        ("memory", f"{count(record.memory.resident)}B resident"
         + (f", {count(record.memory.gpu)}B on the GPU" if record.memory.gpu is not None else "")),
        ("when", f"{record.started_at} to {record.updated_at}, attempts: {record.attempts}"),
    ]  # fmt: skip
    if origin is not None:
        dirty = " with uncommitted changes" if origin.git_dirty else ""
        lines.append(("where", f"{origin.device}, {origin.threads} threads, {origin.precision}"))
        task = f", task {record.task_hash}" if record.task_hash else ""
        lines.append(("code", f"{origin.git_commit or 'no repository'}{dirty}{task}"))
        lines += [("earlier code", one) for one in origin.earlier]
        lines += [("earlier machine", one) for one in origin.earlier_machines]
    if record.gradient_check is not None:
        check = record.gradient_check
        fate = f"! wrong: {check.verdict}" if check.failed else f"relative error {check.relative_error:.0e}"
        of = f"of the {check.of}, " if check.of else ""
        lines.append(("gradient check", f"{fate}, cosine {check.cosine:.6f} ({of}{check.precision})"))
    for member in record.members:
        fate = "" if member.status == "ok" else f", {member.status} at {member.diverged_at:,} steps"
        final = number(member.final_return)
        before = member.untrained_return  # there is none where nothing was trained
        returns = f"return {final}" if before is None else f"return {number(before)} untrained, {final} at the end"
        lines.append((member.label, f"{returns}{fate}"))
    said = {"setting": record.spec.get("setting"), **record.details}
    lines += [(name, _brief(value)) for name, value in said.items() if value]
    for name, one in record.spec.get("inputs", {}).items():
        lines.append((f"input {name}", f"{one['path']}, SHA-256 {one['digest'][:12]}"))
    for name, artifact in record.artifacts.items():
        lines.append((f"artifact {name}", f"{directory.path / artifact.file}, SHA-256 {artifact.digest[:12]}"))
    lines.append(("files", str(directory.path)))
    if directory.spec_file.exists():
        lines.append(("again", f"pwm-bench run {shlex.quote(str(directory.spec_file))} --results elsewhere"))
    print(described(lines, width=terminal_width()))
    return 0


def _what(record: RunRecord) -> str:
    spec = record.spec
    where = [f"on {spec['task']}"] if "task" in spec else []
    simulators = [spec["simulator"]] if spec.get("simulator") else spec.get("simulators", ())
    where += [f"in {' and '.join(simulators)}"] if simulators else []
    source = f", gradient: {record.gradient_source}" if record.gradient_source else ""
    algorithm = spec.get("algorithm")
    called = f" '{record.variant.name}'" if record.variant else ""
    kind = f" ({record.kind})" if algorithm else ""
    return f"{' '.join([f'{algorithm or record.kind}{called}', *where])}{kind}{source}"


def _brief(value: Any, *, inner: bool = False) -> str:
    """JSON values in a line: those of a mapping by their names."""
    if isinstance(value, Mapping):
        text = ", ".join(f"{name} {_brief(one, inner=True)}" for name, one in value.items())
        return f"({text})" if inner else text
    if isinstance(value, list):
        return " ".join(_brief(one, inner=True) for one in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _verify(store: Store, studies: Sequence[str]) -> int:
    from pwm_bench.store.frames import load_study, members_frame
    from pwm_bench.store.verify import verify_study

    checked = wrong = 0
    folders = [name for name in studies if name not in store.studies()]
    for folder in map(Path, folders):
        problem = _folder_problem(folder)
        wrong += problem is not None
        print(problem or f"{folder}: sound")
    for study in [name for name in studies if name not in folders] or ([] if folders else store.studies()):
        try:
            for _, problems in verify_study(store, study):
                checked += 1
                wrong += bool(problems)
                for problem in problems:
                    print(problem)
            members_frame(load_study(store, study).runs)
        except UsageError as error:  # a seed is there twice, or the study's folder cannot be read
            wrong += 1
            print(error)
    if checked or not folders:
        print(f"{checked} runs checked, {wrong or 'none'} with problems")
    return 1 if wrong else 0


def _is_folder(path: Path) -> bool:
    return any(os.path.isfile(path / name) for name in ("dataset.json", "model.json"))


def _folder_problem(path: Path) -> str | None:
    """What is wrong with a data set or a world model that lies in a folder of its own; None if nothing is."""
    from pwm_bench.world_model.dataset import Dataset
    from pwm_bench.world_model.multitask.files import load_model

    try:
        if (path / "dataset.json").is_file():
            Dataset(path, verify=True)
        else:
            load_model(path)
    except UsageError as error:
        return str(error)
    return None


def _name(store: Store, names: Sequence[str]) -> int:
    """Gives a run a name."""
    from pwm_bench.store.variant_name import set_variant_name

    if len(names) != 2:
        raise UsageError("results name: give one run, by its id or as STUDY/ID, and its name, e.g. 'five models'")
    path = _one(store, names[0], "results name")
    set_variant_name(store.run(path.parent.name, path.name), names[1])
    print(f"{path}: tables call it '{names[1]}'" if names[1] else f"{path}: tables call it by its settings")
    return 0


def _remove(store: Store, names: Sequence[str]) -> int:
    """Sets runs aside; all are found before the first is moved."""
    if not names:
        raise UsageError("results remove: give the runs, by their ids or as STUDY/ID; see `pwm-bench results ls --all`")
    for path in dict.fromkeys(_one(store, name, "results remove") for name in names):
        print(f"{path} is now {store.set_aside(path.parent.name, path.name)}")
    return 0


def _one(store: Store, name: str, command: str) -> Path:
    """The directory of the only run that a name stands for."""
    from pwm_bench.store.listing import find

    found = find(store, name)
    if len(found) != 1:
        what = f"means {len(found)} runs; write STUDY/ID" if found else f"no such run in {store.root}"
        raise UsageError(f"{command} {name}: {what}; see `pwm-bench results ls --all`")
    return found[0]


def _merge(store: Store, folders: Sequence[str]) -> int:
    from collections import Counter

    from pwm_bench.store.merge import merge
    from pwm_bench.store.results import Results as Store

    if not folders:
        raise UsageError("results merge: give the results folders to copy from")
    outcomes: Counter[str] = Counter()
    for folder in folders:
        for merged in merge(Store(folder), store):
            outcomes[merged.outcome] += 1
            if merged.outcome in ("differs", "busy", "damaged"):
                print(f"{merged.outcome}: {folder}, {merged.study}/{merged.run_id}: {merged.reason}", file=sys.stderr)
    print(", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items())))
    return 1 if outcomes["differs"] or outcomes["busy"] or outcomes["damaged"] else 0
