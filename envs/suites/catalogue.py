"""Which tasks the suites have, in which order, and their sizes. Imports neither dm_control nor metaworld.

Names and order are those of TD-MPC2's MT30 and MT80, because the place of a task in its list is the row of its
embedding in a released checkpoint and the number in a released dataset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pwm_bench.envs.errors import UsageError, unknown

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["SUITES", "Suite", "SuiteTask", "names", "spec", "spelt_out"]

ACTION_REPEAT = 2
"""Physics control steps in a step of a suite; rewards are summed over them."""

_DMC_LENGTH = 500
_META_WORLD_LENGTH = 100

_DMC = (
    "walker-stand",
    "walker-walk",
    "walker-run",
    "cheetah-run",
    "reacher-easy",
    "reacher-hard",
    "acrobot-swingup",
    "pendulum-swingup",
    "cartpole-balance",
    "cartpole-balance-sparse",
    "cartpole-swingup",
    "cartpole-swingup-sparse",
    "cup-catch",
    "finger-spin",
    "finger-turn-easy",
    "finger-turn-hard",
    "fish-swim",
    "hopper-stand",
    "hopper-hop",
)
_DMC_CUSTOM = (
    "walker-walk-backwards",
    "walker-run-backwards",
    "cheetah-run-backwards",
    "cheetah-run-front",
    "cheetah-run-back",
    "cheetah-jump",
    "hopper-hop-backwards",
    "reacher-three-easy",
    "reacher-three-hard",
    "cup-spin",
    "pendulum-spin",
)
_META_WORLD = (
    "mw-assembly",
    "mw-basketball",
    "mw-button-press-topdown",
    "mw-button-press-topdown-wall",
    "mw-button-press",
    "mw-button-press-wall",
    "mw-coffee-button",
    "mw-coffee-pull",
    "mw-coffee-push",
    "mw-dial-turn",
    "mw-disassemble",
    "mw-door-open",
    "mw-door-close",
    "mw-drawer-close",
    "mw-drawer-open",
    "mw-faucet-open",
    "mw-faucet-close",
    "mw-hammer",
    "mw-handle-press-side",
    "mw-handle-press",
    "mw-handle-pull-side",
    "mw-handle-pull",
    "mw-lever-pull",
    "mw-peg-insert-side",
    "mw-peg-unplug-side",
    "mw-pick-out-of-hole",
    "mw-pick-place",
    "mw-pick-place-wall",
    "mw-plate-slide",
    "mw-plate-slide-side",
    "mw-plate-slide-back",
    "mw-plate-slide-back-side",
    "mw-push-back",
    "mw-push",
    "mw-push-wall",
    "mw-reach",
    "mw-reach-wall",
    "mw-shelf-place",
    "mw-soccer",
    "mw-stick-push",
    "mw-stick-pull",
    "mw-sweep-into",
    "mw-sweep",
    "mw-window-open",
    "mw-window-close",
    "mw-bin-picking",
    "mw-box-close",
    "mw-door-lock",
    "mw-door-unlock",
    "mw-hand-insert",
)
_SIZES = {  # of dm_control's domains: features of an observation, components of an action
    "walker": (24, 6),
    "cheetah": (17, 6),
    "reacher": (6, 2),
    "acrobot": (6, 1),
    "pendulum": (3, 1),
    "cartpole": (5, 1),
    "cup": (8, 2),
    "finger": (9, 2),
    "fish": (24, 5),
    "hopper": (15, 4),
}
_SIZES_OF = {"reacher-three": (8, 3), "finger-turn": (12, 2)}  # tasks that differ from their domain
_META_WORLD_SIZE = (39, 4)

SUITE = "suite"
"""What records call the simulator of a task of the suites."""
SUITES = {"mt30": _DMC + _DMC_CUSTOM, "mt80": _DMC + _DMC_CUSTOM + _META_WORLD, "mw50": _META_WORLD}
"""Lists of tasks by name: TD-MPC2's MT30 and MT80, and Meta-World's 50 alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SuiteTask:
    """One task of a suite."""

    name: str
    family: str
    """``"dm_control"``, ``"custom"`` (on dm_control's models, not part of it) or ``"meta_world"``."""
    obs_dim: int
    """Features of an observation, before padding."""
    action_dim: int
    """Components of an action, before padding."""
    episode_length: int
    """Steps (of two physics control steps) in an episode; none ends earlier."""

    @property
    def has_success(self) -> bool:
        """Whether the task says if it was solved."""
        return self.family == "meta_world"

    def forward_velocity(self, obs: Tensor) -> Tensor | None:
        """None: the suites say nothing of it, as tasks that move nothing forward."""
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Suite:
    """A list of tasks that share zero-padded observations and masked actions."""

    tasks: tuple[SuiteTask, ...]
    obs_dim: int
    """D, features of a padded observation."""
    action_dim: int
    """A, components of a padded action."""

    @property
    def names(self) -> tuple[str, ...]:
        """Task names, in order."""
        return tuple(task.name for task in self.tasks)

    @property
    def obs_dims(self) -> tuple[int, ...]:
        """Features of each task's own observation."""
        return tuple(task.obs_dim for task in self.tasks)

    @property
    def action_dims(self) -> tuple[int, ...]:
        """Components of each task's own action."""
        return tuple(task.action_dim for task in self.tasks)

    @property
    def episode_lengths(self) -> tuple[int, ...]:
        """Steps in an episode of each task."""
        return tuple(task.episode_length for task in self.tasks)

    @property
    def action_masks(self) -> Tensor:
        """Which components of a padded action each task has, bool ``(K, A)``."""
        import torch

        return torch.arange(self.action_dim) < torch.tensor(self.action_dims).unsqueeze(1)


