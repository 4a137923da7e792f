from __future__ import annotations

import math

import pytest
from scipy import stats

from pwm_bench.analysis.formats import Layout, render
from pwm_bench.analysis.tables.scores import summarise
from pwm_bench.envs.errors import UsageError
from pwm_bench.statistics import interval
from pwm_bench.store.frames import load_study, members_frame
from pwm_bench.store.results import Results
from pwm_bench.text import MISSING
from tests.pwm_bench.store.factories import write_run

STEPS, SECONDS = [0, 100, 200], [0.0, 10.0, 20.0]


@pytest.fixture
def root(tmp_path):
    """SHAC with four seeds to 200 steps in 20 s, PPO with two to 400 steps in 8 s, and a failed PWM."""
    curves = [[0.0, 10.0, 20.0], [0.0, 11.0, 40.0], [0.0, 12.0, 60.0], [4.0, 13.0, 1000.0]]
    write_run(tmp_path, "aaa", curves=curves, steps=STEPS, seconds=SECONDS)
    write_run(
        tmp_path, "bbb", algorithm="ppo", curves=[[1.0, 5.0, 9.0], [1.0, 7.0, 11.0]], steps=[0, 150, 400],
        seconds=[0.0, 3.0, 8.0],
    )  # fmt: skip
    write_run(
        tmp_path,
        "ccc",
        algorithm="pwm",
        curves=[[2.0]],
        steps=[0],
        seconds=[0.0],
        status="failed",
        reason="RuntimeError: no",
    )
    return tmp_path


def rows(root, match="none", **options):
    summary = summarise(load_study(Results(root), "s"), study="s", match=match, **options)
    return {row.algorithm: row for row in summary.rows}, summary


def test_each_run_at_its_own_end(root):
    table, summary = rows(root)
    shac = table["shac"]
    assert (shac.seeds, shac.env_steps, shac.gradient_steps) == (4, 200, 20)
    assert shac.mean == pytest.approx(280.0)
    assert shac.scores == (20.0, 40.0, 60.0, 1000.0)
    assert shac.untrained == pytest.approx(1.0)
    assert (shac.low, shac.high) == pytest.approx(interval([20.0, 40.0, 60.0, 1000.0]))
    assert shac.low < 20.0 < 1000.0 < shac.high  # four seeds of which one is another thing altogether
    assert (shac.train_seconds, shac.compile_seconds, shac.evaluate_seconds) == (20.0, 3.0, 2.0)
    assert shac.steps_per_second == pytest.approx(4 * 200 / 20.0)
    assert (shac.gradient, shac.status, shac.runs) == ("simulator", "ok", ("aaa",))
    assert [row.algorithm for row in summary.rows] == ["shac", "ppo", "pwm"]  # best first, failures last
    assert any("Budgets are not matched" in note for note in summary.notes)


def test_a_failed_run_is_a_row(root):
    pwm = rows(root)[0]["pwm"]
    assert pwm.seeds == 0
    assert math.isnan(pwm.mean)
    assert math.isnan(pwm.low)
    assert pwm.status == "failed: RuntimeError: no"
    assert pwm.untrained == 2.0
    assert pwm.runs == ("ccc",)


def test_matched_by_environment_steps(root):
    table, summary = rows(root, match="env_steps")
    assert table["shac"].mean == pytest.approx(280.0)  # 200 steps is the smallest budget that was finished
    assert table["ppo"].mean == pytest.approx(6.0 + 4.0 * 50 / 250)  # on the way from 150 to 400 steps
    assert (table["ppo"].env_steps, table["ppo"].gradient_steps) == (200, pytest.approx(20.0))
    assert table["ppo"].train_seconds == pytest.approx(3.0 + 5.0 * 50 / 250)
    assert table["ppo"].steps_per_second == pytest.approx(2 * 200 / 4.0)
    assert "Matched at 200 environment steps per seed, interpolated between evaluations." in summary.notes


