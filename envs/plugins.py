"""Things that have names: ours, those that installed packages offer, and any other as ``module:attribute``.

A `Registry` holds the things of one kind, such as simulators. A name is looked for among our own things first, then
among the entry points of installed packages, which are read when they are first needed; a name with a colon is
imported, and ``module:`` is the module itself. Nothing is imported before it is asked for, and what cannot be imported
is named with its package and error.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.metadata
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from pwm_bench.envs.errors import UsageError, unknown

__all__ = ["Registry", "distribution_of", "noting_outsiders", "without_imports"]

_OUTSIDERS: ContextVar[set[str] | None] = ContextVar("outsiders", default=None)
_CLOSED: ContextVar[bool] = ContextVar("closed", default=False)


class Registry:
    """All things of one kind, by name. Iterating gives the names that can be listed: ours, then others in order.

    Args:
        what: what errors call such a thing, e.g. ``"simulator"``.
        group: group of the entry points, e.g. ``"pwm_bench.simulators"``.
        own: our things, name -> ``module`` or ``module:attribute``.
        lacks: says what a thing from outside lacks to be of this kind, e.g. ``"it has no 'Config'"``; empty if nothing.
    """

    def __init__(
        self, what: str, group: str, own: Mapping[str, str], lacks: Callable[[Any], str] = lambda thing: ""
    ) -> None:
        self.what, self.group, self.own, self._lacks = what, group, own, lacks

    def __iter__(self) -> Iterator[str]:
        yield from self.own
        yield from sorted(name for name in _entry_points(self.group) if name not in self.own)

    def __contains__(self, name: object) -> bool:
        return name in self.own or name in _entry_points(self.group) or _is_path(name)

    def check(self, *names: str, others: Iterable[str] = (), what: str = "") -> None:
        """Checks that there are such things, without importing what has a name.

        Args:
            names: to look for.
            others: names that would have been accepted besides, for the message.
            what: what the message calls such a thing then.

        Raises:
            UsageError: there is no such name (the nearest is suggested).
        """
        for name in names:
            if name not in self:
                more = "or module:attribute of your own"
                if "." in name and _is_path(f"{name}:"):
                    more += f", here '{name}:NAME', or '{name}:' for the module itself"
                raise unknown(what or self.what, name, [*self, *others], more=more)

    def load(self, name: str) -> Any:
        """The thing of that name.

        Raises:
            UsageError: there is no such name (the nearest is suggested), it cannot be imported, or is something else.
        """
        self.check(name)
        if name in self.own:
            return _attribute(self.own[name])
        target, source = name, ""
        if name in _entry_points(self.group):
            found = _entry_points(self.group)[name]
            packages = sorted({_package(entry) for entry in found})
            if len({entry.value for entry in found}) > 1:
                raise UsageError(
                    f"{self.what} '{name}': offered by {' and by '.join(packages)}; give module:attribute instead, "
                    f"{' or '.join(sorted(entry.value for entry in found))}"
                )
            target, source = found[0].value, f" of {packages[0]}"
        thing = self._import(name, target, source)
        if lack := self._lacks(thing):
            raise UsageError(f"{self.what} '{name}'{source}: {target} is no {self.what}: {lack}")
        if (noted := _OUTSIDERS.get()) is not None:
            noted.add(target.partition(":")[0].partition(".")[0])
        return thing

    def known(self, name: str) -> Any | None:
        """The thing that a record names, if it is ours, an installed package's, or imported already; None otherwise.

        A record runs no code: what it calls ``module:attribute`` is not imported for it.
        """
        try:
            if name in self.own or name in _entry_points(self.group):
                return self.load(name)
            with without_imports():
                return self.load(name)
        except UsageError:
            return None

    def source(self, name: str) -> str:
        """Distribution and version that offer a name from outside, e.g. ``"my-lab 0.3"``; empty for what is ours."""
        if name in self.own:
            return ""
        found = _entry_points(self.group).get(name)
        return " and ".join(sorted({_package(entry) for entry in found})) if found else name.partition(":")[0]

    def _import(self, name: str, target: str, source: str) -> Any:
        module = target.partition(":")[0]
        if _CLOSED.get() and module not in sys.modules:
            raise UsageError(f"{self.what} '{name}': what a record names is not imported")
        try:
            _find_here(module)
            return _attribute(target)
        except Exception as error:  # a plug-in may raise anything as it is imported
            raise UsageError(f"{self.what} '{name}'{source}: {_failure(target, error)}") from error


def distribution_of(module: str) -> importlib.metadata.Distribution | None:
    """The installed distribution that a top-level module belongs to; None for a file that belongs to none."""
    names = _distributions().get(module)
    return importlib.metadata.distribution(names[0]) if names else None


@contextmanager
def noting_outsiders() -> Iterator[set[str]]:
    """Notes the top-level modules of all things from outside that are loaded meanwhile."""
    found: set[str] = set()
    token = _OUTSIDERS.set(found)
    try:
        yield found
    finally:
        _OUTSIDERS.reset(token)


@contextmanager
def without_imports() -> Iterator[None]:
    """Lets nothing from outside be imported meanwhile that is not yet: records that were read must not run code."""
    token = _CLOSED.set(True)
    try:
        yield
    finally:
        _CLOSED.reset(token)


@functools.cache
def _entry_points(group: str) -> Mapping[str, list[importlib.metadata.EntryPoint]]:
    found: dict[str, list[importlib.metadata.EntryPoint]] = {}
    for entry in importlib.metadata.entry_points(group=group):
        found.setdefault(entry.name, []).append(entry)
    return found


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def _package(entry: importlib.metadata.EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "a package without a name"


def _is_path(name: object) -> bool:
    """Whether a name is ``module:attribute``, or ``module:`` for the module itself."""
    if not isinstance(name, str) or name.count(":") != 1:
        return False
    return all(part.isidentifier() for half in name.removesuffix(":").split(":") for part in half.split("."))


def _find_here(module: str) -> None:
    """Lets a module be found in the working folder if it is nowhere else on Python's path."""
    top, here = module.partition(".")[0], os.getcwd()
    if top not in sys.modules and importlib.util.find_spec(top) is None and here not in sys.path:
        sys.path.append(here)
        importlib.invalidate_caches()


def _failure(target: str, error: Exception) -> str:
    """Why a thing from outside cannot be imported, and the remedy."""
    module, _, attribute = target.partition(":")
    found = sys.modules.get(module)
    if isinstance(error, AttributeError) and found is not None and error.obj is found:
        near = difflib.get_close_matches(attribute, dir(found), n=1)
        return f"module '{module}' has no '{attribute}'" + (f": did you mean '{near[0]}'?" if near else "")
    remedy = "install or mend what it needs, or name another"
    if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
        remedy = f"modules are looked for among installed packages and in the working folder, {os.getcwd()}"
    text = str(error).strip().splitlines()
    return f"{target} cannot be imported ({type(error).__name__}: {text[0] if text else ''}); {remedy}"


def _attribute(target: str) -> Any:
    module, _, path = target.partition(":")
    thing = importlib.import_module(module)
    for name in filter(None, path.split(".")):
        if inspect.ismodule(thing) and not hasattr(thing, name):  # a module within it that nobody has imported
            within = f"{thing.__name__}.{name}"
            try:
                importlib.import_module(within)
            except ModuleNotFoundError as error:
                if error.name != within:
                    raise
        thing = getattr(thing, name)
    return thing
