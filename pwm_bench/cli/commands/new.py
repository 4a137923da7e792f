"""``pwm-bench new``: the beginning of a package of one's own."""

from __future__ import annotations

import keyword
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from typing import Annotated, ClassVar

import tyro

from pwm_bench.cli.commands.options import option
from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.hints import show_hints

__all__ = ["PARTS", "New"]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """What a package can bring: the group and the name of its entry point, the attribute, and how it is checked."""

    group: str
    name: str
    attribute: str = ""
    check: str = ""


PARTS: Mapping[str, _Part] = {
    "simulator": _Part(
        group="simulators", name="linear", attribute="SimulatorLinear",
        check='check_simulator("{lab}.simulator:SimulatorLinear", "{lab}.task:Shuttle")',
    ),
    "task": _Part(group="tasks", name="shuttle", attribute="Shuttle", check='check_task("{lab}.task:Shuttle")'),
    "learner": _Part(group="algorithms", name="plain", check='check_learner("{lab}:learner", num_envs=4, horizon=4)'),
    "estimator": _Part(
        group="estimators", name="spherical", attribute="Spherical",
        check='check_estimator("{lab}.estimator:Spherical")',
    ),
    "study": _Part(group="studies", name="shuttle-study", attribute="shuttle_study"),
    "reporter": _Part(group="reporters", name="diary", attribute="Diary"),
    "executor": _Part(group="executors", name="nice", attribute="NiceExecutor"),
}  # fmt: skip
"""Module of the example -> what it brings."""
_NEEDS = {"simulator": ("task",), "study": ("simulator", "task", "learner", "estimator")}
"""Parts whose example uses others."""
_EXAMPLE = "spring_lab"
_PYPROJECT = """[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{name}"
version = "0.1"
dependencies = ["pwm-bench"]

{entries}

[tool.setuptools]
packages = ["{lab}"]
"""
_TEST = '''"""The package does what pwm-bench expects of its parts."""

from pwm_bench import testing

{checks}
'''


@dataclass(frozen=True, kw_only=True)
class New:
    """Write the beginning of a package of your own: working examples of a simulator, a task, a learner, a gradient
    estimator and other parts, to be changed. docs/extend.md explains them.

    For example:
      pwm-bench new my_lab
      pwm-bench new my_lab task
    """

    leaves_files: ClassVar[bool] = True

    name: Annotated[str, tyro.conf.Positional, option("NAME")]
    """The name of the package; it is written into a new folder of this name."""
    parts: Annotated[tuple[str, ...], tyro.conf.Positional, option("PART ...", "all")] = ()
    """Those that you need: simulator, task, learner, estimator, study, reporter, executor."""

    def __call__(self) -> int:
        """Writes it."""
        from pwm_bench.cli.showing import terminal

        lab, folder = self.name, Path(self.name)
        if not lab.isidentifier() or not lab.isascii() or lab.strip("_") != lab or keyword.iskeyword(lab):
            raise UsageError(f"new {lab}: must be a name that Python can import, e.g. my_lab")
        parts = self._parts()
        if folder.exists() or folder.is_symlink():
            raise UsageError(f"new {lab}: '{folder}' is there already; give another name, or remove it")
        if find_spec(lab) is not None:
            raise UsageError(f"new {lab}: another package has that name, and would be hidden; give another one")
        files = _files(lab, parts)
        try:
            for path, text in files.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"new {lab}: cannot be written ({error.strerror}); choose another place") from None
        console = terminal()
        console.print(f"{folder}: {', '.join(sorted(map(str, files)))}", highlight=False, soft_wrap=True)
        show_hints(console, list(_next(lab, parts)))
        return 0

    def _parts(self) -> list[str]:
        for part in self.parts:
            if part not in PARTS:
                raise unknown("part of a package", part, PARTS)
        wanted = {part for one in self.parts or PARTS for part in (one, *_NEEDS.get(one, ()))}
        return [part for part in PARTS if part in wanted]


def _files(lab: str, parts: list[str]) -> dict[Path, str]:
    """All files of the package, by their place in its folder."""
    try:
        example = resources.files("pwm_bench.example")
    except ModuleNotFoundError:  # an installation in place that is older than the example
        raise UsageError("new: this installation lacks the example; install pwm-bench again (pip install)") from None
    texts = {part: (example / f"{part}.py").read_text(encoding="utf-8") for part in ("__init__", *parts)}
    dashed = lab.replace("_", "-")
    entries = [
        f'[project.entry-points."pwm_bench.{one.group}"]\n'
        f'{one.name} = "{lab}.{part}{":" if one.attribute else ""}{one.attribute}"'
        for part, one in PARTS.items()
        if part in parts
    ]
    checks = [
        f"\ndef test_the_{part}() -> None:\n    testing.{PARTS[part].check.format(lab=lab)}\n"
        for part in parts
        if PARTS[part].check
    ]
    files = {
        Path(lab) / f"{part}.py": text.replace(_EXAMPLE, lab).replace(_EXAMPLE.replace("_", "-"), dashed)
        for part, text in texts.items()
    }
    files[Path("pyproject.toml")] = _PYPROJECT.format(name=dashed, lab=lab, entries="\n".join(entries))
    if checks:
        files[Path(f"test_{lab}.py")] = _TEST.format(checks="\n".join(checks)).rstrip() + "\n"
    return files


def _next(lab: str, parts: list[str]) -> Iterator[tuple[str, str]]:
    inside = f"cd {quote(lab)} && "
    if any(PARTS[part].check for part in parts):
        yield "check that its parts do what is expected", f"{inside}python -m pytest"
    task = f"{lab}.task:Shuttle" if "task" in parts else "cartpole"
    simulator = f"{lab}.simulator:SimulatorLinear" if "simulator" in parts else "warp"
    learner = f"{lab}:learner" if "learner" in parts else "shac"
    if {"task", "simulator", "learner"} & {*parts}:
        names = f"--task {task} --simulator {simulator} --algorithm {learner}"
        yield "train with it", f"{inside}pwm-bench run {names} --env-steps 20k"
    if "estimator" in parts:
        yield (
            "compare its estimator",
            f"{inside}pwm-bench gradients cartpole --estimators analytic {lab}.estimator:Spherical",
        )
    if "study" in parts:
        yield "do its study", f"pip install -e {quote(lab)} && pwm-bench sweep {PARTS['study'].name}"
    yield "use its names without the modules", f"pip install -e {quote(lab)} && pwm-bench list"
