"""A kind of work from outside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs.kinds import carry_out, read_spec
from pwm_bench.store.results import Results
from tests.pwm_bench.sweeps.summing import SumJob, SumSpec


@dataclass(frozen=True, kw_only=True)
class OutsideSpec(SumSpec):
    kind: ClassVar[str] = f"{__name__}:OutsideJob"


class OutsideJob(SumJob):
    spec_class = OutsideSpec


def test_a_run_of_it_is_as_any_other(tmp_path: Path) -> None:
    spec = OutsideSpec(numbers=(1, 2, 3))
    again = read_spec(spec.to_json())  # as a worker process reads it
    assert (type(again), again) == (OutsideSpec, spec)
    record = carry_out(again, Results(tmp_path)).record
    assert (record.kind, record.status) == (spec.kind, "ok")
    assert (Results(tmp_path).run(spec.study, spec.id).path / record.artifacts["sum"].file).read_text() == "6"
    assert record.provenance is not None
    assert list(record.provenance.plugins) == ["tests"]


def test_a_kind_that_worker_processes_could_not_find_is_refused() -> None:
    with pytest.raises(UsageError, match="its spec calls itself 'sum', by which worker processes cannot find it"):
        read_spec('{"kind": "tests.pwm_bench.sweeps.summing:SumJob", "numbers": [1], "inputs": {}, "study": "s"}')
    with pytest.raises(UsageError, match="json:dumps is no kind of work: it must be a Job with a 'spec_class'"):
        read_spec('{"kind": "json:dumps"}')
