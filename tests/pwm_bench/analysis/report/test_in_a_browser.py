"""The page in a real browser: its controls do what they say, nothing is fetched, nothing goes wrong."""

from __future__ import annotations

import pytest

from pwm_bench.analysis.report.build import Options, build
from pwm_bench.store.results import Results
from pwm_bench.store.selection import Selection
from pwm_bench.text import count, number
from tests.pwm_bench.analysis.report.browser import Browser, find
from tests.pwm_bench.analysis.report.studies import make_study
from tests.pwm_bench.store.factories import write_run

pytestmark = pytest.mark.skipif(find() is None, reason="no Chromium is installed (apt-get install chromium)")

STEPS = [0, 100, 200]
LEFT, RIGHT, HOME, SPACE, ESCAPE = (("ArrowLeft", 37), ("ArrowRight", 39), ("Home", 36), (" ", 32), ("Escape", 27))


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    browser = Browser(find() or "", tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Two tasks; PPO takes ten times as long as SHAC."""
    root = tmp_path_factory.mktemp("small")
    for task in ("ant", "hopper"):
        curves = [[0.0, 10.0, 30.0], [0.0, 20.0, 60.0], [6.0, 30.0, 90.0]]
        write_run(root, f"aaaa{task}", task=task, curves=curves, steps=STEPS, seconds=[0.0, 10.0, 20.0],
                  speeds=[[0.0, 0.5, 1.0]] * 3)  # fmt: skip
        write_run(root, f"bbbb{task}", task=task, algorithm="ppo", curves=[[1.0, 5.0, 9.0], [1.0, 7.0, 71.0]],
                  steps=STEPS, seconds=[0.0, 100.0, 200.0])  # fmt: skip
    return saved(root, "s")


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A hundred runs, some of which failed, with text that tries to run."""
    root = tmp_path_factory.mktemp("large")
    make_study(root, 100)
    return saved(root, "many")


@pytest.fixture
def opened(tab, small):
    tab.problems.clear()
    tab.requests.clear()
    tab.open(small)
    yield tab
    assert tab.problems == []


def saved(root, study, **options):
    file = root / "page.html"
    file.write_text(build(Results(root), Selection(studies=(study,)), Options(**options)), encoding="utf-8")
    return file.as_uri()


def readout(tab, panel=0):
    """Title of the readout, and name -> value."""
    root = f"document.querySelectorAll('.panel')[{panel}]"
    rows = tab.run(f"[...{root}.querySelectorAll('.readout tr')].map(r => [...r.children].map(c => c.textContent))")
    return tab.run(f"{root}.querySelector('.readout caption').textContent"), {row[0]: row[1] for row in rows}


def lines(tab):
    return tab.run("[...document.querySelectorAll('.panel')].map(p => p.querySelectorAll('.curve').length)")


def plot_command(tab):
    return tab.run("document.getElementById('plot-command').textContent")


def test_panels_show_the_numbers(opened):
    assert opened.run("[...document.querySelectorAll('.panel > figcaption')].map(c => c.textContent)") == [
        "ant in warp",
        "hopper in warp",
    ]
    assert readout(opened) == ("At the end of each curve", {"shac": "60.0", "ppo": "40.0"})
    assert lines(opened) == [2, 2]


def test_toggling_algorithms(opened):
    opened.click("#algorithms input[value=ppo]")
    assert lines(opened) == [1, 1]
    assert readout(opened, 1)[1] == {"shac": "60.0"}
    opened.click("#algorithms input[value=shac]")
    assert lines(opened) == [0, 0]
    assert "nothing to show" in opened.run("document.querySelector('.plot').textContent")
    opened.click("#algorithms input[value=ppo]")
    assert readout(opened, 1)[1] == {"ppo": "40.0"}


def test_switching_the_axis(opened):
    label = "document.querySelector('.plot svg').textContent"
    assert "environment steps per seed" in opened.run(label)
    opened.click("#axis input[value=gradient_steps]")
    assert "gradient steps per seed" in opened.run(label)
    opened.click("#axis input[value=time]")
    assert "training time [min], logarithmic" in opened.run(label)  # ten times as long
    assert "--axis time" in plot_command(opened)
    opened.click("#axis input[value=cpu]")
    assert "processor time [min], logarithmic" in opened.run(label)
    assert readout(opened)[0] == "At the end of each curve"
    opened.click("#axis input[value=time]")
    opened.run("document.getElementById('scale').value = 'linear'; "
               "document.getElementById('scale').dispatchEvent(new Event('change'))")  # fmt: skip
    assert "logarithmic" not in opened.run(label)
    assert "--scale linear" in plot_command(opened)


def test_switching_the_score(opened):
    opened.run("document.getElementById('metric').value = 'forward_velocity'; "
               "document.getElementById('metric').dispatchEvent(new Event('change'))")  # fmt: skip
    assert readout(opened)[1] == {"shac": "1.00"}  # PPO did not record it
    assert "--metric forward_velocity" in plot_command(opened)


def test_bands_and_seeds(opened):
    paths = "document.querySelectorAll('.panel')[0].querySelectorAll('.curve path').length"
    assert opened.run("document.querySelectorAll('.band').length") == 4
    before = opened.run(paths)
    opened.click("#band")
    assert opened.run("document.querySelectorAll('.band').length") == 0
    opened.click("#seeds")
    assert opened.run(paths) == before - 2 + 5  # two bands less, five seeds more
    assert "--seeds" not in plot_command(opened)  # which always draws them


def test_reading_values_with_the_mouse(opened):
    opened.run("document.querySelector('.plot').scrollIntoView({block: 'center', behavior: 'instant'})")
    box = "document.querySelector('.plot svg').getBoundingClientRect()"
    left, top, width, height = opened.run(f"(b => [b.x, b.y, b.width, b.height])({box})")
    opened.mouse("mouseMoved", left + width * 0.52, top + height / 2)
    title, values = readout(opened)
    assert title.startswith("Around ")
    assert values == {"shac": "20.0", "ppo": "6.00"}
    opened.mouse("mouseMoved", 1, 1)
    assert readout(opened)[0] == "At the end of each curve"


def test_reading_values_with_the_keyboard(opened):
    opened.run("document.querySelector('.plot').focus()")
    opened.press(*HOME)
    assert readout(opened) == ("Around 0 environment steps per seed", {"shac": "2.00", "ppo": "1.00"})
    opened.press(*RIGHT)
    assert readout(opened)[1] == {"shac": "20.0", "ppo": "6.00"}
    opened.press(*LEFT)
    assert readout(opened)[1]["shac"] == "2.00"
    opened.press(*ESCAPE)
    assert readout(opened)[0] == "At the end of each curve"


def test_controls_with_the_keyboard(opened):
    opened.run("document.querySelector('#axis input').focus()")
    opened.press(*RIGHT)
    assert opened.run("document.querySelector('#axis input:checked').value") == "gradient_steps"
    assert "--axis gradient_steps" in plot_command(opened)
    opened.run("document.querySelector('#algorithms input').focus()")
    opened.press(*SPACE, text=" ")
    assert lines(opened) == [1, 1]


def test_every_control_has_a_name(opened):
    nameless = opened.run(
        "[...document.querySelectorAll('button, input, select, [tabindex]')].filter(e => !(e.ariaLabel || "
        "e.textContent.trim() && e.tagName === 'BUTTON' || e.labels?.[0]?.textContent.trim())).map(e => e.outerHTML)"
    )
    assert nameless == []


def test_colours(tab, small):
    paper = "getComputedStyle(document.body).backgroundColor"
    tab.open(small)
    light = tab.run(paper)
    tab.open(small, dark=True)
    dark = tab.run(paper)
    assert light == "rgb(255, 255, 255)"
    assert dark == "rgb(20, 23, 26)"
    tab.click("#theme")
    assert tab.run(paper) == light
    for _ in range(5):  # the browser may take a moment to hand what was stored to the next page
        tab.open(small, dark=True)
        if tab.run(paper) == light:
            break
    assert tab.run(paper) == light  # it remembers
    tab.click("#theme")
    assert tab.run(paper) == dark
    tab.run("localStorage.clear()")


def test_a_link_opens_the_run(opened):
    assert opened.run("document.getElementById('run-aaaaant').open") is False
    opened.run("document.querySelector('a[href=\"#run-aaaaant\"]').click()")
    opened.run("new Promise(done => setTimeout(done, 100))")
    assert opened.run("document.getElementById('run-aaaaant').open") is True


def test_numbers_are_written_as_in_tables(opened):
    for value in (0.0, 1.234, -0.126, 9.999, 12.34, 99.96, 123.4, 1234.5678, -98765.4):
        assert opened.run(f"number({value})") == number(value)
    for value in (0, 7, 999, 1000, 9550, 301_056, 999_600, 1_500_000, 2_000_000_000):
        assert opened.run(f"count({value})") == count(value)


@pytest.mark.parametrize("width", [320, 800, 1600])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_wider_than_the_window(tab, large, width, dark):
    tab.problems.clear()
    tab.open(large, width=width, dark=dark)
    assert tab.run("document.documentElement.scrollWidth") <= width
    assert tab.problems == []


@pytest.mark.parametrize("width", [1280, 1600])
def test_the_summary_fits_a_usual_screen_with_all_its_columns(tab, tmp_path, width):
    for run, algorithm in (("5fb88a880ed5", "flashsac"), ("97e91b1f9c99", "shac")):
        write_run(tmp_path, run, algorithm=algorithm, curves=[[-146.0, x] for x in (3e3, 4e3, 5e3)], steps=[0, 300_000],
                  seconds=[0.0, 990.0])  # fmt: skip
    tab.open(saved(tmp_path, "s", threshold=500.0), width=width)
    wide, room = tab.run("(e => [e.scrollWidth, e.clientWidth])(document.querySelector('#summary .scroll'))")
    assert wide <= room


def test_nothing_hostile_runs_and_nothing_is_fetched(tab, large):
    tab.problems.clear()
    tab.requests.clear()
    tab.open(large)
    tab.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert tab.run("document.title") == "many · pwm-bench report"
    assert "document.title='owned'" in tab.run("document.getElementById('algorithms').textContent")
    assert tab.run("document.querySelectorAll('main img').length") == 0
    assert tab.requests == [large]
    assert tab.problems == []


def test_a_hundred_runs_are_small_and_quick(tab, large, tmp_path):
    from pathlib import Path
    from urllib.parse import unquote, urlparse

    assert Path(unquote(urlparse(large).path)).stat().st_size < 3_000_000
    tab.open(large)
    assert 0 < int(tab.run("document.documentElement.dataset.ready")) < 5000  # [ms]; a fifth on an idle machine
    tab.pdf(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
