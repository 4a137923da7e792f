from __future__ import annotations

import dataclasses

import pytest

from pwm_bench import registry
from pwm_bench.settings import Setting, settings


@dataclasses.dataclass(frozen=True)
class Inner:
    rate: float = 0.5
    """How fast; not how far."""


@dataclasses.dataclass(frozen=True)
class Base:
    size: int = 3
    """Units. They have none."""


@dataclasses.dataclass(frozen=True)
class Outer(Base):
    inner: Inner = dataclasses.field(default_factory=Inner)
    """A config within."""
    bare: str = ""


def test_fields_with_their_meanings() -> None:
    """Inherited ones, ones of configs within, and one that nobody has explained."""
    assert settings(Outer()) == [
        Setting("size", 3, "Units."),
        Setting("inner.rate", 0.5, "How fast"),
        Setting("bare", "", ""),
    ]


@pytest.mark.parametrize("algorithm", registry.algorithms())
def test_every_setting_of_a_learner_is_explained(algorithm: str) -> None:
    found = settings(registry.learner_package(algorithm).Config())
    assert len({one.name for one in found}) == len(found) > 5
    assert [one.name for one in found if not one.meaning] == []
