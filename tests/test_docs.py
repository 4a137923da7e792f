"""Pages and the links between them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.scripts import script

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), ROOT / "results" / "README.md"]


def anchors(page: Path) -> set[str]:
    """What links to a page's headings may name, as GitHub makes it."""
    headings = re.findall(r"(?m)^#+ (.*)$", page.read_text(encoding="utf-8"))
    anchored = re.findall(r'<a (?:id|name)="([^"]+)"', page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings} | set(anchored)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def test_the_index_has_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    missing = [page.name for page in (ROOT / "docs").glob("*.md") if f"({page.name})" not in index]
    assert missing == ["README.md"]


def test_every_extra_that_is_named_exists() -> None:
    """What pages and errors tell people to install, and what tox installs."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    sources = [file for room in ("pwm_bench", "envs", "baselines") for file in (ROOT / room).rglob("*.py")]
    named = set()
    for file in (*PAGES, *sources, ROOT / "pyproject.toml"):
        for names in re.findall(r"(?:pwm-bench|-e '?\.)\[([a-z,]+)\]", file.read_text(encoding="utf-8")):
            named |= set(names.split(","))
    for names in re.findall(r"(?m)^extras = (.*)$", (ROOT / "tox.ini").read_text(encoding="utf-8")):
        named |= set(names.split(", "))
    assert {"ray", "suites", "test"} <= named
    assert named - set(extras) == set()


def test_the_tables_of_benchmarks_are_the_rows_that_were_kept() -> None:
    """No figure in them was typed; a changed one is found."""
    benchmarks = script("benchmarks")
    page = benchmarks.PAGE.read_text(encoding="utf-8")
    assert page.count("<!-- rows: ") == page.count("<!-- end -->") - page.count("<!-- machine: ") > 5
    assert benchmarks.written(page) == page
    figure = re.search(r"<!-- rows: .*?\| hopper \|.*?(\d+) \|", page, re.DOTALL)
    assert figure is not None
    changed = page[: figure.start(1)] + "12345" + page[figure.end(1) :]
    assert benchmarks.written(changed) == page
