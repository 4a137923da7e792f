"""Which comparisons of a study share a figure."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pwm_bench.analysis.gradients import drawing, figures

ABOUT = {
    "study": "s", "kind": "compare-gradients", "task": "hopper", "simulator": "warp", "loop": "open", "state": -1,
    "estimator": "model", "metric": "cosine", "horizon": 2, "at": float("nan"), "low": 0.0, "high": 1.0,
}  # fmt: skip


@pytest.fixture
def drawn(monkeypatch):
    """What is drawn: folder -> cause, order, and the values."""
    found: dict[str, tuple] = {}

    def draw(frame, path, *, cause="", order=(), formats=()):
        values = {str(row.get(cause, "")): row["value"] for _, row in frame.iterrows()}
        found[path.as_posix()] = cause, list(order), values
        return []

    monkeypatch.setattr(figures, "figures", draw)
    return found


def rows(*comparisons: dict) -> pd.DataFrame:
    return pd.DataFrame([ABOUT | {"experiment": "e"} | one for one in comparisons])


def test_seeds_are_averaged_within_what_varies_and_in_order(drawn) -> None:
    frame = rows(
        *(
            {"comparison": f"{run} {seed}", "run": run, "model_seed": seed, "value": value + seed}
            for run, value in (("96 updates", 0.5), ("12 updates", 0.1))
            for seed in (0, 1)
        )
    )
    list(drawing.draw(frame, Path("f"), formats=()))
    assert list(drawn) == ["f"]
    cause, order, values = drawn["f"]
    assert (cause, order) == ("run", ["12 updates", "96 updates"])
    assert values == pytest.approx({"12 updates": 0.6, "96 updates": 1.0})


def test_what_varies_in_other_settings_has_another_figure(drawn) -> None:
    """Three seeds at random states lie beside two of a run: no mean is over both."""
    frame = rows(
        *({"comparison": f"r{seed}", "model_seed": seed, "value": 0.9} for seed in (0, 1, 2)),
        *({"comparison": f"p{seed}", "run": "a", "model_seed": seed, "value": 0.2} for seed in (0, 1)),
    )
    list(drawing.draw(frame, Path("f"), formats=()))
    assert {place: values for place, (_, _, values) in drawn.items()} == {
        "f": pytest.approx({"": 0.9}),
        "f/run": pytest.approx({"a": 0.2}),
    }


def test_experiments_that_differ_otherwise_are_not_averaged(drawn) -> None:
    frame = rows(
        *({"comparison": f"a{seed}", "model_seed": seed, "value": 0.9} for seed in (0, 1)),
        *({"comparison": f"b{seed}", "model_seed": seed, "value": 0.2, "experiment": "x"} for seed in (0, 1)),
    )
    list(drawing.draw(frame, Path("f"), formats=()))
    assert {place: list(values.values()) for place, (_, _, values) in drawn.items()} == {"f/a0": [0.9], "f/b0": [0.2]}


def test_a_varied_option_is_no_other_experiment(drawn) -> None:
    """A cause changes the spec, so each of its values has an experiment of its own; all belong in one figure."""
    frame = rows(
        *({"comparison": f"{n}{s}", "noise": str(n), "model_seed": s, "value": n, "experiment": str(n)}
          for n in (0.1, 0.2) for s in (0, 1))
    )  # fmt: skip
    list(drawing.draw(frame, Path("f"), formats=()))
    assert drawn == {"f": ("noise", ["0.1", "0.2"], {"0.1": 0.1, "0.2": 0.2})}
