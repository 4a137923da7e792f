"""Collecting: episodes of many tasks, recorded into a dataset in the run's directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from pwm_bench.collection.behaviours import BatchPolicy, Noise, make_behaviours
from pwm_bench.collection.collect import Collector, task_infos
from pwm_bench.collection.trained import load_policies
from pwm_bench.envs import suites
from pwm_bench.envs.devices import resolve_device
from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.envs.suites import Suite
from pwm_bench.runs.job import Budget, Job, file_artifact
from pwm_bench.store.inputs import Input, Pending
from pwm_bench.store.schema import Artifact, Counts, RunRecord
from pwm_bench.store.spec import Spec
from pwm_bench.world_model.dataset import Dataset, DatasetWriter, Episode

__all__ = ["CollectJob", "CollectSpec"]

_DATA = "data"
_EXTRACTED = ("policies", "model")
_TRAINED = "policies."
_ROWS_PER_SHARD = 1 << 16  # about; a shard is complete after whole rounds of all tasks


@dataclass(frozen=True, kw_only=True)
class CollectSpec(Spec):
    """Episodes of many tasks.

    Raises:
        UsageError: an impossible value.
    """

    kind: ClassVar[str] = "collect"
    tasks: tuple[str, ...]
    """Tasks and suites, see `pwm_bench.envs.suites.spec`; a suite becomes its tasks."""
    episodes: int = 100
    """Episodes of each task."""
    policy: str = "auto"
    """Who acts, see `pwm_bench.collection.behaviours.make_behaviours`."""
    noise: tuple[float, ...] = (0.0, 0.1, 0.3)
    """Standard deviations of noise on the policy's actions, one an episode, in turn."""
    random_share: float = 0.0
    """Fraction of the episodes that has random actions instead."""
    seed: int = 0
    """Seed of starts, goals and noise."""
    envs_per_task: int = 1
    """Worlds of each task that run at once. A policy from Python may see how many there are."""
    workers: int | None = None
    """Processes that run the worlds; 0 for none, None for one a processor. The data is the same."""
    inputs: Mapping[str, Input | Pending] = field(default_factory=dict)
    """``policies`` of an extraction and its world ``model``, for ``policy="extracted"``. ``policies.TASK``: those of a
    learner in that task, see `pwm_bench.jobs.behaviour`; for ``policy="auto"``."""
    device: str = "cpu"
    """Device of a policy that an extraction has left. The worlds compute on the CPU."""
    study: str = "collect"

    def __post_init__(self) -> None:
        object.__setattr__(self, "tasks", suites.spec(tuple(self.tasks)).names)
        object.__setattr__(self, "noise", tuple(self.noise))
        for name, least in (("episodes", 1), ("envs_per_task", 1), ("seed", 0), ("workers", 0)):
            value = getattr(self, name)
            if value is None and name == "workers":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise UsageError(f"{name}={value}: must be a whole number of at least {least}")
        self.acting_noise()
        extracted = [name for name in _EXTRACTED if name in self.inputs]
        if len(extracted) != (len(_EXTRACTED) if self.policy == "extracted" else 0):
            raise UsageError(
                f"policy={self.policy}: 'extracted' goes with the inputs {' and '.join(_EXTRACTED)}, nothing else does"
            )
        if self.trained_tasks and self.policy != "auto":
            raise UsageError(f"policy={self.policy}: must be 'auto' where policies were trained for tasks")
        for task in self.trained_tasks:
            if task not in self.tasks:
                raise unknown("task of the trained policies", task, self.tasks)
        self.check_place(self.device)

    def acting_noise(self) -> Noise:
        """What is added to the policy's actions."""
        return Noise(levels=self.noise, random_share=self.random_share)

    @property
    def trained_tasks(self) -> tuple[str, ...]:
        """Tasks whose policies were trained."""
        return tuple(name.removeprefix(_TRAINED) for name in self.inputs if name.startswith(_TRAINED))

    @property
    def label(self) -> str:
        """What a person calls the run, e.g. ``"collect · mw-reach, mw-push · expert"``."""
        names = ", ".join(self.tasks) if len(self.tasks) <= 2 else f"{len(self.tasks)} tasks"
        return f"collect · {names} · {self.policy}"


