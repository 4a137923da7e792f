"""The house rules that a reader of one file cannot see: one id function, one base of specs, records below what runs."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.scripts import script

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


def files_with(pattern: str) -> set[str]:
    return {name(file) for file in SOURCES if re.search(pattern, file.read_text(), re.MULTILINE)}


def test_one_loop_carries_all_work_out():
    """It alone writes checkpoints and counts; a behaviour saves the policies that it leaves for others."""
    assert files_with(r"\bcheckpoint\.save\(") == {"pwm_bench/runs/loop.py", "pwm_bench/jobs/behaviour.py"}
    assert files_with(r"\bjournal\.count\(") == {"pwm_bench/runs/loop.py"}
    assert files_with(r"\bClocks\(") == {"pwm_bench/runs/execute.py"}


def test_there_is_one_progress_protocol_and_one_display():
    assert files_with(r"^class \w*(Progress|Event|Snapshot)\b") == {"pwm_bench/runs/progress.py"}
    assert files_with(r"^class \w*Display\b") == {"pwm_bench/cli/display.py"}
    assert files_with(r"rich\.live") == {"pwm_bench/cli/display.py"}
    assert all(file.startswith("pwm_bench/cli/") for file in files_with(r"rich\.progress import .*\bProgress\b"))


def test_no_room_imports_one_above_it_and_there_is_no_circle():
    architecture = script("architecture")
    assert architecture.faults(architecture.arrows()) == []


def test_the_picture_is_what_the_imports_draw():
    architecture = script("architecture")
    picture = architecture.PICTURE.read_text(encoding="utf-8")
    assert picture == architecture.draw(architecture.arrows()), "run python docs/architecture.py"


def test_an_arrow_up_and_a_circle_are_found(tmp_path):
    architecture = script("architecture")
    for name, text in {
        "pwm_bench/store/a.py": "from pwm_bench.runs.job import Job\n",
        "pwm_bench/runs/job.py": "def f():\n    import pwm_bench.store.a\n",
        "pwm_bench/attic/b.py": "from pwm_bench.envs import api\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert architecture.faults(architecture.arrows(tmp_path)) == [
        "attic: a room that FLOORS does not have",
        "store imports runs, which is not below it: pwm_bench/store/a.py",
        "circle: runs -> store -> runs",
    ]
