"""The house rules that a reader of one file cannot see: one id function, one base of specs, records below what runs."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [file for room in ("pwm_bench", "envs", "baselines") for file in sorted((ROOT / room).rglob("*.py"))]
SHORT_HASHES = {
    "pwm_bench/records/identity.py": "the id of a run",
    "pwm_bench/records/provenance.py": "code and uncommitted changes",
    "pwm_bench/runner/fingerprint.py": "what the task is",
}
"""Files that cut a hash to 12 digits, and what it says."""
FOREIGN = ("MjSpec", "BatchSpec")


def name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def test_there_is_one_id_function():
    assert {name(file) for file in SOURCES if re.search(r"hexdigest\(\)\[:12\]", file.read_text())} == set(SHORT_HASHES)


def test_every_spec_has_the_one_base():
    bases = {}
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = [ast.unparse(base).split(".")[-1] for base in node.bases]
    specs = [cls for cls in bases if cls.endswith("Spec") and cls not in ("Spec", *FOREIGN)]
    assert len(specs) > 6
    for cls in [*specs, "Comparison"]:
        seen = list(bases[cls])
        while seen and "Spec" not in seen:
            seen = [above for base in seen for above in bases.get(base, [])]
        assert seen, f"{cls} is no pwm_bench.runs.spec.Spec, so its runs have no id"


def imported(file: Path) -> set[str]:
    """Modules that a file imports, in functions too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


RUNNING = tuple(f"pwm_bench.{room}" for room in ("runs", "runner", "jobs", "sweep", "commands", "cli"))
ABOVE = {
    "envs": ("pwm_bench", "baselines"),
    "pwm_bench/learning": ("pwm_bench.records", "baselines", *RUNNING),
    "baselines": ("pwm_bench.records", *RUNNING),
    "pwm_bench/records": RUNNING,
    "pwm_bench/analysis": RUNNING,
    "pwm_bench/gradients": RUNNING[1:],  # specs are in runs
    "pwm_bench/runner": ("pwm_bench.jobs", *RUNNING[3:]),
    "pwm_bench/jobs": RUNNING[3:],
}
"""Room -> what it must not import."""


@pytest.mark.parametrize(("room", "above"), ABOVE.items())
def test_no_room_imports_one_above_it(room: str, above: tuple[str, ...]):
    for file in sorted((ROOT / room).rglob("*.py")):
        up = {m for m in imported(file) if any(m == a or m.startswith(f"{a}.") for a in above)}
        assert not up, f"{name(file)} imports {sorted(up)}"
