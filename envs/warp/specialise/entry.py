"""Warp kernels around recorded programs: the arguments by which they are launched."""

from typing import Any

import warp as wp

from pwm_bench.envs.warp.runtime import Places

__all__ = ["ADJOINT", "FORWARD", "adjoint_kernel", "forward_kernel"]

FORWARD = ("parameters", "q", "v", "u", "traj", "factor", "q1", "v1")
"""Arrays of the forward kernel, in the order of their addresses."""
ADJOINT = ("parameters", "q", "u", "traj", "factor", "adj_q1", "adj_v1", "out_q", "out_v", "out_u")
"""Those of the adjoint."""


def forward_kernel(text: str) -> Any:
    """The kernel of a control step; the text reads the arguments of ``run``."""

    @wp.func_native(text)
    def run(thread: int, arrays: Places, num: int, substeps: int, refreshes: int, stored: int, own: int): ...

    @wp.kernel(enable_backward=False, module="unique")
    def control_step_specialised(arrays: Places, num: int, substeps: int, refreshes: int, stored: int, own: int):
        run(wp.tid(), arrays, num, substeps, refreshes, stored, own)

    return control_step_specialised


def adjoint_kernel(text: str) -> Any:
    """The kernel of its gradient."""

    @wp.func_native(text)
    def run(thread: int, arrays: Places, num: int, substeps: int, refreshes: int): ...

    @wp.kernel(enable_backward=False, module="unique")
    def control_step_adjoint_specialised(arrays: Places, num: int, substeps: int, refreshes: int):
        run(wp.tid(), arrays, num, substeps, refreshes)

    return control_step_adjoint_specialised
