"""What the page says is what the records say."""

from __future__ import annotations

import json
import re
import shlex
from html.parser import HTMLParser

import pytest

from pwm_bench.analysis.plots.style import look
from pwm_bench.analysis.report.build import Options, build
from pwm_bench.analysis.tables.scores import summarise
from pwm_bench.cli.main import main
from pwm_bench.envs.errors import UsageError
from pwm_bench.store.frames import load_study
from pwm_bench.store.results import Results
from pwm_bench.store.selection import Selection
from pwm_bench.text import number
from tests.pwm_bench.analysis.report.studies import HOSTILE, make_study
from tests.pwm_bench.store.factories import write_run

STEPS = [0, 100, 200]


class Page(HTMLParser):
    """Elements, attributes and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.ids, self.links, self.texts, self.cells = [], set(), [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attributes}
        values = dict(attributes)
        self.ids += [values["id"]] if "id" in values else []
        self.links += [values["href"]] if "href" in values else []
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data):
        self.texts.append(data)
        if self.cells and self.tags[-1] in ("td", "th", "strong"):
            self.cells[-1] += data


@pytest.fixture
def root(tmp_path):
    """SHAC with three seeds, PPO of which a seed diverged, a PWM that failed, and a damaged run."""
    curves = [[0.0, 10.0, 30.0], [0.0, 20.0, 60.0], [6.0, 30.0, 90.0]]
    speeds = [[0.0, 0.5, 1.0]] * 3
    write_run(tmp_path, "aaaa", curves=curves, steps=STEPS, seconds=[0.0, 10.0, 20.0], speeds=speeds,
              earlier_machines=["Old CPU, 1 thread"])  # fmt: skip
    write_run(tmp_path, "bbbb", algorithm="ppo", curves=[[1.0, 5.0, 9.0], [1.0, 7.0, 70.0]], steps=STEPS,
              seconds=[0.0, 100.0, 200.0], diverged=(1,), reason="seed 1 diverged")  # fmt: skip
    failed = write_run(tmp_path, "cccc", algorithm="pwm", curves=[[2.0]], steps=[0], seconds=[0.0], status="failed",
                       reason="ValueError: no luck")  # fmt: skip
    failed.traceback.write_text("Traceback\n  somewhere\nValueError: no luck\n")
    (tmp_path / "runs" / "s" / "dddd").mkdir()
    (tmp_path / "runs" / "s" / "dddd" / "run.json").write_text("{")
    return tmp_path


def page_of(root, **options):
    return build(Results(root), Selection(studies=("s",)), Options(**options))


def data_of(text):
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


def commands_of(text):
    found = re.findall(r'<code class="command">(pwm-bench .*?)</code>', text)
    return [command.replace("&#x27;", "'").replace("&quot;", '"') for command in found]


def test_table_holds_the_summary(root):
    summary = summarise(load_study(Results(root), "s"), study="s")
    page = Page(page_of(root))
    for row in summary.rows:
        if row.seeds:
            assert number(row.mean) in page.cells
            assert f"[{number(row.low)}, {number(row.high)}]" in page.cells
        assert all(f"#run-{run}" in page.links for run in row.runs)
    for note in summary.notes:
        assert note in page.texts
    assert {"run-aaaa", "run-bbbb", "run-cccc"} < set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_a_simulator_keeps_the_capitals_of_its_name(tmp_path):
    for algorithm in ("shac", "ppo"):
        write_run(tmp_path, algorithm, simulator="my_lab:MySimulator", algorithm=algorithm,
                  curves=[[0.0, 9.0], [0.0, 7.0]], steps=[0, 10], seconds=[0.0, 1.0])  # fmt: skip
    assert "Probability of improvement in my_lab:MySimulator" in page_of(tmp_path)


def test_many_tasks_come_as_a_grid_first(root, tmp_path_factory):
    assert "Tasks by algorithms" not in page_of(root)
    many = tmp_path_factory.mktemp("many")
    for index in range(5):
        for algorithm, value in (("shac", 10.0 + index), ("ppo", 3.0)):
            write_run(many, f"{algorithm}{index}", task=f"task{index}", algorithm=algorithm,
                      curves=[[0.0, value], [0.0, value + 2.0]], steps=[0, 10], seconds=[0.0, 1.0])  # fmt: skip
    text = page_of(many)
    grid = Page(text[text.index("Tasks by algorithms") : text.index("Summary table")])
    assert grid.cells[:6] == ["task", "ppo", "shac", "task0", "4.00", "11.0"]
    assert grid.texts.count("[-8.71, 16.7]") == 5


def test_both_tables_have_their_footnotes(tmp_path):
    """The letters of the grid are those of the list below, which explains each once."""
    for task in ("hopper", "ant", "humanoid", "anymal", "walker-walk"):
        for algorithm in ("shac", "ppo"):
            write_run(tmp_path, f"{algorithm}{task}", task=task, algorithm=algorithm, curves=[[0.0, 9.0], [0.0, 7.0]],
                      steps=[0, 300_000], seconds=[0.0, 1.0])  # fmt: skip
    text = page_of(tmp_path, published="closest")
    listed = re.findall(r"<li><sup>(\w+)</sup> ([^<]*)</li>", text)
    letters = dict(listed)
    assert len(letters) == len(listed) == len(set(letters.values()))
    used = {letter for marks in re.findall(r"<sup>([\w ]+)</sup>", text) for letter in marks.split()}
    assert used == set(letters)
    row = re.search(r'<tr><th scope="row" class="left">hopper</th>.*?</tr>', text)[0]
    shac = re.search(r"189<sup>([\w ]+)</sup>", row)[1]
    assert "1,024 environments." in [letters[letter] for letter in shac.split()]
    assert 'class="right published"' in row


def test_the_command_under_the_table_prints_its_numbers(root, capsys):
    command = next(c for c in commands_of(page_of(root, match="none", threshold=50.0)) if "table" in c)
    assert main(shlex.split(command)[1:]) == 0
    printed = capsys.readouterr().out
    rows = summarise(load_study(Results(root), "s"), study="s", match="none", threshold=50.0).rows
    assert rows[0].mean == pytest.approx(60.0)
    assert all(number(row.mean) in printed for row in rows if row.seeds)
    assert "aaaa" in printed


def test_curves_are_those_of_the_figures(root):
    data = data_of(page_of(root))
    (panel,) = data["panels"]
    assert panel["title"] == "hopper in warp"
    shac = panel["curves"]["return"]["env_steps"]["shac"]
    assert shac["x"] == STEPS
    assert shac["y"] == [2, 20, 60]  # fewer than four seeds: means
    assert shac["n"] == 3
    assert shac["low"][-1] <= 60 <= shac["high"][-1]
    assert panel["curves"]["return"]["gradient_steps"]["shac"]["x"] == [0, 10, 20]
    assert panel["curves"]["return"]["time"]["ppo"]["x"] == [0, 100, 200]
    assert panel["curves"]["forward_velocity"]["env_steps"]["shac"]["y"] == [0, 0.5, 1]
    assert "ppo" not in panel["curves"]["forward_velocity"]["env_steps"]  # did not record it
    assert [seed["y"] for seed in panel["seeds"]["return"]["ppo"]] == [[1, 5, 9], [1, 7, 70]]
    looks = {algorithm["name"]: algorithm["colour"] for algorithm in data["algorithms"]}
    assert looks == {"ppo": look("ppo").colour, "shac": look("shac").colour}
    axes = ["env_steps", "gradient_steps", "policy_gradient_steps", "time", "cpu"]
    assert [axis["name"] for axis in data["axes"]] == axes
    assert [metric["name"] for metric in data["metrics"]] == ["return", "forward_velocity", "length"]


def test_normalised_scores_are_said_to_be(root):
    data = data_of(page_of(root, normalise="random-expert"))
    assert data["metrics"][0]["label"] == "normalised return"
    assert data["panels"][0]["curves"]["return"]["env_steps"]["shac"]["y"][-1] == 1
    assert data["panels"][0]["curves"]["forward_velocity"]["env_steps"]["shac"]["y"][-1] == 1
    assert data["metrics"][1]["label"] == "forward velocity"


def test_failures_are_listed_with_their_reasons(root):
    text = page_of(root)
    failures = text[text.index('<section id="failures"') : text.index('<section id="runs"')]
    assert "ValueError: no luck" in failures
    assert "  somewhere" in failures  # of the traceback
    assert "diverged: seed 1 at 5 steps" in failures
    assert "dddd/run.json: damaged" in failures
    assert "aaaa" not in failures


def test_every_run_has_its_provenance(root):
    text = page_of(root)
    runs = text[text.index('<section id="runs"') :]
    for expected in (
        "Test CPU (2 cores), float32",
        "Old CPU, 1 thread",
        "train 20 s",
        "200 environment steps",
        "seeds 0–2",
        "pwm-bench results show aaaa",
    ):
        assert expected in runs, expected


def test_the_same_records_give_the_same_page(root):
    assert page_of(root) == page_of(root)


def test_a_study_without_a_finished_run(tmp_path):
    write_run(tmp_path, "cccc", curves=[[2.0]], steps=[0], seconds=[0.0], status="killed", reason="signal 9")
    text = page_of(tmp_path)
    assert "No run has finished yet." in text
    assert "signal 9" in text
    assert data_of(text)["panels"] == []


def test_a_study_whose_runs_are_all_damaged(tmp_path):
    (tmp_path / "runs" / "s" / "dddd").mkdir(parents=True)
    (tmp_path / "runs" / "s" / "dddd" / "run.json").write_text("{")
    assert "dddd/run.json: damaged" in page_of(tmp_path)


def test_hostile_text_stays_text(tmp_path):
    make_study(tmp_path, 48)
    text = build(Results(tmp_path), Selection(studies=("many",)), Options())
    page = Page(text)
    assert page.tags.count("script") == 2
    assert "img" not in page.tags
    assert not {name for name in page.attributes if name.startswith("on")}
    assert HOSTILE in "".join(page.texts)  # it is there, to be read
    assert f"shac (field_1={HOSTILE})" in [algorithm["name"] for algorithm in data_of(text)["algorithms"]]


def test_a_page_asks_for_nothing(root):
    text = page_of(root)
    assert "default-src 'none'" in text
    assert not re.search(r"(src|href)=\"(?!#|data:)", text)
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|https?://(?!www\.w3\.org/2000/svg)", text)


def test_videos(root, tmp_path):
    (root / "runs" / "s" / "aaaa" / "walk.gif").write_bytes(b"GIF89a-beside")
    given = tmp_path / "seen & done.mp4"
    given.write_bytes(b"mp4-given")
    text = page_of(root, videos=(given,))
    assert "data:image/gif;base64,R0lGODlhLWJlc2lkZQ==" in text
    assert "data:video/mp4;base64,bXA0LWdpdmVu" in text
    assert "seen &amp; done.mp4" in text
    assert "walk.gif (0.0 MB)" in page_of(root, megabytes=0.0)
    for wrong, message in (("x.mp4", "cannot be read"), ("x.exe", "suffix")):
        with pytest.raises(UsageError, match=message):
            page_of(root, videos=(tmp_path / wrong,))
    with pytest.raises(UsageError, match="raise --megabytes"):
        page_of(root, videos=(given,), megabytes=0.0)


def test_figures_of_a_gradient_study(root):
    with pytest.raises(UsageError, match="--gradients s"):
        page_of(root, gradients=("s",))
    assert 'id="gradients"' not in page_of(root)
    write_run(root, "0123", study="gradients-s", curves=[], steps=[], seconds=[],
              git_commit="f" * 40, device="Test GPU", kind="compare-gradients")  # fmt: skip
    for model in ("4567", "89ab"):
        write_run(root, model, study="gradients-s", curves=[], steps=[], seconds=[],
                  git_commit="f" * 40, device="Test GPU", kind="train-model")  # fmt: skip
    drawn = root / "figures" / "gradients-s" / "0123"
    drawn.mkdir(parents=True)
    (drawn / "estimates-warp.svg").write_text("<svg/>")
    for text in (page_of(root), page_of(root, gradients=("s",))):
        assert "data:image/svg+xml;base64,PHN2Zy8+" in text
        assert "1 comparison, 2 world models; commit ffffffffffff; Test GPU." in text
        assert "estimates · warp (0123)" in text


def test_the_caption_says_what_is_drawn(root):
    from pwm_bench.analysis.plots.frames import AVERAGE, CAPTION

    caption = re.search(r'id="caption" hidden>(.*?)<code', page_of(root), re.DOTALL)[1].replace("&#x27;", "'")
    assert caption.startswith(AVERAGE)
    assert CAPTION.startswith(AVERAGE)


def test_several_studies_are_one_page(root, capsys):
    write_run(root, "eeee", study="t", algorithm="sac", curves=[[0.0, 1.0, 77.0]], steps=STEPS,
              seconds=[0.0, 1.0, 2.0])  # fmt: skip
    assert main(["report", "s", "t", "--results", str(root)]) == 0
    file = root / "reports" / "s+t.html"
    assert capsys.readouterr().out.strip() == str(file)
    text = file.read_text(encoding="utf-8")
    page = Page(text)
    assert {"run-aaaa", "run-bbbb", "run-cccc", "run-eeee"} < set(page.ids)
    assert "77.0" in page.cells
    assert "<title>s + t · pwm-bench report</title>" in text
    commands = commands_of(text)
    assert sum(command.startswith(("pwm-bench table s t ", "pwm-bench report s t ")) for command in commands) == 2
    assert data_of(text)["command"].startswith("pwm-bench plot s t --kind curves")
    assert "somewhere" in text  # the traceback of a run of the first study


def test_the_command(root, capsys):
    assert main(["report", "s", "--results", str(root)]) == 0
    file = root / "reports" / "s.html"
    assert capsys.readouterr().out.strip() == str(file)
    text = file.read_text(encoding="utf-8")
    assert text == page_of(root)
    command = commands_of(text)[-1]
    file.unlink()
    assert main(shlex.split(command)[1:]) == 0  # the page names the command that makes it
    assert file.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["t"], "unknown study"),
        (["s", "--metric", "height"], "metric=height"),
        (["s", "--match", "luck"], "match"),
        (["s", "--megabytes", "-1"], "--megabytes"),
        (["s", "--output", "/proc/no/where.html"], "--output"),
    ],
)
def test_bad_input_is_one_line(root, capsys, arguments, message):
    assert main(["report", *arguments, "--results", str(root)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_page_of_some_algorithms_at_a_budget(root):
    """Its summary, and the commands that print the same numbers, are about these alone."""
    selection = Selection(studies=("s",), tasks=("hopper",), algorithms=("shac", "ppo"))
    text = build(Results(root), selection, Options(budget=150.0))
    assert "at 150 environment steps" in text
    commands = commands_of(text)
    for name in ("table", "report"):
        (found,) = {one for one in commands if one.startswith(f"pwm-bench {name} ")}
        assert f"pwm-bench {name} s --task hopper --algorithm shac ppo --budget 150" in found
    assert "probability of improvement" in text.lower()
    assert "ValueError: no luck" not in text  # of PWM


def test_the_list_of_runs_tells_variants_apart(tmp_path):
    given = {"curves": [[0.0, 1.0, 2.0]], "steps": STEPS, "seconds": [0.0, 1.0, 2.0]}
    write_run(tmp_path, "aaaa", **given)
    write_run(
        tmp_path,
        "bbbb",
        config={"critic": False},
        variant="without a critic",
        status="failed",
        reason="ValueError: no luck",
        **given,
    )
    text = build(Results(tmp_path), Selection(studies=("s",)), Options())
    title = "shac (without a critic) · hopper in warp"
    assert f'<span class="what">{title}</span>' in text
    assert '<span class="what">shac · hopper in warp</span>' in text
    assert f'<td class="left">{title}</td>' in text.partition('id="failures"')[2]
