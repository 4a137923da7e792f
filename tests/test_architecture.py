"""The house rules that a reader of one file cannot see: one id function, one base of specs, records below what runs."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = [file for room in ("pwm_bench", "envs", "baselines") for file in sorted((ROOT / room).rglob("*.py"))]
SHORT_HASHES = {
    "pwm_bench/store/identity.py": "the id of a run",
    "pwm_bench/store/provenance.py": "code and uncommitted changes",
    "pwm_bench/jobs/fingerprint.py": "what the task is",
}
"""Files that cut a hash to 12 digits, and what it says."""
FOREIGN = ("MjSpec", "BatchSpec")


def name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def test_there_is_one_id_function():
    assert {name(file) for file in SOURCES if re.search(r"hexdigest\(\)\[:12\]", file.read_text())} == set(SHORT_HASHES)


def test_every_spec_has_the_one_base():
    bases: dict[str, list[str]] = {}
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef):
                bases.setdefault(node.name, []).extend(ast.unparse(base).split(".")[-1] for base in node.bases)
    specs = [cls for cls in bases if cls.endswith("Spec") and cls not in ("Spec", *FOREIGN)]
    assert len(specs) > 6
    for cls in [*specs, "Comparison"]:
        seen = list(bases[cls])
        while seen and "Spec" not in seen:
            seen = [above for base in seen for above in bases.get(base, [])]
        assert seen, f"{cls} is no pwm_bench.store.spec.Spec, so its runs have no id"


def imported(file: Path) -> set[str]:
    """Modules that a file imports, in functions too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def above(*rooms: str) -> tuple[str, ...]:
    return tuple(f"pwm_bench.{room}" for room in rooms)


PERSON = above("cli")
MANY = (*above("sweep", "studies"), *PERSON)
ONE = (*above("runs", "jobs", "analysis"), *MANY)
LEARNERS = (*above("pwm", "world_model", "gradients"), "baselines", *ONE)
ABOVE = {
    "envs": ("pwm_bench", "baselines"),
    "pwm_bench/statistics": (*above("learning", "store"), *LEARNERS),
    "pwm_bench/store": (*above("learning"), *LEARNERS),
    "pwm_bench/learning": LEARNERS,
    "pwm_bench/world_model": (*above("gradients"), "baselines", *ONE),
    "pwm_bench/pwm": ONE,
    "baselines": ONE,
    "pwm_bench/gradients": ONE,
    "pwm_bench/analysis": (*above("runs", "jobs"), *MANY),
    "pwm_bench/runs": (*above("jobs", "analysis"), *MANY),
    "pwm_bench/jobs": (*above("analysis"), *MANY),
    "pwm_bench/sweep": (*above("studies"), *PERSON),
    "pwm_bench/studies": PERSON,
}
"""Room -> what it must not import."""


def test_no_room_imports_one_above_it():
    upward = set()
    for room, above in ABOVE.items():
        for file in sorted((ROOT / room).rglob("*.py")):
            up = {m for m in imported(file) for a in above if m.startswith(f"{a}.") or (m == a != "baselines")}
            if up:
                upward.add(name(file))
    assert not upward
