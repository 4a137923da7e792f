"""What the figures say is what the numbers are; nothing is cut off."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from pwm_bench.analysis.plots import style, theirs
from pwm_bench.analysis.plots.bars import score_bars, threshold_times
from pwm_bench.analysis.plots.curves import learning_curves
from pwm_bench.analysis.plots.frames import default_axes
from pwm_bench.analysis.plots.panels import arrangement
from pwm_bench.analysis.plots.profiles import improvement, profiles
from pwm_bench.analysis.plots.timeline import timeline
from pwm_bench.analysis.published import load_curves
from pwm_bench.envs.errors import UsageError
from pwm_bench.statistics import normalisation
from pwm_bench.store.frames import load_study
from pwm_bench.store.results import Results, record_text
from pwm_bench.store.schema import ClockTimes
from tests.pwm_bench.analysis.plots.studies import STEPS, at_own_end, many_tasks
from tests.pwm_bench.store.factories import write_run


@pytest.fixture
def frame(root):
    return at_own_end(root)


def lines(panel):
    return {line.get_color(): line for line in panel.get_lines()}


def nothing_is_cut_off(figure):
    figure.canvas.draw()
    drawn, (width, height) = figure.get_tightbbox(figure.canvas.get_renderer()), figure.get_size_inches()
    assert drawn.x0 > -0.01
    assert drawn.y0 > -0.01
    assert drawn.x1 < width + 0.01
    assert drawn.y1 < height + 0.01
    for panel in figure.axes:
        box = panel.get_window_extent().transformed(figure.dpi_scale_trans.inverted())
        assert box.width > 0.7
        assert box.height > 0.25


def test_learning_curves(frame):
    figure = learning_curves(frame, axes=("env_steps", "gradient_steps", "time"))
    nothing_is_cut_off(figure)
    grid = np.array(figure.axes).reshape(2, 3)
    assert [panel.get_title(loc="left") for panel in grid[:, 0]] == ["Ant", "Hopper"]
    by_steps, by_updates, by_time = grid[1]
    shac = lines(by_steps)[style.look("shac").colour]
    assert shac.get_xdata() == pytest.approx(STEPS)
    assert shac.get_ydata() == pytest.approx([2.0, 20.0, 60.0])  # fewer than four seeds: means
    assert lines(by_updates)[style.look("shac").colour].get_xdata() == pytest.approx([0, 10, 20])
    ppo = lines(by_time)[style.look("ppo").colour]
    assert by_time.get_xscale() == "log"  # ten times as long: without the point at zero
    assert ppo.get_xdata() == pytest.approx([100 / 60, 200 / 60])
    assert by_time.get_xlabel() == "training time [min]"
    assert len(by_steps.collections) == 2  # an interval for each algorithm
    assert len(grid[0, 0].collections) == 0  # but not for one seed
    linear = learning_curves(frame, axes=("time",), scale="linear", width="single")
    assert linear.axes[1].get_xscale() == "linear"
    assert len(linear.axes[1].get_lines()) == 2 + 5  # every seed is visible
    nothing_is_cut_off(linear)
    uneven = learning_curves(frame, axes=("time",), scale="log").axes[1]
    assert min(min(line.get_xdata()) for line in uneven.get_lines()) == pytest.approx(10 / 60)  # of seeds too
    assert uneven.get_xlim()[0] > 5 / 60


def test_the_interval_of_two_seeds_does_not_flatten_the_curves(tmp_path):
    write_run(tmp_path, "aaa", curves=[[0.0, 10.0], [0.0, 20.0]], steps=[0, 10], seconds=[0.0, 1.0])  # to 15 +- 64
    (panel,) = learning_curves(at_own_end(tmp_path), axes=("env_steps",)).axes
    assert panel.get_ylim() == pytest.approx((-20.0, 40.0))  # the curves' 0 to 20, and as much below and above
    (by_steps, by_updates) = learning_curves(at_own_end(tmp_path), axes=("env_steps", "gradient_steps")).axes
    assert by_steps.get_ylim() == by_updates.get_ylim() == pytest.approx((-20.0, 40.0))


def test_an_interval_near_the_curves_is_whole(tmp_path):
    curves = [[0.0, 10.0], [0.0, 11.0], [0.0, 12.0], [0.0, 11.0]]  # to 11 +- 1.3
    write_run(tmp_path, "aaa", curves=curves, steps=[0, 10], seconds=[0.0, 1.0])
    (panel,) = learning_curves(at_own_end(tmp_path), axes=("env_steps",)).axes
    assert panel.get_ylim() == pytest.approx((-0.6, 12.9), abs=0.05)


def test_cost_is_processor_time_unless_a_gpu_takes_part(frame):
    assert default_axes(frame) == ("env_steps", "cpu")
    assert default_axes(frame.assign(gpu=True)) == ("env_steps", "time")
    unknown = frame.assign(curve_cpu_seconds=[np.full_like(x, np.nan) for x in frame["curve_cpu_seconds"]])
    assert default_axes(unknown) == ("env_steps", "time")
    drawn = learning_curves(frame)
    assert drawn.axes[-1].get_xlabel() == "processor time [min]"
    at = lines(drawn.axes[-1])[style.look("ppo").colour].get_xdata()
    seconds = frame[frame["algorithm"] == "ppo"]["curve_cpu_seconds"].iloc[0]
    assert at == pytest.approx([x / 60 for x in seconds if x > 0])


def test_score_bars(frame):
    figure = score_bars(frame, width="double")
    nothing_is_cut_off(figure)
    hopper = next(panel for panel in figure.axes if panel.get_title(loc="left") == "Hopper")
    assert [patch.get_width() for patch in hopper.patches] == pytest.approx([60.0, 39.5])  # best first
    assert [tick.get_text() for tick in hopper.get_yticklabels()] == ["SHAC", "PPO"]


@pytest.mark.parametrize("number", [3, 5])
def test_labels_and_titles_of_bars_do_not_touch(tmp_path, number):
    for index, task in enumerate(["mw-button-press-topdown", "mw-door-open", "hopper", "ant", "cheetah"][:number]):
        for gamma in (0.9, 0.99):
            write_run(tmp_path, f"{index}{gamma}", task=task, curves=[[0.0, 900.0], [0.0, 4700.0]], steps=[0, 10],
                      seconds=[0.0, 1.0], config={"gamma": gamma, "horizon_of_rollouts": 32})  # fmt: skip
    figure = score_bars(at_own_end(tmp_path), width="single")
    nothing_is_cut_off(figure)
    renderer = figure.canvas.get_renderer()
    titles = [panel._left_title.get_window_extent(renderer) for panel in figure.axes]
    ticks = [label.get_window_extent(renderer) for panel in figure.axes for label in panel.get_xticklabels()
             if panel.get_xlim()[0] <= label.get_position()[0] <= panel.get_xlim()[1]]  # fmt: skip
    for boxes in (titles, ticks):
        assert not [(a, b) for n, a in enumerate(boxes) for b in boxes[:n] if a.overlaps(b)]
    named = [any(label.get_text() for label in panel.get_yticklabels()) for panel in figure.axes]
    assert named == [index % 2 == 0 for index in range(number)]


def test_performance_profile(frame):
    figure = profiles(frame[frame["task"] == "hopper"])
    nothing_is_cut_off(figure)
    (panel,) = figure.axes
    shac = lines(panel)[style.look("shac").colour]
    at = dict(zip(np.round(shac.get_xdata(), 6), shac.get_ydata(), strict=True))
    assert (at[9.0], at[30.0], at[60.0], at[90.0]) == pytest.approx((1.0, 2 / 3, 1 / 3, 0.0))


def test_raw_scores_of_several_tasks_make_no_profile(frame):
    several = frame[frame["algorithm"] == "shac"]
    with pytest.raises(UsageError, match="raw scores of 2 tasks do not compare"):
        profiles(several, normalised=False)
    assert profiles(several[several["task"] == "hopper"], normalised=False).axes


def test_probability_of_improvement(frame):
    """PPO's 9 beats none of 30 60 90, its 70 two of them: 2 of 6."""
    figure = improvement(frame)
    nothing_is_cut_off(figure)
    panel = figure.axes[0]
    marks = [line.get_xdata()[0] for line in panel.get_lines() if line.get_marker() == "|"]
    assert marks == pytest.approx([1 / 3])
    assert [tick.get_text() for tick in panel.get_yticklabels()] == ["PPO"]


