from __future__ import annotations

import signal
import sys
import threading

import pytest

from pwm_bench.executors import local
from pwm_bench.executors.local import LocalExecutor, ProcessEnd
from tests.pwm_bench.toy_cli import toy_spec

pytestmark = pytest.mark.usefixtures("toys")

EVENT = 'print(\'{"phase": "train", "env_steps": 7}\', flush=True)'


def run(tmp_path, script: str, watch=lambda executor, event: None) -> tuple[ProcessEnd, list]:
    """Runs a script in the place of the command line interface."""
    events = []
    executor = LocalExecutor(tmp_path, command=(sys.executable, "-c", script))

    def progress(event) -> None:
        events.append(event)
        watch(executor, event)

    return executor.run(toy_spec(), progress), events


def test_snapshots_arrive_and_noise_does_not(tmp_path):
    ended, events = run(tmp_path, f"print('Warp 1.19 initialized'); {EVENT}; print('[1, 2]')")
    assert ended.code == 0
    assert [(event.phase, event.env_steps) for event in events] == [("train", 7)]


def test_the_spec_and_the_options_reach_the_process(tmp_path):
    script = (
        "import sys\nfrom pwm_bench.spec import RunSpec\n"
        "assert sys.argv[1] == 'run' and sys.argv[3] == '--results', sys.argv\n"
        "assert '\"seeds\": [' in open(sys.argv[2]).read()\n"
        "assert sys.argv[-2:] == ['--checkpoint-seconds', '5']\n"
    )
    executor = LocalExecutor(tmp_path, command=(sys.executable, "-c", script), options=("--checkpoint-seconds", "5"))
    ended = executor.run(toy_spec(), lambda event: None)
    assert (ended.code, ended.message) == (0, "")


@pytest.mark.parametrize(
    ("script", "code", "message"),
    [
        ("import sys; print('error: no GPU', file=sys.stderr); print('late warning', file=sys.stderr); sys.exit(2)", 2,
         "error: no GPU"),
        ("import sys; print('last words', file=sys.stderr); print('note: on the CPU', file=sys.stderr); sys.exit(3)", 3,
         "last words"),
        ("raise ValueError('deep down')", 1, "ValueError: deep down"),
        ("import os; os.abort()", -signal.SIGABRT, ""),
        ("import sys; sys.stderr.write('x' * 1_000_000 + '\\nlast\\n'); sys.exit(3)", 3, "last"),
    ],
)  # fmt: skip
def test_how_a_process_ended(tmp_path, script, code, message):
    ended, _ = run(tmp_path, script)
    assert (ended.code, ended.message) == (code, message)
    assert ended.signal_name == ("SIGABRT" if code < 0 else "")


SLEEP = f"""
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: POLITE)
{EVENT}
time.sleep(60)
"""


def test_asked_once_it_gets_the_signal(tmp_path):
    script = SLEEP.replace("POLITE", "sys.exit(143)")
    ended, _ = run(tmp_path, script, lambda executor, event: executor.stop(signal.SIGTERM))
    assert ended.code == 143


def test_asked_twice_it_is_killed(tmp_path):
    def impatient(executor, event) -> None:
        executor.stop(signal.SIGTERM)
        threading.Timer(0.2, executor.stop, (signal.SIGTERM,)).start()

    ended, _ = run(tmp_path, SLEEP.replace("POLITE", "None"), impatient)
    assert ended.code == -signal.SIGKILL
    assert ended.signal_name == "SIGKILL"


def test_asked_before_it_started_it_ends_at_once(tmp_path):
    executor = LocalExecutor(tmp_path, command=(sys.executable, "-c", "import time; time.sleep(60)"))
    executor.stop(signal.SIGTERM)
    assert executor.run(toy_spec(), lambda event: None).code == -signal.SIGTERM


def test_the_kernels_killer_is_noticed(tmp_path, monkeypatch):
    events = tmp_path / "vmstat"
    events.write_text("pgfault 5\noom_kill 3\n")
    monkeypatch.setattr(local, "_EVENTS", events)
    script = f"open({str(events)!r}, 'w').write('oom_kill 4\\n')"
    assert run(tmp_path, script)[0].out_of_memory
    assert not run(tmp_path, "pass")[0].out_of_memory
    monkeypatch.setattr(local, "_EVENTS", tmp_path / "absent")
    assert not run(tmp_path, "pass")[0].out_of_memory
