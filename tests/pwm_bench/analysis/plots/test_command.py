"""What `pwm-bench plot` writes and says."""

from __future__ import annotations

from itertools import combinations

import pytest

pytest.importorskip("matplotlib")

import pwm_bench as pb
from pwm_bench.cli.main import main
from pwm_bench.statistics import probability_of_improvement
from tests.pwm_bench.analysis.plots.studies import many_tasks
from tests.pwm_bench.store.factories import write_run


def test_the_command_draws_many_tasks_axis_by_axis(capsys, tmp_path):
    many_tasks(tmp_path, 4)
    arguments = [
        "plot",
        "s",
        "--results",
        str(tmp_path),
        "--kind",
        "curves,scores",
        "--format",
        "svg",
        "--with-published",
    ]
    assert main(arguments) == 0
    folder = tmp_path / "figures" / "s"
    assert {file.name for file in folder.iterdir()} == {"curves.svg", "curves-cpu.svg", "scores.svg"}
    assert main([*arguments, "--task", "ant", "hopper", "--algorithm", "pwm", "--output", str(folder / "few")]) == 0
    assert {file.name for file in (folder / "few").iterdir()} == {"curves.svg", "scores.svg"}
    assert main([*arguments, "--task", "antt"]) == 2
    assert "unknown task of study 's' 'antt': did you mean 'ant'?" in capsys.readouterr().err


def bars(panel):
    return [patch.get_width() for patch in panel.patches]


@pytest.mark.parametrize(
    ("options", "said", "reached"),
    [
        ({}, " at 200 environment steps", [200]),
        ({"budget": 150.0}, " at 150 environment steps", []),
        ({"match": "gradient_steps"}, " at 20 gradient steps", [200]),
        ({"match": "none"}, ", each run at its own end", [2000, 200]),
    ],
)
def test_a_table_and_a_figure_of_the_same_runs_show_the_same_scores(root, options, said, reached):
    """SAC goes on to 2,000 steps, the others end at 200."""
    write_run(root, "eee", algorithm="sac", curves=[[0.0, 900.0]], steps=[0, 2000], seconds=[0.0, 5.0])
    where = {"results": root, "task": "hopper", "threshold": 50.0, **options}
    rows = [row for row in pb.table("s", **where).scores.rows if row.scores]
    figures = pb.plot("s", ["scores", "improvement", "threshold"], **where)
    scores, improvement, threshold = (figures[kind].axes[0] for kind in ("scores", "improvement", "threshold"))
    assert bars(scores) == pytest.approx([row.mean for row in rows])
    marks = [line.get_xdata()[0] for line in improvement.get_lines() if line.get_marker() == "|"]
    pairs = combinations(sorted(rows, key=lambda row: row.algorithm), 2)
    assert marks == pytest.approx([probability_of_improvement([x.scores], [y.scores]).value for x, y in pairs])
    medians = [line.get_xdata()[0] for line in threshold.get_lines() if line.get_linewidth() == 1.6]
    steps = [row.steps_to_threshold for row in rows if row.steps_to_threshold < float("inf")]
    assert sorted(medians) == sorted(steps) == sorted(reached)
    assert scores.get_xlabel().replace("\n", " ") == f"return{said}"
    assert improvement.get_xlabel().replace("\n", " ") == f"P(X > Y){said}"
    up_to = "" if options.get("match") == "none" else said.replace(" at ", " up to ")
    assert threshold.get_xlabel().replace("\n", " ") == f"environment steps per seed{up_to}"


def test_figures_say_where_scores_are_read_and_which_seeds_have_none(capsys, root):
    """Ant ends at 50 steps, hopper at 200; one SAC run is cut off at 100, and one has gone on beyond 200."""
    write_run(root, "eee", algorithm="sac", curves=[[0.0, 9.0]], steps=[0, 100], seconds=[0.0, 5.0], status="killed")
    write_run(root, "fff", algorithm="sac", curves=[[0.0, 40.0]], steps=[0, 400], seconds=[0.0, 5.0], status="killed",
              first_seed=1)  # fmt: skip
    arguments = ["plot", "s", "--results", str(root), "--format", "svg", "--kind"]
    assert main([*arguments, "scores,improvement", "--task", "hopper"]) == 0
    text = capsys.readouterr().out
    assert "Matched at 200 environment steps per seed, interpolated between evaluations." in text
    assert (
        "Seeds without a score there: hopper in warp, pwm: 1 of 1 (failed); hopper in warp, sac: 1 of 2 (killed)."
        in text
    )
    figure = pb.plot("s", "scores", results=root)["scores"]
    panels = {panel.get_title(loc="left"): bars(panel) for panel in figure.axes}
    assert panels.keys() == {"Ant, at 50", "Hopper, at 200"}
    assert panels["Hopper, at 200"] == pytest.approx([60.0, 39.5, 20.0])  # the second SAC run is half way to 40
    assert figure.get_supxlabel() == "return at equal environment steps"
    assert main([*arguments, "scores", "--match", "none"]) == 0
    text = capsys.readouterr().out
    assert "Budgets are not matched: each run is taken at its own end." in text


