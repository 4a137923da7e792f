"""The kernels of one model: its control step and the adjoint, with all loops over links, joints and contacts undone.

The text of a kernel depends on the link tree's shape, the integrator, and which entries of the geometry are 0, 1 or -1;
physical numbers are read from an array. On a CPU a thread advances `LANES` worlds at once, each in a lane of the vector
registers; on a GPU it advances one. Lanes never mix, so a world's numbers do not depend on its neighbours.

Trajectories are stored by blocks of worlds, number by number: ``[block, slot, number, world in block]``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import warp as wp

from pwm_bench.envs.warp.adjoint import build_adjoint
from pwm_bench.envs.warp.forward import build_forward
from pwm_bench.envs.warp.layout import Layout, scratch_widths
from pwm_bench.envs.warp.model import LinkTree
from pwm_bench.envs.warp.specialise.dialect import Dialect
from pwm_bench.envs.warp.specialise.entry import ADJOINT, FORWARD, Arguments
from pwm_bench.envs.warp.specialise.memory import Array, ModelView, ScratchView
from pwm_bench.envs.warp.specialise.recorded import Real
from pwm_bench.envs.warp.specialise.source import Recorder
from pwm_bench.envs.warp.specialise.stored import Recorded
from pwm_bench.envs.warp.specialise.symbols import Program

__all__ = ["record"]

_LOCAL = ("direction", "inverse_length", "path_length", "path_speed", "path_force")  # of a path, within its piece
_MANY_POINTS = 64  # contacts from which on they are a loop, as paths are: compilation is shorter
_ADDRESS = re.compile(r"\[(\d+)\]")


def record(tree: LinkTree, layout: Layout, model: Any, *, timestep: float, dialect: Dialect) -> Recorded:
    """Writes both kernels of a model.

    Args:
        tree: the model's links.
        layout: types for its floating-point type.
        model: the struct that the general kernels read (`pwm_bench.envs.warp.layout.model_struct`).
        timestep: duration of a substep [s].
        dialect: the kind of processor.
    """
    forward, adjoint = (_Writer(tree, layout, model, timestep, dialect) for _ in range(2))
    return Recorded(
        forward=forward.forward_text(),
        adjoint=adjoint.adjoint_text(),
        parameters=np.array(forward.program.parameters),
        adjoint_parameters=np.array(adjoint.program.parameters),
    )


class _Writer:
    """Writes one of the two kernels.

    The recorded functions are given 0 for their world and for its rows, since a thread has working memory of its own.
    For a slot of the trajectory or of the factors they are given the name of the pointer to it, which the text
    declares: ``here`` and ``next`` for a substep's, ``first`` (slot 0) and ``last``, and ``held`` for the factor.
    """

    def __init__(self, tree: LinkTree, layout: Layout, model: Any, timestep: float, dialect: Dialect) -> None:
        self.program = Program(dialect.functions, dialect.some)
        self._tree, self._layout, self._dialect = tree, layout, dialect
        self._recorded = Recorder(self.program, layout)
        self._m = ModelView(self.program, layout, model)
        self._timestep = self.program.parameter("timestep", timestep)
        self._slots: list[Array] = []
        self._split = bool(tree.paths.actuators) or len(tree.point_link) >= _MANY_POINTS

    def forward_text(self) -> str:
        """The control step."""
        tree, m, f = self._tree, self._m, self._recorded(build_forward(self._layout))
        s = self._working_memory("force", "path_control", "origin")
        traj, factor = self._slotted("traj"), self._slotted("factor")
        q, v, u = self._rows("q", tree.nq), self._rows("v", tree.nv), self._rows("u", tree.nu)
        q1, v1 = self._rows("q1", tree.nq), self._rows("v1", tree.nv)

        def outwards(full: int) -> None:
            f.set_world_link(0, m, s)
            f.outward_pass(0, 0, "here", full, m, s, traj)

        def inwards(refresh: int, full: int) -> None:
            f.set_world_link(0, m, s)
            f.inward_pass(0, 0, "here", "held", refresh, full, m, s, traj, factor)
            f.integration.integrate(0, "here", "next", self._timestep, m, traj)

        begin = self._piece(lambda: f.begin(0, 0, 0, m, s, traj, q, v, u))
        if self._split:
            substep = [
                self._cases(lambda refresh, full: outwards(full), of_refresh=False),
                self._rolled(m.num_points, lambda c: f.add_contact(c, 0, m, s)),
                self._rolled(m.num_via_points, lambda c: f.path.update_via_point(c, 0, m, s)),
                self._rolled(m.num_path_actuators, lambda n: f.path.add_path_force(n, 0, m, s)),
                self._cases(inwards),
            ]
        else:

            def whole(refresh: int, full: int) -> None:
                outwards(full)
                for c in range(m.num_points):
                    f.add_contact(c, 0, m, s)
                inwards(refresh, full)

            substep = [self._cases(whole)]
        finish = self._piece(lambda: f.integration.store(0, 0, 0, "last", m, s, traj, q1, v1))
        size, packed = tree.nq + 2 * tree.nv, tree.num_packed
        return self._assemble(
            FORWARD,
            f"R* const first = traj.data + block * (stored * (substeps + 1) + own) * {size} * S + lane;",
            f"R* const factors = factor.data + block * (stored * refreshes + own) * {packed} * S + lane;",
            begin,
            "for (int n = 0; n < substeps; ++n) {",
            f"R* const here = first + size_t(stored * n) * {size} * S;",
            f"R* const next = here + size_t(stored) * {size} * S;",
            f"R* const held = factors + size_t(stored * (n / {m.matrix_refresh})) * {packed} * S;",
            *substep,
            "}",
            f"R* const last = first + size_t(stored * substeps) * {size} * S;",
            finish,
        )

    def adjoint_text(self) -> str:
        """The gradient of a control step."""
        tree, m, f = self._tree, self._m, self._recorded(build_adjoint(self._layout))
        s = self._working_memory(
            "origin", "adj_q", "adj_v", "adj_force", "adj_path_control", "adj_matrix", "path_control"
        )
        traj, factor = self._slotted("traj"), self._slotted("factor")
        q, u = self._rows("q", tree.nq), self._rows("u", tree.nu)
        adj_q1, adj_v1 = self._rows("adj_q1", tree.nq), self._rows("adj_v1", tree.nv)
        out_q, out_v, out_u = self._rows("out_q", tree.nq), self._rows("out_v", tree.nv), self._rows("out_u", tree.nu)

        def outwards() -> None:
            f.forward.set_world_link(0, m, s)
            f.solve_adjoint(0, 0, "here", "next", "held", self._timestep, m, s, traj, factor)
            f.adjoint_outward_pass(0, 0, "here", m, s, traj)

        def inwards() -> None:
            f.forward.set_world_link(0, m, s)
            f.adjoint_inward_pass(0, 0, "here", m, s, traj)

        def matrix() -> None:
            f.forward.set_world_link(0, m, s)
            f.matrix.differentiate_matrix(0, 0, "here", m, s, traj)

        begin = self._piece(lambda: f.begin_adjoint(0, 0, "last", m, s, traj, q, u, adj_q1, adj_v1))
        if self._split:
            substep = [
                self._piece(outwards),
                self._rolled(m.num_points, lambda c: f.add_contact_adjoint(c, 0, m, s)),
                self._rolled(m.num_via_points, lambda c: f.path.update_via_point_virtual(c, 0, m, s)),
                self._rolled(m.num_path_actuators, lambda n: f.path.add_path_adjoint(n, 0, m, s)),
                self._piece(inwards),
            ]
        else:

            def whole() -> None:
                outwards()
                for c in range(m.num_points):
                    f.add_contact_adjoint(c, 0, m, s)
                inwards()

            substep = [self._piece(whole)]
        if m.matrix_refresh > 1:
            substep.append(f"if (n % {m.matrix_refresh} == 0) {self._piece(matrix)}")
        finish = self._piece(lambda: f.finish_adjoint(0, 0, m, s, traj, q, out_q, out_v, out_u))
        size, packed = tree.nq + 2 * tree.nv, tree.num_packed
        return self._assemble(
            ADJOINT,
            f"R* const first = traj.data + block * (substeps + 1) * {size} * S + lane;",
            f"R* const factors = factor.data + block * refreshes * {packed} * S + lane;",
            f"R* const last = first + size_t(substeps) * {size} * S;",
            begin,
            "for (int n = substeps - 1; n >= 0; --n) {",
            f"R* const here = first + size_t(n) * {size} * S;",
            f"R* const next = here + {size} * S;",
            f"R* const held = factors + size_t(n / {m.matrix_refresh}) * {packed} * S;",
            *substep,
            "}",
            finish,
        )

    def _working_memory(self, *kept: str) -> ScratchView:
        """Fields ``kept`` outlive a piece; where loops split a substep into pieces, nearly all do."""
        widths = scratch_widths(self._tree, self._layout, full_inertia=bool(self._m.full_inertia))
        names = [n for n in widths if n not in _LOCAL] if self._split else kept
        self._s = ScratchView(self.program, self._layout, {name: widths[name] for name in names})
        return self._s

    def _cases(self, record: Callable[[int, int], Any], *, of_refresh: bool = True) -> str:
        """Pieces for a substep whose matrix is made with full inertias, or made, or held."""
        m = self._m
        cases = []
        if m.full_inertia:
            cases.append(("n == 0", 1, 1))
        if m.matrix_refresh > 1 and of_refresh:
            cases.append((f"n % {m.matrix_refresh} == 0", 1, 0))
        cases.append(("true", 0 if m.matrix_refresh > 1 else 1, 0))
        return " else ".join(
            f"if ({condition}) {self._piece(lambda: record(refresh, full))}"  # noqa: B023
            for condition, refresh, full in cases
        )

    def _rolled(self, count: int, record: Callable[[int], None]) -> str:
        """A loop over pieces that differ only in the addresses they use; one loop for each kind of piece."""
        kinds: dict[str, list[list[str]]] = {}
        for n in range(count):
            piece = self._piece(lambda: record(n))  # noqa: B023
            kinds.setdefault(_ADDRESS.sub("[]", piece), []).append(_ADDRESS.findall(piece))
        return "\n".join(_loop(kind, addresses) for kind, addresses in kinds.items())

    def _assemble(self, given: Arguments, *body: str) -> str:
        real = "float" if self._layout.real is wp.float32 else "double"
        numbers = enumerate(given.numbers, len(given.arrays))
        parts = [
            self._dialect.prelude(real, [f"const int {name} = arguments[{place}];" for place, name in numbers]),
            "struct Array { R* data; };",
            *(f"const Array {name} = {{(R*)arguments[{place}]}};" for place, name in enumerate(given.arrays)),
            f"const R* const p = parameters.data;\nR h[{max(1, self.program.num_hoisted)}];",
            *self._s.declarations,
            *self.program.preamble,
            *body,
        ]
        return "\n".join(parts)

    def _piece(self, record: Callable[[], None]) -> str:
        self.program.begin_piece()
        record()
        self._s.finish_piece()
        for array in self._slots:
            array.finish_piece()
        return "{\n" + "\n".join(self.program.lines) + "\n}"

    def _slotted(self, name: str) -> Array:
        def place(key: tuple) -> str:
            pointer = "first" if key[0] == 0 else key[0]
            return self._dialect.at(pointer, key[1])

        return self._array(
            lambda key: self.program.load(place(key)), lambda key, value: [f"{place(key)} = (P)({value.text});"]
        )

    def _rows(self, name: str, width: int) -> Array:
        return self._array(
            lambda key: self.program.load(f"gather({name}.data, {width}, {key[0]})"),
            lambda key, value: [f"scatter({name}.data, {width}, {key[0]}, (P)({value.text}));"],
        )

    def _array(self, initial: Callable[[Any], Real], store: Callable[[Any, Any], list[str]]) -> Array:
        array = Array(self.program, initial, store)
        self._slots.append(array)
        return array


def _loop(kind: str, addresses: list[list[str]]) -> str:
    """The text of like pieces, whose addresses come from a table where they differ."""
    columns = list(zip(*addresses, strict=True))
    varying = list(dict.fromkeys(column for column in columns if len(set(column)) > 1))
    texts = [f"[c[{varying.index(column)}]]" if column in varying else f"[{column[0]}]" for column in columns]
    parts = kind.split("[]")
    piece = "".join(a + b for a, b in zip(parts, [*texts, ""], strict=True))
    if not varying:
        return piece * len(addresses)
    rows = ",\n".join("{" + ", ".join(row) + "}" for row in zip(*varying, strict=True))
    count, width = len(addresses), len(varying)
    return f"""{{
static const int table[{count}][{width}] = {{{rows}}};
for (int j = 0; j < {count}; ++j) {{
const int* const c = table[j];
{piece}
}}
}}"""
