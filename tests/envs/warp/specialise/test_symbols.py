"""The worked example in the docstring of `symbols` is what the code does."""

from __future__ import annotations

import inspect
import textwrap
from types import SimpleNamespace

import pytest
import warp as wp

from pwm_bench.envs.warp.layout import layout_for
from pwm_bench.envs.warp.specialise import symbols
from pwm_bench.envs.warp.specialise.dialect import LANES, Dialect
from pwm_bench.envs.warp.specialise.source import Recorder

LAYOUT = layout_for(wp.float32)
real = LAYOUT.real


@wp.func
def limited(q: real, v: real, k: real, rest: real, low: real, d: real, dt: real):
    tau = k * (rest - q)
    if low - q > real(0.0):
        tau = tau + k * (low - q) - (d + dt * k) * v
    return tau


def recorded() -> symbols.Program:
    dialect = Dialect(lanes=LANES, block=LANES)
    program = symbols.Program(dialect.functions, dialect.some)
    state = [program.load(f"{name}[0]") for name in "qv"]
    numbers = [program.parameter(name, 1.0) for name in ("k", "rest", "low", "d", "dt")]
    tau = Recorder(program, LAYOUT)(SimpleNamespace(limited=limited)).limited(*state, *numbers)
    program.store(f"tau[0] = {tau.text};")
    return program


def shown(*lines: str) -> str:
    return textwrap.indent("\n".join(lines), "    ")


def test_the_example_is_what_is_recorded() -> None:
    assert limited.func is not None
    _decorator, *source = inspect.getsource(limited.func).splitlines()
    program = recorded()
    for text in (shown(*source), shown(*program.preamble), shown(*program.lines)):
        assert f"\n\n{text}\n\n" in symbols.__doc__


def test_so_is_its_branch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symbols, "_BRANCH_PAYS", 1)
    before, inside = (shown(*part) for part in (recorded().lines[6:8], recorded().lines[-3:-1]))
    assert f"\n\n{before}\n    ...\n{inside}\n\n" in symbols.__doc__