def test_ends_that_differ_are_named_where_budgets_are_not_matched(capsys, root):
    write_run(root, "eee", algorithm="sac", curves=[[0.0, 9.0]], steps=[0, 2000], seconds=[0.0, 5.0])
    arguments = ["plot", "s", "--results", str(root), "--kind", "scores", "--format", "svg", "--match", "none"]
    assert main(arguments) == 0
    assert "These differ: hopper in warp 200 to 2k environment steps" in capsys.readouterr().out
    assert main([*arguments, "--task", "ant"]) == 0
    assert "These differ" not in capsys.readouterr().out


def test_tasks_that_comparisons_leave_out_are_named(capsys, root):
    arguments = ["plot", "s", "--results", str(root), "--kind", "improvement", "--format", "svg"]
    assert main(arguments) == 0
    assert "leave out, since not all algorithms have scores there: ant in warp." in capsys.readouterr().out


def test_without_a_common_task_the_other_figures_are_drawn(capsys, tmp_path):
    write_run(tmp_path, "aaa", curves=[[0.0, 9.0]], steps=[0, 10], seconds=[0.0, 1.0])
    write_run(tmp_path, "bbb", task="ant", algorithm="ppo", curves=[[0.0, 9.0]], steps=[0, 10], seconds=[0.0, 1.0])
    arguments = ["plot", "s", "--results", str(tmp_path), "--format", "svg"]
    main(arguments)  # whose timeline has no start times
    assert "no task has" not in capsys.readouterr().err
    assert {file.name for file in (tmp_path / "figures" / "s").iterdir()} == {"curves.svg", "scores.svg"}
    assert main([*arguments, "--kind", "improvement"]) == 2
    assert "choose some of them with --algorithm" in capsys.readouterr().err


def test_the_command_writes_files_and_names_them(capsys, root, tmp_path):
    out = tmp_path / "figures"
    arguments = ["plot", "s", "--results", str(root), "--kind", "curves,scores,threshold", "--threshold", "60"]
    assert main([*arguments, "--format", "png,svg", "--output", str(out)]) == 0
    names = sorted(f"{kind}.{end}" for kind in ("curves", "scores", "threshold") for end in ("png", "svg"))
    assert sorted(file.name for file in out.iterdir()) == names
    text = capsys.readouterr().out
    assert f"{out}/curves.png" in text
    assert "95 % interval by Student's t" in text


def test_by_default_all_figures_that_make_sense(capsys, root):
    assert main(["plot", "s", "--results", str(root), "--format", "svg", "--metric", "length"]) == 2  # no start times
    assert "no run says when it began" in capsys.readouterr().err
    folder = root / "figures" / "s"
    assert {file.name for file in folder.iterdir()} == {"curves.svg", "scores.svg", "improvement.svg"}  # two tasks, raw
    assert main(["plot", "s", "--results", str(root), "--format", "svg", "--normalise", "random-expert"]) == 2
    assert (folder / "profile.svg").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--kind", "curve"), "unknown kind of figure 'curve': did you mean 'curves'"),
        (("--axis", "steps"), "unknown axis 'steps': did you mean 'env_steps'"),
        (("--format", "jpg"), "unknown figure format 'jpg'"),
        (("--width", "triple"), "unknown width 'triple'"),
        (("--scale", "lin"), "unknown scale 'lin': did you mean 'linear'"),
        (("--kind", "threshold"), "say which score with the threshold"),
        (("--normalise", "pop"), "unknown normalisation 'pop'"),
        (("--metric", "height"), "metric=height: not recorded"),
        (("--match", "step"), "unknown match 'step': did you mean 'env_steps'"),
        (("--match", "none", "--budget", "5"), "budget=5: must be a positive number of the unit to match by"),
        (("--kind", "curves,timeline", "--budget", "5"), "budget: curves, timeline show every budget; leave it out"),
    ],
)
def test_bad_input_writes_nothing(capsys, root, arguments, message):
    assert main(["plot", "s", "--results", str(root), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (root / "figures").exists()


def test_success_rates_of_several_tasks_have_a_profile_as_they_are(tmp_path):
    """Tables average them as they are, too."""
    for task in ("mw-reach", "mw-push"):
        for algorithm in ("pwm", "bc"):
            write_run(tmp_path, f"{algorithm}{task}", task=task, algorithm=algorithm, curves=[[0.0, 1.0]] * 2,
                      steps=[0, 10], seconds=[0.0, 1.0], success=[[0.0, 0.5], [0.0, 1.0]])  # fmt: skip
    figures = pb.plot("s", "profile", results=tmp_path, metric="success")
    assert figures["profile"].axes[0].get_xlabel() == "success threshold\nat 10 environment steps"
    scaled = pb.plot("s", "profile", results=tmp_path, metric="success", normalise="success")
    assert "Scores between 0 and 1 are taken as they are." in scaled.notes
