"""``pwm-bench render``: a policy in pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import tyro

from pwm_bench.cli.commands.options import ResultsFolder, default_results, option
from pwm_bench.cli.showing import terminal
from pwm_bench.envs.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from pwm_bench.render.policies import Actor

__all__ = ["Render"]

_MOST_STEPS = 600  # 10 s of the tasks' time


@dataclass(frozen=True, kw_only=True)
class Render:
    """Draw the policy of a run, or random actions in a task, as a video, a GIF or a contact sheet."""

    leaves_files: ClassVar[bool] = True

    what: Annotated[str, tyro.conf.Positional, option("RUN_OR_TASK")]
    """A run's directory or id, or a task."""
    out: Annotated[Path, option("FILE")]
    """File to write: .mp4, .gif, or .png for a contact sheet."""
    policy: Annotated[str | None, option("NAME", "random")] = None
    """Actions in a task: random or zero."""
    member: Annotated[int | None, option("SEED", "the best")] = None
    """Training seed of a run's policy."""
    simulator: Annotated[str | None, option("NAME", "the run's; mujoco_c for a task")] = None
    """Where to play; a run's policy may play elsewhere than it was trained."""
    seed: Annotated[int, option("N", "0")] = 0
    """Seed of the start, and of random actions."""
    steps: Annotated[int | None, option("N", "an episode's, at most 600")] = None
    """Control steps to play."""
    fps: Annotated[float | None, option("N", "30; GIF 20")] = None
    """Frames a second; motion is shown in the world's own time."""
    size: Annotated[str | None, option("WIDTHxHEIGHT", "640x480; GIF 400x300; each frame of a sheet 480x360")] = None
    """Size of a frame in pixels."""
    results: ResultsFolder = field(default_factory=default_results)
    """Results folder to find runs in."""

    def __call__(self) -> int:
        """Plays, draws and writes."""
        from pwm_bench.render.files import format_of, write

        chosen = format_of(self.out)
        width, height = chosen.size if self.size is None else _parse_size(self.size, self.out)
        if self.steps is not None and self.steps < 1:
            raise UsageError(f"--steps {self.steps}: must be at least 1")
        if self.fps is not None and not 0 < self.fps <= 240:
            raise UsageError(f"--fps {self.fps}: must be positive, at most 240")

        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        from pwm_bench.envs.renderer import Renderer
        from pwm_bench.render.caption import caption
        from pwm_bench.render.rollout import play

        console = terminal()
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            setting_up = progress.add_task("setting up", total=None)
            actor = self._actor()
            steps = self.steps or min(actor.env.episode_length, _MOST_STEPS)
            with Renderer(actor.env.simulator.model, width, height) as renderer:  # before playing: no GL, no wait
                progress.update(setting_up, description="compiling")
                actor.env.simulator.compile(gradient=False)
                progress.remove_task(setting_up)
                playing = progress.add_task("playing", total=steps)
                rollout = play(actor, steps, lambda: progress.advance(playing))
                indices, fps = chosen.choose(len(rollout.moments), rollout.control_dt, self.fps)
                drawing = progress.add_task("drawing", total=len(indices))

                def frames() -> Iterator[np.ndarray]:
                    for index in indices:
                        moment = rollout.moments[index]
                        yield caption(renderer.render(moment.qpos), actor.label, moment)
                        progress.advance(drawing)

                write(self.out, frames(), fps)
        console.print(f"{actor.label}: {len(indices)} frames in {self.out}", highlight=False, soft_wrap=True)
        return 0

    def _actor(self) -> Actor:
        from pwm_bench import envs
        from pwm_bench.render.policies import simple_actor, trained_actor
        from pwm_bench.store.listing import find_run
        from pwm_bench.store.results import Results

        if self.simulator is not None:
            envs.SIMULATORS.check(self.simulator)
        if self.what in envs.TASKS:
            if self.member is not None:
                raise UsageError(f"--member {self.member}: '{self.what}' is a task; members belong to runs")
            simulator = self.simulator or "mujoco_c"
            return simple_actor(self.what, self.policy or "random", simulator=simulator, seed=self.seed)
        directory = find_run(self.what, Results(self.results), others={"task": envs.tasks()})
        if self.policy is not None:
            raise UsageError(f"--policy {self.policy}: '{self.what}' is a run and has its own; give a task instead")
        return trained_actor(directory, simulator=self.simulator, seed=self.seed, member=self.member)


def _parse_size(text: str, out: Path) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise UsageError(f"--size {text}: must be WIDTHxHEIGHT, e.g. 640x480")
    width, height = (int(part) for part in parts)
    if out.suffix.lower() == ".mp4" and (width % 2 or height % 2):
        raise UsageError(f"--size {text}: width and height of an MP4 must be even")
    return width, height
