"""A benchmark in steps keeps its budget, whatever a step does, and every row that was written."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from pwm_bench.bench.ledger import Ledger
from pwm_bench.bench.steps import STEPS, Step, carry_out


def test_a_cut_and_a_failure_cost_one_step_each(tmp_path: Path) -> None:
    def good(ledger: Ledger) -> None:
        ledger.add("good", process=os.getpid())

    def endless(ledger: Ledger) -> None:
        ledger.add("endless", row=1)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as deaf as a compiler
        time.sleep(600.0)
        ledger.add("endless", row=2)

    def broken(ledger: Ledger) -> None:
        ledger.add("broken", row=1)
        raise ValueError("no such kernel")

    def crashing(ledger: Ledger) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)

    ledger = Ledger(tmp_path / "rows.jsonl")

    def clock() -> float:
        return 100.0 if "endless" in ledger.tables() else 0.0

    steps = [Step("endless", 0.5, endless), Step("broken", 300.0, broken), Step("crashing", 300.0, crashing),
             Step("good", 300.0, good)]  # fmt: skip
    found = list(carry_out(steps, ledger, seconds=600.0, clock=clock))
    assert [one.status for one in found] == ["cut", "failed", "failed", "done"]
    assert [one.remark for one in found[1:]] == ["ValueError: no such kernel", "exit code -11", ""]
    tables = ledger.tables()
    assert (tables["endless"], tables["broken"]) == ([{"row": 1}], [{"row": 1}])
    assert tables["good"][0]["process"] != os.getpid()
    assert [row["status"] for row in tables[STEPS]] == ["cut", "failed", "failed", "done"]
    assert "Traceback" in (tmp_path / "rows-broken.log").read_text()
    assert not (tmp_path / "rows-good.log").exists()


def test_what_does_not_fit_into_the_budget_is_not_begun(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "rows.jsonl")
    steps = [Step("long", 1e6, lambda ledger: ledger.add("long")), Step("short", 60.0, lambda ledger: None)]
    assert [one.status for one in carry_out(steps, ledger, seconds=60.0)] == ["not begun", "done"]
    assert "long" not in ledger.tables()
