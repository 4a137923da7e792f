"""``pwm-bench compare``: policy prior, planner, PWM, and PWM with planning on one world model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Annotated, ClassVar

import tyro

from envs.errors import UsageError
from pwm_bench.cli.commands.options import Device, ResultsFolder, default_results, option
from pwm_bench.cli.showing import plain_table, terminal
from pwm_bench.hints import at, show_hints

__all__ = ["Compare"]


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Evaluate the ways to act with one multi-task world model on the same episodes of the real tasks.

    Example:
      pwm-bench compare models/three --experts results/runs/extract/0123456789ab --episodes 10
    """

    leaves_files: ClassVar[bool] = True

    model: Annotated[Path, tyro.conf.Positional, option("MODEL")]
    """Folder of `pwm-bench pretrain`, or a TD-MPC2 checkpoint (.pt)."""
    experts: Annotated[Path | None, option("RUN")] = None
    """Run directory of `pwm-bench extract`, for the PWM arms."""
    tasks: Annotated[tuple[str, ...], option("TASK ..", "the experts', or the model's")] = ()
    """Tasks or a suite (mt30, mt80, mw50)."""
    arms: Annotated[tuple[str, ...], option("NAME ..", "all that can be")] = ()
    """Some of tdmpc2-prior, tdmpc2-planning, pwm, pwm-planning."""
    episodes: Annotated[int, option("N", "10")] = 10
    """Episodes of each task."""
    planner_set: Annotated[tuple[str, ...], option("KEY=VALUE"), tyro.conf.UseAppendAction] = ()
    """Change a constant of the planner, e.g. samples=128; may be given again."""
    workers: Annotated[int | None, option("N", "one a processor")] = None
    """Processes that run the real tasks."""
    study: Annotated[str, option("NAME", "compare")] = "compare"
    """Folder to file the records under."""
    device: Device = None
    """auto (a GPU where all that compute see one), cpu, cuda or cuda:N."""
    results: ResultsFolder = field(default_factory=default_results)
    """Results folder."""

    def __call__(self) -> int:
        """Evaluates."""

        from envs.devices import resolve_device
        from envs.suites import spelt_out
        from pwm_bench import configs
        from pwm_bench.jobs.evaluate import evaluate_arms
        from pwm_bench.jobs.planning import ARMS, load_experts
        from pwm_bench.jobs.suite_evaluation import SuiteEvaluator
        from pwm_bench.store.results import Results
        from pwm_bench.text import duration, number
        from pwm_bench.world_model.multitask.files import load_model
        from pwm_bench.world_model.multitask.planner import PlannerConfig

        if self.episodes < 1:
            raise UsageError(f"--episodes {self.episodes}: must be at least 1")
        device = resolve_device(self.device)
        planner = configs.override(
            PlannerConfig(), dict(map(configs.parse_assignment, self.planner_set)), where="planner constants"
        )
        named = spelt_out(self.tasks)
        model = load_model(self.model, device=device)
        experts = None if self.experts is None else load_experts(self.experts, model)
        tasks = named or (model.config.tasks if experts is None else tuple(e.task for e in experts.experts))
        possible = [arm for arm in ARMS if experts is not None or not arm.startswith("pwm")]
        arms = self.arms or [arm for arm in possible if model.config.num_q or arm.startswith("pwm")]
        if not arms:
            raise UsageError("this world model has no Q functions and no policy prior; give --experts RUN")
        console = terminal()
        evaluator = SuiteEvaluator(tasks, seeds=1, episodes=self.episodes, workers=self.workers, device=device)
        try:
            with console.status("") as status:
                outcomes = evaluate_arms(
                    model,
                    tasks,
                    arms,
                    Results(self.results),
                    evaluate=evaluator,
                    study=self.study,
                    episodes=self.episodes,
                    label=self.tasks[0] if len(self.tasks) == 1 else "multitask",
                    experts=experts,
                    planner=planner,
                    told=lambda arm: status.update(f"{arm}: {len(tasks)} tasks, {self.episodes} episodes each"),
                )
        finally:
            evaluator.close()
        records = {arm: outcome.record for arm, outcome in outcomes.items() if outcome.record.status == "ok"}
        for arm, outcome in outcomes.items():
            if arm not in records:
                reason = f"{arm}: {outcome.record.status}: {outcome.record.reason}"
                console.print(reason, highlight=False, soft_wrap=True)
        table = plain_table("mean return", "task", *records)
        for row, task in enumerate(tasks):
            table.add_row(task, *(number(record.members[row].final_return) for record in records.values()))
        table.add_section()
        table.add_row("time", *(duration(record.clocks.evaluate) for record in records.values()))
        console.print(table)
        show_hints(console, [("next", f"pwm-bench table {quote(self.study)} --metric score{at(self.results)}")])
        return max(outcome.exit_code for outcome in outcomes.values())
