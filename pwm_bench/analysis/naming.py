"""Names and looks of algorithms in print: what each says of itself, and what publications call the others."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from pwm_bench.names import simulator_name, task_name
from pwm_bench.registry import ALGORITHMS

__all__ = ["IDS", "IN_PRINT", "Names", "algorithm_name", "look_of_algorithm"]

_PUBLISHED = {
    "pwm-multitask": "PWM (multi-task)",
    "bc": "BC",
    "tdmpc": "TD-MPC",
    "tdmpc2": "TD-MPC2",
    "tdmpc2-pixels": "TD-MPC2 (pixels)",
    "dreamerv3": "DreamerV3",
    "fasttd3": "FastTD3",
    "fasttd3-small": "FastTD3 (small)",
    "fasttd3-large": "FastTD3 (large)",
    "reppo": "REPPO",
    "reppo-small": "REPPO (small)",
    "reppo-large": "REPPO (large)",
    "reppo-large-klmode-full": "REPPO (large, full KL)",
    "ppo-brax": "PPO (Brax)",
    "sac-brax": "SAC (Brax)",
}
"""What rows and publications name that is no algorithm with a package here."""
_LOOKS = {"bc": 6, "pwm-multitask": 0}
"""Places among the looks of figures of what learns from data alone, which is no package of `ALGORITHMS`: one of its
own, and PWM's."""


def algorithm_name(name: str) -> str:
    """The name of an algorithm in print, e.g. ``"PWM"``; an unknown one keeps its own."""
    own = getattr(ALGORITHMS.known(name), "label", None)
    return own or _PUBLISHED.get(name, _attribute(name))


def look_of_algorithm(name: str) -> int | None:
    """The place of an algorithm among the looks of figures, by its id or its name in print; None if it has none."""
    wanted = _plain(name)
    for known in ALGORITHMS:
        thing = ALGORITHMS.known(known)
        if wanted in (_plain(known), _plain(getattr(thing, "label", known))):
            return getattr(thing, "look", None)
    return next((place for known, place in _LOOKS.items() if _plain(known) == wanted), None)


def _plain(name: str) -> str:
    """The first word, as it is written in an id."""
    return name.split(" ")[0].lower().replace("-", "")


def _attribute(name: str) -> str:
    """The attribute of ``module:attribute``, the module of ``module:``; any other text as it is."""
    module, colon, attribute = name.partition(":")
    outside = colon and f"a{attribute}".isidentifier() and all(part.isidentifier() for part in module.split("."))
    return (attribute or module) if outside else name


@dataclass(frozen=True, slots=True)
class Names:
    """What the notes of a table call things.

    Attributes:
        algorithm: its name, by its id.
        task: likewise.
        simulator: likewise.
        settings: text with settings in it, such as ``"world_model.ensemble=5 (recipe: 1)"``, as it is shown.
    """

    algorithm: Callable[[str], str]
    task: Callable[[str], str]
    simulator: Callable[[str], str]
    settings: Callable[[str], str]

    def row(self, label: str) -> str:
        """The name of a row, by the algorithm's id and what sets the row apart: ``"pwm (five models)"``."""
        algorithm, parenthesis, apart = label.partition(" (")
        return self.algorithm(algorithm) + parenthesis + self.settings(apart)

    def place(self, task: str, simulator: str) -> str:
        """A task in a simulator."""
        return f"{self.task(task)} in {self.simulator(simulator)}"


def _in_words(text: str) -> str:
    """Names of settings in words: ``"world model ensemble=5"``."""
    return re.sub(r"[a-z][\w.]*(?==)", lambda found: re.sub(r"[._]", " ", found[0]), text)


IDS = Names(str, str, str, str)
"""Things are called what is typed: for terminals, Markdown and data."""
IN_PRINT = Names(algorithm_name, task_name, simulator_name, _in_words)
"""Things are called what publications call them."""
