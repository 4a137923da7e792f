from __future__ import annotations

import signal
import sys
import threading

import pytest

from pwm_bench.sweeps.executors import process
from pwm_bench.sweeps.executors.local import LocalExecutor
from pwm_bench.sweeps.executors.process import ProcessEnd
from tests.pwm_bench.cli.toy_cli import toy_spec

pytestmark = pytest.mark.usefixtures("toys")

EVENT = 'print(\'{"phase": "train", "done": 7}\', flush=True)'


def run(tmp_path, script: str, watch=lambda executor, event: None) -> tuple[ProcessEnd, list]:
    """Runs a script in the place of the command line interface."""
    events = []
    executor = LocalExecutor(tmp_path, command=(sys.executable, "-c", script))

    def progress(event) -> None:
        events.append(event)
        watch(executor, event)

    return finish(executor, progress), events


def finish(executor, progress=lambda event: None) -> ProcessEnd:
    executor.start(toy_spec(), progress)
    while not (ended := executor.step(10.0)):
        pass
    ((spec, how),) = ended
    assert spec == toy_spec()
    return how


def test_snapshots_arrive_and_noise_does_not(tmp_path):
    ended, events = run(tmp_path, f"print('Warp 1.19 initialized'); {EVENT}; print('[1, 2]')")
    assert ended.code == 0
    assert [(event.phase, event.done) for event in events] == [("train", 7)]


def test_the_spec_and_the_options_reach_the_process(tmp_path):
    script = (
        "import sys\nfrom pwm_bench.jobs.train_spec import RunSpec\n"
        "assert sys.argv[1] == 'run' and sys.argv[3] == '--results', sys.argv\n"
        "assert '\"seeds\": [' in open(sys.argv[2]).read()\n"
        "assert sys.argv[-2:] == ['--checkpoint-seconds', '5']\n"
    )
    executor = LocalExecutor(tmp_path, command=(sys.executable, "-c", script), options=("--checkpoint-seconds", "5"))
    ended = finish(executor)
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


def test_a_warning_of_a_process_is_one_of_this_process(caplog, tmp_path):
    run(tmp_path, "import sys; print('warning: the gradient is wrong', file=sys.stderr)")
    assert [record.getMessage() for record in caplog.records] == ["the gradient is wrong"]


SLEEP = f"""
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: POLITE)
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
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


LATE = """
import time
for number in range(100):
    time.sleep(0.005)  # imports, which a signal must not disturb
from pwm_bench.runs.stop import StopRequest
with StopRequest() as stop:
    raise SystemExit(stop.exit_code if stop else 0)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_process_can_heed_it_waits(tmp_path, number):
    """Nothing is an error that comes while Python starts and imports."""
    executor = LocalExecutor(tmp_path, command=(sys.executable, "-c", LATE))
    executor.stop(number)
    ended = finish(executor)
    assert (ended.code, ended.message, ended.asked) == (128 + number, "", True)


def test_several_at_once(tmp_path):
    """Each waits for the other's file."""
    script = (
        "import json, pathlib, sys, time\n"
        "folder, (seed,) = pathlib.Path(sys.argv[4]), json.load(open(sys.argv[2]))['seeds']\n"
        "(folder / str(seed)).touch()\n"
        "while not (folder / str(1 - seed)).exists(): time.sleep(0.01)\n"
        f"{EVENT}; sys.exit(seed)\n"
    )
    executor, events = LocalExecutor(tmp_path, command=(sys.executable, "-c", script)), []
    for seed in (0, 1):
        executor.start(toy_spec(seeds=(seed,)), lambda event, seed=seed: events.append(seed))
    ended = []
    while len(ended) < 2:
        ended += executor.step(10.0)
    assert sorted((spec.seeds[0], end.code) for spec, end in ended) == [(0, 0), (1, 1)]
    assert sorted(events) == [0, 1]
    assert executor.step(10.0) == []


def test_the_kernels_killer_is_noticed(tmp_path, monkeypatch):
    events = tmp_path / "vmstat"
    events.write_text("pgfault 5\noom_kill 3\n")
    monkeypatch.setattr(process, "_EVENTS", events)
    script = f"open({str(events)!r}, 'w').write('oom_kill 4\\n')"
    assert run(tmp_path, script)[0].out_of_memory
    assert not run(tmp_path, "pass")[0].out_of_memory
    monkeypatch.setattr(process, "_EVENTS", tmp_path / "absent")
    assert not run(tmp_path, "pass")[0].out_of_memory
