"""Packages whose heavy parts are imported when they are first asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

__all__ = ["lazily"]


def lazily(package: str, **places: str) -> Callable[[str], Any]:
    """A module's ``__getattr__`` that imports names from the package's modules when they are needed.

    Args:
        package: its ``__name__``.
        places: name -> the module that has it, by its place within the package or (with dots) in full; followed by a
            colon and the name there, where that is another one.
    """

    def get(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        place, _, there = places[name].partition(":")
        return getattr(importlib.import_module(place if "." in place else f"{package}.{place}"), there or name)

    return get
