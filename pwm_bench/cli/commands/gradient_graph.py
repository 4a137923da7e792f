"""Carrying out the graph of a gradient study: world models first, then what reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pwm_bench.cli.carry import carry_out_shown, show_end
from pwm_bench.envs.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from pwm_bench.store.results import Results
    from pwm_bench.store.spec import Spec
    from pwm_bench.sweep.graph import Study

__all__ = ["Done", "carry_out_graph", "show_figures"]


@dataclass
class Done:
    """What came of a graph.

    Attributes:
        specs: those that are finished, with their inputs.
        exit_code: 0, or the largest of those of its runs.
    """

    specs: list[Spec] = field(default_factory=list)
    exit_code: int = 0


def carry_out_graph(
    console: Console, study: Study, results: Results, *, show: Callable[[Console, Any, Path], None] | None
) -> Done:
    """Does what is left of a study here, run by run; one that fails does not keep those that don't read it from being
    done.

    Args:
        console: where to print.
        study: its runs.
        results: where they are kept.
        show: prints what a finished run that leaves gradients has found, given its spec and its directory.
    """
    from pwm_bench.sweep.carry_out import in_order
    from pwm_bench.sweep.graph import needs

    done = Done()
    finished: set[str] = set()
    for name, spec, outcome in in_order(study, results, lambda spec: carry_out_shown(spec, results, console=console)):
        if outcome is None:
            missing = [node for node in needs(spec) if node not in finished]
            console.print(f"{name}: not done, since it reads {', '.join(missing)}", soft_wrap=True, highlight=False)
            continue
        done.exit_code = max(done.exit_code, outcome.exit_code)
        if outcome.record.status == "ok":
            finished.add(name)
            done.specs.append(spec)
            if show is not None and "gradients" in outcome.record.artifacts:
                show(console, spec, results.run(spec.study, spec.id).path)
        show_end(console, outcome, results)
    return done


def show_figures(console: Console, draw: Callable[[], list[Path]]) -> None:
    """Draws figures and says where they are; without matplotlib the numbers are there all the same."""
    try:
        files = draw()
    except UsageError as error:
        console.print(f"no figures: {error}", highlight=False)
        return
    for file in files:
        if file.suffix == ".png":
            console.print(f"figure: {file} (and .svg)", highlight=False, soft_wrap=True)
