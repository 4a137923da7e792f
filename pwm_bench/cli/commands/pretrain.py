"""``pwm-bench pretrain``: one world model for many tasks."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro

from envs.errors import UsageError, unknown
from pwm_bench.cli.commands.options import Device, option
from pwm_bench.cli.showing import plain_table, step_bar, terminal
from pwm_bench.hints import show_hints

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from pwm_bench.jobs.pretraining import PretrainProgress
    from pwm_bench.world_model.multitask.validation import TaskErrors

__all__ = ["Pretrain"]


@dataclass(frozen=True, kw_only=True)
class Pretrain:
    """Train one world model on the episodes of many tasks, or go on with what was cut off.

    Example:
      pwm-bench pretrain data/three --out models/three --size 5M --steps 20000
    """

    leaves_files: ClassVar[bool] = True
    stops_in_order: ClassVar[bool] = True

    data: Annotated[Path, tyro.conf.Positional, option("DATA")]
    """Folder of a dataset; see `pwm-bench collect`."""
    out: Annotated[Path, option("DIR")]
    """Folder of the model; the same command goes on with what is in it."""
    size: Annotated[str, option("NAME", "5M")] = "5M"
    """1M, 5M, 19M, 48M or 317M."""
    recipe: Annotated[str, option("NAME", "pwm")] = "pwm"
    """pwm (H 16, rho 0.99, TD-MPC2's losses), tdmpc2 (H 3, rho 0.5) or pwm-regression."""
    steps: Annotated[float, option("N", "20000")] = 20_000
    """Gradient steps."""
    minutes: Annotated[float | None, option("M")] = None
    """Stop after so much training time, whatever the steps."""
    precision: Annotated[str, option("NAME", "float32")] = "float32"
    """float32, or bfloat16 for matrix products."""
    set: Annotated[tuple[str, ...], option("KEY=VALUE"), tyro.conf.UseAppendAction] = ()
    """Change a training setting, e.g. batch_size=256; may be given again."""
    model_set: Annotated[tuple[str, ...], option("KEY=VALUE"), tyro.conf.UseAppendAction] = ()
    """Change a size of the model, e.g. task_dim=64; may be given again."""
    balanced: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Draw every task equally often, instead of every slice of the data."""
    holdout: Annotated[float, option("SHARE", "0.05")] = 0.05
    """Share of the episodes kept for validation."""
    seed: Annotated[int, option("N", "0")] = 0
    """Of weights and batches."""
    validate_every: Annotated[int, option("N", "1000")] = 1000
    """Steps between two validations."""
    checkpoint_seconds: Annotated[float, option("S", "120")] = 120.0
    """Time between two checkpoints."""
    device: Device = None
    """auto (a GPU where all that compute see one), cpu, cuda or cuda:N."""

    def __call__(self) -> int:
        """Trains."""

        from envs.devices import resolve_device
        from pwm_bench import configs
        from pwm_bench.jobs.pretraining import PretrainSpec, last_validation, model_config_of, pretrain
        from pwm_bench.runs.stop import stop_request
        from pwm_bench.world_model.dataset import Dataset
        from pwm_bench.world_model.multitask.config import SIZES
        from pwm_bench.world_model.multitask.recipes import recipe

        if self.size not in SIZES:
            raise unknown("model size", self.size, SIZES)
        for name, value in (("steps", self.steps), ("validate_every", self.validate_every)):
            if value < 1 or value != int(value):
                raise UsageError(f"--{name.replace('_', '-')} {value}: must be a whole number of at least 1")
        device = resolve_device(self.device)
        base = recipe(self.recipe, precision=self.precision)
        training = configs.override(base, dict(map(configs.parse_assignment, self.set)), where="training settings")
        model = model_config_of(Dataset(self.data, holdout=self.holdout), SIZES[self.size])
        model = configs.override(model, dict(map(configs.parse_assignment, self.model_set)), where="model sizes")
        spec = PretrainSpec(
            data=str(self.data),
            model=model,
            training=training,
            steps=int(self.steps),
            minutes=self.minutes,
            seed=self.seed,
            balanced=self.balanced,
            holdout=self.holdout,
        )
        console = terminal()
        with _Display(console, spec.steps) as display:
            complete = pretrain(
                spec,
                self.out,
                device=device,
                progress=display.show,
                checkpoint_seconds=self.checkpoint_seconds,
                validate_every=self.validate_every,
            )
        if errors := last_validation(self.out):
            console.print(_table(errors))
        elif complete:
            console.print("no episode was held out, so nothing was validated", highlight=False)
        if not complete:
            console.print("stopped and saved; go on with the same command", highlight=False)
            with stop_request() as stop:
                return stop.exit_code
        console.print(f"model: {self.out}", highlight=False, soft_wrap=True)
        show_hints(console, [("next", f"pwm-bench extract {quote(str(self.out))} {quote(str(self.data))}")])
        return 0


class _Display:
    """A bar where someone watches, lines elsewhere."""

    def __init__(self, console: Console, steps: int) -> None:
        self._console = console
        self._bar = step_bar(console, "pretrain")
        self._row = self._bar.add_task("", total=steps)
        self._last = (0, 0.0)

    def __enter__(self) -> _Display:
        self._bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._bar.stop()

    def show(self, event: PretrainProgress) -> None:
        """Shows a snapshot."""
        if event.validation is not None:
            return  # comes right after a report of the same step
        steps, seconds = event.step - self._last[0], event.train_seconds - self._last[1]
        self._last = (event.step, event.train_seconds)
        parts = [
            f"{name.removesuffix('_loss')} {event.losses[name]:.4g}"
            for name in ("consistency_loss", "reward_loss", "value_loss", "policy_loss", "grad_norm")
            if name in event.losses
        ]
        text = f"loss {event.losses.get('loss', float('nan')):.4g} ({', '.join(parts)})"
        if seconds > 0:
            text += f", {steps / seconds:.2g} steps/s"
        self._bar.update(self._row, completed=event.step, description=text)
        if not self._console.is_terminal:
            print(f"step {event.step} of {event.steps}: {text}", file=sys.stdout, flush=True)


def _table(errors: list[TaskErrors]) -> Table:
    horizon = len(errors[0].latent)
    quantities = (
        "latent, 1",
        f"latent, {horizon}",
        f"still, {horizon}",
        "reward, 1",
        f"reward, {horizon}",
        "reward std",
    )
    table = plain_table(f"held-out episodes: open-loop errors after 1 and {horizon} steps", "task", *quantities)
    for task in errors:
        numbers = (task.latent[0], task.latent[-1], task.latent_still[-1], task.reward[0], task.reward[-1])
        table.add_row(task.task, *(f"{value:.3g}" for value in (*numbers, task.reward_deviation)))
    return table
