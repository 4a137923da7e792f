"""Those who are told besides the display."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pwm_bench.envs.errors import UsageError
from pwm_bench.sweeps.reporters import Reporter, reporting

TOLD: list[str] = []


class Display(Reporter):
    """Remembers what it is told."""

    def __init__(self, results: Path) -> None:
        super().__init__(results)
        self.calls: list[str] = []

    def stopping(self) -> None:
        self.calls.append("stopping")

    def waiting(self, number: int) -> None:
        self.calls.append("waiting")


class Listing(Reporter):
    """Notes what it is told."""

    def waiting(self, number: int) -> None:
        TOLD.append(f"waiting for {number} in {self.results.name}")

    def close(self) -> None:
        TOLD.append("closed")


class Clumsy(Reporter):
    """Fails at once."""

    def stopping(self) -> None:
        raise OSError("no network")


def test_all_are_told_and_one_that_fails_is_told_nothing_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    TOLD.clear()
    display = Display(tmp_path)
    names = (f"{__name__}:Clumsy", f"{__name__}:Listing")
    with caplog.at_level(logging.WARNING), reporting(display, names, tmp_path) as observer:
        observer.stopping()
        observer.stopping()
        observer.waiting(3)
    assert display.calls == ["stopping", "stopping", "waiting"]
    assert [f"waiting for 3 in {tmp_path.name}", "closed"] == TOLD
    assert [record.message for record in caplog.records] == [
        f"reporter '{__name__}:Clumsy' is told nothing more: OSError: no network"
    ]


def test_what_is_no_reporter_is_refused(tmp_path: Path) -> None:
    refused = pytest.raises(UsageError, match="must be a subclass of Reporter")
    with refused, reporting(Display(tmp_path), ("json:dumps",), tmp_path):
        pass