def test_matched_by_processor_seconds(root):
    table, summary = rows(root, match="cpu_seconds")
    assert table["ppo"].mean == pytest.approx(10.0)  # 16 s of two seeds, twice the wall time, is the smallest for each
    assert table["shac"].mean == pytest.approx(0.4 * (10 + 11 + 12 + 13) / 4 + 0.6 * 280.0)
    assert (table["shac"].env_steps, table["shac"].cpu_seconds) == (pytest.approx(160.0), pytest.approx(32.0))
    assert "Matched at 8.00 processor seconds of training per seed, interpolated between evaluations." in summary.notes
    assert any("Processor seconds on Test CPU (2 cores), 1 thread." in note for note in summary.notes)


def test_processor_seconds_of_a_run_that_moved_to_another_machine_do_not_compare(root):
    write_run(root, "ddd", algorithm="sac", curves=[[0.0, 8.0]], steps=[0, 10], seconds=[0.0, 9.0],
              earlier_machines=["Old CPU (4 cores), 1 thread"])  # fmt: skip
    with pytest.raises(UsageError, match=r"different machines \(Old CPU \(4 cores\), 1 thread; Test CPU"):
        rows(root, match="cpu_seconds")
    assert any("resumed on another machine" in note and "(sac)" in note for note in rows(root)[1].notes)


def test_a_diverged_member_counts_with_its_frozen_policy(tmp_path):
    write_run(
        tmp_path, "aaa", curves=[[0.0, 8.0], [0.0, 2.0]], steps=[0, 10], seconds=[0.0, 1.0], diverged=(1,),
        reason="seed 1 diverged at 5 env steps",
    )  # fmt: skip
    row = rows(tmp_path)[0]["shac"]
    assert row.seeds == 2
    assert row.mean == pytest.approx(5.0)
    assert row.status == "1 ok, 1 diverged: seed 1 diverged at 5 env steps"


def test_seeds_in_several_runs_are_one_row(tmp_path):
    for index, value in enumerate([1.0, 2.0, 6.0]):
        write_run(tmp_path, f"r{index}", curves=[[0.0, value]], steps=[0, 10], seconds=[0.0, 4.0], first_seed=index)
    row = rows(tmp_path)[0]["shac"]
    assert (row.seeds, row.mean, row.train_seconds) == (3, pytest.approx(3.0), 12.0)
    assert row.steps_per_second == pytest.approx(30 / 12.0)
    assert row.runs == ("r0", "r1", "r2")


def test_unfinished_runs_give_no_score(tmp_path):
    write_run(tmp_path, "a", curves=[[0.0, 9.0]], steps=[0, 10], seconds=[0.0, 1.0], status="running")
    row = rows(tmp_path)[0]["shac"]
    assert row.seeds == 0
    assert math.isnan(row.mean)
    assert row.status == "killed"


def test_other_metrics(tmp_path):
    write_run(tmp_path, "a", curves=[[0.0, 9.0]], steps=[0, 10], seconds=[0.0, 1.0], speeds=[[0.0, 1.5]])
    assert rows(tmp_path, metric="forward_velocity")[0]["shac"].mean == 1.5
    assert rows(tmp_path, metric="length")[0]["shac"].mean == 15.0
    with pytest.raises(UsageError, match="metric=speed: not recorded in this study; choices: forward_velocity, length"):
        rows(tmp_path, metric="speed")
    with pytest.raises(UsageError, match="unknown match 'steps': did you mean"):
        rows(tmp_path, match="steps")


def test_a_damaged_run_is_left_out_and_said_to_be(root):
    (root / "runs" / "s" / "bbb" / "run.json").write_text("{")
    table, summary = rows(root)
    assert "ppo" not in table
    assert table["shac"].mean == pytest.approx(280.0)
    assert any("Left out" in note and "bbb" in note for note in summary.notes)


def test_times_of_different_devices_are_said_not_to_compare(tmp_path):
    for name, device in (("a", "CPU"), ("b", "GPU")):
        write_run(
            tmp_path,
            name,
            curves=[[0.0]],
            steps=[0],
            seconds=[1.0],
            device=device,
            first_seed=ord(name),
            simulator=device,
        )
    assert any("do not compare" in note for note in rows(tmp_path)[1].notes)


