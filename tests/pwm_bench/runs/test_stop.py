from __future__ import annotations

import os
import signal

import pytest

from pwm_bench.envs.signals import STOPPING, held
from pwm_bench.runs.stop import Stopped, StopRequest, stop_request


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_asks_and_the_old_handlers_come_back(number):
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert not stop
        os.kill(os.getpid(), number)
        assert stop
        assert stop.signal == number
    assert signal.getsignal(number) == before


def test_a_second_interrupt_does_not_wait():
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert stop.signal == signal.SIGINT


def test_the_first_reason_is_kept():
    stop = StopRequest()
    stop.request(signal.SIGTERM)
    stop.request()
    assert stop.signal == signal.SIGTERM


def test_a_second_interrupt_is_told_to_whoever_asked_for_it():
    told = []
    with StopRequest() as stop:
        stop.first, stop.again = told.append, lambda: told.append("again")
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
    assert told == [signal.SIGTERM, "again"]
    assert stop.impatient


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_work_that_looks_at_no_flag_is_left_at_once(number):
    with StopRequest(at_once=True) as stop, pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)
    assert stop.impatient
    assert stop.exit_code == 128 + number


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_all_of_a_process_work_under_one_request():
    with stop_request() as outer:
        with stop_request() as inner:
            assert inner is outer
        os.kill(os.getpid(), signal.SIGTERM)
        with stop_request() as later:
            assert later.signal == signal.SIGTERM
            with pytest.raises(Stopped):
                later.check()
    with stop_request() as new:
        assert not new


def test_work_that_saves_within_work_that_looks_at_no_flag():
    saved = []

    def work() -> None:
        with stop_request() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            saved.append(bool(stop))

    with stop_request(at_once=True) as outer:
        with pytest.raises(KeyboardInterrupt):
            work()
        assert outer.impatient
    assert saved == [True]


def test_work_that_looks_at_no_flag_does_not_begin_once_it_was_asked():
    with stop_request() as stop:
        stop.request(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt), stop_request(at_once=True):
            pytest.fail("began")


@pytest.mark.skipif("PYTEST_XDIST_WORKER" in os.environ, reason="a test worker has threads that hold no signals")
def test_a_signal_that_came_before_is_heeded():
    with held():
        os.kill(os.getpid(), signal.SIGTERM)
        with StopRequest() as stop:
            assert stop.signal == signal.SIGTERM
