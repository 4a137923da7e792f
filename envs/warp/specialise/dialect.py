"""How recorded programs are written down for a CPU and for a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["LANES", "Dialect"]

LANES = 8
"""Worlds that a thread of a CPU advances at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """How the recorded program is written down for a kind of processor."""

    lanes: int
    """Worlds that a thread advances."""
    block: int
    """Worlds whose numbers lie side by side."""

    @property
    def functions(self) -> dict[str, str]:
        """Texts of the named functions, with gaps for their values."""
        if self.lanes == 1:
            return {n: f"wp::{n}({{}})" for n in ("sqrt", "sin", "cos", "abs")} | {"atan2": "wp::atan2({}, {})"}
        return {
            "sqrt": "__builtin_elementwise_sqrt({})",
            "abs": "__builtin_elementwise_abs({})",
            "sin": "sine({})",
            "cos": "cosine({})",
            "atan2": "angle({}, {})",
        }

    @property
    def some(self) -> str:
        """Text of "the condition holds in some world of the thread", with a gap for the condition."""
        return "{}" if self.lanes == 1 else "__builtin_reduce_or({})"

    def prelude(self, real: str, numbers: Sequence[str]) -> str:
        """Types and helpers, which read the number ``num`` of worlds.

        Args:
            real: C++'s name of the floating-point type.
            numbers: declarations of the kernel's whole numbers.
        """
        declared = "\n".join(numbers)
        if self.lanes == 1:
            return f"""
{declared}
typedef {real} R;
typedef R P;
typedef bool M;
constexpr int S = {self.block};
const int world = thread < num ? thread : num - 1;
const size_t block = thread / S, lane = thread % S;
const auto gather = [&](const R* x, int width, int n) {{ return x[size_t(world) * width + n]; }};
const auto scatter = [&](R* x, int width, int n, P y) {{ x[size_t(world) * width + n] = y; }};
"""
        return f"""
#pragma clang fp contract(fast)
{declared}
typedef {real} R;
typedef R P __attribute__((ext_vector_type({self.lanes}), aligned(sizeof(R))));
typedef decltype(P() < P()) M;
constexpr int L = {self.lanes}, S = {self.block};
const size_t block = size_t(thread) * L / S, lane = size_t(thread) * L % S;
int world[L];
for (int l = 0; l < L; ++l) world[l] = thread * L + l < num ? thread * L + l : num - 1;
const auto gather = [&](const R* x, int width, int n) {{
    P y;
    for (int l = 0; l < L; ++l) y[l] = x[size_t(world[l]) * width + n];
    return y;
}};
const auto scatter = [&](R* x, int width, int n, P y) {{
    for (int l = 0; l < L && thread * L + l < num; ++l) x[size_t(world[l]) * width + n] = y[l];
}};
const auto sine = [](P x) {{ P y; for (int l = 0; l < L; ++l) y[l] = wp::sin(x[l]); return y; }};
const auto cosine = [](P x) {{ P y; for (int l = 0; l < L; ++l) y[l] = wp::cos(x[l]); return y; }};
const auto angle = [](P a, P b) {{ P y; for (int l = 0; l < L; ++l) y[l] = wp::atan2(a[l], b[l]); return y; }};
"""

    def at(self, pointer: str, n: int) -> str:
        """Text of the ``n``-th number of a slot: that of each lane's world."""
        return f"{pointer}[{n} * S]" if self.lanes == 1 else f"*(P*)({pointer} + {n} * S)"
