"""Ray: three nodes on this machine, of which one is killed; and a sweep that is killed and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pwm_bench.jobs.kinds import carry_out
from pwm_bench.store.results import Results
from pwm_bench.sweeps.graph import Study
from pwm_bench.sweeps.sweep import plan
from tests.pwm_bench.cli.toy_cli import toy_spec
from tests.pwm_bench.runs.test_run import lines

ray = pytest.importorskip("ray", reason="Ray is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("toys"), pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[4]
RUNS = 12
DRIVER = """
import sys
from pathlib import Path
from rich.console import Console
from pwm_bench.cli.display import PlainDisplay
from pwm_bench.store.results import Results
from pwm_bench.sweeps.executors.ray import RayExecutor
from pwm_bench.sweeps.sweep import plan, sweep
from tests.pwm_bench.cli import toy_cli
from tests.pwm_bench.sweeps.executors.test_ray import study
toy_cli.register()
results = Results(sys.argv[1])
executor = RayExecutor(
    Path(sys.argv[1]), command=toy_cli.COMMAND, options=("--checkpoint-seconds", "0.2"), address=sys.argv[2]
)
items = plan(study(), results)
outcome = sweep(items, results, executor, PlainDisplay(Console()), admits=lambda spec, running: True, wait=True)
executor.close()
sys.exit(outcome.exit_code)
"""


def study() -> Study:
    """Twelve runs of some seconds each."""
    runs = (toy_spec(overrides={"learning_rate": 0.01 * number, "nap": 0.1}) for number in range(1, RUNS + 1))
    return Study(name="spread", description="spread", specs=tuple(runs))


class Nodes:
    """Nodes of one cluster: real processes, of one processor each."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        self.others = [self.cluster.add_node(num_cpus=1) for _ in range(2)]
        self.cluster.wait_for_nodes()

    def kill(self, node) -> None:
        """As a power cut would: everything that runs there is gone at once."""
        (raylet,) = node.all_processes["raylet"]
        for pid in [raylet.process.pid, *children(raylet.process.pid)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.others.remove(node)


def children(pid: int) -> list[int]:
    found = [int(x) for x in subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()]
    return [*found, *(grandchild for child in found for grandchild in children(child))]


@pytest.fixture
def nodes(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("RAY_health_check_failure_threshold", "2")
    cluster = Nodes()
    yield cluster
    cluster.cluster.shutdown()


@pytest.fixture
def drive(nodes, tmp_path):
    drivers = []

    def begin(results: Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(results), nodes.cluster.address],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        drivers.append(process)
        return process

    yield begin
    for process in drivers:
        if process.poll() is None:
            process.kill()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same runs, one after the other in this process."""
    from tests.pwm_bench.cli import toy_cli

    toy_cli.register()
    results = Results(tmp_path_factory.mktemp("alone"))
    for item in plan(study(), results):
        carry_out(item.spec, results)
    return results


def wait_until(condition, process, seconds: float = 240.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


def records(results: Path) -> list[dict]:
    return [json.loads(file.read_text()) for file in results.glob("runs/spread/*/run.json")]


def where(results: Path) -> dict[str, str]:
    return {record["id"]: record["status"] for record in records(results)}


def check(results: Path, alone: Results) -> list[dict]:
    """All runs are finished, each is there once, and their numbers are those of runs that nothing happened to."""
    found = records(results)
    assert {record["id"] for record in found} == {spec.id for spec in study().specs}
    assert {record["status"] for record in found} == {"ok"}
    for record in found:
        ours, theirs = (place.run("spread", record["id"]) for place in (Results(results), alone))
        assert lines(ours) == lines(theirs)
    return found


def test_a_node_is_killed_in_the_middle(nodes, drive, tmp_path, alone):
    results = tmp_path / "r"
    driver = drive(results)
    victim = nodes.others[0]
    own = victim.all_processes["raylet"][0].process.pid

    def at_work() -> bool:
        """Whether a run that the node is at has a checkpoint, so that there is something to lose."""
        locks = {file.parent.name: file.read_text().split() for file in results.glob("runs/spread/*/lock")}
        mine = {run for run, words in locks.items() if words and int(words[0]) in children(own)}
        return any((results / "runs" / "spread" / run / "checkpoint").exists() for run in mine)

    wait_until(at_work, driver)
    nodes.kill(victim)
    output, errors = driver.communicate(timeout=400)
    assert driver.returncode == 0, (output, errors)
    found = check(results, alone)
    assert sorted({record["attempts"] for record in found}) == [1, 2]
    assert output.count(": ok") == RUNS


def test_the_sweep_is_killed_and_started_again(drive, tmp_path, alone):
    results = tmp_path / "r"
    driver = drive(results)
    wait_until(lambda: list(where(results).values()).count("ok") >= 3, driver)
    driver.kill()
    driver.communicate()
    before = where(results)
    assert list(before.values()).count("ok") < RUNS
    driver = drive(results)
    output, errors = driver.communicate(timeout=400)
    assert driver.returncode == 0, (output, errors)
    check(results, alone)


def test_ctrl_c_saves_what_runs_and_begins_nothing_more(drive, tmp_path, alone):
    results = tmp_path / "r"
    driver = drive(results)
    wait_until(lambda: list(where(results).values()).count("running") >= 2, driver)
    driver.send_signal(signal.SIGINT)
    output, errors = driver.communicate(timeout=120)
    assert driver.returncode == 130, (output, errors)
    assert "interrupted" in where(results).values()
    assert set(where(results).values()) <= {"ok", "interrupted"}
    assert len(where(results)) < RUNS
    driver = drive(results)
    output, errors = driver.communicate(timeout=400)
    assert driver.returncode == 0, (output, errors)
    check(results, alone)
