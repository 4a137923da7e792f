"""Names from files, of which whoever wrote them has the choice: each format shows them, and obeys none."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess

import pandas as pd
import pytest
from markdown_it import MarkdownIt

from pwm_bench.analysis.formats import Layout, render
from pwm_bench.analysis.formats.latex import escape_latex
from pwm_bench.analysis.formats.text import escape_markdown
from pwm_bench.analysis.tables.scores import summarise
from pwm_bench.cli.main import main
from pwm_bench.store.frames import load_study
from pwm_bench.store.results import Results
from pwm_bench.text import spreadsheet
from tests.pwm_bench.store.factories import write_run

STUDY = "=1+1 $&{"
NAMES = [
    r"\input{/etc/passwd}", "^^5cinput x", "50% of {x}_y#~^&", "$x^2$ $\\frac{", "日本é→ñßíŵ α", "``x''", "--?`",
    "=cmd|' '!A1", "+1+cmd", "-1+cmd", "@SUM(1)", "<script>alert(1)</script>", "<!-- x", "</table><b>", "\"'><i>",
    "a|b", "\\| x", "[x](javascript:alert)", "![x](y.png)", "**b** _i_ `c`", "&lt;b>", "<https:x.org>", "[x]: y", "~~~",
]  # fmt: skip
FORMULA = re.compile(r"[=+\-@\t\r]")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A run for each name, which is that of its algorithm and of one of its settings; tasks and simulators too."""
    root = tmp_path_factory.mktemp("results")
    ends = {"steps": [0, 300], "seconds": [0.0, 1.0], "study": STUDY}
    for index, name in enumerate(NAMES):
        config = {"gamma": 0.99, "kind": name}
        write_run(root, f"a{index:03}", curves=[[0.0, -2.5], [0.0, -1.5]], algorithm=name, config=config, **ends)
        if index % 4 == 0:
            other = {"task": name, "simulator": name, "status": "failed", "reason": name}
            write_run(root, f"b{index:03}", curves=[[0.0, -2.5]], **other, **ends)
    return root


@pytest.fixture(scope="module")
def summary(results):
    return summarise(load_study(Results(results), STUDY), study=STUDY)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles_and_reads_no_file(summary, tmp_path):
    body = render(summary, "latex", trace=True) + render(summary, "latex", layout=Layout(columns=("task",)))
    document = f"\\documentclass{{article}}\\usepackage{{booktabs}}\\begin{{document}}{body}\\end{{document}}"
    (tmp_path / "t.tex").write_text(document)
    words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-recorder", "t.tex"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "passwd" not in (tmp_path / "t.fls").read_text()


def test_latex_is_ascii_and_has_no_command_of_a_name():
    for name in NAMES:
        text = escape_latex(name)
        assert text.isascii()
        assert not re.search(r"\\(input|frac)|(?<!\\)[%&#]|\^\^", text), text
    assert escape_latex("日é í w\u0302") == r"[U+65E5]\'{e} \'{\i{}} w[U+0302]"


def test_a_spreadsheet_finds_numbers_and_texts_and_no_formula(summary, results, tmp_path):
    rows = list(csv.DictReader(io.StringIO(render(summary, "csv"))))
    assert {row["algorithm"].removeprefix("'") for row in rows} >= set(NAMES)
    first = next(row for row in rows if row["algorithm"] == "'=cmd|' '!A1")
    assert float(first["mean"]) == -2.0
    assert pd.read_csv(io.StringIO(render(summary, "csv")))["mean"].dtype == float
    words = ["results", "export", STUDY, "--format", "csv", "--results", str(results), "--output", str(tmp_path)]
    assert main(words) == 0
    for text in (render(summary, "csv"), *(file.read_text() for file in tmp_path.glob("*.csv"))):
        for row in csv.reader(io.StringIO(text)):
            for cell in filter(FORMULA.match, row):
                assert [float(number) for number in re.split(r"[ |]+", cell)], cell


def test_only_texts_change_for_spreadsheets():
    values = [-1.5, 3, None, True, "a-b", "", "=1", "-1", "\tx", "'="]
    assert [spreadsheet(value) for value in values] == [*values[:6], "'=1", "'-1", "'\tx", "'="]


def test_markdown_shows_names_and_has_no_markup_of_theirs(summary):
    page = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    tokens = page.parse(render(summary, "markdown", trace=True))
    kinds = {token.type for token in tokens} | {inner.type for token in tokens for inner in token.children or ()}
    assert not kinds & {"link_open", "image", "code_inline", "em_open", "html_block", "fence", "s_open", "heading_open"}
    html = {inner.content for token in tokens for inner in token.children or () if inner.type == "html_inline"}
    assert html <= {"<sup>", "</sup>"}
    rows = page.renderer.render(tokens, page.options, {}).split("<tr>")[1:]
    assert len({len(re.findall(r"<t[hd]", row)) for row in rows}) == 1
    for name in NAMES:
        (line,) = page.parseInline(escape_markdown(name))
        assert "".join(inner.content for inner in line.children or ()) == name


def test_markdown_of_plain_names_and_numbers_stays_readable():
    for text in ("hopper_stiff", "[1.2, 3.4] (gamma=0.9)", "p < 0.05 & more", "-1,234", "a/b: c - d"):
        assert escape_markdown(text) == text


def test_html_has_no_element_of_a_name(summary, results, tmp_path):
    for page in (render(summary, "html"), _report(results, tmp_path)):
        assert "<script>alert" not in page
        assert "<b>" not in page
        assert page.count("<script") == page.count("</script>")
        assert not re.search(r"<(i|img|iframe)\b[^>]*>", page.replace("<i></i>", ""))


def _report(results, folder) -> str:
    assert main(["report", STUDY, "--results", str(results), "--output", str(folder / "page.html")]) == 0
    return (folder / "page.html").read_text()


def test_figures_show_names_and_set_no_mathematics(results, tmp_path):
    words = ["plot", STUDY, "--results", str(results), "--kind", "curves", "--format", "svg", "--output", str(tmp_path)]
    assert main(words) == 0
    assert list(tmp_path.rglob("*.svg"))
