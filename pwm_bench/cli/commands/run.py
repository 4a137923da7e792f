"""``pwm-bench run``: one run."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

import tyro

from pwm_bench.cli.commands.options import (
    Budget,
    Device,
    EnvSteps,
    Preset,
    ResultsFolder,
    Seeds,
    Tensorboard,
    default_results,
    option,
    parse_budget,
    parse_seeds,
)
from pwm_bench.cli.showing import terminal
from pwm_bench.cli.streams import reader_is_gone
from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.hints import at, show_hints

if TYPE_CHECKING:
    from pwm_bench.jobs.train_spec import RunSpec
    from pwm_bench.runs.progress import ProgressEvent
    from pwm_bench.store.results import Results
    from pwm_bench.store.spec import Spec

__all__ = ["Run"]

_PROGRESS = ("auto", "json", "none")
_WHAT_TO_RUN = (
    *("task", "algorithm", "simulator", "seeds", "env_steps", "budget", "max_seconds", "evaluations"),
    *("evaluation_episodes", "precision", "preset", "set", "simulator_set"),
)  # options that a spec file stands for
_BESIDE_FILE = ("study", "variant", "device", "graphed")  # options that may stand beside one
_FIELDS = (*_BESIDE_FILE, "precision", "evaluations", "evaluation_episodes", "env_steps")


@dataclass(frozen=True, kw_only=True)
class Run:
    """Train and evaluate one algorithm on one task, or resume what was interrupted.

    Say what to run with --task, --algorithm and the options that follow, or with a spec file: every run's directory
    holds one (spec.json).

    For example:
      pwm-bench run --task hopper --algorithm shac --seeds 5 --set num_envs=32
    """

    leaves_files: ClassVar[bool] = True
    stops_in_order: ClassVar[bool] = True

    spec: Annotated[Path | None, tyro.conf.Positional, option("[SPEC.json]")] = None
    """A spec file, instead of the options up to --simulator-set; or -, with --progress json: a program asks for runs on
    standard input, and they are carried out side by side in this process."""
    task: Annotated[str | None, option("TASK")] = None
    """What to train on; `pwm-bench list tasks` names them."""
    algorithm: Annotated[str | None, option("NAME")] = None
    """What to train with; `pwm-bench list algorithms` names them."""
    simulator: Annotated[str | None, option("NAME", "warp")] = None
    """Where to train; `pwm-bench list simulators` names them."""
    seeds: Seeds = None
    """Seeds, trained together as one population: how many, from 0, or a list such as 0,3,7; 1 by default."""
    env_steps: EnvSteps = None
    """Environment steps per seed, e.g. 3e5 or 300k; by default it depends on the task."""
    budget: Budget = None
    """End at this budget per seed, if --env-steps does not end it before: gradient_steps=N, policy_gradient_steps=N or
    cpu_seconds=N (of training, all seeds together)."""
    max_seconds: Annotated[float | None, option("S")] = None
    """Short for --budget cpu_seconds=S: end after this many processor seconds of training, of all seeds together."""
    evaluations: Annotated[int | None, option("N", "11")] = None
    """Evaluations from the untrained to the final policy, both included."""
    evaluation_episodes: Annotated[int | None, option("N", "16")] = None
    """Episodes per seed in each evaluation."""
    precision: Annotated[str | None, option("NAME", "float32")] = None
    """float32, or bfloat16 where the algorithm offers it."""
    preset: Preset = None
    """cpu (minutes on a few cores; the default) or published (what papers and their released code ran, on GPUs)."""
    set: Annotated[tuple[str, ...], option("KEY=VALUE"), tyro.conf.UseAppendAction] = ()
    """Change a setting of the algorithm, e.g. gamma=0.995; may be repeated. `pwm-bench list algorithms NAME` shows the
    settings. Nested ones are reached by dots."""
    simulator_set: Annotated[tuple[str, ...], option("KEY=VALUE"), tyro.conf.UseAppendAction] = ()
    """Change an option of the simulator, e.g. substeps=8; may be repeated."""
    study: Annotated[str | None, option("NAME", "single")] = None
    """Folder to file the run under."""
    variant: Annotated[str | None, option("NAME")] = None
    """What tables call the run among others of its algorithm, e.g. "wide critic"; by default they say its settings."""
    device: Device = None
    """auto (a GPU if every library that computes here sees one), cpu, cuda or cuda:N."""
    graphed: Annotated[str | None, option("auto|on|off", "auto")] = None
    """Launch updates as CUDA graphs: auto (on a GPU, where the simulator permits), on or off."""
    results: ResultsFolder = field(default_factory=default_results)
    """Results folder."""
    checkpoint_seconds: Annotated[float, option("S", "60")] = 60.0
    """Time between two checkpoints."""
    tensorboard: Tensorboard = False
    """Also write curves for tensorboard into the run's directory."""
    write_spec: Annotated[Path | None, option("FILE")] = None
    """Write the spec to a file instead of running it."""
    reporter: Annotated[tuple[str, ...], option("NAME"), tyro.conf.UseAppendAction] = ()
    """Also send progress to this reporter, besides the terminal: one of an installed package, or module:attribute; may
    be repeated."""
    progress: Annotated[str, option("KIND", "auto")] = "auto"
    """auto (for a person), json (a line for each report, for a program; the run saves and stops if that program ends),
    or none."""

    def __call__(self) -> int:
        """Runs it."""
        if self.progress not in _PROGRESS:
            raise unknown("progress", self.progress, _PROGRESS)
        if self.reporter and self.progress != "auto":
            raise UsageError(f"--progress {self.progress}: reporters need --progress auto; leave one out")
        if self.spec == Path("-"):
            return self._carry_out_together()
        spec = self._from_file() if self.spec is not None else self._from_options()
        if self.write_spec is not None:
            return _write(self.write_spec, spec)
        from pwm_bench.store.results import Results

        results = Results(self.results)
        results.check_writable()
        options = self._options()
        if self.spec is not None:
            return self._execute(spec, results, options)
        from pwm_bench.sweeps.missing_seeds import runs_for

        code = 0
        for part in runs_for([spec], results):
            code = max(code, self._execute(part, results, options))
            if code > 1:  # stopped
                break
        return code

    def _options(self) -> dict[str, Any]:
        return {"checkpoint_seconds": self.checkpoint_seconds, "tensorboard": self.tensorboard}

    def _carry_out_together(self) -> int:
        if self.progress != "json":
            raise UsageError("-: runs that are asked for on standard input need --progress json")
        from pwm_bench.store.results import Results
        from pwm_bench.sweeps.executors.together import carry_out_together

        results = Results(self.results)
        results.check_writable()
        return carry_out_together(results, sys.stdin, _say, **self._options())

    def _execute(self, spec: Spec, results: Results, options: dict[str, Any]) -> int:
        if self.progress == "auto":
            return _run_for_person(spec, results, reporters=self.reporter, **options)
        from pwm_bench.jobs.kinds import carry_out

        outcome = carry_out(spec, results, progress=_tell_program if self.progress == "json" else None, **options)
        if outcome.record.status in ("failed", "oom"):
            print(f"{outcome.record.status}: {outcome.record.reason}", file=sys.stderr)
        return outcome.exit_code

    def _from_file(self) -> Spec:
        from pwm_bench.jobs.kinds import read_spec
        from pwm_bench.store.plain import read_plain

        assert self.spec is not None
        given = [f"--{name.replace('_', '-')}" for name in _WHAT_TO_RUN if getattr(self, name) not in (None, ())]
        if given:
            raise UsageError(f"{given[0]}: the spec file says what to run; give the file or the options, not both")
        try:
            text = read_plain(self.spec).decode()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not a text file"
            raise UsageError(f"{self.spec}: cannot be read ({reason}); give the path of a spec file") from None
        spec = read_spec(text, source=str(self.spec))
        changes = {name: value for name in _BESIDE_FILE if (value := getattr(self, name)) is not None}
        for name in changes:
            if name not in spec.study_keys() and name != "study":
                raise UsageError(f"--{name}: work of the kind '{spec.kind}' has none; leave it out")
        return cast("Spec", replace(cast("Any", spec), **changes)) if changes else spec

    def _from_options(self) -> RunSpec:
        from pwm_bench import configs
        from pwm_bench.jobs.train_spec import RunSpec

        if self.task is None or self.algorithm is None:
            missing = "--task" if self.task is None else "--algorithm"
            raise UsageError(f"{missing} is missing: e.g. pwm-bench run --task hopper --algorithm shac")
        budgets = [parse_budget(self.budget)] if self.budget is not None else []
        budgets += [("cpu_seconds", self.max_seconds)] if self.max_seconds is not None else []
        spec = RunSpec.create(
            task=self.task,
            simulator=self.simulator or "warp",
            algorithm=self.algorithm,
            preset=cast(Any, self.preset or "cpu"),  # checked by the recipe
            overrides=configs.parse_assignments(self.set, "--set"),
            simulator_options=configs.parse_assignments(self.simulator_set, "--simulator-set"),
            seeds=parse_seeds(self.seeds or "1"),
            **{name: getattr(self, name) for name in _FIELDS if getattr(self, name) is not None},
        )
        for unit, amount in budgets:
            spec = spec.until(unit, amount)
        return spec


