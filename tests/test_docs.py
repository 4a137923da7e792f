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


def test_the_tables_of_all_pages_are_what_their_records_say() -> None:
    """No figure in them was typed; a changed one is found."""
    tables = script("tables")
    pages = {path: path.read_text(encoding="utf-8") for path in tables.PAGES}
    for path, page in pages.items():
        marks = sum(page.count(f"<!-- {kind}: ") for kind in tables._CONTENT)
        assert page.count("<!-- end -->") == marks, path
        assert tables.written(page) == page, f"{path}: run python docs/tables.py"
    for name, kind, row in (
        ("benchmarks.md", "rows", "hopper"), ("algorithms.md", "table", "shac"), ("tuning.md", "percentiles", "ant"),
        ("algorithms.md", "budgets", "ahac"), ("gradients.md", "gradients", "cosine, world model"),
    ):  # fmt: skip
        page = pages[ROOT / "docs" / name]
        figure = re.search(rf"<!-- {kind}: .*?\| {row} \|[^\n]*?(\d+)", page, re.DOTALL)
        assert figure is not None, name
        changed = page[: figure.start(1)] + "12345" + page[figure.end(1) :]
        assert tables.written(changed) == page, name


def test_what_a_table_cannot_be_made_of_is_said() -> None:
    tables = script("tables")
    with pytest.raises(SystemExit, match=r"pwm-bench table hoper .*: ended with 2"):
        tables.written("<!-- table: hoper -->\n<!-- end -->")
