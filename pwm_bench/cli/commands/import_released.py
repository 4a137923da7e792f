"""``pwm-bench import``: what other programs have trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Annotated, ClassVar

import tyro

from pwm_bench.cli.commands.options import ResultsFolder, default_results, option
from pwm_bench.cli.showing import terminal
from pwm_bench.envs.errors import UsageError
from pwm_bench.hints import at, show_hints

__all__ = ["Import"]


@dataclass(frozen=True, kw_only=True)
class Import:
    """Bring in a TD-MPC2 checkpoint, or an agent of PWM's released code, as a run that other commands read.

    No code in the file is run. Options say what the file does not say. For example:
      pwm-bench import mt30-48M.pt --log-std -10 2 --value-limit 10
      pwm-bench import own.pt --tasks tasks.txt --log-std -5 0.5 --value-limit 10
      pwm-bench import hopper_agent.pt --task hopper
    """

    leaves_files: ClassVar[bool] = True
    stops_in_order: ClassVar[bool] = True
    may_be_negative: ClassVar[tuple[str, ...]] = ("log_std",)

    file: Annotated[Path, tyro.conf.Positional, option("FILE")]
    """The checkpoint (.pt)."""
    tasks: Annotated[tuple[str, ...], option("NAME ...", "those of MT30 or MT80, where there are as many")] = ()
    """Its tasks in the order of the embedding's rows: names, suites, or a file with a name a line."""
    log_std: Annotated[tuple[float, float] | None, option("LOW HIGH", "what the file says")] = None
    """Limits of the policy prior's log standard deviation: -10 2 in TD-MPC2's checkpoints, -5 0.5 in PWM's own."""
    value_limit: Annotated[float | None, option("X", "what the file says")] = None
    """Bins of rewards and values go from -X to X in symlog units; 10 in the released checkpoints."""
    task: Annotated[str | None, option("NAME")] = None
    """The task that an agent of PWM's released code was trained for."""
    simulator: Annotated[str, option("NAME", "warp")] = "warp"
    """Where the policy of an agent of one task acts; Warp moves its robots as the released simulator does."""
    study: Annotated[str, option("NAME", "import")] = "import"
    """Folder to file the run under."""
    results: ResultsFolder = field(default_factory=default_results)
    """Results folder."""

    def __call__(self) -> int:
        """Reads, checks, writes."""
        from pwm_bench import envs
        from pwm_bench.cli.carry import carry_out_shown, show_end
        from pwm_bench.jobs.import_released import ImportSpec
        from pwm_bench.store.inputs import find_input
        from pwm_bench.store.results import Results

        results, console = Results(self.results), terminal()
        results.check_writable()
        alone = self.task in envs.tasks()
        spec = ImportSpec(
            inputs={"checkpoint": find_input(self.file, "checkpoint")},
            tasks=_task_list(self.tasks),
            log_std=self.log_std,
            value_limit=self.value_limit,
            task=self.task or "",
            simulator=self.simulator if alone else "",
            study=self.study,
        )
        outcome = carry_out_shown(spec, results, console=console)
        record, run = outcome.record, quote(str(results.run(spec.study, spec.id).path))
        show_end(console, outcome, results)
        if outcome.exit_code == 0:
            follow = [f"pwm-bench extract {run} DATA"]
            if "policies" in record.artifacts:
                follow += [f"pwm-bench compare {run} --experts {run}"]
            if "policy" in record.artifacts:
                follow = [
                    f"pwm-bench evaluate {run}{at(results.root)}",
                    f"pwm-bench gradients {quote(spec.task)} --model {run}",
                ]
            show_hints(console, list(zip(("next", "or"), follow, strict=False)))
        return outcome.exit_code


def _task_list(words: tuple[str, ...]) -> tuple[str, ...]:
    """Names of tasks, of which a file may hold some, one a line."""
    from pwm_bench.envs.suites import spelt_out
    from pwm_bench.store.plain import read_plain

    names: list[str] = []
    for word in words:
        file = Path(word)
        if not file.is_file():
            names.append(word)
            continue
        try:
            names += read_plain(file).decode().split()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--tasks {word}: can't be read ({error}); write a name a line") from None
    return spelt_out(names)