def test_time_to_threshold(frame):
    figure = threshold_times(frame[frame["task"] == "hopper"], 60.0)
    nothing_is_cut_off(figure)
    (panel,) = figure.axes
    assert panel.get_xticklabels()[-1].get_text() == "never"
    filled = [line for line in panel.get_lines() if line.get_marker() == style.look("shac").marker]
    reached, never = filled
    assert list(reached.get_xdata()) == [200, 200]
    assert len(never.get_xdata()) == 1
    assert never.get_xdata()[0] > 200


def test_timeline(root):
    for name, start in (("aaa", "2026-01-01T00:00:00+00:00"), ("bbb", "2026-01-01T00:01:00+00:00")):
        directory = Results(root).run("s", name)
        record = directory.read()
        record.started_at = start
        record.updated_at = "2026-01-01T00:05:00+00:00"
        directory.record_file.write_text(record_text(record))
    figure = timeline(load_study(Results(root), "s"))
    nothing_is_cut_off(figure)
    (panel,) = figure.axes
    assert [tick.get_text() for tick in panel.get_yticklabels()] == [
        "SHAC · Hopper · Warp  aaa",
        "PPO · Hopper · Warp  bbb",
    ]
    starts = [line.get_xdata() for line in panel.get_lines()]
    assert starts[0] == pytest.approx([0.0, 5.0])
    assert starts[1] == pytest.approx([1.0, 5.0])
    train = [patch.get_width() for patch in panel.patches if patch.get_facecolor()[:3] == (0.0, 114 / 255, 178 / 255)]
    assert train == pytest.approx([20 / 60, 200 / 60])