def test_an_empty_study_has_an_empty_table(tmp_path):
    (tmp_path / "runs" / "s").mkdir(parents=True)
    assert rows(tmp_path)[1].rows == ()


def test_the_frame_has_one_row_a_member(root):
    frame = members_frame(load_study(Results(root), "s").runs)
    assert len(frame) == 7
    assert sorted(frame[frame.algorithm == "shac"].seed) == [0, 1, 2, 3]
    assert frame[frame.run_id == "bbb"].iloc[1].curve_value.tolist() == [1.0, 7.0, 11.0]


def test_area_median_and_threshold_by_hand(root):
    shac = rows(root, threshold=40.0)[0]["shac"]
    assert shac.median == pytest.approx(50.0)
    # areas (0, 10, 20) -> 10, (0, 11, 40) -> 15.5, (0, 12, 60) -> 21, (4, 13, 1000) -> 257.5
    assert shac.area == pytest.approx((10.0 + 15.5 + 21.0 + 257.5) / 4)
    assert (shac.steps_to_threshold, shac.seconds_to_threshold) == (200.0, 20.0)  # three of four seeds
    assert rows(root, threshold=50.0)[0]["shac"].steps_to_threshold == math.inf  # two of four
    assert math.isnan(rows(root)[0]["shac"].steps_to_threshold)
    # the means of (1, 5) and (1, 7) up to 150 steps and of (5, 5.8) and (7, 7.8) from there to 200
    assert rows(root, match="env_steps")[0]["ppo"].area == pytest.approx((3.5 * 150 + 6.4 * 50) / 200)


def test_normalised_tables_have_rows_over_tasks(tmp_path):
    peak = 4742.297
    for task, scale in (("hopper", peak), ("ant", 6604.663)):
        curves = [[0.0, scale], [0.0, 2 * scale]]
        write_run(tmp_path, f"{task}1", task=task, curves=curves, steps=[0, 10], seconds=[0.0, 1.0])
        if task == "hopper":
            write_run(tmp_path, "ppo1", algorithm="ppo", curves=[[0.0, scale / 2]], steps=[0, 10], seconds=[0.0, 1.0])
    write_run(tmp_path, "mjx1", simulator="mjx", curves=[[0.0, peak]], steps=[0, 10], seconds=[0.0, 1.0])
    table, summary = rows(tmp_path, normalise="ppo")
    assert table["ppo"].mean == pytest.approx(0.5)
    (shac,) = summary.overall  # PPO and MJX have one task only
    assert (shac.simulator, shac.tasks, shac.seeds, shac.complete) == ("warp", ("ant", "hopper"), 4, True)
    assert shac.iqm == pytest.approx(1.5)  # of 1 1 2 2
    assert shac.mean == shac.median == pytest.approx(1.5)
    assert shac.optimality_gap == pytest.approx(0.0)
    assert shac.low < 1.0 < 2.0 < shac.high  # two tasks of two seeds say little
    assert shac.runs == ("ant1", "hopper1")
    assert any("1 does not mean PPO's score here" in note for note in summary.notes)
    assert not rows(tmp_path)[1].overall  # raw returns of different tasks are not averaged


def scores(root, task, *seeds):
    """Writes a run of one evaluation, which records these for each seed."""
    directory = write_run(root, task, task=task, curves=[[0.0] for _ in seeds], steps=[0], seconds=[0.0])
    line = directory.evaluations.read()[0]
    directory.evaluations.truncate(None)
    directory.evaluations.append(line | {"extras": {"score": [list(episodes) for episodes in seeds]}})


