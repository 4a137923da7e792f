"""Warp kernels around recorded programs: the arguments by which they are launched."""

from typing import Any

import warp as wp

__all__ = ["adjoint_kernel", "forward_kernel"]


def forward_kernel(real: Any, text: str) -> Any:
    rows: Any = wp.array2d(dtype=real)
    flat: Any = wp.array(dtype=real)

    @wp.func_native(text)
    def run(
        thread: int, num: int, substeps: int, refreshes: int, stored: int, own: int,
        parameters: flat, q: rows, v: rows, u: rows, traj: flat, factor: flat, q1: rows, v1: rows,
    ): ...  # fmt: skip

    @wp.kernel(enable_backward=False, module="unique")
    def control_step_specialised(
        q: rows, v: rows, u: rows,
        parameters: flat, traj: flat, factor: flat, num: int, substeps: int, refreshes: int, stored: int, own: int,
        q1: rows, v1: rows,
    ):  # fmt: skip
        run(wp.tid(), num, substeps, refreshes, stored, own, parameters, q, v, u, traj, factor, q1, v1)

    return control_step_specialised


def adjoint_kernel(real: Any, text: str) -> Any:
    rows: Any = wp.array2d(dtype=real)
    flat: Any = wp.array(dtype=real)

    @wp.func_native(text)
    def run(
        thread: int, num: int, substeps: int, refreshes: int, parameters: flat,
        q: rows, u: rows, traj: flat, factor: flat, adj_q1: rows, adj_v1: rows, out_q: rows, out_v: rows, out_u: rows,
    ): ...  # fmt: skip

    @wp.kernel(enable_backward=False, module="unique")
    def control_step_adjoint_specialised(
        q: rows, u: rows, parameters: flat, traj: flat, factor: flat, num: int, substeps: int, refreshes: int,
        adj_q1: rows, adj_v1: rows, out_q: rows, out_v: rows, out_u: rows,
    ):  # fmt: skip
        run(
            wp.tid(), num, substeps, refreshes, parameters,
            q, u, traj, factor, adj_q1, adj_v1, out_q, out_v, out_u,
        )  # fmt: skip

    return control_step_adjoint_specialised
