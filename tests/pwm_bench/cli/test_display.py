from __future__ import annotations

import io

import pytest
from rich.console import Console

from pwm_bench.cli import display as module
from pwm_bench.cli.display import LiveDisplay, PlainDisplay, make_display
from pwm_bench.runs.progress import ProgressEvent
from pwm_bench.sweeps.sweep import Item
from tests.pwm_bench.cli.toy_cli import toy_spec

pytestmark = pytest.mark.usefixtures("toys")


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])

    def advance(seconds: float) -> None:
        now[0] += seconds

    return advance


def event(phase="train", steps=0, **fields) -> ProgressEvent:
    return ProgressEvent(phase=phase, done=steps, total=400_000, **fields)


def draw(display: LiveDisplay, width: int = 80) -> list[str]:
    console = Console(width=width, file=io.StringIO(), record=True, force_terminal=True)
    console.print(display._render())
    return [line.rstrip() for line in console.export_text().splitlines()]


def items(*plans: str) -> list[Item]:
    return [Item(toy_spec(env_steps=400 + i), plan) for i, plan in enumerate(plans)]


def test_a_run_from_waiting_to_done(clock):
    (item,) = items("begin")
    display = LiveDisplay(Console(), [item])
    assert "point_mass · toy · fake waiting" in draw(display)[1]
    display.began(item)
    assert "starting …" in draw(display)[1]
    display.progressed(item, event("compile"))
    assert "compiling …" in draw(display)[1]
    display.progressed(item, event(gradient_steps=3200))
    line = draw(display)[1]
    assert "pre-training …" in line
    assert "3.2k grad steps" in line
    display.progressed(item, event(steps=100_000, values={"evaluation_return": -1234.0, "untrained_return": -1500.0}))
    clock(10.0)
    line = draw(display)[1]
    assert "25 % of 400k" in line
    assert "-1,500 → -1,234" in line
    assert "30 s left" in line  # 100k steps in 10 s, 300k to go
    assert len(line) <= 80
    assert "…" not in line
    display.progressed(item, event(steps=100_000, values={"evaluation_return": -1234.0, "untrained_return": None}))
    assert ("-1,234" in draw(display)[1], "→" in draw(display)[1]) == (True, False)
    item.status = "ok"
    display.ended(item)
    clock(100.0)
    line = draw(display)[1]
    assert line.startswith("✓")
    assert line.endswith("10 s")


def test_the_estimate_counts_from_where_a_resumed_run_began(clock):
    (item,) = items("resume")
    display = LiveDisplay(Console(), [item])
    display.began(item)
    display.progressed(item, event(steps=200_000))
    clock(10.0)
    display.progressed(item, event(steps=300_000))
    assert "10 s left" in draw(display)[1]


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ("skip", "done before"),
        ("busy", "busy elsewhere"),
        ("later", "later"),
        ("resume", "to resume"),
        ("begin", "waiting"),
    ],
)
def test_resting_runs_say_why(plan, words):
    assert words in draw(LiveDisplay(Console(), items(plan)))[1]


@pytest.mark.parametrize("status", ["failed", "oom", "killed", "refused", "diverged", "interrupted"])
def test_ends_have_marks(status):
    (item,) = items("begin")
    display = LiveDisplay(Console(), [item])
    display.began(item)
    item.status = status
    display.ended(item)
    line = draw(display)[1]
    assert status in line
    assert not line.startswith("✓")


def test_partly_diverged_runs_show():
    (item,) = items("begin")
    display = LiveDisplay(Console(), [item])
    display.began(item)
    item.status, item.reason = "ok", "seed 1 diverged at 60 env steps"
    display.ended(item)
    assert "partly diverged" in draw(display)[1]


def test_a_large_sweep_shows_what_surrounds_the_current_run():
    many = items(*["begin"] * 100)
    display = LiveDisplay(Console(), many)
    for item in many[:50]:
        display.began(item)
        item.status = "ok"
        display.ended(item)
    lines = draw(display)
    assert len(lines) < 30
    assert "38 runs above" in lines[1]
    assert "38 more runs" in lines[-1]
    assert sum("waiting" in line for line in lines) == 12


