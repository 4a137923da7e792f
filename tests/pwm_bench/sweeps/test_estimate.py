from __future__ import annotations

import pytest

from pwm_bench.jobs import kinds
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.store.inputs import Pending
from pwm_bench.store.results import Results
from pwm_bench.sweeps.estimate import expected_gpu_memory, expected_seconds, sort_of
from tests.pwm_bench.sweeps.summing import KIND, SumSpec


@pytest.fixture(autouse=True)
def sums(monkeypatch):
    monkeypatch.setitem(kinds.KINDS.own, "sum", KIND)


def finished(results: Results, numbers: tuple[int, ...], seconds: float, **fields) -> None:
    spec = SumSpec(numbers=numbers, **fields)
    carry_out(spec, results)
    directory = results.run(spec.study, spec.id)
    record = directory.read()
    record.clocks = record.clocks.model_copy(
        update={"setup": 0.0, "compile": 0.0, "check": 0.0, "save": 0.0, "evaluate": 1.0, "train": seconds - 1.0}
    )
    record.clocks.cpu = 1e6  # runs beside the others, so it must not count
    directory.write(record)


def test_time_is_in_proportion_to_the_work_of_runs_alike(tmp_path):
    results = Results(tmp_path)
    for numbers, seconds, study in (((1, 2), 4.0, "a"), ((3, 4), 6.0, "b"), ((5, 6), 20.0, "b")):
        finished(results, numbers, seconds, study=study)
    damaged = results.run("b", "0123456789ab")
    damaged.path.mkdir()
    damaged.record_file.write_text("{")
    waiting = SumSpec(numbers=(1, 2, 3, 4, 5, 6), inputs={"x": Pending("y", "sum")})
    other = SumSpec(numbers=(1,), fails=True)
    assert expected_seconds([waiting, other], results) == [pytest.approx(6 * 3.0), None]


def test_memory_of_a_gpu_is_the_most_that_runs_alike_took(tmp_path):
    results = Results(tmp_path)
    for numbers, allocated in (((1, 2), 2**30), ((3, 4), 3 * 2**30), ((5, 6), None)):
        finished(results, numbers, 4.0)
        directory = results.run("sums", SumSpec(numbers=numbers).id)
        record = directory.read()
        record.memory.gpu = allocated
        directory.write(record)
    alike, other = SumSpec(numbers=(7, 8, 9)), SumSpec(numbers=(1,), fails=True)
    assert expected_gpu_memory([alike, other], results) == {sort_of(alike): 5 * 2**30}
    assert expected_gpu_memory([], results) == {}
