from __future__ import annotations

import csv
import io
import json
import shutil

import pytest
from rich.console import Console

from pwm_bench.analysis.formats import Layout, render, to_rich
from pwm_bench.analysis.published import load_published
from pwm_bench.analysis.tables.scores import summarise
from pwm_bench.envs.errors import UsageError
from pwm_bench.store.frames import load_study
from pwm_bench.store.results import Results
from tests.pwm_bench.store.factories import write_run


@pytest.fixture
def root(tmp_path):
    write_run(tmp_path, "aaa", curves=[[0.0, 1234.0], [0.0, 1236.0]], steps=[0, 300_000], seconds=[0.0, 75.0])
    write_run(
        tmp_path,
        "bbb",
        algorithm="ppo",
        curves=[[0.0, -3.21]],
        steps=[0, 2_500_000],
        seconds=[0.0, 4000.0],
        simulator="mjx",
    )
    write_run(
        tmp_path, "ccc", algorithm="pwm", curves=[[1.0]], steps=[0], seconds=[0.0], status="failed",
        reason="ValueError: 50% of a_b & {c}",
    )  # fmt: skip
    return tmp_path


def make(root, **options):
    return summarise(load_study(Results(root), "s"), study="s", **options)


@pytest.fixture
def summary(root):
    return make(root)


def screen(summary, width, **options) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(to_rich(summary, width=width, **options))
    return console.export_text()


@pytest.mark.parametrize("width", [80, 120, 160])
def test_a_terminal_shows_every_number_whole(summary, width):
    text = screen(summary, width)
    assert max(len(line) for line in text.splitlines()) <= width
    for cell in (
        "1,235",
        "[1,222, 1,248]",
        "300k",
        "-3.21",
        "2.5M",
        "1.2 min",
        "1.1 h",
        "8k",
        "failed",
        "hopper in warp",
    ):
        assert cell in text, cell
    assert "…" not in text
    assert "ValueError: 50% of a_b & {c}" in " ".join(text.split())
    assert text.count("compile") == 1


def test_narrow_terminals_get_two_tables_and_wide_ones_one(summary):
    assert "s: return · cost" in screen(summary, 80)
    assert "cost" not in screen(summary, 160)


def test_a_narrow_terminal_shows_the_status_where_something_went_wrong(root, summary):
    assert "status" in screen(summary, 80)
    shutil.rmtree(root / "runs" / "s" / "ccc")
    assert "status" not in screen(make(root), 80)
    assert "status" in screen(make(root), 160)


def test_trace_names_the_runs(summary):
    assert "runs aaa" not in screen(summary, 120)
    assert "hopper in warp, shac: runs aaa" in screen(summary, 120, trace=True)
    for format in ("markdown", "latex"):
        assert "runs aaa" not in render(summary, format)
        assert "runs aaa" in render(summary, format, trace=True)


