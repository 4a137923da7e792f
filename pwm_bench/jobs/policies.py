"""The trained policies of a run on the disk: one safetensors file with the weights and what they are.

It holds what is needed to act and nothing else: neither optimisers nor data nor critics. Reading it runs no code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from pwm_bench import configs, registry
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.suites import SUITE
from pwm_bench.learning.acting import Policy
from pwm_bench.learning.random import MemberStream
from pwm_bench.store.memory_limit import MemoryLimit
from pwm_bench.store.plain import unreadable
from pwm_bench.store.seal import AlteredError
from pwm_bench.store.tensor_file import read_about, read_tensors, write_tensors

__all__ = ["POLICY", "PolicyFile", "Trains", "load_policy", "one_member", "read_policy", "save_policy"]

POLICY = "policy.safetensors"
"""The file's name in a run's directory."""
_KEY, _VERSION = "pwm_bench.policy", 1
_MEMORY, _MEMORY_PER_NUMBER = 1 << 30, 128
"""Bytes that may be taken to build a policy, whatever its settings say: so many, and so many for each number of the
file. Drawing initial weights takes up to 40."""


class Trains(Protocol):
    """The part of a spec that says what trains policies, and where."""

    @property
    def algorithm(self) -> str: ...
    @property
    def config(self) -> Mapping[str, Any]: ...
    @property
    def task(self) -> str: ...
    @property
    def simulator(self) -> str: ...
    @property
    def simulator_options(self) -> Mapping[str, Any]: ...
    @property
    def seeds(self) -> tuple[int, ...]: ...


class Sizes(Protocol):
    """The sizes of what a policy reads and gives."""

    observation_dim: int
    action_dim: int


@dataclass(frozen=True, kw_only=True)
class PolicyFile:
    """What a file of trained policies says of itself."""

    algorithm: str
    """One of `pwm_bench.registry.algorithms`."""
    config: Mapping[str, Any]
    """The algorithm's settings, fully resolved."""
    task: str
    """What they were trained on."""
    simulator: str
    """Where."""
    simulator_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the environment beyond the task's own."""
    seeds: tuple[int, ...]
    """Training seed of each member."""
    observation_dim: int
    action_dim: int
    gradient_source: str
    """Where their gradient came from, see `pwm_bench.learning.learner.GradientSource`."""

    @classmethod
    def of(cls, spec: Trains, env: Sizes, gradient_source: str) -> PolicyFile:
        """The description of the policies that a run trains."""
        names = ("algorithm", "config", "task", "simulator", "simulator_options", "seeds")
        return cls(
            **{name: getattr(spec, name) for name in names},
            observation_dim=env.observation_dim,
            action_dim=env.action_dim,
            gradient_source=gradient_source,
        )

    @property
    def in_suite(self) -> bool:
        """Whether they were trained in a task of a suite, which no simulator of ours computes."""
        return self.simulator == SUITE

    def only(self, members: Sequence[int]) -> PolicyFile:
        """The description of some of the members."""
        return configs.override(self, {"seeds": [self.seeds[member] for member in members]})


def save_policy(path: Path, policy: Policy, about: PolicyFile) -> None:
    """Writes the policies of a population.

    Args:
        path: the file.
        policy: as the learner has it.
        about: what it is.
    """
    header = {"version": _VERSION, **configs.to_json(about)}
    write_tensors(path, policy.state_dict(), key=_KEY, about=header)


def read_policy(path: Path) -> PolicyFile:
    """Reads what a file of policies says of itself, without its weights.

    Raises:
        UsageError: missing, damaged, or no such file.
    """
    try:
        about = read_about(path, key=_KEY)
        if about.pop("version") != _VERSION:
            raise UsageError(f"{path}: written by another version of pwm-bench; read it with that one")
        return configs.from_json(PolicyFile, about, where=f"{path}: description")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; give a run that has finished training") from None
    except UsageError:
        raise
    except AlteredError as error:
        raise UsageError(f"{path}: {error}; restore it, or train the policies again") from None
    except OSError as error:
        raise unreadable(path, error) from None
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UsageError(f"{path}: holds no trained policies; give a run that has finished training") from None


def load_policy(
    path: Path, *, members: Sequence[int] | None = None, device: torch.device | str = "cpu"
) -> tuple[PolicyFile, Policy]:
    """Loads policies.

    Args:
        path: what `save_policy` wrote.
        members: which of them, as places in `PolicyFile.seeds`; all by default.
        device: where they go.

    Returns:
        what they are, and the policy of those members.

    Raises:
        UsageError: missing, damaged, or of an algorithm or settings that this version does not know.
    """
    about = read_policy(path)
    try:
        tensors = read_tensors(path, key=_KEY, device=device)
        if members is not None:
            about = about.only(members)
            tensors = {name: value[list(members)] for name, value in tensors.items()}
        return about, _with_weights(about, tensors, device)
    except UsageError:
        raise
    except (OSError, ValueError, RuntimeError, IndexError) as error:
        raise UsageError(f"{path}: damaged ({error}); train the policies again") from None


def one_member(about: PolicyFile, policy: Policy, member: int) -> tuple[PolicyFile, Policy]:
    """The policy of one member of a population, by itself.

    Args:
        about: what the population is.
        policy: its policies.
        member: which.
    """
    tensors = {name: value[member : member + 1].clone() for name, value in policy.state_dict().items()}
    device = next(iter(tensors.values())).device
    return about.only([member]), _with_weights(about.only([member]), tensors, device)


def _with_weights(about: PolicyFile, tensors: Mapping[str, Tensor], device: torch.device | str) -> Policy:
    package = registry.learner_package(about.algorithm)
    if getattr(package, "make_policy", None) is None:
        raise UsageError(f"algorithm '{about.algorithm}': has no make_policy, so its policies cannot be loaded; add it")
    config = configs.override(package.recipe(about.task, about.simulator), about.config)
    with MemoryLimit(_MEMORY + _MEMORY_PER_NUMBER * sum(value.numel() for value in tensors.values())):
        stream = MemberStream(about.seeds, device)
        policy = package.make_policy(config, about.observation_dim, about.action_dim, stream=stream)
    _take_types(policy, tensors)
    policy.load_state_dict(tensors)
    return policy.eval().requires_grad_(False)


def _take_types(policy: Policy, tensors: Mapping[str, Tensor]) -> None:
    """Converts the parameters of a new policy to the precision that they have in a file.

    A buffer goes along where the file has it in a parameter's precision; any other, such as statistics, keeps the
    precision that it was made with.

    Raises:
        ValueError: parameters that were made alike have different precisions in the file, or are no such numbers there.
    """
    found: dict[torch.dtype, set[torch.dtype]] = {}
    parameters = {name: value for name, value in policy.named_parameters() if value.is_floating_point()}
    for name, value in parameters.items():
        if name in tensors:  # what is missing is named when they are loaded
            found.setdefault(value.dtype, set()).add(tensors[name].dtype)
    for types in found.values():
        if len(types) != 1 or not all(dtype.is_floating_point for dtype in types):
            raise ValueError(f"parameters of the types {', '.join(sorted(map(str, types)))}")
    for value in parameters.values():
        for dtype in found.get(value.dtype, ()):
            value.data = value.data.to(dtype)
    every = set().union(*found.values())
    for name, buffer in policy.named_buffers():
        if buffer.is_floating_point() and name in tensors and tensors[name].dtype in every:
            buffer.data = buffer.data.to(tensors[name].dtype)
