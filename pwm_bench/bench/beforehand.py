"""Every kernel that the steps of ``bench gpu`` launch, compiled on a machine that needs no GPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pwm_bench.bench.extraction import make_extractor, make_model
from pwm_bench.bench.learners import TASK, make_learner
from pwm_bench.bench.workloads import make_rollout
from pwm_bench.cli.showing import terminal
from pwm_bench.learning.epilogue import Epilogue
from pwm_bench.learning.epilogue_kernels import Key
from pwm_bench.pwm.extraction.config import ExtractionConfig

__all__ = ["compile_beforehand", "layers_of"]


def compile_beforehand(arch: int, cases: Sequence[tuple[str, int, int | None]], learners: Sequence[str]) -> int:
    """Compiles the kernels into Warp's cache, and says where they are. Those that tests alone launch are not among
    them, but for the simulator's in float64.

    Args:
        arch: compute capability, e.g. 90.
        cases: task, worlds and threads of a block (None for the simulator's choice) of each timing of a simulator.
        learners: algorithms that are timed.

    Returns:
        0.
    """
    import warp as wp

    from pwm_bench.envs import random_kernels
    from pwm_bench.envs.api import LARGEST_STATE
    from pwm_bench.envs.fused.generate import generate
    from pwm_bench.envs.fused.kernels import Kernels
    from pwm_bench.envs.tasks import load_task
    from pwm_bench.envs.warp.simulator import block_for
    from pwm_bench.learning import adam_kernels, epilogue_kernels

    console = terminal()
    for dtype in (torch.float32, torch.float64):
        for task in dict.fromkeys(task for task, *_ in cases):
            blocks = {
                block or block_for(worlds)
                for other, worlds, block in cases
                if other == task and (dtype == torch.float32 or block is None)
            }
            with console.status(f"{task}, {dtype}, blocks of {', '.join(map(str, sorted(blocks)))}, sm_{arch}"):
                made: Any = make_rollout(task, "warp", 1, 1, dtype=dtype).simulator
                made.compile_for(arch, sorted(blocks))
    with console.status(f"what learners launch, sm_{arch}"):
        for compile_for in (random_kernels.compile_for, adam_kernels.compile_for):
            compile_for(arch, torch.float32)
        Kernels(generate(load_task(TASK)), torch.float32, LARGEST_STATE).compile_for(arch)
    for key, width, dtype in sorted(_epilogues(learners), key=str):
        with console.status(f"layers of {width}, {key.activation}, {dtype}, sm_{arch}"):
            epilogue_kernels.compile_for(arch, key, width, dtype)
    folder = Path(wp.config.kernel_cache_dir or "")
    size = sum(path.stat().st_size for path in folder.rglob(f"*.sm{arch}*"))
    console.print(f"kernels for sm_{arch}, {size / 1e6:.1f} MB: {folder}", highlight=False, soft_wrap=True)
    return 0


def _epilogues(learners: Sequence[str]) -> set[tuple[Key, int, torch.dtype]]:
    """What follows the layers of all networks that the steps train, in the precisions that they do it in."""
    found = {(*one, torch.float32) for name in learners for one in layers_of(make_learner(name, 1, "cpu", small=True))}
    model = make_model("48M", "cpu")
    extractor = make_extractor(model, 1, ExtractionConfig(batch_size=4, horizon=2))
    extracted = layers_of(extractor) | layers_of(model)
    return found | {(*one, dtype) for one in extracted for dtype in (torch.float32, torch.bfloat16)}


def layers_of(learner: object) -> set[tuple[Key, int]]:
    """The kernels of layers that a learner's networks use, and their widths."""
    found = set()
    for module in _modules(learner, set()):
        how: Epilogue | None = getattr(module, "epilogue", getattr(module, "_epilogue", None))
        if how is not None and how.norm != "none":
            linear: Any = getattr(module, "linear", module)
            found.add((how.key, int(linear.bias.shape[-1])))
    return found


def _modules(thing: object, seen: set[int]) -> Iterator[nn.Module]:
    """All modules within an object of ours, however deep."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, nn.Module):
        yield thing
    if isinstance(thing, dict):
        parts = list(thing.values())
    elif isinstance(thing, (list, tuple)):
        parts = list(thing)
    elif isinstance(thing, nn.Module) or type(thing).__module__.startswith("pwm_bench."):
        parts = list(getattr(thing, "__dict__", {}).values())
    else:
        parts = []
    for part in parts:
        yield from _modules(part, seen)