def names(suite: str) -> tuple[str, ...]:
    """Task names of a suite, in order.

    Args:
        suite: ``"mt30"``, ``"mt80"`` or ``"mw50"``.

    Raises:
        UsageError: no such suite.
    """
    if suite not in SUITES:
        raise unknown("suite", suite, SUITES)
    return SUITES[suite]


def spelt_out(tasks: Sequence[str]) -> tuple[str, ...]:
    """Task names as they are, and suites as the names of their tasks, in order; whether tasks exist is not checked."""
    return tuple(name for item in tasks for name in SUITES.get(item, (item,)))


def spec(tasks: str | Sequence[str], *, obs_dim: int | None = None, action_dim: int | None = None) -> Suite:
    """Describes a list of tasks.

    Args:
        tasks: a suite, one task, or task names and suites in the order wanted.
        obs_dim: padded features of an observation, e.g. 39 to feed MT30's tasks to an MT80 model; by default the
            largest among the tasks (24 for MT30, 39 for MT80).
        action_dim: padded components of an action; by default the largest among the tasks (6 for both).

    Raises:
        UsageError: unknown or repeated names, or sizes too small.
    """
    chosen = spelt_out((tasks,) if isinstance(tasks, str) else tasks)
    if not chosen:
        raise UsageError("tasks=(): name at least one task or a suite (mt30, mt80, mw50)")
    repeated = {name for name in chosen if chosen.count(name) > 1}
    if repeated:
        raise UsageError(f"tasks: {', '.join(sorted(repeated))} named twice; name each task once")
    found = tuple(_task(name) for name in chosen)
    sizes = []
    for argument, given, own in (
        ("obs_dim", obs_dim, [task.obs_dim for task in found]),
        ("action_dim", action_dim, [task.action_dim for task in found]),
    ):
        if given is not None and given < max(own):
            raise UsageError(f"{argument}={given}: must be at least {max(own)}, the largest among the tasks")
        sizes.append(max(own) if given is None else given)
    return Suite(tasks=found, obs_dim=sizes[0], action_dim=sizes[1])


def _task(name: str) -> SuiteTask:
    if name in _META_WORLD:
        family, size, length = "meta_world", _META_WORLD_SIZE, _META_WORLD_LENGTH
    elif name in SUITES["mt30"]:
        family, length = "custom" if name in _DMC_CUSTOM else "dm_control", _DMC_LENGTH
        domain, task = name.split("-", 1)
        size = _SIZES_OF.get(f"{domain}-{task.split('-')[0]}", _SIZES[domain])
    else:
        raise unknown("task", name, [*SUITES, *SUITES["mt80"]])
    return SuiteTask(name=name, family=family, obs_dim=size[0], action_dim=size[1], episode_length=length)
