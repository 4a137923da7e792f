"""Work for several cores."""

from __future__ import annotations

import threading

import pytest

from pwm_bench.envs.cores import at_once


def test_works_run_at_the_same_time() -> None:
    """Each waits for the other to have begun; the first runs in the calling thread."""
    here, there = threading.Event(), threading.Event()
    threads = []

    def first() -> None:
        threads.append(threading.current_thread())
        here.set()
        assert there.wait(10)

    def second() -> None:
        there.set()
        assert here.wait(10)

    at_once(first, second)
    assert threads == [threading.current_thread()]


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_comes_after_all_have_ended(failing: int) -> None:
    done = threading.Event()

    def fails() -> None:
        raise ValueError("no")

    def ends() -> None:
        threading.Event().wait(0.05)
        done.set()

    works = [ends]
    works.insert(failing, fails)
    with pytest.raises(ValueError, match="no"):
        at_once(*works)
    assert done.is_set()
