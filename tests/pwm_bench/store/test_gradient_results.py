"""Comparisons of gradients are results: they are listed, shown, verified, merged, exported and printed."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pandas as pd
import pytest

from pwm_bench.analysis.gradients.selected import selected_rows
from pwm_bench.analysis.gradients.table import metric_rows
from pwm_bench.analysis.report.build import Options, build
from pwm_bench.cli.main import main
from pwm_bench.envs.errors import UsageError
from pwm_bench.gradients.measure import Measurement
from pwm_bench.gradients.pedagogical.ball_wall_study import BallWallSpec
from pwm_bench.gradients.rows import FILE
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.jobs.train_model import TrainModelSpec
from pwm_bench.store.frames import load_study
from pwm_bench.store.index import StudyIndex
from pwm_bench.store.merge import merge
from pwm_bench.store.results import Results, RunDirectory
from pwm_bench.store.selection import Selection
from pwm_bench.store.verify import verify
from pwm_bench.studies import comparisons
from pwm_bench.text import number_of_any_size
from tests.pwm_bench.analysis.formats.latex import check
from tests.pwm_bench.gradients.carrying import TINY, TINY_MODEL
from tests.pwm_bench.store.factories import edit, write_run

STUDY = "gradients-tiny"


def comparison(seed: int = 0):
    chosen = comparisons.comparison("cartpole", estimators=("analytic", "score"), **TINY)
    return chosen.replace(study=STUDY, seed=seed).comparison({"repetition": seed})


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A results folder with two real comparisons; not to be changed."""
    root = tmp_path_factory.mktemp("made")
    for seed in (0, 1):
        outcome = carry_out(comparison(seed), Results(root))
        assert outcome.record.status == "ok"
    return root


@pytest.fixture
def root(made, tmp_path) -> Path:
    """A copy of that folder."""
    shutil.copytree(made, tmp_path / "results")
    return tmp_path / "results"


@pytest.fixture(autouse=True)
def _no_width_from_outside(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)


def directory(root: Path, seed: int = 0) -> RunDirectory:
    return Results(root).run(STUDY, comparison(seed).id)


def fail(root: Path, monkeypatch, seed: int = 2) -> RunDirectory:
    """A comparison whose measurement raises."""

    def raises(self):
        raise RuntimeError("the simulator broke")

    with monkeypatch.context() as patch:
        patch.setattr(Measurement, "_refer", raises)
        assert carry_out(comparison(seed), Results(root)).exit_code == 1
    return directory(root, seed)


def run(capsys, *arguments, code: int = 0) -> tuple[str, str]:
    assert main([*map(str, arguments)]) == code
    captured = capsys.readouterr()
    assert "Traceback (" not in captured.err
    return captured.out, captured.err


def test_ls_shows_the_kind_and_how_it_ended(capsys, root, monkeypatch):
    failed = fail(root, monkeypatch)
    directory(root, 1).record_file.write_text("{")
    text, _ = run(capsys, "results", "ls", "--results", root)
    assert text.splitlines()[1].endswith("1 damaged, 1 failed, 1 ok")
    text, _ = run(capsys, "results", "ls", STUDY, "--results", root)
    rows = {cells[1]: cells for cells in map(str.split, text.splitlines()[1:])}
    assert rows[comparison(0).id][2:] == ["compare-gradients", "cartpole", "warp", "ok"]
    assert rows[failed.path.name][2:] == ["compare-gradients", "cartpole", "warp", "failed"]
    assert rows[comparison(1).id][2:] == ["damaged"]


def test_show_says_what_it_is_and_nothing_of_seeds(capsys, root, monkeypatch):
    text, _ = run(capsys, "results", "show", comparison(1).id, "--results", root)
    lines = [line.split(maxsplit=1) for line in text.splitlines()]
    assert ["what", "compare-gradients on cartpole in warp"] in lines
    assert ["status", "ok"] in lines
    assert ["setting", "repetition 1"] in lines
    assert any(line.startswith("artifact gradients") for line in text.splitlines())
    assert not {"seed", "work"} & {line[0] for line in lines}
    assert "None" not in text
    failed = fail(root, monkeypatch)
    text, _ = run(capsys, "results", "show", failed.path.name, "--results", root)
    lines = [line.split(maxsplit=1) for line in text.splitlines()]
    assert any(line[0] == "status" and line[1].startswith("failed: ") for line in lines)
    assert ["traceback", str(failed.traceback)] in lines
    assert "the simulator broke" in failed.traceback.read_text()


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