def test_long_pauses_are_cut_from_a_timeline(root):
    """Two runs of 20 and 200 s, 140 hours apart: the pause is cut short and named, the bars keep their lengths."""
    for name, start in (("aaa", "2026-01-01T00:00:00+00:00"), ("bbb", "2026-01-06T20:00:25+00:00")):
        directory = Results(root).run("s", name)
        record = directory.read()
        record.clocks = ClockTimes(train=record.clocks.train)
        record.started_at = record.updated_at = start
        directory.record_file.write_text(record_text(record))
    figure = timeline(load_study(Results(root), "s"))
    nothing_is_cut_off(figure)
    (panel,) = figure.axes
    assert panel.get_xlim()[1] < 5.0  # minutes
    assert [text.get_text() for text in panel.texts] == ["140.0 h"]
    widths = [patch.get_width() for patch in panel.patches]
    assert widths == pytest.approx([20 / 60, 200 / 60])
    assert "without pauses" in panel.get_xlabel()


@pytest.mark.parametrize("draw", [
    lambda frame: learning_curves(frame, axes=("env_steps",), width="single"),
    lambda frame: learning_curves(frame, axes=("time",)),
    lambda frame: score_bars(frame, width="double"),
    lambda frame: threshold_times(frame, 25.0, width="double"),
])  # fmt: skip
def test_fifteen_tasks_are_one_page(tmp_path, draw):
    figure = draw(many_tasks(tmp_path, 15))
    assert figure.get_size_inches()[1] <= 9.2
    nothing_is_cut_off(figure)
    assert len(figure.axes) == 15
    assert all(panel.has_data() for panel in figure.axes)
    assert [panel.get_title(loc="left") for panel in figure.axes[:3]] == ["Ant", "Hopper", "SNU humanoid"]
    assert len(figure.legends) <= 1
    assert not any(panel.get_xlabel() for panel in figure.axes)
    assert figure.get_supxlabel()


@pytest.mark.parametrize("width", ["single", "double"])
def test_panels_fill_a_page(width):
    for count in range(1, 81):
        rows, columns, height = arrangement(count, width, 1.65)
        assert rows * columns >= count > (rows - 1) * columns  # no empty row
        assert rows * height <= style.PAGE_HEIGHT + 1e-9
        assert style.WIDTHS[width] / columns >= 0.85
        assert width == "single" or height >= 0.85


def test_published_curves_lie_behind_ours(tmp_path):
    five = many_tasks(tmp_path, 5)
    behind = theirs.behind(five, metric="return", scales=normalisation("none"), choice="closest")
    figure = learning_curves(five, axes=("env_steps",), published=behind)
    nothing_is_cut_off(figure)
    hopper = next(panel for panel in figure.axes if panel.get_title(loc="left") == "Hopper")
    hollow = [line for line in hopper.get_lines() if line.get_markerfacecolor() == "white"]  # as no line of ours is
    (pwm,) = (line for line in hollow if len(line.get_xdata()) > 100)
    assert not pwm.is_dashed()
    assert pwm.get_linewidth() < 1.0
    assert pwm.get_color() == style.look("pwm").colour
    assert pwm.get_zorder() < 2
    assert pwm.get_xdata()[-1] == pytest.approx(200_000)  # as far as ours
    assert pwm.get_ydata()[-1] == pytest.approx(load_curves("hopper")[0].at(200_000).mean())
    ant = next(panel for panel in figure.axes if panel.get_title(loc="left") == "Ant")
    assert sum(len(line.get_xdata()) > 100 for line in ant.get_lines()) == 2  # PWM and SHAC
    (legend,) = figure.legends
    names = [text.get_text().replace("\n", " ") for text in legend.get_texts()]
    assert names == ["PWM", "SHAC", "published: training episodes of the exploring policy"]
    everything = theirs.behind(five, metric="return", scales=normalisation("none"), choice="all")
    (legend,) = learning_curves(five, axes=("env_steps",), published=everything).legends
    assert "TD-MPC2" in [text.get_text() for text in legend.get_texts()]


