from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pwm_bench.store import provenance


@pytest.fixture
def repository(tmp_path) -> Path:
    """A repository with a commit of this module's file name."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "provenance.py").write_text("one\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first")
    return folder


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_clean_tree_has_a_commit_and_no_changes(repository):
    assert provenance.git_state(repository) == (git(repository, "rev-parse", "HEAD"), None)


def test_uncommitted_changes_show_and_differ(repository):
    (repository / "provenance.py").write_text("two\n")
    _, edited = provenance.git_state(repository)
    (repository / "new.py").write_text("three\n")
    _, added = provenance.git_state(repository)
    (repository / "new.py").write_text("four\n")
    _, changed = provenance.git_state(repository)
    assert len({None, edited, added, changed}) == 4


def test_results_do_not_make_a_tree_dirty(repository):
    (repository / "results.jsonl").write_text("1\n")
    assert provenance.git_state(repository)[1] is None


def test_without_a_repository_there_is_no_commit(tmp_path):
    assert provenance.git_state(tmp_path) == (None, None)


def test_a_repository_without_commits_has_none(tmp_path):
    git(tmp_path, "init", "-q")
    assert provenance.git_state(tmp_path) == (None, None)


def test_an_installed_copy_inside_somebodys_repository_does_not_count(repository):
    site = repository / "venv"
    site.mkdir()
    (site / "provenance.py").write_text("installed\n")
    assert provenance.git_state(site) == (None, None)


def test_everything_is_gathered_on_a_cpu():
    found = provenance.collect("cpu", "float32")
    assert found.device == found.processor
    assert "core" in found.processor
    assert found.driver is None
    assert found.threads >= 1
    assert {"torch", "numpy", "mujoco"} <= found.packages.keys()


def test_a_module_from_outside_has_its_version_and_a_hash_over_its_sources(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "lab_of_one_file.py"
    versions = []
    for text in ("X = 1", "X = 2"):
        file.write_text(text)
        provenance.plugin_version.cache_clear()
        versions.append(provenance.plugin_version("lab_of_one_file"))
    assert versions[0] != versions[1]
    assert all(len(version) == 12 for version in versions)  # it belongs to no distribution
    assert provenance.plugin_version("rich").startswith("rich ")
    assert provenance.plugin_version("no_such_lab") == "missing"