def test_a_score_in_points_has_no_bounds(tmp_path):
    """A task from outside may call its points what suites call a share."""
    for task in ("maze", "tower"):
        scores(tmp_path, task, (50.0, 50.0), (52.0, 52.0), (54.0, 54.0))
    table, summary = rows(tmp_path, metric="score")
    assert (table["shac"].low, table["shac"].high) == pytest.approx(interval([50.0, 52.0, 54.0]))
    assert not any("cut at" in note or "dm_control" in note for note in summary.notes)
    assert not summary.overall


def test_scores_of_different_tasks_are_averaged_as_they_are(tmp_path):
    for task, score in (("mw-reach", 0.5), ("walker-walk", 1.0)):
        scores(tmp_path, task, (score, score), (0.0, score))
    (row,) = rows(tmp_path, metric="score")[1].overall
    assert (row.tasks, row.seeds) == (("mw-reach", "walker-walk"), 4)
    assert row.mean == pytest.approx((0.5 + 0.25 + 1.0 + 0.5) / 4)


def test_random_expert_takes_its_scales_from_the_study(root):
    table, summary = rows(root, normalise="random-expert")
    # untrained: four SHAC seeds 0 0 0 4 and two PPO seeds 1 1, so 1; the best algorithm's mean is SHAC's, 280
    assert table["shac"].mean == pytest.approx(1.0)
    assert table["ppo"].mean == pytest.approx((10.0 - 1.0) / 279.0)
    assert any("hopper 1.0 and 280.0" in note for note in summary.notes)


def test_policies_that_were_there_already_have_no_untrained_score(root):
    """Trained policies that are evaluated again would lift the lower end of the scale."""
    end = {"steps": [0], "seconds": [0.0]}
    write_run(root, "again", algorithm="sac", kind="evaluate", curves=[[250.0]], **end)
    assert math.isnan(rows(root)[0]["sac"].untrained)
    assert any("hopper 1.0 and 280.0" in note for note in rows(root, normalise="random-expert")[1].notes)
    write_run(root, "other", task="ant", kind="evaluate", curves=[[250.0]], **end)
    assert {row.task for row in rows(root, normalise="random-expert")[1].rows} == {"hopper"}


def test_policies_evaluated_again_beside_their_training_are_told_apart_by_their_kind(tmp_path):
    """Their specs have hardly a field in common, and only training has settings to compare with a recipe."""
    end = {"seconds": [0.0, 1.0], "steps": [0, 10]}
    for number, gamma in enumerate((0.9, 0.8)):
        write_run(tmp_path, f"run{number}", config={"gamma": gamma}, curves=[[0.0, 1.0]], **end)
    directory = write_run(tmp_path, "again", kind="evaluate", curves=[[2.0]], steps=[0], seconds=[0.0])
    record = directory.read()
    del record.spec["config"]
    record.spec |= {"env_steps": 0, "draw": 1}
    with directory.lock():
        directory.write(record)
    summary = summarise(load_study(Results(tmp_path), "s"), study="s", match="none")
    assert {row.variant: row.mean for row in summary.rows} == {
        "kind=train, gamma=0.9": 1.0, "kind=train, gamma=0.8": 1.0, "kind=evaluate": 2.0,
    }  # fmt: skip


def test_normalisation_that_does_not_know_a_task(tmp_path):
    write_run(tmp_path, "a", task="cartpole", curves=[[0.0, 1.0]], steps=[0, 10], seconds=[0.0, 1.0])
    with pytest.raises(UsageError, match="no scale for task 'cartpole'"):
        rows(tmp_path, normalise="ppo")


def test_published_numbers_change_none_of_ours(root):
    plain, with_published = rows(root)[1], rows(root, published="closest")[1]
    assert repr(plain.rows) == repr(with_published.rows)
    assert [entry.algorithm for entry in with_published.published["hopper", "warp"]][:2] == ["PWM", "AHAC"]
    assert any("in no average" in note for note in with_published.notes)
    unknown_metric = rows(root, published="closest", metric="length")[1]
    assert unknown_metric.published == {("hopper", "warp"): ()}
    assert any("No published numbers" in note for note in unknown_metric.notes)


