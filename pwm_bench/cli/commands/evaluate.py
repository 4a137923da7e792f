"""``pwm-bench evaluate``: policies of finished runs, once more."""

from __future__ import annotations

from dataclasses import dataclass, field
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro

from pwm_bench.cli.commands.options import Device, ResultsFolder, default_results, option
from pwm_bench.cli.showing import terminal
from pwm_bench.hints import at, show_hints

if TYPE_CHECKING:
    from pwm_bench.jobs.evaluate import EvaluateSpec
    from pwm_bench.store.results import Results

__all__ = ["Evaluate"]


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Evaluate the policies of runs again: more episodes, exploring, in other worlds or another simulator.

    For example:
      pwm-bench evaluate RUN --episodes 256 --simulator mjx
    """

    leaves_files: ClassVar[bool] = True
    stops_in_order: ClassVar[bool] = True

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, option("RUN ...")]
    """Finished runs of training: directories, or ids (their beginnings are enough), see `pwm-bench list runs`."""
    episodes: Annotated[int, option("N", "64")] = 64
    """Episodes of each seed's policy."""
    explore: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Act as in training, with noise, instead of deterministically."""
    members: Annotated[tuple[int, ...], option("SEED ...", "all")] = ()
    """Training seeds of the policies to evaluate."""
    task: Annotated[str | None, option("NAME", "the run's")] = None
    """Another task of the same robot."""
    simulator: Annotated[str | None, option("NAME", "the run's")] = None
    """Another simulator than the policies were trained in; `suite` for a task of dm_control or Meta-World."""
    simulator_set: Annotated[tuple[str, ...], option("KEY=VALUE"), tyro.conf.UseAppendAction] = ()
    """Change an option of the environment, e.g. contact_stiffness=1e5; may be repeated."""
    draw: Annotated[int, option("N", "0")] = 0
    """Number of the set of start states and noise; evaluations during training use the first episodes of set 0."""
    workers: Annotated[int | None, option("N", "one per processor")] = None
    """Processes that run the tasks of suites."""
    study: Annotated[str, option("NAME", "evaluate")] = "evaluate"
    """Folder to file the records under."""
    device: Device = None
    """auto (a GPU if every library that computes here sees one), cpu, cuda or cuda:N."""
    results: ResultsFolder = field(default_factory=default_results)
    """Results folder."""

    def __call__(self) -> int:
        """Evaluates."""
        from pwm_bench.cli.carry import carry_out_shown, show_end
        from pwm_bench.store.results import Results
        from pwm_bench.text import count, number

        results, console, code = Results(self.results), terminal(), 0
        results.check_writable()
        for spec in self._specs(results):
            outcome = carry_out_shown(spec, results, console=console)
            lines = [
                f"{member.label}: return {number(member.final_return)}, mean of {count(self.episodes)} episodes"
                for member in outcome.record.members
            ]
            show_end(console, outcome, results, before=tuple(lines))
            code = max(code, outcome.exit_code)
            if outcome.record.status == "interrupted":
                return code
        if code == 0:
            table = f"pwm-bench table {quote(self.study)} --match none{at(results.root)}"
            show_hints(console, [("all evaluations of the study", table)])
        return code

    def _specs(self, results: Results) -> list[EvaluateSpec]:
        """One a run; all are checked before the first begins."""
        from pwm_bench import configs
        from pwm_bench.envs.errors import UsageError
        from pwm_bench.jobs.evaluate import EvaluateSpec
        from pwm_bench.store.inputs import find_input
        from pwm_bench.store.listing import find_run

        if not self.runs:
            raise UsageError("RUN is missing: name at least one; see `pwm-bench list runs`")
        changes: dict[str, Any] = {
            "simulator_options": configs.parse_assignments(self.simulator_set, "--simulator-set")
        }
        given = {"task": self.task, "simulator": self.simulator, "seeds": self.members, "device": self.device}
        changes |= {name: value for name, value in given.items() if value}
        return [
            EvaluateSpec.of(
                find_input(find_run(run, results).path, "policy"),
                evaluation_episodes=self.episodes,
                explore=self.explore,
                draw=self.draw,
                study=self.study,
                workers=self.workers,
                **changes,
            )
            for run in self.runs
        ]