def _write(path: Path, spec: Spec) -> int:
    try:
        path.write_text(spec.to_json())
    except OSError as error:
        raise UsageError(f"--write-spec {path}: cannot be written ({error.strerror}); choose another path") from None
    print(f"{path}: run {spec.id}, start it with: pwm-bench run {shlex.quote(str(path))}")
    return 0


def _tell_program(event: ProgressEvent) -> None:
    _say(event.to_json())


def _say(line: str) -> None:
    print(line, flush=True)
    if reader_is_gone():
        raise BrokenPipeError


def _run_for_person(
    spec: Spec, results: Results, *, checkpoint_seconds: float, tensorboard: bool, reporters: tuple[str, ...]
) -> int:
    from pwm_bench.cli.carry import carry_out_shown, show_end
    from pwm_bench.text import count, number

    console = terminal()
    outcome = carry_out_shown(
        spec,
        results,
        console=console,
        checkpoint_seconds=checkpoint_seconds,
        tensorboard=tensorboard,
        reporters=reporters,
    )
    lines = []
    for member in outcome.record.members:
        scores = f"return {number(member.untrained_return)} untrained, {number(member.final_return)} now"
        mark = "" if member.status == "ok" else f" (diverged at {count(member.diverged_at)} env steps)"
        lines.append(f"{member.label}: {scores}{mark}")
    show_end(console, outcome, results, before=tuple(lines))
    if outcome.record.status == "ok":
        show_hints(console, [("next", f"pwm-bench table {shlex.quote(spec.study)}{at(results.root)}")])
    return outcome.exit_code