def test_stopping_is_said(clock):
    (item,) = items("begin")
    display = LiveDisplay(Console(), [item])
    display.began(item)
    display.stopping()
    assert any("Stopping" in line for line in draw(display))


def test_a_log_gets_a_line_for_what_matters(clock):
    stream = io.StringIO()
    display = make_display(Console(file=stream, width=80), [])
    assert isinstance(display, PlainDisplay)
    (item,) = items("resume")
    with display:
        display.began(item)
        for _ in range(3):
            display.progressed(item, event("compile"))
        for steps in (0, 10, 20):
            display.progressed(item, event(steps=steps, values={"evaluation_return": -2.0}))
        display.progressed(item, event(steps=30, values={"evaluation_return": -1.0}))
        item.status, item.reason = "failed", "RuntimeError: no [/red] markup"
        display.ended(item)
    assert stream.getvalue().splitlines() == [
        "point_mass · toy · fake: resumes",
        "point_mass · toy · fake: compiling",
        "point_mass · toy · fake: 0 of 400k env steps, evaluation return -2.00",
        "point_mass · toy · fake: 30 of 400k env steps, evaluation return -1.00",
        "point_mass · toy · fake: failed: RuntimeError: no [/red] markup",
    ]


def test_a_terminal_gets_the_live_display():
    assert isinstance(make_display(Console(force_terminal=True), items("begin")), LiveDisplay)


def test_long_names_are_whole_where_the_scores_have_no_room(clock):
    (item,) = items("begin")
    label = "muscle_humanoid_raw · mujoco_c · pwm-multitask"
    item.name = label
    display = LiveDisplay(Console(width=80), [item])
    display.began(item)
    display.progressed(item, event(steps=100_000, values={"evaluation_return": -1234.0, "untrained_return": -1500.0}))
    clock(10.0)
    line = draw(display)[1]
    assert label in line
    assert "25 % of 400k" in line
    assert "1,234" not in line
    assert len(line) <= 80
    wide = LiveDisplay(Console(width=120), [item])
    wide.began(item)
    wide.progressed(item, event(steps=100_000, values={"evaluation_return": -1234.0, "untrained_return": -1500.0}))
    assert "-1,500 → -1,234" in draw(wide, 120)[1]


def test_a_piece_is_named_as_far_as_there_is_room(clock):
    """The run's name and what is left of the time are whole; the last piece takes half of the third's time."""
    (item,) = items("begin")
    for width, shown in ((120, "warp · jacobians and predictions"), (80, "warp · jacob"), (68, "")):
        display = LiveDisplay(Console(width=width), [item])
        display.began(item)
        piece = {"unit": "iterations", "total": 10, "piece": "warp · jacobians and predictions", "piece_total": 2}
        display.progressed(item, ProgressEvent(phase="train", done=4, piece_done=0, **piece))
        clock(10.0)
        display.progressed(item, ProgressEvent(phase="train", done=4, piece_done=1, **piece))
        heading, line = draw(display, width)
        assert heading.split() == ["run", "iterations"]
        assert "point_mass · toy · fake" in line
        assert "45 %" in line
        assert "left" in line
        assert shown in line
        assert len(line) <= width


def test_a_log_names_pieces_and_no_tenths_beside_them():
    out = io.StringIO()
    (item,) = items("begin")
    display = PlainDisplay(Console(file=out, width=80))
    display.began(item)
    told = {"phase": "train", "unit": "iterations", "total": 4}
    for done, piece in ((0, "one"), (1, ""), (1, "two"), (2, ""), (2, "three"), (3, "")):
        display.progressed(item, ProgressEvent(done=done, piece=piece, **told))
    display.progressed(item, ProgressEvent(done=4, **told))
    said = [line.partition(": ")[2] for line in out.getvalue().splitlines()]
    assert said == ["begins", "one", "two", "three", "4 of 4 iterations"]
