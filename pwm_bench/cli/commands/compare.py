"""``pwm-bench compare``: policy prior, planner, PWM, and PWM with planning on one world model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, ClassVar

import tyro

from pwm_bench.cli.commands.options import Device, ResultsFolder, default_results, option
from pwm_bench.cli.showing import plain_table, terminal
from pwm_bench.envs.errors import UsageError
from pwm_bench.hints import at, show_hints

if TYPE_CHECKING:
    from pwm_bench.jobs.compare import CompareSpec

__all__ = ["Compare"]


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Evaluate the ways to act with one multi-task world model on the same episodes of the real tasks.

    For example:
      pwm-bench compare results/runs/pretrain/MODEL --experts results/runs/extract/RUN --episodes 10
    """

    leaves_files: ClassVar[bool] = True
    stops_in_order: ClassVar[bool] = True

    model: Annotated[Path, tyro.conf.Positional, option("MODEL")]
    """World model: a run of `pwm-bench pretrain`, of `pwm-bench import`, or of TD-MPC2 in a task of a suite."""
    experts: Annotated[Path | None, option("RUN")] = None
    """Run directory of `pwm-bench extract`, for PWM's own ways to act."""
    tasks: Annotated[tuple[str, ...], option("TASK ...", "the experts', or the model's")] = ()
    """Tasks or a suite (mt30, mt80, mw50)."""
    arms: Annotated[tuple[str, ...], option("NAME ...", "all that can be")] = ()
    """Some of tdmpc2-prior, tdmpc2-planning, pwm, pwm-planning."""
    episodes: Annotated[int, option("N", "10")] = 10
    """Episodes of each task."""
    planner_set: Annotated[tuple[str, ...], option("KEY=VALUE"), tyro.conf.UseAppendAction] = ()
    """Change a constant of the planner, e.g. samples=128; may be repeated."""
    precision: Annotated[str, option("NAME", "float32")] = "float32"
    """float32, or bfloat16 for matrix products of the planner and of the policy prior; PWM's policies that act alone
    compute in the precision of their extraction."""
    workers: Annotated[int | None, option("N", "one per processor")] = None
    """Processes that run the real tasks."""
    study: Annotated[str, option("NAME", "compare")] = "compare"
    """Folder to file the records under."""
    device: Device = None
    """auto (a GPU if every library that computes here sees one), cpu, cuda or cuda:N."""
    results: ResultsFolder = field(default_factory=default_results)
    """Results folder."""
    checkpoint_seconds: Annotated[float, option("S", "60")] = 60.0
    """Time between two checkpoints; a few tasks are evaluated between two at least."""

    def __call__(self) -> int:
        """Evaluates."""
        from pwm_bench.cli.carry import carry_out_shown, show_end
        from pwm_bench.store.results import Results
        from pwm_bench.text import duration, number

        results = Results(self.results)
        results.check_writable()
        console = terminal()
        specs = self._specs()
        records = []
        code = 0
        for spec in specs:
            outcome = carry_out_shown(spec, results, console=console, checkpoint_seconds=self.checkpoint_seconds)
            if outcome.record.status == "ok":
                records.append(outcome.record)
            else:
                show_end(console, outcome, results)
            code = max(code, outcome.exit_code)
            if outcome.record.status == "interrupted":
                break
        table = plain_table("mean return", "task", *(record.spec["algorithm"] for record in records))
        for row, task in enumerate(specs[0].tasks):
            table.add_row(task, *(number(record.members[row].final_return) for record in records))
        table.add_section()
        table.add_row("time", *(duration(record.clocks.evaluate) for record in records))
        console.print(table)
        show_hints(console, [("next", f"pwm-bench table {quote(self.study)} --metric score{at(self.results)}")])
        return code

    def _specs(self) -> list[CompareSpec]:
        """One a way to act, after checking what can be checked at once."""
        from pwm_bench import configs
        from pwm_bench.envs.suites import spelt_out
        from pwm_bench.jobs.compare import CompareSpec
        from pwm_bench.jobs.planning import ARMS, PLANNING, needs_policies
        from pwm_bench.pwm.extraction.files import read_policies
        from pwm_bench.store.inputs import find_input
        from pwm_bench.world_model.multitask.files import read_config
        from pwm_bench.world_model.multitask.planner import PlannerConfig

        planner = configs.override(
            PlannerConfig(), configs.parse_assignments(self.planner_set, "--planner-set"), where="planner constants"
        )
        inputs = {"model": find_input(self.model, "model")}
        about = None
        if self.experts is not None:
            inputs["policies"] = find_input(self.experts, "policies")
            about = read_policies(Path(inputs["policies"].path))
        model = read_config(Path(inputs["model"].path))
        tasks = spelt_out(self.tasks) or (
            model.tasks if about is None else tuple(dict.fromkeys(expert.task for expert in about.experts))
        )
        possible = [arm for arm in ARMS if (about is not None if needs_policies(arm) else model.num_q)]
        if not possible:
            raise UsageError("this world model has no Q functions and no policy prior; give --experts RUN")
        for arm in self.arms:
            if arm in ARMS and arm not in possible:
                lack = "PWM's policies: give --experts RUN" if needs_policies(arm) else "Q functions, which it lacks"
                raise UsageError(f"--arms {arm}: needs {lack}")
        return [
            CompareSpec(
                arm=arm,
                tasks=tasks,
                inputs={name: one for name, one in inputs.items() if name == "model" or needs_policies(arm)},
                config=planner if arm in PLANNING else None,
                precision=self.precision if arm != "pwm" else "float32",
                evaluation_episodes=self.episodes,
                study=self.study,
                device=self.device or "auto",
                workers=self.workers,
            )
            for arm in self.arms or possible
        ]