def test_a_table_names_every_gradient_source(tmp_path):
    for index, algorithm in enumerate(("pwm", "shac", "ppo", "sac")):
        write_run(tmp_path, f"run{index}", algorithm=algorithm, curves=[[0.0, 1.0]], steps=[0, 10], seconds=[0.0, 1.0])
    gradients = {name: row.gradient for name, row in rows(tmp_path)[0].items()}
    assert gradients == {"pwm": "learned", "shac": "simulator", "ppo": "score", "sac": "critic"}


@pytest.mark.parametrize("worst", ["aaa", "bbb"])
def test_the_worst_check_of_a_gradient_is_shown_whichever_run_it_is_of(tmp_path, worst):
    for name, algorithm in (("aaa", "shac"), ("bbb", "ppo")):
        write_run(tmp_path, name, algorithm=algorithm, curves=[[0.0, 9.0]], steps=[0, 10], seconds=[0.0, 1.0],
                  check=(1.0 if name == worst else 1e-9, "float64"))  # fmt: skip
    _, summary = rows(tmp_path)
    (note,) = [note for note in summary.notes if note.startswith("Simulator gradients")]
    assert note.endswith(f"the largest: hopper in warp 1e+00 (float64, run {worst}).")
    (warning,) = summary.warnings
    assert warning.startswith(f"hopper in warp: the simulator's gradient is wrong in 1 of 2 checked runs ({worst})")
    for format, place in (("markdown", "hopper in warp"), ("latex", "Hopper in Warp"), ("json", "hopper in warp")):
        assert f"! {place}: the simulator's gradient is wrong" in render(summary, format)


def test_sound_checks_that_agree_name_no_run(tmp_path):
    for name, error in (("aaa", 1.01e-9), ("bbb", 1.02e-9)):
        write_run(tmp_path, name, curves=[[0.0, 9.0]], steps=[0, 10], seconds=[0.0, 1.0], first_seed=ord(name[0]),
                  check=(error, "float64"))  # fmt: skip
    _, summary = rows(tmp_path)
    assert summary.warnings == ()
    assert any(note.endswith("the largest: hopper in warp 1e-09 (float64).") for note in summary.notes)


def successes(root, rates, **options):
    curves = [[0.0, 9.0]] * len(rates)
    write_run(root, options.pop("name"), curves=curves, steps=[0, 10], seconds=[0.0, 1.0],
              success=[[rate, rate] for rate in rates], **options)  # fmt: skip


def test_an_interval_of_a_share_stays_within_its_bounds(tmp_path):
    successes(tmp_path, [0.05, 0.3, 0.35], name="aaa")
    successes(tmp_path, [1.0, 1.0, 1.0], name="bbb", algorithm="ppo")
    low, high = interval([0.05, 0.3, 0.35])
    assert low < 0.0  # without the cut
    table, summary = rows(tmp_path, metric="success")
    assert (table["shac"].low, table["shac"].high) == (0.0, pytest.approx(high))
    assert (table["ppo"].low, table["ppo"].high) == (1.0, 1.0)
    assert any("Student's t, cut at 0 and 1." in note for note in summary.notes)
    text = render(summary, "markdown")
    assert text.count("All seeds scored the same, so the interval has no width; that is no proof") == 1
    assert rows(tmp_path)[0]["shac"].low == pytest.approx(9.0)  # returns have no bounds
    assert not any("cut at" in note for note in rows(tmp_path)[1].notes)