WRONG = {
    "altered rows": (lambda d: flip(d.path / FILE), "another digest"),
    "no rows": (lambda d: (d.path / FILE).unlink(), "no such file or folder"),
    "altered spec": (lambda d: edit(d.record_file, lambda r: r["spec"].update(samples=9)), "has the id"),
    "another kind": (lambda d: edit(d.record_file, lambda r: r.update(kind="landscape")), "has the id"),
    "a file elsewhere": (
        lambda d: edit(d.record_file, lambda r: r["artifacts"]["gradients"].update(file="../x")), "is outside"),
    "nothing left": (lambda d: edit(d.record_file, lambda r: r.update(artifacts={})), "has left no file"),
    "schema 1": (lambda d: edit(d.record_file, lambda r: r.update(schema_version=1)), "is older than"),
}  # fmt: skip


@pytest.mark.parametrize("how", WRONG)
def test_verify_finds(capsys, root, how):
    changed = directory(root)
    assert verify(changed) == []
    damage, message = WRONG[how]
    damage(changed)
    assert any(message in problem for problem in verify(changed)), verify(changed)
    text, _ = run(capsys, "results", "verify", "--results", root, code=1)
    assert text.splitlines()[-1] == "2 runs checked, 1 with problems"


def test_verify_accepts_a_failed_comparison_but_not_one_that_is_called_ok(root, monkeypatch):
    failed = fail(root, monkeypatch)
    assert verify(failed) == []
    edit(failed.record_file, lambda record: record.update(status="ok"))
    assert any("has left no file" in problem for problem in verify(failed))


def test_verify_finds_a_training_run_without_its_seeds(tmp_path):
    directory = write_run(tmp_path, "aaa", curves=[[0.0, 1.0]], steps=[0, 10], seconds=[0.0, 1.0])
    edit(directory.record_file, lambda record: record.update(members=[]))
    assert any("its spec names a learner" in problem for problem in verify(directory))


def test_merge(capsys, root, made, monkeypatch):
    target = root.parent / "other"
    text, _ = run(capsys, "results", "merge", root, "--results", target)
    assert text == "2 copied\n"
    assert verify(directory(target)) == []
    assert {one.outcome for one in merge(Results(made), Results(target))} == {"kept"}
    edit(directory(root).record_file, lambda r: r["artifacts"]["gradients"].update(digest="0" * 64))
    found = {one.run_id: one.outcome for one in merge(Results(root), Results(target))}
    assert found == {comparison(0).id: "differs", comparison(1).id: "kept"}
    assert verify(directory(target)) == []


def test_merge_replaces_a_failed_comparison_by_a_finished_one_alone(root, made, monkeypatch):
    shutil.rmtree(directory(root, 1).path)
    failed = fail(root, monkeypatch, seed=1)
    assert {one.outcome for one in merge(Results(root), Results(made))} == {"kept"}
    found = {one.run_id: one.outcome for one in merge(Results(made), Results(root))}
    assert found == {comparison(0).id: "kept", comparison(1).id: "replaced"}
    assert failed.read().status == "ok"
    assert not failed.traceback.exists()
    assert verify(failed) == []


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_export_writes_one_long_file(capsys, root, format, monkeypatch):
    failed = fail(root, monkeypatch)
    folder = root / "o"
    out, err = run(capsys, "results", "export", STUDY, "--format", format, "--results", root, "--output", folder)
    assert out.split() == [str(folder / f"gradients.{format}")]
    assert f"left out: {failed.path}: failed" in err
    frame = (
        pd.read_csv(folder / f"gradients.{format}")
        if format == "csv"
        else pd.read_parquet(folder / f"gradients.{format}")
    )
    rows = [pd.read_parquet(directory(root, seed).path / FILE) for seed in (0, 1)]
    assert len(frame) == sum(map(len, rows))
    for seed, expected in enumerate(rows):
        mine = frame[frame.comparison == comparison(seed).id]
        assert set(mine["study"]) == {STUDY}
        assert set(mine["repetition"]) == {seed}
        assert mine["value"].tolist() == pytest.approx(expected["value"].tolist(), nan_ok=True)


def test_export_of_scores_and_gradients_together(capsys, root):
    write_run(root, "aaa", curves=[[0.0, 1.0]], steps=[0, 10], seconds=[0.0, 1.0])
    out, _ = run(capsys, "results", "export", "s", STUDY, "--results", root, "--format", "csv", "--output", root / "o")
    assert [Path(name).stem for name in out.split()] == ["members", "episodes", "metrics", "gradients"]


