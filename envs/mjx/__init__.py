"""MJX as a differentiable simulator: MuJoCo's soft contacts, solved to convergence, implicitly differentiated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pwm_bench.envs.mjx.simulator import SimulatorMjx

__all__ = ["SimulatorMjx"]


def __getattr__(name: str) -> Any:
    # JAX and MJX take seconds to import: only when the simulator is asked for.
    if name == "SimulatorMjx":
        from pwm_bench.envs.mjx.simulator import SimulatorMjx

        return SimulatorMjx
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
