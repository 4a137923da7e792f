"""Every learner's checkpoint on every task, as its recipe makes it: stopped, and gone on with."""

from __future__ import annotations

import os
import signal

import pytest

from pwm_bench import envs, registry
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.runs.progress import ProgressEvent
from pwm_bench.store.results import Results
from pwm_bench.store.verify import verify


def stop_once_trained(event: ProgressEvent) -> None:
    """Asks the run to stop after its first gradient steps."""
    if event.phase == "train" and event.gradient_steps:
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", registry.ALGORITHMS)
@pytest.mark.parametrize("task", envs.tasks())
def test_it_resumes(tmp_path, task, algorithm):
    for seeds in (1, 2, 3, 5):
        spec = RunSpec.create(
            task=task, simulator="warp", algorithm=algorithm, seeds=tuple(range(seeds)), env_steps=1e6, evaluations=2,
            evaluation_episodes=1, device="cpu",
        )  # fmt: skip
        counts = []
        for attempt in (1, 2):
            record = carry_out(spec, Results(tmp_path), progress=stop_once_trained).record
            assert (record.status, record.attempts) == ("interrupted", attempt), record.reason
            counts.append(record.counts.iterations)
        assert 0 < counts[0] < counts[1]
        assert verify(Results(tmp_path).run(spec.study, spec.id)) == []
