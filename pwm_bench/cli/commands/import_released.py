"""``pwm-bench import``: models of other programs become ours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Annotated, ClassVar

import tyro

from pwm_bench.cli.commands.options import option
from pwm_bench.cli.showing import terminal
from pwm_bench.envs.errors import UsageError
from pwm_bench.hints import show_hints

__all__ = ["Import"]


@dataclass(frozen=True, kw_only=True)
class Import:
    """Bring in a TD-MPC2 checkpoint, whose folder the other commands then take as MODEL.

    Nothing in the file is run. What it does not say has to be told. Examples:
      pwm-bench import mt30-48M.pt models/mt30-48M --log-std -10 2 --value-limit 10
      pwm-bench import own.pt models/own --tasks tasks.txt --log-std -5 0.5 --value-limit 10
    """

    leaves_files: ClassVar[bool] = True

    source: Annotated[Path, tyro.conf.Positional, option("FILE")]
    """The checkpoint (.pt)."""
    target: Annotated[Path, tyro.conf.Positional, option("FOLDER")]
    """Where the model goes; must not hold anything yet."""
    tasks: Annotated[tuple[str, ...], option("NAME ..", "those of MT30 or MT80, where there are as many")] = ()
    """Its tasks in the order of the embedding's rows: names, suites, or a file with a name a line."""
    log_std: Annotated[tuple[float, float] | None, option("LOW HIGH", "what the file says")] = None
    """Limits of the policy prior's log standard deviation: -10 2 in TD-MPC2's checkpoints, -5 0.5 in PWM's own."""
    value_limit: Annotated[float | None, option("X", "what the file says")] = None
    """Bins of rewards and values go from -X to X in symlog units; 10 in the released checkpoints."""

    def __call__(self) -> int:
        """Reads, checks, writes."""
        from pwm_bench.world_model.multitask.files import save_model
        from pwm_bench.world_model.multitask.tdmpc2_files import read_tdmpc2
        from pwm_bench.world_model.multitask.tdmpc2_format import Told

        told = Told(tasks=_task_list(self.tasks), log_std=self.log_std, value_limit=self.value_limit)
        if self.target.exists() and (not self.target.is_dir() or any(self.target.iterdir())):
            raise UsageError(f"{self.target}: already holds something; name another folder")
        model = read_tdmpc2(self.source, told)
        save_model(self.target, model)
        config, console = model.config, terminal()
        weights = sum(p.numel() for p in model.parameters() if p.requires_grad) / 1e6
        console.print(
            f"{self.target}: a world model of {len(config.tasks)} tasks ({config.tasks[0]} ..), {weights:.3g} M "
            f"weights; "
            f"log standard deviation {config.log_std_min:g} to {config.log_std_max:g}, bins to {config.bin_limit:g}"
            + (", predicts termination" if config.termination else ""),
            soft_wrap=True,
        )
        show_hints(console, [("next", f"pwm-bench extract {quote(str(self.target))} DATA")])
        return 0


def _task_list(words: tuple[str, ...]) -> tuple[str, ...] | None:
    """Names of tasks, of which a file may hold some, one a line."""
    from pwm_bench.envs.suites import spelt_out

    names: list[str] = []
    for word in words:
        file = Path(word)
        if not file.is_file():
            names.append(word)
            continue
        try:
            names += file.read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--tasks {word}: can't be read ({error}); write a name a line") from None
    return spelt_out(names) or None
