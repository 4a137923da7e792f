"""`pwm-bench bench results`: every figure is of a command that did its work."""

from __future__ import annotations

from pwm_bench.bench import results
from pwm_bench.bench.synthetic import make_runs


def test_each_command_is_timed_and_uses_the_index(tmp_path) -> None:
    make_runs(tmp_path / "results", 240, episodes=2, evaluations=3)
    timings = results.measure(tmp_path / "results", tmp_path / "cache")
    assert [(t.command, t.files, t.index) for t in timings] == [
        ("results ls", "on disk", "not used"),
        ("results ls", "in memory", "not used"),
        ("table", "on disk", "none yet"),
        ("table", "in memory", "there"),
        ("table", "on disk", "there"),
    ]
    assert all(t.processor_seconds > 0 for t in timings)
    assert all(0 < t.seconds < 100 for t in timings)
    assert len(list((tmp_path / "cache" / "pwm-bench" / "index").iterdir())) == 1
