"""What a run chooses for its learner, and what learners declare: here without torch, so that specs are read quickly."""

from __future__ import annotations

from typing import Literal

from pwm_bench.envs.errors import unknown

__all__ = ["ACTIVATIONS", "GRAPHED", "GradientSource", "Sampling", "check_graphed", "differentiates_simulator"]

ACTIVATIONS = ("elu", "mish", "relu", "silu", "tanh")
"""Names of `pwm_bench.learning.elementwise.activation_function`."""
GRAPHED = ("auto", "on", "off")
"""Settings of whether updates are launched as graphs, see `pwm_bench.learning.graphed.graphs_of`."""

GradientSource = Literal["learned", "simulator", "decoupled", "mixed", "score", "critic"]
"""Where a policy's gradient comes from: through a learned world model, through the simulator, along the simulator's
states by the Jacobians of a learned model ("decoupled"), from simulator and score function together ("mixed"), from the
score function (likelihood ratio), or through a learned action-value function."""

Sampling = Literal["sequences", "episodes"]
"""What has the same chance in a replay: every sequence that may be drawn, or every episode that is over and, once one
is drawn, every sequence in it."""


def differentiates_simulator(source: GradientSource | None) -> bool:
    """Whether a policy whose gradient comes from there needs a simulator with a gradient."""
    return source in ("simulator", "mixed")


def check_graphed(graphed: str) -> None:
    """Checks the setting that runs have.

    Raises:
        UsageError: it is none of `GRAPHED`.
    """
    if graphed not in GRAPHED:
        raise unknown("setting of graphed", graphed, GRAPHED)
