"""What a learner is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from pwm_bench.learning.acting import Policy

__all__ = ["Counters", "Learner", "OnlineLearner", "acting"]


@dataclass(slots=True)
class Counters:
    """What a learner has used so far, for each member."""

    env_steps: int = 0
    """Control steps of the simulator."""
    gradient_steps: int = 0
    """Optimiser steps, of all networks together."""
    policy_gradient_steps: int = 0
    """Optimiser steps of the policy: backward passes that reach it."""
    imagined_steps: int = 0
    """Steps of a learned world model while a policy trained in it."""

    def state_dict(self) -> dict[str, int]:
        """The counts."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Restores what `state_dict` saved."""
        for name, value in state.items():
            setattr(self, name, int(value))


@runtime_checkable
class Learner(Protocol):
    """Trains a population of P members, each on B of the environment's P * B worlds.

    A learner is constructed as ``Learner(env, config, seeds=..., total_env_steps=...)``, where
    ``total_env_steps``, per member, is the budget that schedules run over.
    """

    counters: Counters

    @property
    def alive(self) -> Tensor:
        """Members that have not diverged, bool ``(P,)``."""
        ...

    def update(self) -> dict[str, Tensor]:
        """Runs one iteration. Returns metrics, each of shape ``(P,)``, left on the device."""
        ...

    def act(self, obs: Tensor) -> Tensor:
        """Acts deterministically: observations ``(P, B, obs)`` to actions ``(P, B, act)``; B is free."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here: weights, optimisers, data, streams, environment."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` saved."""
        ...


class OnlineLearner(Learner, Protocol):
    """A learner of one task, in environments of its own."""

    policy: Policy | None
    """What `act` acts by, as it is at any time, for others to load. None if the learner acts otherwise: its runs leave
    no policy then."""

    # A learner that has more to leave than its policy also has ``write_artifacts(folder: Path) -> dict[str, str]``: it
    # writes files into the run's directory when training is over, and names them, artifact -> file.


def acting(learner: Learner) -> Callable[[Tensor], Tensor]:
    """What plays episodes that begin together now: the learner's `act`, or what its own ``acting()`` gives, if it has
    one because it remembers something from step to step."""
    own: Callable[[], Callable[[Tensor], Tensor]] | None = getattr(learner, "acting", None)
    return learner.act if own is None else own()
