"""What is sent to another machine."""

from __future__ import annotations

import pickle

from pwm_bench.store.inputs import find_input
from pwm_bench.sweeps.executors.elsewhere import Work
from tests.pwm_bench.sweeps.summing import SumSpec


def test_a_worker_finds_inputs_from_its_own_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.txt").write_text("1")
    spec = SumSpec(numbers=(1,), inputs={"one": find_input("one.txt", "sum")})
    sent = pickle.loads(pickle.dumps(Work(spec, tmp_path / "results")))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert sent.spec.open_input("one").read_text() == "1"
    assert sent.spec.id == spec.id
    assert Work(SumSpec(numbers=(1,)), tmp_path).spec == SumSpec(numbers=(1,))
