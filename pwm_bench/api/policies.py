"""Trained policies as functions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor

from pwm_bench.api.runs import Run, find
from pwm_bench.envs.errors import UsageError

if TYPE_CHECKING:
    from pwm_bench.jobs.policies import PolicyFile
    from pwm_bench.learning.acting import Policy

__all__ = ["TrainedPolicy", "load_policy"]

Array = TypeVar("Array", np.ndarray, Tensor)


class TrainedPolicy:
    """The policy of one seed: raw observations in, deterministic actions out; normaliser and encoder are inside.

    Args:
        network: of a single member.
        about: what it is.

    Attributes:
        network: the `torch.nn.Module`, on ``(1, N, observation_dim)``.
        about: algorithm, settings, task, simulator, seed.
    """

    def __init__(self, network: Policy, about: PolicyFile) -> None:
        self.network = network
        self.about = about

    @property
    def observation_dim(self) -> int:
        """D, features of an observation."""
        return self.about.observation_dim

    @property
    def action_dim(self) -> int:
        """A, components of an action."""
        return self.about.action_dim

    def __call__(self, obs: Array) -> Array:
        """Acts.

        Args:
            obs: as the task observes, shape ``(D,)`` or ``(..., D)``; NumPy or torch.

        Returns:
            actions in [-1, 1], shape ``(..., A)``, of the same kind, type and device.

        Raises:
            UsageError: observations of another size.
        """
        return self._act(obs, None)

    def explore(self, obs: Array, *, generator: torch.Generator | None = None) -> Array:
        """Acts with noise, as in training.

        Args:
            obs: as for a deterministic action.
            generator: of the noise; torch's own by default.
        """
        shape = tuple(obs.shape[:-1])
        noise = torch.randn(1, int(np.prod(shape, dtype=int)), self.action_dim, generator=generator)
        return self._act(obs, noise)

    def export(self, path: Path | str) -> float:
        """Writes it for use without this package, with its normaliser, and beside it a JSON file that says what it is.

        Args:
            path: ``.pt`` (TorchScript) or ``.onnx`` (needs the extra ``export``). It takes ``obs`` ``(N, D)`` and gives
                ``action`` ``(N, A)``, both float32.

        Returns:
            the largest difference between an exported action and this policy's, on random observations.

        Raises:
            UsageError: another ending, a package that is not installed, a place that cannot be written to, or an
                exported policy that acts otherwise.
        """
        from pwm_bench.jobs.export_policy import export_policy

        return export_policy(self.network, self.about, Path(path))

    def _act(self, obs: Array, noise: Tensor | None) -> Array:
        if obs.ndim == 0 or obs.shape[-1] != self.observation_dim:
            raise UsageError(f"obs has shape {tuple(obs.shape)}: must be (..., {self.observation_dim})")
        weight = next(self.network.parameters())
        given = torch.as_tensor(obs)
        rows = given.to(weight.device, weight.dtype).reshape(1, -1, self.observation_dim)
        action = self.network(rows) if noise is None else self.network.explore(rows, noise.to(rows))
        action = action.reshape(*given.shape[:-1], self.action_dim)
        if isinstance(obs, Tensor):
            return action.to(obs.device, obs.dtype)
        return action.cpu().numpy().astype(obs.dtype)

    def __repr__(self) -> str:
        about = self.about
        place = f"{about.task} · {about.simulator} · {about.algorithm} · seed {about.seeds[0]}"
        return f"<policy of {place}: (..., {self.observation_dim}) to (..., {self.action_dim})>"


def load_policy(
    run: Run | str | Path, *, seed: int | None = None, results: Path | str | None = None, device: str = "cpu"
) -> TrainedPolicy:
    """The policy that a run has trained.

    Args:
        run: what `pwm_bench.run` gave, a run's directory, or an id or its beginning.
        seed: training seed; by default the one with the highest final return.
        results: the results folder to look for the id in; ``$PWM_BENCH_RESULTS``, or ``results`` here.
        device: where it computes.

    Raises:
        UsageError: no such run or seed, or it has left no policy.
    """
    from pwm_bench.jobs.trained import member_policy

    found = find(run, results)
    seeds = {member.seed: place for place, record in enumerate(found.records) for member in record.members}
    if seed is None and found.members:
        seed = max(found.members, key=lambda m: -np.inf if m.final_return is None else m.final_return).seed
    if found.members and seed not in seeds:
        raise UsageError(f"seed={seed}: the run has the seeds {', '.join(map(str, seeds))}")
    directory = found.directories[0 if seed is None else seeds[seed]]
    about, network = member_policy(directory, seed, device=device)
    return TrainedPolicy(network, about)
