"""``pwm-bench collect``: episodes of many tasks in a dataset."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro

from pwm_bench.cli.commands.options import ResultsFolder, default_results, option
from pwm_bench.cli.showing import terminal
from pwm_bench.envs.errors import UsageError
from pwm_bench.hints import show_hints

if TYPE_CHECKING:
    from rich.console import Console

    from pwm_bench.jobs.behaviour import BehaviourSpec
    from pwm_bench.runs.outcome import Outcome
    from pwm_bench.store.inputs import Input
    from pwm_bench.store.results import Results
    from pwm_bench.store.spec import Spec

__all__ = ["Collect"]


@dataclass(frozen=True, kw_only=True)
class Collect:
    """Record episodes of dm_control and Meta-World tasks, or resume what was interrupted.

    For example:
      pwm-bench collect mw-reach mw-push cheetah-run --episodes 100
    """

    leaves_files: ClassVar[bool] = True
    stops_in_order: ClassVar[bool] = True

    tasks: Annotated[tuple[str, ...], tyro.conf.Positional, option("TASK|SUITE")]
    """Tasks, or a suite: mt30, mt80, mw50."""
    episodes: Annotated[int, option("N", "100")] = 100
    """Episodes of each task."""
    policy: Annotated[str, option("NAME", "auto")] = "auto"
    """random; expert: Meta-World's scripted ones; auto: experts where there are any, else what --learner trains, else
    random; the run directory of an extraction; or module:function, a Python function that takes the suite and returns
    a policy."""
    learner: Annotated[str | None, option("NAME", "none")] = None
    """Algorithm that trains policies for tasks without an expert: ppo, pwm or sac. Each is a run of its own."""
    train_steps: Annotated[int, option("N", "100000")] = 100_000
    """Environment steps of that training, in each task."""
    stages: Annotated[int, option("N", "3")] = 3
    """Policies kept from that training, after equal shares of it; they play in turn."""
    noise: Annotated[tuple[float, ...], option("STD..", "0 0.1 0.3")] = (0.0, 0.1, 0.3)
    """Standard deviations of noise on the policy's actions, one an episode, in turn."""
    random_share: Annotated[float, option("FRACTION", "0")] = 0.0
    """Fraction of the episodes that has random actions instead: a world model must know what fails, too."""
    seed: Annotated[int, option("N", "0")] = 0
    """Seed of starts, goals, noise, and of --learner's training."""
    envs_per_task: Annotated[int, option("N", "1")] = 1
    """Worlds of each task that run at once."""
    workers: Annotated[int | None, option("N", "one per processor")] = None
    """Processes that run the worlds; 0 for none. The data is the same."""
    study: Annotated[str, option("NAME", "collect")] = "collect"
    """Folder to file the run under."""
    results: ResultsFolder = field(default_factory=default_results)
    """Results folder."""
    checkpoint_seconds: Annotated[float, option("S", "60")] = 60.0
    """Time between two checkpoints."""

    def __call__(self) -> int:
        """Plays, then shows what there is."""
        from pwm_bench.cli.carry import show_end
        from pwm_bench.cli.datasets import summary
        from pwm_bench.jobs.collect import CollectSpec
        from pwm_bench.store.inputs import find_input
        from pwm_bench.store.results import Results
        from pwm_bench.world_model.dataset import Dataset

        console, results = terminal(), Results(self.results)
        results.check_writable()
        extracted = (Path(self.policy) / "run.json").is_file()
        inputs = _of_extraction(Path(self.policy)) if extracted else {}
        fields: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("tasks", "episodes", "noise", "random_share", "seed", "envs_per_task", "workers", "study")
        }
        fields["policy"] = "extracted" if extracted else self.policy
        spec = CollectSpec(**fields, inputs=inputs)
        for behaviour in self._behaviours():
            outcome = self._carry_out(behaviour, results, console)
            if outcome.exit_code:
                show_end(console, outcome, results)
                return outcome.exit_code
            path = results.run(behaviour.study, behaviour.id).path
            inputs[f"policies.{behaviour.task}"] = find_input(path, "policies")
        spec = CollectSpec(**fields, inputs=inputs)
        outcome = self._carry_out(spec, results, console)
        path = results.run(spec.study, spec.id).path
        if outcome.exit_code == 0:
            data = Dataset(path / outcome.record.artifacts["data"].file)
            console.print(summary(data, spec.label))
        show_end(console, outcome, results)
        if outcome.exit_code == 0:
            show_hints(console, [("next", f"pwm-bench pretrain {shlex.quote(str(path))}")])
        return outcome.exit_code

    def _carry_out(self, spec: Spec, results: Results, console: Console) -> Outcome:
        from pwm_bench.cli.carry import carry_out_shown

        return carry_out_shown(spec, results, console=console, checkpoint_seconds=self.checkpoint_seconds)

    def _behaviours(self) -> list[BehaviourSpec]:
        """The trainings that ``--learner`` asks for: one in each task without an expert."""
        if self.learner is None:
            return []
        from pwm_bench.collection.trained import check_learner
        from pwm_bench.envs import suites
        from pwm_bench.jobs.behaviour import BehaviourSpec

        check_learner(self.learner)
        if self.policy != "auto":
            raise UsageError(f"--learner {self.learner}: goes with --policy auto, not {self.policy}")
        return [
            BehaviourSpec(
                task=task.name,
                learner=self.learner,
                env_steps=self.train_steps,
                stages=self.stages,
                seed=self.seed,
                workers=self.workers,
                study=self.study,
            )
            for task in suites.spec(self.tasks).tasks
            if task.family != "meta_world"
        ]


def _of_extraction(path: Path) -> dict[str, Input]:
    """The policies of an extraction, and its world model."""
    from pwm_bench.store.inputs import Input, find_input
    from pwm_bench.store.results import RunDirectory

    record = RunDirectory(path).read()
    if record.kind != "extract":
        raise UsageError(f"--policy {path}: not an extraction; give the run directory that `pwm-bench extract` named")
    return {"policies": find_input(path, "policies"), "model": Input(**record.spec["inputs"]["model"])}