def markdown_rows(summary, **options) -> list[list[str]]:
    lines = [line for line in render(summary, "markdown", **options).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_markdown_is_a_table(summary):
    head, _, *rows = markdown_rows(summary)
    assert len(rows) == 3
    assert {len(row) for row in rows} == {len(head)}
    assert rows[0][:7] == ["hopper in mjx", "ppo", "score", "1", "2.5M", "-3.21", "–"]
    assert rows[1][5] == "1,235"  # nothing to compare with: the other one failed


def test_columns_are_chosen_by_name(summary):
    head, _, *rows = markdown_rows(summary, layout=Layout(columns=("median", "seeds")))
    assert head == ["task", "algorithm", "median", "seeds"]
    assert rows[1] == ["hopper in warp", "shac", "1,235", "2"]
    text = screen(summary, 80, layout=Layout(columns=("median", "train")))
    assert "cost" not in text
    assert "1.1 h" in text


def test_rows_by_algorithm(summary):
    head, _, *rows = markdown_rows(summary, layout=Layout(rows="algorithm", columns=("score",)))
    assert head == ["algorithm", "task", "score"]
    assert rows[0] == ["ppo", "hopper in mjx", "-3.21"]
    assert rows[2] == ["shac", "hopper in warp", "1,235"]


@pytest.mark.parametrize(
    ("columns", "head", "rows"),
    [
        ("task", ["algorithm", "hopper in mjx", "hopper in warp"],
         [["ppo", "-3.21", "–"], ["pwm", "–", "failed"], ["shac", "–", "1,235 [1,222, 1,248]"]]),
        ("algorithm", ["task", "ppo", "pwm", "shac"],
         [["hopper in mjx", "-3.21", "–", "–"], ["hopper in warp", "–", "failed", "1,235 [1,222, 1,248]"]]),
        ("simulator", ["task, algorithm", "mjx", "warp"],
         [["hopper, ppo", "-3.21", "–"], ["hopper, pwm", "–", "failed"],
          ["hopper, shac", "–", "1,235 [1,222, 1,248]"]]),
    ],
)  # fmt: skip
def test_grids(summary, columns, head, rows):
    layout = Layout(columns=(columns,))
    found = markdown_rows(summary, layout=layout)
    assert [found[0], *found[2:]] == [head, *rows]
    assert "failed" in screen(summary, 100, layout=layout)
    assert "steps/s" not in screen(summary, 100, layout=layout)  # nor a note on what is not shown


@pytest.mark.parametrize(("width", "shown"), [(77, True), (76, False), (50, False), (30, False)])
def test_a_grid_keeps_its_numbers_whole(tmp_path, width, shown):
    for number, rate in enumerate((0.1, 0.2, 0.3)):
        write_run(tmp_path, f"r{number}", curves=[[0.0, 1234.0], [0.0, 1236.0]], steps=[0, 10], seconds=[0.0, 1.0],
                  config={"learning_rate": rate})  # fmt: skip
    text = screen(make(tmp_path), width, layout=Layout(columns=("algorithm",)))
    assert text.count("*1,235") == 3  # none can be told apart
    assert text.count("(learning_rate=0.") == 3
    assert text.count("hopper") == (1 if width > 70 else 2 if width == 50 else 3)  # in as many parts as needed
    assert text.count("[1,222, 1,248]") == (3 if shown else 0)
    assert ("Intervals need a terminal of 77 columns" in " ".join(text.split())) is not shown
    assert max(map(len, text.splitlines())) <= width


def test_a_grid_of_algorithms_ends_with_all_tasks_together(tmp_path):
    peak = 4742.297
    for task, scale in (("hopper", peak), ("ant", 6604.663)):
        curves = [[0.0, scale], [0.0, 2 * scale]]
        write_run(tmp_path, f"{task}1", task=task, curves=curves, steps=[0, 10], seconds=[0.0, 1.0])
    write_run(tmp_path, "ppo1", algorithm="ppo", curves=[[0.0, peak / 2]], steps=[0, 10], seconds=[0.0, 1.0])
    layout = Layout(columns=("algorithm",))
    head, _, *rows = markdown_rows(make(tmp_path, normalise="ppo"), layout=layout)
    assert head == ["task", "ppo", "shac"]  # one simulator needs no name in every row
    assert [row[:2] for row in rows] == [["ant", "–"], ["hopper", "0.50"], ["2 tasks together", "–"]]
    assert rows[2][2].startswith("1.50 [")  # not in bold: nothing to compare with
    write_run(tmp_path, "mjx1", simulator="mjx", curves=[[0.0, peak]], steps=[0, 10], seconds=[0.0, 1.0])
    *_, last = markdown_rows(make(tmp_path, normalise="ppo"), layout=layout)
    assert last[0] == "2 tasks together in warp"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": "tasks"}, "unknown kind of rows 'tasks': did you mean 'task'"),
        ({"columns": ("scor",)}, "unknown column 'scor': did you mean 'score'"),
        ({"columns": ("score", "task")}, "make a grid and stand alone"),
    ],
)
def test_impossible_layouts(options, message):
    with pytest.raises(UsageError, match=message):
        Layout(**options)


def test_csv_keeps_full_precision_and_the_runs(summary):
    rows = list(csv.DictReader(io.StringIO(render(summary, "csv"))))
    by_name = {row["algorithm"]: row for row in rows}
    assert float(by_name["shac"]["mean"]) == 1235.0
    assert by_name["shac"]["runs"] == "aaa"
    assert by_name["shac"]["scores"] == "1234.0 1236.0"
    assert float(by_name["ppo"]["mean"]) == pytest.approx(-3.21, abs=1e-15)
    assert by_name["ppo"]["low"] == ""
    assert by_name["pwm"]["mean"] == ""
    assert by_name["pwm"]["status"] == "failed: ValueError: 50% of a_b & {c}"
    assert {row["origin"] for row in rows} == {"here"}


def test_json_says_everything(root):
    content = json.loads(render(make(root, threshold=1e9), "json"))
    rows = {row["algorithm"]: row for row in content["rows"]}
    assert rows["shac"]["mean"] == 1235.0
    assert rows["shac"]["runs"] == ["aaa"]
    assert rows["shac"]["steps_to_threshold"] is None  # never
    assert content["threshold"] == 1e9
    assert any("Matched at " in note for note in content["notes"])


def test_parquet_is_the_same_table(summary):
    pq = pytest.importorskip("pyarrow.parquet")
    table = pq.read_table(io.BytesIO(render(summary, "parquet")))
    rows = {row["algorithm"]: row for row in table.to_pylist()}
    assert rows["shac"]["mean"] == 1235.0
    assert rows["shac"]["seeds"] == 2
    assert rows["shac"]["runs"] == ["aaa"]
    assert rows["shac"]["scores"] == [1234.0, 1236.0]
    assert b"Matched at " in table.schema.metadata[b"notes"]


