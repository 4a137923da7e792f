"""``pwm-bench pretrain``: one world model for many tasks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro

from pwm_bench.cli.commands.options import Amount, Device, ResultsFolder, default_results, option
from pwm_bench.cli.showing import plain_table, terminal
from pwm_bench.hints import show_hints

if TYPE_CHECKING:
    from rich.table import Table

    from pwm_bench.store.results import RunDirectory

__all__ = ["Pretrain"]


@dataclass(frozen=True, kw_only=True)
class Pretrain:
    """Train one world model on the episodes of many tasks, or resume what was interrupted.

    For example:
      pwm-bench pretrain results/runs/collect/RUN --size 5M --steps 20000
      pwm-bench pretrain results/runs/collect/RUN data/more --continue-from results/runs/pretrain/RUN --steps 5000
    """

    leaves_files: ClassVar[bool] = True
    stops_in_order: ClassVar[bool] = True

    data: Annotated[tuple[Path, ...], tyro.conf.Positional, option("DATA ...")]
    """Run directories of `pwm-bench collect`, or folders of datasets; several, of the same tasks, are read as one."""
    continue_from: Annotated[Path | None, option("MODEL")] = None
    """Begin from the weights of this model: a run of `pwm-bench pretrain` or `pwm-bench import`."""
    size: Annotated[str | None, option("NAME", "5M")] = None
    """1M, 5M, 19M, 48M or 317M."""
    recipe: Annotated[str, option("NAME", "pwm")] = "pwm"
    """pwm (H 16, rho 0.99, TD-MPC2's losses), tdmpc2 (H 3, rho 0.5) or pwm-regression."""
    steps: Annotated[Amount, option("N", "20000")] = 20_000
    """Gradient steps."""
    minutes: Annotated[float | None, option("M")] = None
    """End after so much training time, if the steps do not end it before."""
    precision: Annotated[str, option("NAME", "float32")] = "float32"
    """float32, or bfloat16 for matrix products."""
    set: Annotated[tuple[str, ...], option("KEY=VALUE"), tyro.conf.UseAppendAction] = ()
    """Change a training setting, e.g. batch_size=256; may be repeated."""
    model_set: Annotated[tuple[str, ...], option("KEY=VALUE"), tyro.conf.UseAppendAction] = ()
    """Change a size of the model, e.g. task_dim=64; may be repeated."""
    balanced: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Draw every task equally often, instead of every sequence or episode of the data."""
    sampling: Annotated[str, option("NAME", "sequences")] = "sequences"
    """What is drawn with the same chance: sequences of the data, or episodes, and then a sequence in one (released)."""
    holdout: Annotated[float, option("FRACTION", "0.05")] = 0.05
    """Fraction of the episodes that is kept for evaluations."""
    seed: Annotated[int, option("N", "0")] = 0
    """Seed of weights and batches."""
    evaluations: Annotated[int, option("N", "11")] = 11
    """Evaluations on held-out episodes, from the untrained to the final model, both included."""
    study: Annotated[str, option("NAME", "pretrain")] = "pretrain"
    """Folder to file the run under."""
    device: Device = None
    """auto (a GPU if every library that computes here sees one), cpu, cuda or cuda:N."""
    results: ResultsFolder = field(default_factory=default_results)
    """Results folder."""
    checkpoint_seconds: Annotated[float, option("S", "120")] = 120.0
    """Time between two checkpoints."""

    def __call__(self) -> int:
        """Trains."""
        from pwm_bench import configs
        from pwm_bench.cli.carry import carry_out_shown, show_end
        from pwm_bench.jobs.pretrain import PretrainSpec
        from pwm_bench.store.inputs import find_input
        from pwm_bench.store.results import Results

        steps = configs.coerce(self.steps, int, "--steps")
        names = ("size", "seed", "balanced", "sampling", "holdout", "evaluations", "study")
        fields: dict[str, Any] = {name: getattr(self, name) for name in names}
        spec = PretrainSpec.create(
            data=[find_input(path, "data") for path in self.data],
            continues=None if self.continue_from is None else find_input(self.continue_from, "model"),
            sizes=configs.parse_assignments(self.model_set, "--model-set"),
            settings=self.recipe,
            changes={"precision": self.precision, **configs.parse_assignments(self.set, "--set")},
            gradient_steps=steps,
            train_seconds=None if self.minutes is None else 60.0 * self.minutes,
            device=self.device or "auto",
            **fields,
        )
        console, results = terminal(), Results(self.results)
        outcome = carry_out_shown(spec, results, console=console, checkpoint_seconds=self.checkpoint_seconds)
        directory = results.run(spec.study, spec.id)
        if (table := _table(directory)) is not None:
            console.print(table)
        elif outcome.exit_code == 0:
            console.print("no episode was held out, so nothing was evaluated")
        show_end(console, outcome, results)
        if outcome.exit_code == 0:
            show_hints(console, [("next", f"pwm-bench extract {join(map(str, (directory.path, *self.data[:1])))}")])
        return outcome.exit_code


def _table(directory: RunDirectory) -> Table | None:
    """The latest errors on held-out episodes, a line a task; None if there are none."""
    from pwm_bench.text import number

    lines = directory.evaluations.read()
    if not lines:
        return None
    extras = lines[-1]["extras"]
    horizon = max(map(len, extras["latent_error"]))
    quantities = ("latent, 1", f"latent, {horizon}", f"still, {horizon}", "reward, 1", f"reward, {horizon}")
    title = f"held-out episodes: open-loop errors after 1 and {horizon} steps"
    table = plain_table(title, "task", *quantities, "reward std")
    columns = (("latent_error", 0), ("latent_error", -1), ("latent_still", -1), ("reward_error", 0),
               ("reward_error", -1), ("reward_deviation", 0))  # fmt: skip
    for row, task in enumerate(directory.read().details["tasks"]):
        if extras["latent_error"][row]:
            table.add_row(task, *(number(extras[name][row][place]) for name, place in columns))
    return table
