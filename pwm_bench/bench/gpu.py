"""``pwm-bench bench gpu``: all that a GPU lent for a few minutes can tell, most valuable first.

Every row is written down at once and every step has a process of its own, so that a cut, a crash or the end of the
loan costs one step. On ``--device cpu`` the same code is rehearsed: `gpu` tests on a device made of CPU tensors, all
else on the CPU; with ``--quick`` at sizes of seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pwm_bench import envs
from pwm_bench.bench.beforehand import compile_beforehand
from pwm_bench.bench.gpu_tests import LAUNCHES, run_gpu_tests
from pwm_bench.bench.ledger import Ledger, as_table
from pwm_bench.bench.steps import STEPS, Step, carry_out
from pwm_bench.bench.timing import interleaved, machine_row, median_seconds
from pwm_bench.cli.showing import terminal
from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.graphed import GRAPHS

__all__ = ["main", "steps"]

_SIMULATED = (("warp", "ant"), ("warp", "hopper"), ("warp", "humanoid"), ("mjx", "hopper"))
_WORLDS = (64, 4096, 1024, 16384)
_BLOCKS = (32, 64, 128, 256)
_LEARNERS = ("shac", "ppo", "pwm")
_SEEDS = (1, 5)
_HORIZON = 16


def main(
    *,
    quick: bool = False,
    minutes: float = 7.0,
    device: str | None = None,
    output: Path | None = None,
    compile_for: int | None = None,
) -> int:
    """Measures, and prints a table for each step as soon as it is through.

    Args:
        quick: sizes of seconds, for rehearsing.
        minutes: budget; whatever does not fit into it is cut or left out.
        device: a GPU by default.
        output: the file that rows are written to; ``bench-gpu.jsonl`` by default.
        compile_for: measure nothing; compile the Warp kernels for this compute capability, e.g. 90, on a machine that
            needs no GPU, so that its cache can be carried to the one that has.

    Returns:
        1 if a step failed.
    """
    if compile_for is not None:
        cases = [(task, worlds, block) for simulator, task, worlds, block in _cases(quick=False) if simulator == "warp"]
        return compile_beforehand(compile_for, cases, _LEARNERS)
    name = device or "cuda"
    if name != "cpu" and not name.startswith("cuda"):
        raise UsageError(f"--device {name}: must be cuda, cuda:N, or cpu for a rehearsal")
    ledger = Ledger(output or Path("bench-gpu.jsonl"))
    console = terminal()
    console.print(f"{minutes:g} minutes on {name}; rows go to {ledger.path}", highlight=False, soft_wrap=True)
    failed, begun = False, time.monotonic()
    for outcome in carry_out(steps(name, quick=quick), ledger, seconds=60.0 * minutes):
        took = f", {outcome.seconds:.0f} s" if outcome.seconds else ""
        console.print(f"\n{time.monotonic() - begun:5.0f} s  {outcome.step}: {outcome.status}{took}", style="bold")
        rows = ledger.tables().get(outcome.step)
        if rows:
            console.print(as_table("", rows))
        if outcome.remark:
            console.print(outcome.remark, highlight=False)
        failed = failed or outcome.status == "failed"
    console.print(as_table("Steps", ledger.tables()[STEPS]))
    return int(failed)


def steps(device: str, *, quick: bool = False) -> list[Step]:
    """The steps, most valuable first; the estimates are for an H200 whose kernels are compiled.

    Args:
        device: ``"cuda"``, ``"cuda:N"`` or ``"cpu"``.
        quick: sizes of seconds.
    """
    tests: dict[str, Any] = {"rehearsed": device == "cpu", "quick": quick}
    works: list[tuple[str, float, Callable[..., Any]]] = [
        ("machine", 20.0, partial(_machine, device=device)),
        ("tests", 120.0, partial(run_gpu_tests, table="tests", without=LAUNCHES, **tests)),
        ("launches", 40.0, partial(run_gpu_tests, table="launches", only=LAUNCHES, **tests)),
        ("simulators", 90.0, partial(_simulators, device=device, quick=quick)),
        ("extraction", 80.0, partial(_extraction, device=device, quick=quick)),
        ("learners", 90.0, partial(_learners, device=device, quick=quick)),
    ]
    return [Step(name, seconds, work) for name, seconds, work in works]


def _machine(ledger: Ledger, *, device: str) -> None:
    """What the figures belong to, and what each library sees."""
    found = str(envs.resolve_device(device))
    row: dict[str, Any] = machine_row(found)
    for library in ("torch", "warp", "jax"):
        row[f"GPUs of {library}"] = envs.devices.view(library).gpus
    ledger.add("machine", **row)


def _simulators(ledger: Ledger, *, device: str, quick: bool) -> None:
    """Environment steps per second over worlds and, in Warp, threads of a block."""
    from pwm_bench.bench.workloads import make_rollout

    for simulator, task, worlds, block in _cases(quick):
        options: dict[str, Any] = {} if block is None else {"block_dim": block}
        rollout = make_rollout(task, simulator, worlds, 2 if quick else _HORIZON, device=device, **options)
        compile_seconds = rollout.simulator.compile(gradient=True)
        rollout.check()
        seconds = interleaved({"forward": rollout.forward, "both": rollout.gradient}, **_effort(quick))
        ledger.add(
            "simulators", simulator=simulator, task=task, worlds=worlds, block=block,
            **{"forward [steps/s]": rollout.env_steps / seconds["forward"]},
            **{"forward + backward [steps/s]": rollout.env_steps / seconds["both"]},
            **{"compile [s]": compile_seconds},
        )  # fmt: skip


def _cases(quick: bool) -> Iterator[tuple[str, str, int, int | None]]:
    if quick:
        yield from (("warp", "cartpole", 4, None), ("warp", "cartpole", 4, 32))
        return
    for worlds in _WORLDS:
        yield from ((simulator, task, worlds, None) for simulator, task in _SIMULATED)
    for worlds in _WORLDS:  # of less value
        yield from (("warp", "ant", worlds, block) for block in _BLOCKS)


def _extraction(ledger: Ledger, *, device: str, quick: bool) -> None:
    """Updates per second of extraction for one task and thirty, in each precision, as captured graph and eager."""
    from pwm_bench.bench.extraction import make_extractor, make_model, matrix_work
    from pwm_bench.bench.workloads import updater
    from pwm_bench.learning.precision import PRECISIONS
    from pwm_bench.pwm.extraction.config import ExtractionConfig

    found = envs.resolve_device(device)
    model = make_model("1M" if quick else "48M", found)
    sizes: dict[str, Any] = {"batch_size": 4, "horizon": 2, "critic_iterations": 1} if quick else {}
    for tasks in (1, 2) if quick else (30, 1):
        for precision in PRECISIONS:
            for graphed in _graphed(found):
                config = ExtractionConfig(**sizes | {"precision": precision})
                extractor = make_extractor(model, tasks, config)
                seconds = median_seconds(updater(extractor, graphed, found), **_effort(quick))
                ledger.add(
                    "extraction", tasks=tasks, precision=precision, graph=graphed == "on",
                    **{"ms/update": 1e3 * seconds, "updates/s": 1.0 / seconds},
                    **{"GFLOP/s": tasks * matrix_work(model, config) / seconds / 1e9},
                )  # fmt: skip
                del extractor


def _learners(ledger: Ledger, *, device: str, quick: bool) -> None:
    """Environment steps per second of learners with one seed and five."""
    from pwm_bench.bench.learners import make_learner, population_row

    found = envs.resolve_device(device)
    for seeds in _SEEDS[:1] if quick else _SEEDS:
        for algorithm in _LEARNERS[:1] if quick else _LEARNERS:
            for graphed in _graphed(found):
                learner = make_learner(algorithm, seeds, device, small=quick)
                ledger.add("learners", **population_row(algorithm, learner, seeds, graphed=graphed, **_effort(quick)))


def _graphed(device: torch.device) -> tuple[str, ...]:
    """Settings of `pwm_bench.learning.graphed.graphs_of` that are compared there."""
    return ("on", "off") if device.type in GRAPHS else ("off",)


def _effort(quick: bool) -> dict[str, Any]:
    return {"repeats": 1, "at_least": 0.0} if quick else {"repeats": 3, "at_least": 0.1}
