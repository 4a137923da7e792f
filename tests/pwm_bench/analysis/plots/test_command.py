"""What `pwm-bench plot` writes and says."""

from __future__ import annotations

import pytest

pytest.importorskip("matplotlib")

from pwm_bench.analysis.plots.bars import score_bars
from pwm_bench.cli.main import main
from pwm_bench.store.frames import load_study, members_frame
from pwm_bench.store.results import Results
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


def test_final_scores_of_different_budgets_say_so(capsys, root):
    write_run(root, "eee", algorithm="sac", curves=[[0.0, 9.0]], steps=[0, 2000], seconds=[0.0, 5.0])
    arguments = ["plot", "s", "--results", str(root), "--kind", "scores", "--format", "svg"]
    assert main([*arguments, "--task", "ant"]) == 0
    assert "own end" not in capsys.readouterr().out
    assert main(arguments) == 0
    assert "budgets differ (hopper in warp 200 to 2k environment steps)" in capsys.readouterr().out
    frame = members_frame(load_study(Results(root), "s").runs)
    figure = score_bars(frame, width="double")
    assert all(panel.get_xlabel().endswith("each run at its own end") for panel in figure.axes)


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
    ],
)
def test_bad_input_writes_nothing(capsys, root, arguments, message):
    assert main(["plot", "s", "--results", str(root), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (root / "figures").exists()