def test_time_to_a_threshold_has_columns(root):
    summary = make(root, threshold=1235.0)
    head, _, *rows = markdown_rows(summary)
    steps, time = head.index("steps to 1,235"), head.index("time to 1,235")
    assert rows[0][steps] == "never"
    assert rows[1][steps] == "never"  # one of two seeds gets there: the median is infinite
    assert markdown_rows(make(root, threshold=1234.0))[3][steps : time + 1] == ["300k", "1.2 min"]


def test_published_rows_stand_apart(root):
    summary = make(root, match="none", published="closest")
    _, _, *rows = markdown_rows(summary)
    ours = [row for row in rows if "published" not in row[0]]
    assert [row[1] for row in ours] == ["ppo", "shac", "pwm"]
    assert ours[1][5] == "1,235"
    theirs = {row[1].split(" <sup>")[0]: row for row in rows if row[0] == "hopper, published"}
    assert theirs["PWM"][5:7] == ["5,649", "[5,583, 5,715]"]
    text = render(summary, "markdown")
    for footnote in ("Run in dflex itself", "Budget not matched", "in no average, no rank"):
        assert footnote in text
    data = list(csv.DictReader(io.StringIO(render(summary, "csv"))))
    assert {row["origin"] for row in data} == {"here", "published"}
    assert next(row for row in data if row["algorithm"] == "PWM")["footnotes"].startswith("Source: pwm_hopper.csv.")
    assert "PWM" in screen(summary, 80)


def test_published_numbers_in_grids(root):
    summary = make(root, match="none", published="closest")
    grid = markdown_rows(summary, layout=Layout(columns=("task",)))
    assert [row[0] for row in grid[2:5]] == ["ppo", "pwm", "shac"]
    theirs = {row[0]: row[1] for row in grid[5:]}
    assert theirs["PWM (published)"] == "5,649 [5,583, 5,715] <sup>a,b,c,d,e</sup>"
    assert theirs["SHAC (published)"].startswith("4,796 [4,703, 4,889]")
    assert "</sup> 1,024 environments." in render(summary, "markdown", layout=Layout(columns=("task",)))
    head, _, in_mjx, in_warp = markdown_rows(summary, layout=Layout(columns=("algorithm",)))
    assert head[:4] == ["task", "ppo", "pwm", "shac"]
    assert set(head[4:]) == set(theirs)
    assert in_warp[head.index("PWM (published)")] == in_mjx[head.index("PWM (published)")] == theirs["PWM (published)"]
    simulators = markdown_rows(summary, layout=Layout(columns=("simulator",)))
    assert simulators[0] == ["task, algorithm", "mjx", "warp"]
    assert "hopper, PWM (published)" in [row[0] for row in simulators]


def test_a_matched_table_shows_what_was_published_at_the_budget(tmp_path):
    for name, algorithm in (("aaa", "shac"), ("bbb", "ppo")):
        write_run(tmp_path, name, algorithm=algorithm, curves=[[0.0, 10.0]] * 3, steps=[0, 300_000], seconds=[0.0, 1.0])
    summary = make(tmp_path, match="env_steps", published="closest")
    assert {entry.algorithm: round(entry.mean) for entry in summary.published["hopper", "warp"]} == {
        "PWM": 2473, "SHAC": 189, "SAC": 155, "PPO": -49, "TD-MPC2": -13
    }  # fmt: skip
    text = screen(summary, 120)
    assert "without a curve there: AHAC (hopper at 300k steps)" in " ".join(text.split())
    narrow = screen(summary, 80)
    scores, cost = narrow.split("· cost")
    assert "PWM b,c,d" in scores  # the marks stand by the name, not behind what sets it apart
    assert "1,024 environments" in scores
    assert "status" not in scores
    assert "hopper, published" not in cost  # nothing is known of it
    assert not any(row.algorithm == "PWM" for row in summary.rows)


def test_published_numbers_of_many_tasks_stay_few(tmp_path):
    """Eighty tasks trained together: the closest row of each algorithm, of which the publication has two."""
    from pwm_bench.store.schema import Member

    tasks = ["walker-stand", "walker-walk", "mw-reach"]
    tasks += [entry.task for entry in load_published() if entry.setting.startswith("MT80, 48M parameters, planning")]
    tasks = [task for task in dict.fromkeys(tasks) if " " not in task][:80]
    curves = [[0.0, 100.0]] * len(tasks)
    directory = write_run(tmp_path, "aaa", algorithm="pwm-multitask", curves=curves, steps=[0, 10], seconds=[0.0, 1.0])
    record = directory.read()
    record.members = [Member(seed=0, task=task, untrained_return=0.0, final_return=1.0) for task in tasks]
    directory.write(record)
    shown = make(tmp_path, match="none", published="closest").published
    assert len(shown) == len(tasks) == 80
    assert {entry.algorithm for entries in shown.values() for entry in entries} == {"PWM", "TD-MPC2"}
    assert all(len(entries) <= 2 for entries in shown.values())
    assert all(entry.setting.startswith("MT80") for entries in shown.values() for entry in entries)