def test_nothing_to_draw(root, frame):
    failed = frame[frame["status"] == "failed"]
    with pytest.raises(UsageError, match="no run has finished"):
        learning_curves(failed)
    for draw in (score_bars, profiles, improvement, lambda f: threshold_times(f, 1.0)):
        with pytest.raises(UsageError, match="no run has a score at the budget"):
            draw(failed)
    with pytest.raises(UsageError, match="needs two algorithms"):
        improvement(frame[frame["algorithm"] == "shac"])
    with pytest.raises(UsageError, match="no run says when it began"):
        timeline(load_study(Results(root), "s"))


def test_many_long_names_still_fit(tmp_path):
    for index in range(6):
        config = {"gamma": 0.9 + index / 100, "actor_learning_rate": 0.001 * index}
        write_run(tmp_path, f"r{index}", curves=[[0.0, 1.0 * index], [0.0, 2.0]], steps=[0, 100], seconds=[0.0, 1.0],
                  config=config)  # fmt: skip
    frame = at_own_end(tmp_path)
    for width in ("single", "double"):
        for draw in (learning_curves, score_bars, profiles, improvement):
            nothing_is_cut_off(draw(frame, width=width))


def test_names_that_have_no_room_beside_their_rows_are_numbers(tmp_path):
    for index in range(6):
        config = {f"a_long_name_of_a_setting_{n}": index for n in range(4)}
        write_run(tmp_path, f"r{index}", curves=[[0.0, 1.0 * index], [0.0, 2.0]], steps=[0, 100], seconds=[0.0, 1.0],
                  config=config)  # fmt: skip
    frame = at_own_end(tmp_path)
    for draw in (score_bars, improvement):
        figure = draw(frame)
        nothing_is_cut_off(figure)
        beside = {tick.get_text() for tick in figure.axes[0].get_yticklabels()}
        assert beside <= set("123456")
        assert len(beside) >= 5
        assert [text.get_text().partition(":")[0] for text in figure.legends[0].get_texts()] == list("123456")


def test_ticks_and_labels_of_narrow_panels_do_not_touch(tmp_path):
    for task in ("hopper", "ant"):
        for gamma in (0.9, 0.99):
            write_run(tmp_path, f"{task}{gamma}", task=task, curves=[[50.0, 90.0], [0.0, 4700.0]], steps=[0, 100_352],
                      seconds=[0.0, 1.0], config={"gamma": gamma, "horizon_of_rollouts": 32})  # fmt: skip
    figure = threshold_times(at_own_end(tmp_path), 40.0)
    nothing_is_cut_off(figure)
    renderer = figure.canvas.get_renderer()
    boxes = [label.get_window_extent(renderer) for panel in figure.axes for label in panel.get_xticklabels()]
    assert not [(a, b) for n, a in enumerate(boxes) for b in boxes[:n] if a.overlaps(b)]
    assert figure._supxlabel.get_text() == "environment steps per seed"
    assert all(panel.get_xlim()[0] < 0.0 for panel in figure.axes)


def test_what_takes_no_environment_steps_is_drawn_against_gradient_steps(tmp_path):
    write_run(tmp_path, "aaa", curves=[[0.0, 9.0]], steps=[0, 0], seconds=[0.0, 1.0])
    frame = at_own_end(tmp_path)
    assert default_axes(frame)[0] == "env_steps"  # which takes none of the others either
    frame["curve_gradient_steps"] = [np.array([0.0, 10.0])]
    assert default_axes(frame)[0] == "gradient_steps"


def test_a_score_that_one_algorithm_has_not_recorded_is_drawn_of_the_others(tmp_path):
    write_run(tmp_path, "aaa", curves=[[0.0, 9.0]], steps=[0, 10], seconds=[0.0, 1.0], speeds=[[0.0, 1.0]])
    write_run(tmp_path, "bbb", algorithm="ppo", curves=[[0.0, 9.0]], steps=[0, 10], seconds=[0.0, 1.0])
    frame = at_own_end(tmp_path, "forward_velocity")
    (legend,) = learning_curves(frame).legends
    assert [text.get_text() for text in legend.get_texts()] == ["SHAC"]


def test_a_seed_whose_time_was_not_recorded_is_not_drawn_as_never(tmp_path):
    write_run(tmp_path, "aaa", curves=[[0.0, 9.0], [0.0, 9.0]], steps=[0, 10], seconds=[0.0, 1.0])
    frame = at_own_end(tmp_path)
    frame.at[0, "curve_cpu_seconds"], frame.at[0, "at_cpu_seconds"] = np.array([np.nan, np.nan]), np.nan
    figure = threshold_times(frame, 5.0, axis="cpu")
    marks = [line for line in figure.axes[0].get_lines() if line.get_marker() == style.look("shac").marker]
    assert [len(line.get_xdata()) for line in marks] == [1, 0]
