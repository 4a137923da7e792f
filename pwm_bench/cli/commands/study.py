"""``pwm-bench study``: write and check a study file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Annotated

import tyro

from pwm_bench.cli.commands.options import ResultsFolder, default_results, option
from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.hints import show_hints

__all__ = ["Study"]

_ACTIONS = ("init", "check")


@dataclass(frozen=True, kw_only=True)
class Study:
    """Write an example of a study file, or check one and show its runs.

    For example:
      pwm-bench study init my_study.toml
      pwm-bench study check my_study.toml
    """

    action: Annotated[str, tyro.conf.Positional, option("ACTION")]
    """init [FILE.toml]: write a commented example. check FILE: say what is wrong with a study file, or else show its
    runs and what they read, as `pwm-bench sweep FILE --dry-run` does; the code of a FILE.py is run."""
    file: Annotated[Path | None, tyro.conf.Positional, option("FILE", "my_study.toml for init")] = None
    """The study file."""
    results: ResultsFolder = field(default_factory=default_results)
    """Results folder: what is finished there is shown as done."""

    def __call__(self) -> int:
        """Does it."""
        if self.action not in _ACTIONS:
            raise unknown("action", self.action, _ACTIONS)
        return _init(self.file or Path("my_study.toml")) if self.action == "init" else self._check()

    def _check(self) -> int:
        from pwm_bench.cli.commands.sweep import Sweep
        from pwm_bench.studies.registry import is_file

        if self.file is None or not is_file(str(self.file)):
            raise UsageError(f"study check {self.file or ''}: must be followed by a study file, FILE.toml or FILE.py")
        return Sweep(study=str(self.file), results=self.results, dry_run=True)()


def _example(file: Path) -> str:
    """The example, called as its file where a study may be called so: two files are two studies."""
    from pwm_bench.studies.file import EXAMPLE, check_own_name

    text, name = EXAMPLE.read_text(), file.stem.replace("_", "-")
    try:
        check_own_name(name, file)
    except UsageError:
        return text
    return text.replace('"my-study"  ', f"{json.dumps(name, ensure_ascii=False):<12}", 1)


def _init(file: Path) -> int:
    from pwm_bench.cli.showing import terminal
    from pwm_bench.store.files import write_atomic

    if file.suffix != ".toml":
        raise UsageError(f"study init {file}: the example is TOML; give a name that ends in .toml")
    if file.exists():
        raise UsageError(f"study init {file}: is there already; give another name, or remove it")
    try:
        write_atomic(file, _example(file).encode())
    except OSError as error:
        raise UsageError(f"study init {file}: cannot be written ({error.strerror}); give another name") from None
    console = terminal()
    console.print(f"{file}: an example, with two runs; change it", highlight=False, soft_wrap=True)
    show_hints(
        console,
        [
            ("see what it stands for", f"pwm-bench study check {quote(str(file))}"),
            ("do its runs", f"pwm-bench sweep {quote(str(file))}"),
        ],
    )
    return 0
