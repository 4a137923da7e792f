from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
import warp as wp

from pwm_bench.envs import company
from pwm_bench.envs.company import MOST, capture_stream, made_once, shares_process, sharing_process
from pwm_bench.envs.processor_time import processor_seconds
from pwm_bench.envs.warp.runtime import start_warp

GPU = torch.device("cuda", 0)


def test_threads_that_want_the_same_get_the_same():
    made, barrier = [], threading.Barrier(4)

    @made_once
    def make(name: str) -> object:
        time.sleep(0.01)
        made.append(name)
        return object()

    def get(n: int) -> object:
        barrier.wait()
        return make("ab"[n % 2])

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(get, range(4)))
    assert sorted(made) == ["a", "b"]
    assert len(set(map(id, found))) == 2
    assert make("a") is found[0]


def test_processor_time_is_that_of_the_run_s_own_thread():
    def work(seconds: float) -> float:
        with sharing_process():
            assert shares_process()
            before, until = processor_seconds(), time.thread_time() + seconds
            while time.thread_time() < until:
                pass
            return processor_seconds() - before

    with ThreadPoolExecutor(2) as pool:
        short, long = pool.map(work, (0.05, 0.3))
    assert not shares_process()
    assert 0.05 <= short < 0.3 <= long


@pytest.fixture
def streams(monkeypatch):
    """torch hands out 32 streams of a GPU in turn."""
    numbers = itertools.cycle(range(1, 33))

    def stream(device: torch.device) -> SimpleNamespace:
        return SimpleNamespace(cuda_stream=next(numbers), synchronize=lambda: None)

    present = threading.local()

    class Using:
        def __init__(self, stream) -> None:
            self.stream = stream

        def __enter__(self) -> None:
            present.stream = self.stream

        def __exit__(self, *_) -> None:
            present.stream = None

    for name, stands in (("Stream", stream), ("stream", Using), ("device", lambda device: nullcontext()),
                         ("empty_cache", lambda: None)):  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, stands)
    monkeypatch.setattr(company.gc, "collect", lambda: None)
    return present


def test_no_stream_is_that_of_two_runs(streams):
    """Whatever is taken and given back, and however often a run asks for one to capture on."""
    all_there, seen = threading.Barrier(MOST), []

    def run(n: int) -> None:
        for _ in range(3):
            with sharing_process(GPU):
                side = {capture_stream(GPU).cuda_stream for _ in range(20)}
                all_there.wait(10.0)
                seen.append({streams.stream.cuda_stream} | side)
                all_there.wait(10.0)

    with ThreadPoolExecutor(MOST) as pool:
        list(pool.map(run, range(MOST)))
    assert not company._taken
    for first in range(0, len(seen), MOST):
        beside = seen[first : first + MOST]
        assert all(len(mine) == 2 for mine in beside)
        assert len(set().union(*beside)) == 2 * MOST


def test_threads_load_a_module_of_warp_in_turn(monkeypatch):
    start_warp()
    within, most = [], []

    def load(module) -> None:
        within.append(module)
        most.append(len(within))
        time.sleep(0.01)
        within.pop()

    from pwm_bench.envs.warp import runtime

    in_turn, module = runtime._in_turn(load), wp.Module.__new__(wp.Module)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(in_turn, [module] * 4))
    assert max(most) == 1
    assert wp.Module.load.__wrapped__ is not None
