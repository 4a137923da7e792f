"""Pre-training a multi-task world model from a dataset, through any number of interruptions.

The folder of a model holds ``model.safetensors`` and ``model.json`` (the model as of the last checkpoint),
``metrics.jsonl`` (losses), ``validation.jsonl`` (errors on held-out episodes per task), ``pretrain.json`` (what was
asked for, where it ran and what became of it) and ``checkpoint/`` (all that is needed to go on exactly).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from envs.errors import UsageError
from pwm_bench import configs
from pwm_bench.learning.random import MemberStream
from pwm_bench.runs.stop import StopRequest, stop_request
from pwm_bench.store import checkpoint, provenance
from pwm_bench.store.files import JsonLines, write_atomic
from pwm_bench.store.lock import RunLock
from pwm_bench.store.spec import Spec
from pwm_bench.world_model.dataset import Dataset
from pwm_bench.world_model.multitask.config import ModelConfig
from pwm_bench.world_model.multitask.files import save_model
from pwm_bench.world_model.multitask.networks import MultitaskModel
from pwm_bench.world_model.multitask.recipes import TrainingConfig
from pwm_bench.world_model.multitask.training import Pretrainer
from pwm_bench.world_model.multitask.validation import TaskErrors, validate

__all__ = ["PretrainProgress", "PretrainSpec", "last_validation", "model_config_of", "pretrain"]

_SPEC = "pretrain.json"
_PREFETCHED = ("cuda",)  # kinds of device for which the next batch is gathered while the last is learnt from


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainSpec(Spec):
    """What to train."""

    kind: ClassVar[str] = "pretrain"
    data: str
    """The dataset's folder."""
    model: ModelConfig
    training: TrainingConfig
    steps: int
    """Gradient steps; may be raised later to go on."""
    minutes: float | None = None
    """Stop after so much training time, whatever the steps."""
    seed: int = 0
    balanced: bool = False
    """Draw every task equally often, instead of every slice of the data."""
    holdout: float = 0.05
    """Share of episodes kept for validation."""

    def to_dict(self) -> dict[str, Any]:
        """All that the weights depend on, apart from the data, to which a round may add, and from how long the training
        goes on."""
        values = configs.to_json(self)
        return {name: value for name, value in values.items() if name not in ("data", "steps", "minutes")}


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainProgress:
    """A snapshot for those who watch."""

    step: int
    steps: int
    train_seconds: float
    losses: dict[str, float]
    validation: list[TaskErrors] | None = None
    """Right after a validation, its errors; the step has been told before."""


def model_config_of(data: Dataset, size: dict[str, Any]) -> ModelConfig:
    """The configuration of a model for all tasks of a dataset.

    Args:
        data: says which tasks there are and how large.
        size: the other fields of `ModelConfig`.
    """
    return ModelConfig(
        observation_dim=data.obs_dim,
        action_dim=data.action_dim,
        tasks=data.names,
        action_dims=tuple(task.action_dim for task in data.tasks),
        episode_lengths=tuple(task.episode_length for task in data.tasks),
        **size,
    )


def pretrain(
    spec: PretrainSpec,
    folder: Path,
    *,
    device: torch.device,
    progress: Callable[[PretrainProgress], None] = lambda _: None,
    checkpoint_seconds: float = 120.0,
    report_every: int = 50,
    validate_every: int = 1000,
) -> bool:
    """Trains, or goes on where an earlier call was cut off.

    Args:
        spec: what to train.
        folder: where the model goes.
        device: where it is trained.
        progress: told now and then.
        checkpoint_seconds: time between two checkpoints.
        report_every: steps between two lines of losses.
        validate_every: steps between two validations; one more is done at the end.

    Returns:
        Whether the training is complete; otherwise it was stopped and goes on when called again.

    Raises:
        UsageError: the folder holds a model of other settings, or cannot be written; the data doesn't fit.
    """
    if not spec.training.horizon <= min(spec.model.episode_lengths):
        raise UsageError(f"horizon={spec.training.horizon}: longer than the shortest episode of the tasks")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({error.strerror}); choose another folder with --out") from None
    with RunLock(folder / "lock"), stop_request() as stop:
        training = _Training(spec, folder, device)
        training.restore()
        return training.run(stop, progress, checkpoint_seconds, report_every, validate_every)


def last_validation(folder: Path) -> list[TaskErrors]:
    """The newest errors on held-out episodes in a model's folder; empty before the first validation."""
    lines = JsonLines(folder / "validation.jsonl").read()
    return [TaskErrors.from_json(task) for task in lines[-1]["tasks"]] if lines else []


