"""Hand-written run directories with known numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pwm_bench.cli.main import main
from pwm_bench.store.results import Results, RunDirectory
from pwm_bench.store.schema import (
    ClockTimes,
    Counts,
    Evaluation,
    GradientCheck,
    Member,
    Provenance,
    RunRecord,
    Schedule,
    Variant,
)
from pwm_bench.store.seal import seal, without_seal

DEVICE = "Test CPU (2 cores)"


def edit(file: Path, change: Callable[[dict[str, Any]], object], *, sealed: bool = True) -> None:
    """Changes a file's JSON values; their checksum goes with them, as of someone who knows of it, unless told."""
    values = json.loads(file.read_text())
    change(values)
    file.write_text(seal(without_seal(values)) if sealed else json.dumps(values))


def write_run(
    root: Path,
    run_id: str,
    *,
    curves: list[list[float]],
    steps: list[int],
    seconds: list[float],
    study: str = "s",
    task: str = "hopper",
    simulator: str = "warp",
    algorithm: str = "shac",
    config: dict[str, Any] | None = None,
    status: str = "ok",
    reason: str | None = None,
    diverged: tuple[int, ...] = (),
    first_seed: int = 0,
    speeds: list[list[float]] | None = None,
    success: list[list[float | None]] | None = None,
    device: str = DEVICE,
    horizon: int | None = None,
    check: tuple[float, str] | None = None,
    kind: str = "train",
    variant: str = "",
    **origin: Any,
) -> RunDirectory:
    """Writes a run with one member per curve.

    Args:
        curves: per member, the mean evaluation return at each of ``steps``; each is spread over two episodes.
        speeds: likewise for the forward velocity.
        success: likewise for the success rate; None where an episode has none.
        horizon: environment steps that the schedules run over; None where there are none.
        kind: of work.
        variant: what tables call it.
        check: relative error and precision of the gradient's check, if there was one.
        origin: fields of the provenance.
    """
    directory = Results(root).run(study, run_id)
    spec = {
        "task": task, "simulator": simulator, "algorithm": algorithm, "config": config or {"gamma": 0.99},
        "env_steps": 1000, "seeds": list(range(first_seed, first_seed + len(curves))), "evaluation_episodes": 2,
        "study": study, "device": "cpu",
    }  # fmt: skip
    members = [
        Member(
            seed=first_seed + i,
            status="diverged" if i in diverged else "ok",
            diverged_at=5 if i in diverged else None,
            untrained_return=None if kind in ("compare", "evaluate") else curve[0],
            final_return=curve[-1],
        )
        for i, curve in enumerate(curves)
    ]
    with directory.lock():
        for index, (step, second) in enumerate(zip(steps, seconds, strict=True)):
            line = Evaluation(
                index=index, env_steps=step, gradient_steps=step // 10, policy_gradient_steps=step // 50,
                train_seconds=second, cpu_seconds=2 * second, wall_seconds=second + 1,
                returns=[[curve[index] - 1.0, curve[index] + 1.0] for curve in curves],
                lengths=[[10, 20] for _ in curves], invalid=[0] * len(curves),
                extras={
                    name: [[s[index], s[index]] for s in values]
                    for name, values in (("forward_velocity", speeds), ("success", success)) if values
                },
            )  # fmt: skip
            directory.evaluations.append(line.model_dump())
        directory.write(
            RunRecord(
                kind=kind, id=run_id, study=study, spec=spec, status=status, reason=reason, members=members,
                gradient_source={"shac": "simulator", "ppo": "score", "pwm": "learned", "sac": "critic"}.get(algorithm),
                gradient_check=(
                    GradientCheck(cosine=1.0, relative_error=check[0], horizon=8, worlds=8, precision=check[1])
                    if check
                    else None
                ),
                counts=Counts(env_steps=steps[-1] if steps else 0, gradient_steps=steps[-1] // 10 if steps else 0),
                clocks=ClockTimes(train=seconds[-1] if seconds else 0.0, compile=3.0, evaluate=2.0),
                variant=Variant(name=variant) if variant else None,
                schedule=Schedule(unit="env_steps", length=horizon) if horizon else None,
                provenance=Provenance(**{
                    "git_commit": None, "git_dirty": None, "packages": {}, "python": "3", "platform": "p",
                    "device": device, "processor": device, "driver": None, "threads": 1, "precision": "float32",
                    **origin,
                }),
                started_at="a", updated_at="b",
            )
        )  # fmt: skip
    return directory


def run(capsys, *arguments, code: int = 0) -> tuple[str, str]:
    """Calls ``pwm-bench results``. Returns what it wrote to stdout and stderr."""
    assert main(["results", *map(str, arguments)]) == code
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return captured.out, captured.err


def make(root, run_id="aaa", value=5.0, **options):
    """Writes a run of one member, whose return goes from 0 to ``value`` in two evaluations."""
    options = {"steps": [0, 10], "seconds": [0.0, 1.0]} | options
    return write_run(root, run_id, curves=[[0.0, value]], **options)
