"""Studies to draw."""

from __future__ import annotations

from pwm_bench.analysis.scored import read_scores
from pwm_bench.store.frames import load_study
from pwm_bench.store.results import Results
from tests.pwm_bench.store.factories import write_run

STEPS = [0, 100, 200]


def at_own_end(root, metric: str = "return"):
    """What there is to draw of a study, each run at its own end."""
    return read_scores(load_study(Results(root), "s"), match="none", metric=metric).frame


def many_tasks(root, number: int):
    """Two algorithms with two seeds on many tasks, of which the first has one algorithm alone."""
    tasks = ["hopper", "ant", "snu_humanoid", *(f"task{index}" for index in range(number - 3))]
    for index, task in enumerate(tasks):
        for algorithm in ("shac", "pwm") if index else ("pwm",):
            curves = [[0.0, 10.0 + index, 30.0], [0.0, 20.0, 60.0]]
            write_run(root, f"{algorithm}{index}", task=task, algorithm=algorithm, curves=curves,
                      steps=[0, 100_000, 200_000], seconds=[0.0, 10.0, 20.0])  # fmt: skip
    return at_own_end(root)
