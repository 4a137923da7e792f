"""Seeded damage: to bytes, to JSON values, and to the content of pickles of tensors."""

from __future__ import annotations

import copy
import json
import math
import random
from collections.abc import Iterator
from typing import Any

import torch

_DEEP = 3000


def _deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(_DEEP):
        value = [value]
    return value


def values(chance: random.Random) -> Any:
    """Something that a reader did not expect."""
    return chance.choice(
        [
            None, True, -1, 0, 1, 2**31, 2**63, 10**30, 1e308, -1e308, math.nan, math.inf, 0.5, "", "x", "\x1b[31m",
            "../../etc/passwd", "\ud800", "9" * 5000, [], [1], [[]], {}, {"a": 1}, {"$": "tensor", "name": "x"},
        ]
    )  # fmt: skip


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of everything within a JSON value or a content of tensors."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _places(item, (*path, key))


def altered(content: Any, chance: random.Random) -> Any:
    """The content with one thing replaced, removed, added or exchanged."""
    content = copy.deepcopy(content)
    path = chance.choice(list(_places(content))[1:])
    place = content
    for key in path[:-1]:
        place = place[key]
    key = path[-1]
    how = chance.random()
    if how < 0.15 and isinstance(place, dict):
        del place[key]
    elif how < 0.25 and isinstance(place, dict):
        place[chance.choice(["extra", "version", "", "a" * 300])] = values(chance)
    elif how < 0.35 and isinstance(place, list):
        place.insert(key, values(chance))
    elif isinstance(place[key], torch.Tensor):
        place[key] = _other_tensor(place[key], chance)
    elif isinstance(place[key], bool) or not isinstance(place[key], int | float) or how < 0.8:
        place[key] = values(chance)
    else:
        place[key] = place[key] + chance.choice([-1, 1, 1000])
    return content


def _other_tensor(tensor: torch.Tensor, chance: random.Random) -> Any:
    return chance.choice(
        [
            lambda: tensor.new_zeros(0),
            lambda: tensor.unsqueeze(0),
            lambda: tensor.flatten()[:1],
            lambda: torch.full_like(tensor, math.nan) if tensor.is_floating_point() else tensor,
            lambda: tensor.to(torch.complex64),
            lambda: tensor > 0,
            lambda: torch.zeros(3, 5, 7, 9),
            lambda: torch.tensor(math.inf),
            lambda: values(chance),
        ]
    )()  # fmt: skip


def text(value: Any, chance: random.Random) -> bytes:
    """JSON of the value, or what is left of it after some damage to the text."""
    if chance.random() < 0.05:
        return json.dumps(value)[:-1].encode() + b', "deep": ' + b"[" * _DEEP + b"]" * _DEEP + b"}"
    return json.dumps(value).encode()


def data(content: bytes, chance: random.Random) -> bytes:
    """Bytes with a few bits turned, a piece missing, doubled or foreign."""
    how = chance.random()
    place = chance.randrange(len(content))
    if how < 0.4:
        changed = bytearray(content)
        for _ in range(chance.choice([1, 1, 3, 20])):
            changed[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        return bytes(changed)
    if how < 0.6:
        return content[:place]
    if how < 0.75:
        return content[:place] + content[place + chance.randrange(1, 60) :]
    if how < 0.9:
        return content[:place] + chance.randbytes(chance.randrange(1, 60)) + content[place:]
    return chance.choice([b"", b"{", b"null", b"[]", b"\x80\x04.", chance.randbytes(200), content[place:]])