def test_export_refuses_what_makes_no_sense(capsys, root, monkeypatch):
    for options, message in (
        (("--algorithm", "pwm"), "have estimators instead"),
        (("--task", "hoper"), "unknown task of study"),
        (("--format", "xml"), "unknown export format"),
    ):
        assert message in run(capsys, "results", "export", STUDY, *options, "--results", root, code=2)[1]
    for seed in (0, 1):
        shutil.rmtree(directory(root, seed).path)
    fail(root, monkeypatch)
    assert "no comparison is finished" in run(capsys, "results", "export", STUDY, "--results", root, code=2)[1]


def test_tables_of_scores_leave_them_out(capsys, root):
    """A comparison may be filed beside training runs."""
    write_run(root, "aaa", study=STUDY, curves=[[0.0, 1.0]], steps=[0, 10], seconds=[0.0, 1.0])
    loaded = load_study(Results(root), STUDY)
    assert [run.record.id for run in loaded.runs] == ["aaa"]
    assert loaded.damaged == []
    assert sorted(path.name for path in loaded.unscored) == sorted(comparison(seed).id for seed in (0, 1))
    for command in ("table", "report"):
        output = ("--output", root / "page.html") if command == "report" else ("--format", "csv")
        error = run(capsys, command, STUDY, *output, "--results", root)[1]
        if command == "table":
            assert error == f"left out: 2 runs about gradients of study '{STUDY}', which have no scores\n"


def test_they_are_cached_as_what_they_are(root, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("pwm_bench.store.index._LEAST", 1)
    first = load_study(Results(root), STUDY)
    puts = []
    monkeypatch.setattr(StudyIndex, "put", lambda self, run_id, stamp, content: puts.append(run_id))
    assert load_study(Results(root), STUDY) == first
    assert puts == []


def test_a_web_page_shows_tables_figures_and_runs(capsys, root):
    damaged = root / "runs" / STUDY / "cut"
    damaged.mkdir()
    (damaged / "run.json").write_text("{")
    out, _ = run(capsys, "report", STUDY, "--results", root)
    page = Path(out.strip()).read_text()
    frame, _ = selected_rows(Results(root), Selection(studies=(STUDY,)), load_study(Results(root), STUDY))
    rows = metric_rows(frame, "cosine", study=STUDY)
    assert len(rows) > 3
    for row in rows.itertuples():
        assert f">{number_of_any_size(row.value)}<" in page
    assert page.count('src="data:image/svg+xml') == 5
    for seed in (0, 1):
        assert f'id="run-{comparison(seed).id}"' in page
    assert "Could not be read and left out of everything here (1)" in page
    assert "2 runs · all finished · 1 damaged" in page
    for command in (f"pwm-bench table {STUDY} --metric esnr --trace", f"pwm-bench plot {STUDY}"):
        assert f"{command} --results" in page
    assert page.index("<h3>cosine</h3>") < page.index("<summary>esnr</summary>")
    chosen = build(Results(root), Selection(studies=(STUDY,)), Options(metric="esnr"))
    assert chosen.index("<h3>esnr</h3>") < chosen.index("<summary>cosine</summary>")
    assert chosen == build(Results(root), Selection(studies=(STUDY,)), Options(metric="esnr"))


def test_what_needs_scores_says_so(capsys, root):
    error = run(capsys, "report", STUDY, "--match", "none", "--results", root, code=2)[1]
    assert "--match: is about scores" in error
    error = run(capsys, "report", STUDY, "--metric", "esnt", "--results", root, code=2)[1]
    assert "did you mean 'esnr'" in error
    with pytest.raises(UsageError, match="no seeds"):
        load_study(Results(root), STUDY).check_scored(STUDY)


def test_figures(capsys, root, tmp_path):
    """One for each value of what varies; with another kind of study beside it, each in a folder of its own."""
    folder = root / "figures" / STUDY
    out, _ = run(capsys, "plot", STUDY, "--format", "svg", "--results", root)
    names = [*(f"{what}-warp-{n}.svg" for n in (0, 1) for what in ("estimates", "landscape")), "repetition-warp.svg"]
    assert [Path(line) for line in out.split()] == [folder / name for name in names]
    assert all((folder / name).stat().st_size > 5000 for name in names)
    small = {"seeds": 2, "grid": 100, "epochs": 1, "batch_size": 50, "starts": 4, "steps": 5, "samples": 4}
    ball = BallWallSpec(**small, variants=("released",))
    assert carry_out(ball, Results(root)).record.status == "ok"
    where = ("--output", tmp_path / "f", "--results", root)
    out, _ = run(capsys, "plot", STUDY, ball.study, "--format", "svg", *where)
    found = {Path(line).relative_to(tmp_path / "f").as_posix() for line in out.split()}
    assert found == {*(f"{STUDY}/{name}" for name in names), f"{ball.study}/ball-wall-released.svg"}
    assert "--kind: is about scores" in run(capsys, "plot", STUDY, "--kind", "curves", "--results", root, code=2)[1]


def test_runs_that_differ_in_nothing_that_was_named_have_figures_apart(capsys, root):
    for seed in (0, 1):
        edit(directory(root, seed).record_file, lambda record: record["spec"].update(setting={}))
    out, _ = run(capsys, "plot", STUDY, "--format", "svg", "--results", root)
    assert {Path(line).parent.name for line in out.split()} == {comparison(seed).id for seed in (0, 1)}


def test_the_table_has_each_cosine_with_its_interval(capsys, root):
    text, _ = run(capsys, "table", STUDY, "--format", "csv", "--results", root)
    frame = pd.read_csv(io.StringIO(text))
    assert len(frame) == 2 * 2 * 2  # comparisons, estimators, horizons
    for seed in (0, 1):
        rows = pd.read_parquet(directory(root, seed).path / FILE)
        rows = rows[(rows.state == -1) & (rows.metric == "cosine")].set_index(["estimator", "horizon"])
        mine = frame[frame.comparison == comparison(seed).id].set_index(["estimator", "horizon"])
        for name in ("value", "low", "high"):
            assert mine[name].to_dict() == pytest.approx(rows[name].to_dict(), nan_ok=True)
    markdown, _ = run(capsys, "table", STUDY, "--format", "markdown", "--results", root)
    for _, row in frame.iterrows():
        shown = f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]".replace("-0.00", "0.00")
        assert shown in markdown
    assert "cartpole in warp, open loop, repetition=1 | score function |" in markdown
    assert "H=2 | H=5" in markdown


