"""A study that a user has written: a TOML file, or a Python file with a function ``study()``."""

from __future__ import annotations

import sys
import tomllib
import traceback
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from shlex import quote
from typing import Any

from pwm_bench import configs
from pwm_bench.envs.errors import UsageError
from pwm_bench.store.plain import read_plain
from pwm_bench.store.spec import check_study_name
from pwm_bench.studies.groups import Group, expand, unknown_at
from pwm_bench.sweeps.graph import Study

__all__ = ["EXAMPLE", "check_own_name", "load_file"]

EXAMPLE = Path(__file__).with_name("example.toml")
"""A commented study file."""
_KEYS = {"name": str, "description": str, "metric": str, "columns": tuple[str, ...], "defaults": dict, "runs": list}


def load_file(path: str | Path) -> Study:
    """Reads a study file. A Python file is run, so it must be one that the user has named and trusts.

    Args:
        path: of a TOML file, see docs/studies.md; or of a Python file, whose function ``study()`` returns a
            `pwm_bench.sweeps.graph.Study`.

    Returns:
        The study; a TOML file is called by its key ``name``, or else by the file's name.

    Raises:
        UsageError: it cannot be read, or does not say what it must; the file, the key, the value and the remedy are
            named. A Python file in the folder of stored runs is refused: nothing there may run code.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"{path}: no such study file; `pwm-bench study init {quote(str(path))}` writes an example")
    return _from_python(path) if path.suffix == ".py" else _from_toml(path)


def _from_toml(path: Path) -> Study:
    try:
        values = tomllib.loads(read_plain(path).decode())
    except (OSError, ValueError, RecursionError) as error:  # not UTF-8, not TOML, or a number of thousands of digits
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path}: not valid TOML ({reason}); `pwm-bench study init` writes an example") from None
    for key in values:
        if key not in _KEYS:
            raise unknown_at(str(path), "key", key, _KEYS)
    known = {
        key: configs.coerce(values[key], hint, f"{path}: {key}")
        for key, hint in _KEYS.items()
        if key in values and hint not in (dict, list)
    }
    name = known.setdefault("name", path.stem)
    check_own_name(name, path)
    groups = _groups(values, path)
    try:
        return Study(**{"description": f"from {path.name}", **known}, nodes=expand(groups))
    except UsageError as error:
        raise error if str(error).startswith(str(path)) else UsageError(f"{path}: {error}") from None


def _groups(values: dict[str, Any], path: Path) -> list[Group]:
    defaults, runs = values.get("defaults", {}), values.get("runs", [])
    if not isinstance(defaults, dict):
        raise UsageError(f"{path}: defaults={defaults!r}: must be a table of keys that groups of runs have")
    if not isinstance(runs, list) or not all(isinstance(group, dict) for group in runs):
        raise UsageError(f"{path}: runs={runs!r}: must be groups of runs, each begun by a line [[runs]]")
    if not runs:
        raise UsageError(f"{path}: runs: there is no group of runs; add one, begun by a line [[runs]]")
    groups = [Group.read(group, defaults, path, number) for number, group in enumerate(runs, 1)]
    for key in defaults:
        if not any(key in group.keys for group in groups):
            raise unknown_at(f"{path}: defaults", "key", key, {known for group in groups for known in group.keys})
    return groups


def check_own_name(name: str, path: Path) -> None:
    """Makes sure that a study's name can be a folder's, and is not that of a study that comes with the package.

    Raises:
        UsageError: it is.
    """
    from pwm_bench.studies.registry import names

    try:
        check_study_name(name)
    except UsageError as error:
        raise UsageError(f"{path}: name: {error}") from None
    if name in names():
        raise UsageError(f"{path}: name={name!r}: a study of the package has this name; choose another one")


def _from_python(path: Path) -> Study:
    if _is_stored(path):
        raise UsageError(f"{path}: lies among stored runs, where nothing may run code; copy it elsewhere first")
    module_spec = spec_from_file_location(f"_study_file_{path.stem}", path)
    assert module_spec is not None
    assert module_spec.loader is not None
    module = module_from_spec(module_spec)
    sys.modules[module.__name__] = module  # where dataclasses look
    sys.path.insert(0, str(path.resolve().parent))  # it may import its neighbours, as any script
    try:
        module_spec.loader.exec_module(module)
        if not callable(getattr(module, "study", None)):
            raise UsageError(f"{path}: has no function study(); add one that returns a pwm_bench.sweeps.graph.Study")
        study = module.study()
    except UsageError as error:
        raise error if str(error).startswith(str(path)) else UsageError(f"{path}: {error}") from None
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        place = f", line {lines[-1]}" if lines else ""
        raise UsageError(f"{path}{place}: {type(error).__name__}: {error}; mend the file") from error
    finally:
        sys.path.remove(str(path.resolve().parent))
    if not isinstance(study, Study):
        raise UsageError(
            f"{path}: study() returned {type(study).__name__}; it must return a pwm_bench.sweeps.graph.Study"
        )
    check_own_name(study.name, path)
    return study


def _is_stored(path: Path) -> bool:
    """Whether a file lies within a folder of runs."""
    above = path.resolve().parents
    return any(folder.name in ("runs", "removed") and any(folder.glob("*/*/run.json")) for folder in above)