class _Training:
    def __init__(self, spec: PretrainSpec, folder: Path, device: torch.device) -> None:
        self.spec, self.folder, self.device = spec, folder, device
        self._data = Dataset(spec.data, split="train", holdout=spec.holdout)
        self._held_out: Dataset | None = None
        with contextlib.suppress(UsageError):  # so few episodes that none is held out; the record says so
            self._held_out = Dataset(spec.data, split="validation", holdout=spec.holdout)
        self._model = MultitaskModel(spec.model, seed=spec.seed, device=device)
        self._trainer = Pretrainer(self._model, spec.training, seed=spec.seed)
        self._stream = MemberStream([spec.seed], name="multitask/data")
        self._drawn: dict[str, Any] | None = None
        self._metrics = JsonLines(folder / "metrics.jsonl")
        self._validations = JsonLines(folder / "validation.jsonl")
        self._step = 0
        self._validated = -1
        self._seconds = 0.0

    def restore(self) -> None:
        """Goes back to the last checkpoint, or to the beginning if there is none."""
        path, about = self.folder / "checkpoint", self.folder / _SPEC
        if about.exists():
            try:
                owner = json.loads(about.read_text())["id"]
            except (ValueError, KeyError, TypeError):
                raise UsageError(f"{about}: damaged; restore it, or choose another --out") from None
            if owner != self.spec.id:
                raise UsageError(f"{self.folder}: holds a model of other settings (see {_SPEC}); choose another --out")
        state = checkpoint.load(path, spec_id=self.spec.id).state if checkpoint.exists(path) else None
        self._metrics.truncate(state["metrics"] if state else 0)
        self._validations.truncate(state["validations"] if state else 0)
        self._describe("running")
        if state is None:
            return
        self._model.load_state_dict(state["model"])
        self._trainer.load_state_dict(state["trainer"])
        self._stream.load_state_dict(state["stream"])
        self._step, self._validated, self._seconds = state["step"], state["validated"], state["seconds"]

    def run(
        self,
        stop: StopRequest,
        progress: Callable[[PretrainProgress], None],
        checkpoint_seconds: float,
        report_every: int,
        validate_every: int,
    ) -> bool:
        saved = time.monotonic()
        told: dict[str, float] = {}
        with self._batches() as batches:
            while not stop and not self._complete:
                since = time.monotonic()
                metrics = self._trainer.step(*next(batches))
                self._step += 1
                if self._step % report_every == 0 or self._complete or self._step == 1:
                    told = {name: float(value) for name, value in metrics.items()}
                    self._seconds += time.monotonic() - since
                    self._report(told)
                    progress(self._snapshot(told))
                else:
                    self._seconds += time.monotonic() - since
                if self._step % validate_every == 0 or self._complete:
                    progress(dataclasses.replace(self._snapshot(told), validation=self._validate()))
                if time.monotonic() - saved >= checkpoint_seconds:
                    self._save()
                    saved = time.monotonic()
        if self._complete and self._validated != self._step:
            progress(dataclasses.replace(self._snapshot(told), validation=self._validate()))
        self._save()
        self._describe("ok" if self._complete else "interrupted")
        return self._complete

    @property
    def _complete(self) -> bool:
        minutes = self.spec.minutes
        return self._step >= self.spec.steps or (minutes is not None and self._seconds >= 60.0 * minutes)

    @contextmanager
    def _batches(self) -> Iterator[Iterator[tuple[Tensor, ...]]]:
        """Batches on the device."""
        if self.device.type not in _PREFETCHED:
            yield iter(self._draw, None)
            return
        with ThreadPoolExecutor(1) as pool:

            def ahead() -> Iterator[tuple[Tensor, ...]]:
                pending = pool.submit(self._draw)
                while True:
                    ready = pending.result()
                    self._drawn = self._stream.state_dict()  # where the batch after this one begins
                    pending = pool.submit(self._draw)
                    yield tuple(x.to(self.device, non_blocking=True) for x in ready)

            yield ahead()

    def _draw(self) -> tuple[Tensor, ...]:
        training = self.spec.training
        batch = self._data.sample(self._stream, training.batch_size, training.horizon, balanced=self.spec.balanced)
        return tuple(x[0] for x in batch)

    def _report(self, losses: dict[str, float]) -> None:
        counts = {"step": self._step, "train_seconds": self._seconds, "skipped": self._trainer.skipped}
        self._metrics.append(counts | losses)

    def _validate(self) -> list[TaskErrors]:
        self._validated = self._step
        if self._held_out is None:
            return []
        horizon, precision = self.spec.training.horizon, self.spec.training.precision
        errors = validate(self._model, self._held_out, horizon=horizon, precision=precision)
        self._validations.append({"step": self._step, "tasks": [task.to_json() for task in errors]})
        return errors

    def _snapshot(self, losses: dict[str, float]) -> PretrainProgress:
        return PretrainProgress(
            step=self._step, steps=self.spec.steps, train_seconds=self._seconds, losses=dict(losses)
        )

    def _save(self) -> None:
        state = {
            "model": self._model.state_dict(),
            "trainer": self._trainer.state_dict(),
            "stream": self._drawn or self._stream.state_dict(),
            "step": self._step,
            "validated": self._validated,
            "seconds": self._seconds,
            "metrics": self._metrics.sync(),
            "validations": self._validations.sync(),
        }
        checkpoint.save(self.folder / "checkpoint", state, spec_id=self.spec.id)
        about = {"steps": self._step, "seed": self.spec.seed, "training": dataclasses.asdict(self.spec.training)}
        save_model(self.folder, self._model, about)

    def _describe(self, status: str) -> None:
        about = {
            "id": self.spec.id,
            "status": status,
            "step": self._step,
            "train_seconds": self._seconds,
            "skipped_steps": self._trainer.skipped,
            "data_digest": self._data.digest,
            "episodes": self._data.num_episodes(),
            "held_out_episodes": 0 if self._held_out is None else self._held_out.num_episodes(),
            "spec": dataclasses.asdict(self.spec),
            "provenance": provenance.collect(str(self.device), self.spec.training.precision).model_dump(),
        }
        write_atomic(self.folder / _SPEC, json.dumps(about, indent=2) + "\n")
