"""Tables in print: LaTeX that fits a column, and says what the table says."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from pwm_bench.analysis.formats import Layout, Print, render
from pwm_bench.analysis.formats.cells import Block, Cell, Line, Sheet
from pwm_bench.analysis.formats.latex import escape_latex, to_latex
from pwm_bench.analysis.formats.measure import COLUMN, PAGE, text_width
from pwm_bench.analysis.tables.scores import summarise
from pwm_bench.cli.main import main
from pwm_bench.configs import to_json
from pwm_bench.registry import ALGORITHMS
from pwm_bench.store.frames import load_study
from pwm_bench.store.results import Results
from tests.pwm_bench.analysis.formats import latex
from tests.pwm_bench.store.factories import write_run

needs_latex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")


@pytest.fixture
def root(tmp_path):
    """Three algorithms, one of which failed; figures of several sizes."""
    write_run(tmp_path, "aaa", curves=[[0.0, 1234.0], [0.0, 1236.0]], steps=[0, 300_000], seconds=[0.0, 75.0])
    write_run(tmp_path, "bbb", algorithm="ppo", curves=[[0.0, -3.21]], steps=[0, 2_500_000], seconds=[0.0, 4000.0],
              simulator="mjx")  # fmt: skip
    write_run(tmp_path, "ccc", algorithm="pwm", curves=[[1.0]], steps=[0], seconds=[0.0], status="failed",
              reason="ValueError: 50% of a_b & {c}")  # fmt: skip
    return tmp_path


def make(root, **options):
    return summarise(load_study(Results(root), "s"), study="s", **options)


@pytest.fixture
def summary(root):
    return make(root)


@pytest.fixture
def many(tmp_path):
    """Four algorithms, one of them in two variants, on fifteen tasks."""
    tasks = ["hopper", "hopper_stiff", "ant", "snu_humanoid", "double_pendulum", *(f"task_{i}" for i in range(10))]
    for index, task in enumerate(tasks):
        for algorithm in ("shac", "ppo", "sac", "pwm"):
            write_run(tmp_path, f"{algorithm}{index}", task=task, algorithm=algorithm,
                      curves=[[0.0, 11_000.0 + index], [0.0, 11_100.0], [0.0, 10_900.0]], steps=[0, 300_000],
                      seconds=[0.0, 75.0])  # fmt: skip
    write_run(tmp_path, "variant", algorithm="pwm", curves=[[0.0, 1e4]], steps=[0, 300_000], seconds=[0.0, 75.0],
              config={"gamma": 0.95, "world_model.regularisation": "spectral_normalisation"})  # fmt: skip
    return tmp_path


def test_latex_says_the_same(summary):
    text = render(summary, "latex")
    rows = latex.check(text)
    assert "50\\% of a\\_\\allowbreak{}b \\& \\{c\\}" in text
    heads = [re.sub("IQM|score", "value", head) for head in rows[0]]
    assert heads == ["algorithm", "seeds", "steps", "value", "95 \\% CI", "status"]
    assert rows[1] == ["\\multicolumn{6}{@{}l@{}}{\\textit{Hopper in MJX}}"]
    assert rows[2][:4] == ["PPO", "1", "2.5M", "$-$3.21"]
    assert "1,235" in rows[4][3]
    assert [len(row) for row in rows] == [6, 1, 6, 1, 6, 6]
    wide = latex.check(render(summary, "latex", how=Print(wide=True)))
    assert {"gradient", "untrained", "train"} <= set(wide[0])
    assert "\\begin{table*}" in render(summary, "latex", how=Print(wide=True))


def test_label_and_caption(capsys, root):
    arguments = ["table", "s", "--results", str(root), "--format", "latex"]
    assert main([*arguments, "--label", "tab:one", "--caption", "Returns at $300$k steps."]) == 0
    text = capsys.readouterr().out
    assert "\\caption{Returns at $300$k steps.}\\label{tab:one}" in text
    assert main([*arguments, "--wide"]) == 0
    text = capsys.readouterr().out
    assert "\\begin{table*}" in text
    assert "\\label" not in text
    assert "\\caption{s: return}" in text


def test_widths_are_those_of_computer_modern():
    """As TeX measures them: \\setbox0\\hbox{...}\\the\\wd0 at 10 pt."""
    for text, points in (("1,234", 22.78), ("[1,234, 5,678]", 57.23), ("SHAC", 27.78), ("double pendulum", 72.5)):
        assert text_width(text) == pytest.approx(points, rel=0.06)


def sheet(columns: int, rows: int, text: str = "1,234") -> Sheet:
    cells = tuple(Cell(text, interval="[1,200, 1,268]", half="±34") for _ in range(columns))
    lines = tuple(Line((Cell(f"task {row}"), *cells)) for row in range(rows))
    return Sheet(title="t", headers=("task", *(f"a{i}" for i in range(columns))), parts=(), block_header="",
                 aligns=("left", *["right"] * columns), blocks=(Block("", lines),))  # fmt: skip


def test_a_grid_that_gets_wider_gives_up_room_step_by_step():
    beside = to_latex(sheet(2, 1), False)
    assert "1,234 [1,200, 1,268]" in beside
    below = to_latex(sheet(3, 1), False)
    assert "1,234 &" in below
    assert "{\\scriptsize [1,200, 1,268]}" in below
    half = to_latex(sheet(5, 1), False)
    assert "{\\scriptsize $\\pm$34}" in half
    assert half.count("\\begin{tabular}") == 1
    parts = to_latex(sheet(14, 1), False)
    assert parts.count("\\begin{tabular}") > 1
    assert parts.count("\\begin{table}") == 1
    assert to_latex(sheet(14, 1), False, Print(wide=True)).count("\\begin{tabular}") == 1


def test_variants_stand_under_the_names_of_their_algorithms(tmp_path):
    for number, rate in enumerate((0.1, 0.2, 0.3)):
        write_run(tmp_path, f"r{number}", curves=[[0.0, 1234.0], [0.0, 1236.0]], steps=[0, 10], seconds=[0.0, 1.0],
                  config={"learning_rate": rate})  # fmt: skip
    head, *_ = latex.check(render(make(tmp_path), "latex", layout=Layout(columns=("algorithm",))))
    assert head[1] == r"\shortstack[r]{SHAC\\\scriptsize (learning rate=0.1)}"
    text = render(make(tmp_path), "latex")
    latex.check(text)
    assert r"{\quad\scriptsize learning rate=0.1} \\" in text


def test_notes_call_things_what_the_rows_call_them(tmp_path):
    """Terminals and Markdown have the ids, which can be typed."""
    steps = {"steps": [0, 10], "seconds": [0.0, 1.0]}
    config = to_json(ALGORITHMS.known("shac").recipe("hopper_stiff", "warp", "cpu")) | {"critic_iterations": 7}
    write_run(tmp_path, "aaa", task="hopper_stiff", curves=[[0.0, 1.0]] * 2, config=config, code="c0de1", **steps)
    write_run(tmp_path, "bbb", task="hopper_stiff", algorithm="ppo", curves=[[0.0, 1.0]] * 2, code="c0de2", **steps)
    write_run(tmp_path, "ccc", curves=[[0.0, 1.0]] * 2, config=config, code="c0de1", check=(0.5, "float64"), **steps)
    summary = make(tmp_path, pairs=True, normalise="random-expert")
    printed, typed = render(summary, "latex").replace("\\allowbreak{}", ""), render(summary, "markdown")
    for ours, theirs in (
        ("shac: critic_iterations=7 (recipe: 16)", "SHAC: critic iterations=7 (recipe: 16)"),
        ("code c0de1 (shac), code c0de2 (ppo)", "code c0de1 (SHAC), code c0de2 (PPO)"),
        ("probability of improvement in warp", "probability of improvement in Warp"),
        ("hopper in warp 5e-01 (float64)", "Hopper in Warp 5e-01 (float64)"),
        ("! hopper in warp: the simulator's gradient is wrong", "! Hopper in Warp: the simulator's gradient is wrong"),
        ("hopper 0.0 and 1.0; hopper_stiff 0.0 and 1.0", "Hopper 0.0 and 1.0; Hopper (stiff) 0.0 and 1.0"),
    ):
        assert ours in typed
        assert theirs in printed
        assert ours not in printed.replace("\\_", "_")


def test_a_last_block_that_fits_stays_with_the_others():
    """A mean over tasks is no table of its own."""
    tasks, together = sheet(14, 14), sheet(14, 1, "0.73")
    text = to_latex(replace(tasks, blocks=tasks.blocks + together.blocks), False)
    tables = text.split("\\end{table}")[:-1]
    assert len(tables) > 1
    assert all("0.73" in table for table in tables)


def test_quotation_marks_open_and_close():
    text = to_latex(replace(sheet(1, 1), notes=("The recipe 'cpu', but 'a b' by Student's t.",)), False)
    assert "The recipe `cpu', but `a b' by Student's t." in text


def test_a_table_that_is_higher_than_a_page_goes_on_in_another():
    text = to_latex(sheet(2, 100), False, Print(label="tab:x"))
    tables = text.split("\\end{table}")[:-1]
    assert len(tables) == 3
    assert [table.count("task ") for table in tables] == pytest.approx([100 / 3] * 3, abs=5)
    assert text.count("\\label{tab:x}") == 1
    assert text.count("(continued)") == 2
    assert text.count("\\begin{minipage}") == 1


def compiled(folder, tables, document: str = "[twocolumn,a4paper]{article}") -> str:
    """The log of pdfLaTeX, with booktabs alone, as TeX writes it."""
    body = "\n".join(f"Before.\n{table}\nAfter.\\clearpage" for table in tables)
    page = f"\\documentclass{document}\\usepackage{{booktabs}}\\begin{{document}}\n{body}\n\\end{{document}}\n"
    (folder / "page.tex").write_text(page)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    return done.stdout


@needs_latex
def test_it_fits_a_column_of_a_two_column_class(many, tmp_path):
    """Default and wide tables, grids with published numbers, a table of every column: nothing is overfull."""
    study = make(many, published="closest", threshold=1000.0)
    few = make(many, normalise="random-expert")
    tables = [render(study, "latex"), render(study, "latex", how=Print(wide=True)), render(few, "latex")]
    for columns in (("algorithm",), ("task",), ("simulator",)):
        tables.append(render(study, "latex", layout=Layout(columns=columns)))
    every = ("gradient", "seeds", "steps", "interval", "median", "area", "untrained", "train", "compile", "evaluate",
             "rate", "gradient_steps", "status")  # fmt: skip
    tables.append(render(study, "latex", layout=Layout(columns=every)))
    tables.append(render(study, "latex", layout=Layout(rows="algorithm")))
    assert not any("\\makebox" in table for table in tables)
    log = compiled(tmp_path, tables)
    assert "Overfull" not in log, re.findall("Overfull.*", log)
    assert "too large" not in log
    assert "Warning: Label" not in log


@needs_latex
def test_it_says_what_the_table_says(summary, tmp_path):
    log = compiled(tmp_path, [render(summary, "latex", how=Print(label="tab:a"))], "{article}")
    assert "Overfull" not in log
    if shutil.which("pdftotext"):
        text = subprocess.run(["pdftotext", "-layout", tmp_path / "page.pdf", "-"], capture_output=True, text=True,
                              check=True).stdout  # fmt: skip
        assert "1,235" in text
        assert "Table 1:" in text
        assert "SHAC" in text


@needs_latex
def test_columns_are_as_wide_as_they_are_taken_to_be(tmp_path):
    r"""The narrowest of the usual two-column classes is not narrower: \columnwidth and \textwidth of article on A4."""
    log = compiled(tmp_path, [r"\typeout{WIDTHS \the\columnwidth\space\the\textwidth}"])
    column, page = (float(width) for width in re.search(r"WIDTHS ([\d.]+)pt ([\d.]+)pt", log).groups())
    assert COLUMN <= column < COLUMN + 5
    assert page >= PAGE


@pytest.mark.parametrize(
    ("plain", "escaped"),
    [
        ("a_b 50% & {c} $x^2 ~#", r"a\_b 50\% \& \{c\} \$x\textasciicircum{}2 \textasciitilde{}\#"),
        ("-0.5 to -3, e-5, well-known", r"$-$0.5 to $-$3, e-5, well-known"),
        ("C:\\dir <x> |y|", r"C:\textbackslash{}dir \textless{}x\textgreater{} \textbar{}y\textbar{}"),
        ("–", "--"),
    ],
)
def test_specials_print_as_they_stand(plain, escaped):
    assert escape_latex(plain) == escaped


def test_the_latex_reader_refuses_what_does_not_compile(summary):
    text = render(summary, "latex")
    for wrong in (
        text.replace("\\end{tabular}", ""),
        text.replace("1,235", "\\textbf{1,235"),
        text.replace("2.5M &", "2.5M"),
        text.replace("a\\_\\allowbreak{}b", "a_b"),
        text.replace("SHAC &", "[SHAC] &"),
        text.replace("\\toprule", "\\topline"),
    ):
        assert wrong != text
        with pytest.raises((AssertionError, IndexError)):
            latex.check(wrong)