class CollectJob(Job):
    """Worlds that are played and written down.

    A shard holds a number of episodes of each task that the spec determines, sorted by task and number. What was played
    since the last one is part of the state. So the data is the same, byte by byte, however often the run is interrupted
    and however many worlds run at once.

    Args:
        spec: what to collect.
        folder: the run's directory; the data goes to ``data/`` in it.

    Raises:
        UsageError: there is no such policy, or a package is missing.
    """

    spec_class = CollectSpec

    device = torch.device("cpu")

    def __init__(self, spec: CollectSpec, folder: Path) -> None:
        self._spec, self._suite, self._path = spec, suites.spec(spec.tasks), folder / _DATA
        policy = _extracted(spec, self._suite) if spec.policy == "extracted" else spec.policy
        trained = {task: load_policies(spec.open_input(_TRAINED + task), task) for task in spec.trained_tasks}
        behaviour, batch = make_behaviours(
            policy, self._suite, seed=spec.seed, noise=spec.acting_noise(), trained=trained
        )
        self._env = suites.make(self._suite, envs_per_task=spec.envs_per_task, num_workers=spec.workers, seed=spec.seed)
        self._collector = Collector(self._env, behaviour, batch)
        self._per_shard = max(1, _ROWS_PER_SHARD // sum(length + 1 for length in self._suite.episode_lengths))
        self._writer: DatasetWriter | None = None
        self._played = 0  # episodes of each task
        self._shards = 0
        self._waiting: list[list[Episode]] = [[] for _ in self._suite.tasks]
        self._summary: dict[str, Any] = {}
        self.budget = Budget(unit="episodes", total=spec.episodes * len(self._suite.tasks))

    def describe(self, record: RunRecord) -> None:
        """Notes what the finished data holds of each task."""
        if self._summary:
            record.details["collected"] = self._summary

    def counts(self) -> Counts:
        """Episodes played, and their steps."""
        steps = self._played * sum(self._suite.episode_lengths)
        return Counts(episodes=self._played * len(self._suite.tasks), env_steps=steps)

    def advance(self) -> Mapping[str, Tensor]:
        """Plays as many episodes as there are worlds, and writes a shard if there are enough for one."""
        last = min(self._played + self._spec.envs_per_task, self._spec.episodes)
        for episode in self._collector.play(self._played, last, lambda done, total: self.told("", done, total)):
            self._waiting[episode.task].append(episode)
        self._played = last
        while len(self._waiting[0]) >= self._per_shard or (self._waiting[0] and last == self._spec.episodes):
            self._write_shard()
        return {}

    def _write_shard(self) -> None:
        if self._writer is None:
            suite = self._suite
            self._writer = DatasetWriter(
                self._path, task_infos(suite), obs_dim=suite.obs_dim, action_dim=suite.action_dim
            )
            self._writer.keep_shards(
                self._shards
            )  # others were made after the last checkpoint, or by a run without one
        for task, episodes in enumerate(self._waiting):
            for episode in episodes[: self._per_shard]:
                self._writer.add(
                    task,
                    episode.obs,
                    episode.action,
                    episode.reward,
                    success=episode.success,
                    source=episode.source,
                )
        self._writer.flush()
        self._waiting = [episodes[self._per_shard :] for episodes in self._waiting]
        self._shards += 1

    def state_dict(self) -> dict[str, Any]:
        """How far the work is, and the episodes that are in no shard yet."""
        waiting = [[_packed(episode) for episode in episodes] for episodes in self._waiting]
        return {"played": self._played, "shards": self._shards, "waiting": waiting}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes back to where `state_dict` was called."""
        self._played, self._shards = state["played"], state["shards"]
        self._waiting = [[_unpacked(one) for one in episodes] for episodes in state["waiting"]]

    def artifacts(self, folder: Path) -> Mapping[str, Artifact]:
        """The dataset."""
        self._summary = _summary(Dataset(self._path))
        return {"data": file_artifact(folder, _DATA)}

    def close(self) -> None:
        """Ends the processes of the worlds."""
        self._env.close()


def _extracted(spec: CollectSpec, suite: Suite) -> BatchPolicy:
    """The policies of an extraction, each in its own task."""
    from pwm_bench.jobs.planning import make_arm, open_policies

    device, source = resolve_device(spec.device), spec.inputs["model"]
    assert isinstance(source, Input)  # a pending one is refused by the other input
    model, experts = open_policies(spec.open_input("policies"), source, device=device)
    act = make_arm("pwm", model, suite.names, episodes=1, experts=experts)  # takes any number of worlds

    def policy(obs: Tensor, task: Tensor) -> Tensor:
        worlds = len(task) // len(suite.tasks)  # those of a task stand together
        return act(obs.to(device).view(len(suite.tasks), worlds, -1)).flatten(0, 1)[:, : suite.action_dim]

    return policy


def _packed(episode: Episode) -> dict[str, Any]:
    arrays = {name: torch.from_numpy(getattr(episode, name)) for name in ("obs", "action", "reward")}
    success = torch.tensor(episode.success, dtype=torch.float64)
    return {"task": episode.task, "source": episode.source, "success": success, **arrays}


def _unpacked(state: Mapping[str, Any]) -> Episode:
    arrays = {name: state[name].numpy() for name in ("obs", "action", "reward")}
    return Episode(task=state["task"], source=state["source"], success=float(state["success"]), **arrays)


def _summary(data: Dataset) -> dict[str, Any]:
    """What there is of each task: episodes, mean return, and the fraction that was solved where that is known."""
    result: dict[str, Any] = {}
    for index, name in enumerate(data.names):
        returns, success = data.scores(index)
        result[name] = {"episodes": len(returns)}
        if len(returns):
            result[name]["return"] = float(returns.mean())
        if np.isfinite(success).any():
            result[name]["solved"] = float(np.nanmean(success))
        if data.skipped[name]:
            result[name]["skipped"] = data.skipped[name]
    return result