def test_tasks_without_the_metric_are_left_out_and_named(tmp_path):
    successes(tmp_path, [0.5, 1.0], name="aaa", task="mw-push")
    successes(tmp_path, [None, None], name="bbb", task="walker-walk")
    write_run(
        tmp_path, "ccc", task="cup-catch", algorithm="ppo", curves=[[0.0, 9.0]], steps=[0, 10], seconds=[0.0, 1.0]
    )
    write_run(tmp_path, "ddd", task="mw-push", algorithm="ppo", curves=[[0.0, 9.0]], steps=[0, 10], seconds=[0.0, 1.0])
    write_run(tmp_path, "eee", task="mw-reach", curves=[[0.0]], steps=[0], seconds=[0.0], status="failed", reason="no")
    summary = summarise(load_study(Results(tmp_path), "s"), study="s", metric="success")
    assert {(row.task, row.algorithm) for row in summary.rows} == {
        ("mw-push", "shac"), ("mw-push", "ppo"), ("mw-reach", "shac"),
    }  # fmt: skip
    (note,) = [note for note in summary.notes if note.startswith("Left out")]
    assert note == "Left out, since no run has recorded success there (2): cup-catch, walker-walk."
    grid = render(summary, "markdown", layout=Layout(columns=("algorithm",)))
    (line,) = [line for line in grid.splitlines() if line.startswith("| mw-push")]
    assert line.split("|")[2].strip() == MISSING  # PPO ended well, and has no success: no score is not 'ok'
    (line,) = [line for line in grid.splitlines() if line.startswith("| mw-reach")]
    assert "failed" in line


def test_differences_to_a_row_are_welchs(root):
    """The interval is scipy's; the row itself, and one without a score, have none."""
    table, summary = rows(root, base="shac")
    gap = stats.ttest_ind(table["ppo"].scores, table["shac"].scores, equal_var=False).confidence_interval()
    assert table["ppo"].difference == pytest.approx(10.0 - 280.0)
    assert (table["ppo"].difference_low, table["ppo"].difference_high) == pytest.approx((gap.low, gap.high))
    assert math.isnan(table["shac"].difference)
    assert math.isnan(table["pwm"].difference)
    assert "Differences to shac have 95 % intervals by Welch's t, not corrected for their number." in summary.notes
    text = render(summary, "markdown", layout=Layout(columns=("score", "difference", "scores")))
    assert "| -270 [" in next(line for line in text.splitlines() if "| ppo |" in line)
    assert "| difference to shac | score of each seed |" in text
    assert f"| {MISSING} | 20.0, 40.0, 60.0, 1,000 |" in next(line for line in text.splitlines() if "| shac |" in line)
    assert "difference to SHAC" in render(summary, "latex", layout=Layout(columns=("difference",)))
    assert "difference to shac" in render(summary, "markdown")  # it needs no column to be named
    for columns, header in (
        (("score", "interval", "scores"), "| score | 95 % CI | difference to shac | score of each seed |"),
        (("gradient",), "| gradient | difference to shac |"),
    ):
        assert header in render(summary, "markdown", layout=Layout(columns=columns))
    assert "difference" not in render(summary, "markdown", layout=Layout(columns=("algorithm",))).splitlines()[0]


def test_a_base_that_is_no_row_is_refused(root):
    with pytest.raises(UsageError, match="unknown row to compare with 'shacc': did you mean 'shac'"):
        rows(root, base="shacc")
    with pytest.raises(UsageError, match="name the row that the others are compared with, such as --base shac"):
        render(rows(root)[1], "markdown", layout=Layout(columns=("difference",)))


def test_a_base_is_that_of_each_place(root):
    write_run(root, "ddd", task="ant", curves=[[0.0, 1.0], [0.0, 2.0]], steps=[0, 200], seconds=SECONDS[:2])
    write_run(root, "eee", task="ant", algorithm="pwm", curves=[[0.0, 5.0], [0.0, 5.0]], steps=[0, 200],
              seconds=SECONDS[:2])  # fmt: skip
    summary = rows(root, base="shac")[1]
    (pwm,) = [row for row in summary.rows if (row.task, row.algorithm) == ("ant", "pwm")]
    assert pwm.difference == pytest.approx(3.5)
    constant = stats.ttest_1samp([1.0, 2.0], 5.0).confidence_interval()  # PWM's seeds do not vary
    assert pwm.difference_low == pytest.approx(5.0 - constant.high)
    summary = rows(root, base="ppo")[1]  # there is none on ant
    assert all(math.isnan(row.difference) for row in summary.rows if row.task == "ant")