def test_a_damaged_file_leaves_the_others_in_the_table(capsys, root):
    file = directory(root, 0).path / FILE
    file.write_bytes(b"PAR1 torn")
    text, err = run(capsys, "table", STUDY, "--format", "csv", "--results", root)
    assert set(pd.read_csv(io.StringIO(text)).comparison) == {comparison(1).id}
    assert err == f"left out: {file}: damaged; restore it, or remove the run's directory\n"
    (directory(root, 1).path / FILE).write_bytes(b"")
    assert "damaged" in run(capsys, "table", STUDY, "--results", root, code=2)[1]


def test_a_world_model_beside_them_is_not_missed(capsys, root):
    """It has no rows, and nobody expects any."""
    spec = TrainModelSpec(task="cartpole", training=TINY_MODEL, study=STUDY)
    assert carry_out(spec, Results(root)).record.status == "ok"
    for command in (("table", STUDY, "--format", "csv"), ("results", "export", STUDY, "--output", root / "o")):
        assert run(capsys, *command, "--results", root)[1] == ""
    text, _ = run(capsys, "results", "ls", STUDY, "--results", root)
    assert any(line.split()[1:] == [spec.id, "train-model", "cartpole", "warp", "ok"] for line in text.splitlines())
    assert verify(Results(root).run(STUDY, spec.id)) == []


def test_the_table_in_latex_and_on_a_terminal(capsys, root, monkeypatch):
    text, _ = run(capsys, "table", STUDY, "--format", "latex", "--label", "tab:x", "--results", root)
    rows = check(text)
    assert rows[0] == ["estimator", "H=2", "H=5"]
    assert "\\label{tab:x}" in text
    failed = fail(root, monkeypatch)
    monkeypatch.setenv("COLUMNS", "80")
    text, _ = run(capsys, "table", STUDY, "--trace", "--results", root)
    assert max(map(len, text.splitlines())) <= 80
    assert f"{STUDY}/{comparison(1).id}" in text
    assert "! left out: " in text
    assert failed.path.name in text.replace("\n", "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--pairs",), "--pairs: is about scores"),
        (("--match", "none"), "--match: is about scores"),
        (("--threshold", "1"), "--threshold: is about scores"),
        (("--with-published",), "--with-published: is about scores"),
        (("--metric", "cosin"), "did you mean 'cosine'"),
        (("--simulator", "mjx"), "unknown simulator of study"),
        (("--algorithm", "pwm"), "have estimators instead"),
    ],
)
def test_the_table_refuses_options_of_scores(capsys, made, options, message):
    assert message in run(capsys, "table", STUDY, *options, "--results", made, code=2)[1]
