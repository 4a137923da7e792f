"""Warp kernels around recorded programs: the arguments by which they are launched."""

from typing import Any, NamedTuple

import warp as wp

from pwm_bench.envs.warp.runtime import Places

__all__ = ["ADJOINT", "FORWARD", "Arguments", "adjoint_kernel", "forward_kernel"]


class Arguments(NamedTuple):
    """What a kernel finds in its `Places`, in this order."""

    arrays: tuple[str, ...]
    """Addresses."""
    numbers: tuple[str, ...]
    """Whole numbers."""


FORWARD = Arguments(
    arrays=("parameters", "q", "v", "u", "traj", "factor", "q1", "v1"),
    numbers=("num", "substeps", "refreshes", "stored", "own"),
)
ADJOINT = Arguments(
    arrays=("parameters", "q", "u", "traj", "factor", "adj_q1", "adj_v1", "out_q", "out_v", "out_u"),
    numbers=("num", "substeps", "refreshes"),
)


def forward_kernel(text: str) -> Any:
    """The kernel of a control step."""

    @wp.func_native(text)
    def run(thread: int, arguments: Places): ...

    @wp.kernel(enable_backward=False, module="unique")
    def control_step_specialised(arguments: Places):
        run(wp.tid(), arguments)

    return control_step_specialised


def adjoint_kernel(text: str) -> Any:
    """The kernel of its gradient."""

    @wp.func_native(text)
    def run(thread: int, arguments: Places): ...

    @wp.kernel(enable_backward=False, module="unique")
    def control_step_adjoint_specialised(arguments: Places):
        run(wp.tid(), arguments)

    return control_step_adjoint_specialised
