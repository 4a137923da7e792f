"""Pre-training: one world model for all tasks of one or several datasets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self, get_args

from torch import Tensor

from pwm_bench import configs
from pwm_bench.envs.devices import resolve_device
from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.learning.ahead import DrawnAhead
from pwm_bench.learning.checks import check_at_least, check_choice, check_positive
from pwm_bench.learning.choices import Sampling, check_graphed
from pwm_bench.learning.graphed import graphs_of
from pwm_bench.learning.random import MemberStream
from pwm_bench.runs.job import Budget, EvaluationResult, Job, file_artifact
from pwm_bench.store.inputs import Input, Pending, numbered
from pwm_bench.store.schema import Artifact, Counts, RunRecord
from pwm_bench.store.spec import Spec
from pwm_bench.world_model.dataset import Dataset
from pwm_bench.world_model.multitask.config import SIZES, ModelConfig
from pwm_bench.world_model.multitask.files import load_model, save_model
from pwm_bench.world_model.multitask.networks import MultitaskModel
from pwm_bench.world_model.multitask.recipes import TrainingConfig, recipe
from pwm_bench.world_model.multitask.training import Pretrainer, Training
from pwm_bench.world_model.multitask.validation import validate

__all__ = ["PretrainJob", "PretrainSpec", "model_config_of"]

_MODEL = "model"
_OF_DATA = ("observation_dim", "action_dim", "tasks", "action_dims", "episode_lengths")
"""Fields of a `ModelConfig` that follow from the data."""


@dataclass(frozen=True, kw_only=True)
class PretrainSpec(Spec):
    """One world model. Build it with `PretrainSpec.create`, which fills in sizes and settings.

    Raises:
        UsageError: an impossible value.
    """

    kind: ClassVar[str] = "pretrain"
    settings: ClassVar[str] = "training"
    inputs: Mapping[str, Input | Pending] = field()
    """``data``, or ``data.0``, ``data.1`` and so on: datasets with the same tasks, read as one. ``continues``: a world
    model whose weights the training begins from; moments of the optimisers begin anew."""
    size: str
    """What the sizes are called, one of `pwm_bench.world_model.multitask.config.SIZES`; empty with ``continues``."""
    model: Mapping[str, Any]
    """All fields of `ModelConfig` that do not follow from the data; empty with ``continues``."""
    training: TrainingConfig
    gradient_steps: int
    train_seconds: float | None = None
    """Ends the training earlier."""
    seed: int = 0
    """Seed of weights and batches."""
    balanced: bool = False
    """Draws every task equally often, instead of every sequence or episode of the data."""
    sampling: Sampling = field(default="sequences", metadata=configs.LATER)
    """What is drawn with the same chance: "sequences" of the data, or "episodes", and then a sequence in one, as in the
    released code. The same where all episodes are equally long."""
    holdout: float = 0.05
    """Fraction of the episodes that is kept for evaluations."""
    evaluations: int = 11
    """Evaluations at evenly spaced gradient steps, the untrained and the final model included."""
    device: str = "auto"
    graphed: str = "auto"
    """Whether steps are launched as CUDA graphs: ``"auto"``, ``"on"`` or ``"off"``; see
    `pwm_bench.learning.graphed.graphs_of`. Not part of the id."""
    study: str = "pretrain"

    def __post_init__(self) -> None:
        check_graphed(self.graphed)
        object.__setattr__(self, "model", configs.to_json(self.model))
        check_at_least("gradient_steps", self.gradient_steps, 1)
        check_at_least("evaluations", self.evaluations, 2)
        check_at_least("seed", self.seed, 0)
        if self.train_seconds is not None:
            check_positive("train_seconds", self.train_seconds)
        check_choice("sampling", self.sampling, get_args(Sampling))
        if not 0.0 < self.holdout < 1.0:
            raise UsageError(f"holdout={self.holdout}: must be between 0 and 1")
        if not any(name.partition(".")[0] == "data" for name in self.inputs):
            raise UsageError("inputs: must have 'data', or 'data.0' and so on")
        if bool(self.model) == ("continues" in self.inputs):
            raise UsageError("model: must be given, unless an input 'continues' has its sizes")
        if self.model:
            _sizes({}, self.model)
        self.check_place(self.device)

    @classmethod
    def create(
        cls,
        *,
        data: Sequence[Input | Pending],
        continues: Input | Pending | None = None,
        size: str | None = None,
        sizes: Mapping[str, Any] | None = None,
        settings: str = "pwm",
        changes: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Self:
        """Builds a spec with all sizes and settings filled in.

        Args:
            data: datasets.
            continues: the model that the training begins from, if there is one; it has its own sizes.
            size: one of `SIZES`; 5M by default.
            sizes: fields of `ModelConfig` that differ from it.
            settings: one of `pwm_bench.world_model.multitask.recipes.RECIPES`.
            changes: fields of `TrainingConfig` that differ from it.
            fields: the other fields of `PretrainSpec`.

        Raises:
            UsageError: unknown names, or impossible values.
        """
        inputs = numbered("data", data)
        model: dict[str, Any] = {}
        if continues is not None:
            if size is not None or sizes:
                raise UsageError(f"size={size}: a model that goes on keeps its sizes; leave them out")
            inputs["continues"] = continues
        else:
            size = "5M" if size is None else size
            if size not in SIZES:
                raise unknown("model size", size, SIZES)
            model = _sizes(SIZES[size], sizes or {})
        training = configs.override(recipe(settings), changes or {}, where="training settings")
        return cls(inputs=inputs, size=size or "", model=model, training=training, **fields)

    @classmethod
    def study_keys(cls) -> Mapping[str, Any]:
        """The fields, with the names of sizes and settings instead of what these stand for."""
        own = {"size": str, "sizes": Mapping[str, Any], "settings": str}
        return {name: hint for name, hint in super().study_keys().items() if name not in ("model", "training")} | own

    @classmethod
    def draft(cls, fields: Mapping[str, Any], settings: Mapping[str, Any], reads: Mapping[str, Spec]) -> Self:
        """The run that a person asks for, see `create`.

        Raises:
            UsageError: unknown or missing fields, or impossible values.
        """
        values = dict(fields)
        inputs = dict(values.pop("inputs", {}))
        continues = inputs.pop("continues", None)
        if "gradient_steps" not in values:
            raise UsageError("gradient_steps: is missing; say how long to train")
        for name in inputs:
            if name.partition(".")[0] != "data":
                raise unknown("input", name, ("data", "continues"))
        return cls.create(data=tuple(inputs.values()), continues=continues, changes=settings, **values)

    @property
    def label(self) -> str:
        """What a person calls the run, e.g. ``"world model · 5M"``."""
        return f"world model · {self.size or 'continued'}"


def _sizes(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a `ModelConfig` that do not follow from the data."""
    for name in changes:
        if name in _OF_DATA:
            raise UsageError(f"model sizes: {name} follows from the data; leave it out")
    config = configs.override(ModelConfig(observation_dim=1, action_dim=1, **base), changes, where="model sizes")
    if config.termination:
        raise UsageError("model sizes: termination=True: no data set says when an episode ended early; leave it out")
    return {name: value for name, value in configs.to_json(config).items() if name not in _OF_DATA}


