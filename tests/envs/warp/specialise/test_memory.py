"""The worked example in the docstring of `memory` is what the code does."""

from __future__ import annotations

import inspect
import textwrap
from types import SimpleNamespace
from typing import Any

import numpy as np
import warp as wp

from pwm_bench.envs.warp.layout import layout_for
from pwm_bench.envs.warp.runtime import start_warp
from pwm_bench.envs.warp.specialise import memory
from pwm_bench.envs.warp.specialise.dialect import LANES, Dialect
from pwm_bench.envs.warp.specialise.source import Recorder
from pwm_bench.envs.warp.specialise.symbols import Program

LAYOUT = layout_for(wp.float32)
real = LAYOUT.real


@wp.func
def push(e: int, w: int, m: Any, s: Any, u: Any, out: Any):
    s.force[w, 0] = s.force[w, 0] + m.actuator_gain[0] * u[e, 0]
    s.force_f[w, 1] = m.axis[1] * s.force[w, 0]
    if u[e, 0] > real(0.0):
        s.force_f[w, 1] = s.force_f[w, 1] + m.gravity
    out[e, 0] = wp.dot(m.axis[1], s.force_f[w, 1])


def vectors(*rows: tuple[float, float, float]) -> wp.array:
    return wp.array(np.array(rows, np.float32), dtype=LAYOUT.vec3, device="cpu")


def test_the_example_is_what_is_recorded() -> None:
    start_warp()
    model = SimpleNamespace(
        actuator_gain=wp.array(np.array([7.0], np.float32), dtype=real, device="cpu"),
        axis=vectors((0.0, 0.0, 1.0), (0.0, 0.0, 1.0)),
        gravity=LAYOUT.vec3(0.0, 0.0, -9.81),
    )
    dialect = Dialect(lanes=LANES, block=LANES)
    program = Program(dialect.functions, dialect.some)
    m, s = memory.ModelView(program, LAYOUT, model), memory.ScratchView(program, LAYOUT, {"force": 1})
    u = memory.Array(program, lambda key: program.load(f"gather(u.data, 1, {key[0]})"))
    out = memory.Array(
        program,
        lambda key: program.load(f"gather(out.data, 1, {key[0]})"),
        lambda key, value: [f"scatter(out.data, 1, {key[0]}, (P)({value.text}));"],
    )
    Recorder(program, LAYOUT)(SimpleNamespace(push=push)).push(0, 0, m, s, u, out)
    s.finish_piece()
    out.finish_piece()

    assert push.func is not None
    _decorator, *source = inspect.getsource(push.func).splitlines()
    for text in (source, s.declarations, program.lines):
        assert "\n\n" + textwrap.indent("\n".join(text), "    ") + "\n\n" in memory.__doc__
