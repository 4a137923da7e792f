"""Things by name: ours, those of installed packages, and ``module:attribute``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pwm_bench.envs import plugins
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.plugins import Registry, noting_outsiders, without_imports

GROUP = "pwm_bench.things"
OWN = {"ours": "fractions:Fraction", "both": "decimal:Decimal"}


def install(site: Path, distribution: str, version: str, entries: dict[str, str], **modules: str) -> None:
    """Writes what an installed distribution leaves: its modules, its metadata and its entry points."""
    info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    lines = "\n".join(f"{name} = {value}" for name, value in entries.items())
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{lines}\n")
    (info / "top_level.txt").write_text("\n".join(modules))
    for name, text in modules.items():
        (site / f"{name}.py").write_text(text)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages; what is imported from it is forgotten again."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    for cache in (plugins._entry_points, plugins._distributions):
        cache.cache_clear()
    yield folder
    for name in set(sys.modules) - before:
        del sys.modules[name]
    for cache in (plugins._entry_points, plugins._distributions):
        cache.cache_clear()


def test_ours_come_first_then_those_of_packages(site: Path) -> None:
    install(
        site, "lab", "0.3", {"theirs": "lab_things:THING", "both": "lab_things:OTHER"}, lab_things="THING, OTHER = 7, 8"
    )
    things = Registry("thing", GROUP, OWN)
    assert list(things) == ["ours", "both", "theirs"]
    assert "lab_things" not in sys.modules  # names are known before anything is imported
    assert things.load("both").__name__ == "Decimal"
    assert things.load("theirs") == things.load("lab_things:THING") == 7
    assert [things.source(name) for name in things] == ["", "", "lab 0.3"]
    assert plugins.distribution_of("lab_things").version == "0.3"


def test_errors_name_what_was_asked_what_is_there_and_the_remedy(site: Path) -> None:
    install(
        site, "lab", "0.3", {"theirs": "lab_things:THING", "broken": "lab_bad:X"}, lab_things="THING = 7", lab_bad="1/0"
    )
    things = Registry("thing", GROUP, OWN, lambda thing: "it is no text" if not isinstance(thing, (str, type)) else "")
    with pytest.raises(UsageError, match=r"unknown thing 'thiers': did you mean 'theirs'.*both.*or module:attribute"):
        things.check("thiers")
    with pytest.raises(UsageError, match=r"'broken' of lab 0\.3: lab_bad:X cannot be imported \(ZeroDivisionError"):
        things.load("broken")
    with pytest.raises(UsageError, match=r"'theirs' of lab 0\.3: lab_things:THING is no thing: it is no text"):
        things.load("theirs")
    with pytest.raises(UsageError, match=r"'json:dmps': module 'json' has no 'dmps': did you mean 'dumps'\?"):
        things.load("json:dmps")
    with pytest.raises(UsageError, match=r"'json:nothing': module 'json' has no 'nothing'$"):
        things.load("json:nothing")
    with pytest.raises(
        UsageError, match=r"'no_such_lab:X'.*ModuleNotFoundError.*; modules are looked for among .* in "
    ):
        things.load("no_such_lab:X")
    with pytest.raises(UsageError, match=r"of your own, here 'lab_things\.x:NAME', or 'lab_things\.x:' for"):
        things.check("lab_things.x")
    install(site, "other-lab", "1", {"theirs": "lab_things:OTHER"})
    plugins._entry_points.cache_clear()
    with pytest.raises(
        UsageError, match=r"offered by lab 0\.3 and by other-lab 1; give module:attribute.*lab_things:OTHER"
    ):
        things.load("theirs")


def test_a_module_in_the_working_folder_is_found_last(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    (tmp_path / "my_own_things.py").write_text("class Own: pass")
    (tmp_path / "json.py").write_text("raise RuntimeError('the standard library comes first')")
    monkeypatch.chdir(tmp_path)
    things = Registry("thing", GROUP, OWN)
    assert things.load("my_own_things:Own").__name__ == "Own"
    assert things.load("my_own_things:").__name__ == "my_own_things"
    assert things.load("json:dumps")(1) == "1"


def test_what_came_from_outside_is_noted_and_records_import_nothing(site: Path) -> None:
    install(site, "lab", "0.3", {"theirs": "lab_things.deep:THING"})
    (site / "lab_things").mkdir()
    (site / "lab_things" / "deep.py").write_text("THING = 7")
    things = Registry("thing", GROUP, OWN)
    with without_imports(), pytest.raises(UsageError, match="not imported"):
        things.load("theirs")
    with noting_outsiders() as found:
        things.load("ours")
        assert not found
        things.load("theirs")
    assert found == {"lab_things"}
    assert things.known("ours").__name__ == "Fraction"
    with without_imports():  # it is there by now
        assert things.load("theirs") == 7