def model_config_of(data: Dataset, sizes: Mapping[str, Any]) -> ModelConfig:
    """The configuration of a model for all tasks of a dataset.

    Args:
        data: says which tasks there are and how large.
        sizes: the other fields of `ModelConfig`.
    """
    return ModelConfig(
        observation_dim=data.obs_dim,
        action_dim=data.action_dim,
        tasks=data.names,
        action_dims=tuple(task.action_dim for task in data.tasks),
        episode_lengths=tuple(task.episode_length for task in data.tasks),
        **sizes,
    )


class PretrainJob(Job):
    """A world model, its optimisers, and the data.

    An evaluation predicts held-out episodes open loop; each of its quantities has a row for each task of the record's
    details, in that order, empty where no episode of the task is held out; see
    `pwm_bench.world_model.multitask.validation.TaskErrors`.

    Args:
        spec: what to train.
        folder: the run's directory; the model goes to ``model/`` in it.

    Raises:
        UsageError: the device is absent, the data is damaged or does not fit, or its content has changed.
    """

    spec_class = PretrainSpec

    def __init__(self, spec: PretrainSpec, folder: Path) -> None:
        self.device = resolve_device(spec.device)
        self.precision = spec.training.precision
        self.budget = Budget(unit="gradient_steps", total=spec.gradient_steps, limits=_limits(spec))
        self._spec = spec
        paths = spec.open_inputs("data")
        self._data = Dataset(paths, split="train", holdout=spec.holdout, verify=True)
        self._held_out = _held_out(paths, spec.holdout)
        self.evaluations = 0 if self._held_out is None else spec.evaluations
        self._model = self._build()
        if spec.training.horizon > min(self._model.config.episode_lengths):
            raise UsageError(f"horizon={spec.training.horizon}: longer than the shortest episode of the tasks")
        trainer = Pretrainer(self._model, spec.training, seed=spec.seed)
        self._batches = DrawnAhead(self._draw, MemberStream([spec.seed], name="multitask/data"), self.device)
        self._training = Training(trainer, self._batches)
        self._graphs = graphs_of(self._training, spec.graphed, self.device)

    def _build(self) -> MultitaskModel:
        """The model before any step."""
        spec, data = self._spec, self._data
        if "continues" not in spec.inputs:
            config = model_config_of(data, spec.model)
            return MultitaskModel(config, seed=spec.seed, device=self.device)
        path = spec.open_input("continues")
        model = load_model(path, device=self.device)
        if model.config.termination:
            raise UsageError(f"{path}: predicts termination, which no data set says anything about; give another model")
        known, wanted = model.config, (data.names, data.obs_dim, data.action_dim)
        if (known.tasks, known.observation_dim, known.action_dim) != wanted:
            raise UsageError(
                f"{path}: a model of {len(known.tasks)} tasks with sizes {known.observation_dim} and "
                f"{known.action_dim}, but {data.name} has {len(data.names)} with {data.obs_dim} and {data.action_dim}; "
                "give data of the model's tasks"
            )
        return model

    def describe(self, record: RunRecord) -> None:
        """Notes tasks, episodes, the model's size, and steps that were left out because something was not finite."""
        record.details |= {
            "tasks": list(self._data.names),
            "episodes": self._data.num_episodes(),
            "held_out_episodes": 0 if self._held_out is None else self._held_out.num_episodes(),
            "parameters": sum(p.numel() for p in self._model.parameters() if p.requires_grad),
            "skipped_steps": self._training.trainer.skipped,
            "graphed": self._graphs is not None and not self._graphs.refused,
        }

    def counts(self) -> Counts:
        """Gradient steps."""
        return Counts(gradient_steps=self._training.counters.gradient_steps)

    def advance(self) -> Mapping[str, Tensor]:
        """One gradient step."""
        metrics = self._training.update() if self._graphs is None else self._graphs.update()
        return {name: value.view(1) for name, value in metrics.items()}

    def evaluate(self, stop: Callable[[], bool]) -> EvaluationResult | None:
        """Errors on held-out episodes."""
        assert self._held_out is not None
        training = self._spec.training
        errors = validate(self._model, self._held_out, horizon=training.horizon, precision=training.precision)
        found = {one.task: one for one in errors}
        rows = [found.get(name) for name in self._data.names]
        quantities: dict[str, list[list[float]]] = {
            "latent_error": [one.latent if one else [] for one in rows],
            "latent_still": [one.latent_still if one else [] for one in rows],
            "reward_error": [one.reward if one else [] for one in rows],
            "reward_deviation": [[one.reward_deviation] if one else [] for one in rows],
        }
        return EvaluationResult(returns=[], lengths=[], invalid=[], extras=quantities)

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimisers, random numbers and the place in the data."""
        return self._training.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes back to where `state_dict` was called."""
        self._training.load_state_dict(dict(state))
        if self._graphs is not None:
            self._graphs.forget()

    def artifacts(self, folder: Path) -> Mapping[str, Artifact]:
        """The model, see `pwm_bench.world_model.multitask.files.load_model`."""
        save_model(folder / _MODEL, self._model)
        return {"model": file_artifact(folder, _MODEL)}

    def close(self) -> None:
        """Ends the thread that gathers batches."""
        self._batches.close()

    def _draw(self, stream: MemberStream) -> tuple[Tensor, ...]:
        training = self._spec.training
        how: dict[str, Any] = {"balanced": self._spec.balanced, "sampling": self._spec.sampling}
        batch = self._data.sample(stream, training.batch_size, training.horizon, **how)
        return tuple(x[0] for x in batch)


def _limits(spec: PretrainSpec) -> dict[str, float]:
    return {} if spec.train_seconds is None else {"train_seconds": spec.train_seconds}


def _held_out(paths: Sequence[Path], holdout: float) -> Dataset | None:
    """The episodes for evaluations; None if there are so few that none is held out."""
    try:
        return Dataset(paths, split="validation", holdout=holdout)
    except UsageError:
        return None
