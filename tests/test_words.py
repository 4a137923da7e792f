"""The words of docstrings, which are also the help of the command line."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PREPOSITIONS = frozenset(
    """about above across after against along among around as at before behind below beneath beside besides between
    beyond by despite down during except for from in inside into like likewise near of off on onto out outside over per
    round since through throughout to toward towards under until up upon with within without""".split()  # noqa: SIM905
)


def texts(file: Path) -> Iterator[tuple[int, str]]:
    """Every docstring with its line: of modules, classes and functions, and those below a name."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        for before, statement in zip([None, *body], body, strict=False):
            match statement:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    first = before is None and documented
                    if first or isinstance(before, ast.Assign | ast.AnnAssign):
                        yield statement.lineno, text


def test_no_docstring_begins_with_a_preposition() -> None:
    """A reader should not have to guess what is spoken of."""
    wrong = []
    for room in ("pwm_bench", "envs", "baselines"):
        for file in sorted((ROOT / room).rglob("*.py")):
            for line, text in texts(file):
                words = text.split()
                if words and words[0].strip(",.:;").lower() in PREPOSITIONS:
                    wrong.append(f"{file.relative_to(ROOT)}:{line}: {' '.join(words[:8])}")
    assert wrong == []


def test_a_preposition_is_found(tmp_path: Path) -> None:
    """The check itself, on each place where a docstring may be."""
    file = tmp_path / "module.py"
    file.write_text(
        '"""Of it."""\nx = 1\n"""By it."""\nclass A:\n    y: int\n    """With it."""\ndef f():\n    """In it."""\n'
    )
    assert sorted(text for _, text in texts(file)) == ["By it.", "In it.", "Of it.", "With it."]


def test_no_command_hides_its_examples() -> None:
    """Help leaves out what follows "Example:", as a section of a docstring; "For example:" stays."""
    commands = sorted((ROOT / "pwm_bench" / "cli" / "commands").glob("*.py"))
    found = [(file.name, text) for file in commands for _, text in texts(file)]
    assert sum("For example:" in text for _, text in found) > 5
    assert [name for name, text in found if re.search(r"(?m)^ *Examples?:$", text)] == []
