from __future__ import annotations

import dataclasses

import pytest

from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.sweeps.devices import Gpu
from pwm_bench.sweeps.executors import capacity
from pwm_bench.sweeps.executors.capacity import Capacity


def spec(algorithm="ppo", seed=0) -> RunSpec:
    return RunSpec.create(
        task="hopper", simulator="warp", algorithm=algorithm, env_steps=1000, seeds=(seed,), device="cpu"
    )


def admitted(specs, *arguments, **settings) -> int:
    """How many of them run side by side."""
    admits, running = Capacity(*arguments, **settings), []
    for one in specs:
        if admits(one, running):
            running.append(one)
    return len(running)


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """Four cores and plenty of memory."""
    monkeypatch.setattr(capacity, "usable_cores", lambda: 4)
    monkeypatch.setattr(capacity, "available_memory", lambda: 2**40)


def test_runs_share_the_cores():
    assert admitted([spec(seed=n) for n in range(9)]) == 4
    assert admitted([spec("pwm", seed=n) for n in range(9)]) == 2
    assert admitted([spec("pwm"), *(spec(seed=n) for n in range(9))]) == 3


def test_jobs_take_precedence():
    assert admitted([spec(seed=n) for n in range(9)], jobs=1) == 1
    assert admitted([spec("pwm", seed=n) for n in range(9)], jobs=7) == 7
    with pytest.raises(UsageError, match="--jobs 0: must be at least 1"):
        Capacity(0)


@pytest.mark.parametrize(("memory", "number"), [(2**30, 1), (3 * 2**30, 4), (None, 4)])
def test_memory_limits_them_but_one_always_runs(monkeypatch, memory, number):
    monkeypatch.setattr(capacity, "available_memory", lambda: memory)
    assert admitted([spec(seed=n) for n in range(9)]) == number
    assert admitted([spec(seed=n) for n in range(9)], jobs=4) == number


GB = 2**30
AUTO = ("auto", ("warp",))


@pytest.mark.parametrize(
    ("free", "known", "number"), [(3, None, 1), (9, None, 2), (15, None, 3), (99, None, 4), (5, 2, 2)]
)
def test_runs_on_a_gpu_share_its_memory(free, known, number):
    """4 GB each, as long as nothing is known of such runs, and a core each."""
    runs = [dataclasses.replace(spec(seed=n), device="auto") for n in range(9)]
    gpus = {AUTO: Gpu("cuda:0", free * GB)}
    assert admitted(runs, gpus=gpus, gpu_memory=lambda spec: known and known * GB) == number
    assert admitted(runs, jobs=3, gpus=gpus) == 3


def test_each_gpu_has_memory_of_its_own(monkeypatch):
    monkeypatch.setattr(capacity, "usable_cores", lambda: 16)
    runs = [dataclasses.replace(spec(seed=n), device=f"cuda:{n % 3}") for n in range(9)]
    gpus = {(f"cuda:{n}", ("warp",)): Gpu(f"cuda:{n}", free * GB) for n, free in enumerate((5, 9))}
    assert admitted(runs, gpus=gpus) == 1 + 2 + 3  # the third device is no GPU


def test_available_memory_is_read_from_the_system(monkeypatch, tmp_path):
    monkeypatch.undo()
    found = capacity.available_memory()
    assert found is None or 0 < found < 2**50
    (tmp_path / "own").write_text("12:cpu,memory:/job/1\n0::/job/2\n")
    monkeypatch.setattr(capacity, "_CGROUPS", tmp_path)
    monkeypatch.setattr(capacity, "_OWN_GROUPS", tmp_path / "own")
    for folder, limit, usage, value in (
        ("job/2", "memory.max", "memory.current", 3000),
        ("memory/job/1", "memory.limit_in_bytes", "memory.usage_in_bytes", 2500),
        ("", "memory.max", "memory.current", 2000),
    ):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / limit).write_text(f"{value}\n")
        (tmp_path / folder / usage).write_text("1000\n")
        assert capacity.available_memory() == value - 1000
    (tmp_path / "memory.max").write_text("max\n")
    assert capacity.available_memory() == 1500
