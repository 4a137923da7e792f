"""pwm-bench: compares policies trained with learned, ground-truth and score-function gradients.

The public functions, see docs/python.md::

    import pwm_bench as pb

    run = pb.run(task="hopper", algorithm="shac", env_steps=3e5, seeds=5)
    print(pb.table("single"))
    policy = pb.load_policy(run)

Importing this package is cheap: what a function needs is imported when it is first asked for.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pwm_bench.api.environments import make, make_functional, make_vec
    from pwm_bench.api.gradients import compare_gradients
    from pwm_bench.api.policies import TrainedPolicy, load_policy
    from pwm_bench.api.results import load, plot, table
    from pwm_bench.api.runs import Run, RunFailedError, run
    from pwm_bench.api.sweeps import sweep
    from pwm_bench.envs.errors import UsageError

__version__ = "0.1.0"
__all__ = [
    "Run",
    "RunFailedError",
    "TrainedPolicy",
    "UsageError",
    "__version__",
    "compare_gradients",
    "load",
    "load_policy",
    "make",
    "make_functional",
    "make_vec",
    "plot",
    "run",
    "sweep",
    "table",
]

# Idle OpenMP threads sleep instead of spinning. On a machine that is also busy with something else, spinning threads
# keep each other from the cores: training was measured ten times slower. Read once, when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_PLACES = {
    "Run": "pwm_bench.api.runs",
    "RunFailedError": "pwm_bench.api.runs",
    "TrainedPolicy": "pwm_bench.api.policies",
    "UsageError": "pwm_bench.envs.errors",
    "compare_gradients": "pwm_bench.api.gradients",
    "load": "pwm_bench.api.results",
    "load_policy": "pwm_bench.api.policies",
    "make": "pwm_bench.api.environments",
    "make_functional": "pwm_bench.api.environments",
    "make_vec": "pwm_bench.api.environments",
    "plot": "pwm_bench.api.results",
    "run": "pwm_bench.api.runs",
    "sweep": "pwm_bench.api.sweeps",
    "table": "pwm_bench.api.results",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
