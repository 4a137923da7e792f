"""The multi-task suites: dm_control's tasks of MT30 (11 of them TD-MPC2's own) and Meta-World's 50, batched.

Importing this package needs neither dm_control nor metaworld; `make` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pwm_bench.envs.cores import usable_cores
from pwm_bench.envs.lazy import lazily
from pwm_bench.envs.suites.catalogue import SUITE, SUITES, Suite, SuiteTask, names, spec, spelt_out

if TYPE_CHECKING:
    import torch

    from pwm_bench.envs.suites.env import SuiteEnv, SuiteStep
    from pwm_bench.envs.suites.evaluation import SuiteScores, evaluate

__all__ = [
    "SUITE",
    "SUITES",
    "Suite",
    "SuiteEnv",
    "SuiteScores",
    "SuiteStep",
    "SuiteTask",
    "evaluate",
    "make",
    "names",
    "spec",
    "spelt_out",
]


def make(
    tasks: str | Sequence[str] | Suite,
    *,
    envs_per_task: int = 1,
    num_workers: int | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> SuiteEnv:
    """Builds a batched environment of many tasks.

    Args:
        tasks: a suite (``"mt30"``), task names, or what `spec` gave.
        envs_per_task: worlds of each task.
        num_workers: processes that run them; 0 for none, by default one a processor.
        seed: of all starts and goals.
        device: of all tensors given out.

    Raises:
        UsageError: unknown names, impossible numbers, or a package is missing (``pip install 'pwm-bench[suites]'``).
    """
    from pwm_bench.envs.suites.env import SuiteEnv

    suite = tasks if isinstance(tasks, Suite) else spec(tasks)
    workers = usable_cores() if num_workers is None else num_workers
    return SuiteEnv(suite, envs_per_task=envs_per_task, num_workers=workers, seed=seed, device=device)


__getattr__ = lazily(__name__, SuiteEnv="env", SuiteStep="env", SuiteScores="evaluation", evaluate="evaluation")
