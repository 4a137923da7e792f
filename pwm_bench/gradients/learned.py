"""The return that a world model predicts: encode the start observation, roll out in the latent space."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from pwm_bench import configs
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.simulator import State
from pwm_bench.envs.tasks.base import Task
from pwm_bench.gradients.controls import Control
from pwm_bench.gradients.landscape import Rollout
from pwm_bench.learning.normalise import RunningNorm
from pwm_bench.learning.random import MemberStream
from pwm_bench.pwm.config import Config
from pwm_bench.store import checkpoint, checkpoint_files
from pwm_bench.store.inputs import Input, content_digest, find_input
from pwm_bench.store.results import RunDirectory
from pwm_bench.store.schema import RunRecord
from pwm_bench.world_model.config import WorldModelConfig
from pwm_bench.world_model.networks import WorldModel

__all__ = [
    "LearnedWorld",
    "TrainedModel",
    "alone",
    "load_run",
    "open_run",
    "run_behind",
    "run_input",
    "select_member",
]

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A world model of one member and the units of its rewards.

    Attributes:
        model: population of one.
        reward_scale: predicted reward = ``scale * R(z, a) + shift`` in the task's units.
        reward_shift: see above.
        config: of the model.
        description: for records.
    """

    model: WorldModel
    reward_scale: float
    reward_shift: float
    config: WorldModelConfig
    description: dict[str, Any]

    def to(self, dtype: torch.dtype, device: torch.device) -> TrainedModel:
        """A copy in another precision or place, with frozen weights."""
        model = copy.deepcopy(self.model).to(device, dtype)
        return dataclasses.replace(self, model=model.requires_grad_(False))

    def state_dict(self) -> dict[str, Any]:
        """All that it is: ``weights``, the normaliser of observations among them, and JSON values."""
        return {
            "weights": self.model.state_dict(),
            "reward_scale": self.reward_scale,
            "reward_shift": self.reward_shift,
            "config": configs.to_json(self.config),
            "description": self.description,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> TrainedModel:
        """The model that `state_dict` described.

        Raises:
            UsageError: the weights are not those of such a model.
        """
        config = configs.from_json(WorldModelConfig, state["config"], where="config of the world model")
        model = _empty_model(state["weights"], config, members=1)
        _load_weights(model, state["weights"])
        return cls(model, state["reward_scale"], state["reward_shift"], config, dict(state["description"]))

    def encode(self, obs: Tensor) -> Tensor:
        """Latents of observations, ``(N, observation_dim)`` to ``(N, latent_dim)``."""
        return self.model.encode(obs.unsqueeze(0)).squeeze(0)


class LearnedWorld:
    """A task's return as a world model predicts it.

    Args:
        trained: the model.
        task: gives the observation of a start state and the size of an action.
        rows: rows of one rollout.
        detach_policy: a closed-loop policy does not pass gradients to the latent it acts on (PWM's objective).
        termination: rewards are weighted by the predicted survival, if the model predicts it. Off: they go on after a
            termination, as in `SimulatedWorld`.
        value: V of latents ``(N, latent_dim)`` at the end of a horizon; nothing by default.
        dtype: of the computation.
        device: where.
    """

    differentiable = True

    def __init__(
        self,
        trained: TrainedModel,
        task: Task,
        *,
        rows: int,
        detach_policy: bool = False,
        termination: bool = True,
        value: Callable[[Tensor], Tensor] | None = None,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.dtype = dtype
        self.trained = trained.to(dtype, self.device)
        self.task = task
        self.rows = rows
        self.name = "model_detached" if detach_policy else "model"
        self.detach_policy = detach_policy
        self.termination = termination
        self.value = value

    def require_gradient(self) -> None:
        """A model always has one."""

    def rollout(self, start: State, control: Control, theta: Tensor, noise: Tensor) -> Rollout:
        """See `Landscape.rollout`; the policy sees latents."""
        model = self.trained.model
        with torch.no_grad():
            obs = self.task.observation(start, noise.new_zeros(noise.shape[1:]))
            latent = self.trained.encode(obs)
        weight: Tensor | None = None
        weights: list[Tensor | None] = []
        policy = control.policy(theta)
        rewards, features = [], []
        for t, step_noise in enumerate(noise):
            seen = latent.detach() if self.detach_policy else latent
            action = torch.clamp(policy(t, seen) + step_noise, -1.0, 1.0)
            z, a = latent.unsqueeze(0), action.unsqueeze(0)
            reward = self.trained.reward_scale * model.reward(z, a).squeeze(0) + self.trained.reward_shift
            rewards.append(reward if weight is None else weight * reward)
            features.append(latent)
            if t == noise.shape[0] - 1 and self.value is None:
                break
            latent = model.next(z, a).squeeze(0)
            if self.termination and model.termination_network is not None:
                survival = torch.sigmoid(-model.termination_logit(latent.unsqueeze(0)).squeeze(0))
                weight = survival if weight is None else weight * survival
            weights.append(weight)
        if self.value is None:
            return Rollout(rewards, torch.stack(features))
        value, reached = self.value, [*features[1:], latent]

        def beyond(horizon: int) -> Tensor:
            found, chance = value(reached[horizon - 1]), weights[horizon - 1]
            return found if chance is None else chance * found

        return Rollout(rewards, torch.stack(features), beyond)

    @torch.no_grad()
    def predict(self, obs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Open-loop predictions from observations ``(N, observation_dim)`` under actions ``(H, N, A)``.

        Returns:
            latents z_0 .. z_H, shape ``(H + 1, N, latent_dim)``, and rewards, shape ``(H, N)``.
        """
        model, latents = self.trained.model, [self.trained.encode(obs)]
        rewards = []
        for action in actions:
            z, a = latents[-1].unsqueeze(0), action.unsqueeze(0)
            rewards.append(self.trained.reward_scale * model.reward(z, a).squeeze(0) + self.trained.reward_shift)
            latents.append(model.next(z, a).squeeze(0))
        return torch.stack(latents), torch.stack(rewards)


def run_input(path: str | Path) -> Input:
    """A world model as an input of a spec: the artifact of a run, or the weights in the checkpoint of a PWM run.

    Args:
        path: run directory.

    Raises:
        UsageError: not a run, or one without a world model.
    """
    path = Path(path)
    record = RunDirectory(path).read()
    if "model" in record.artifacts:
        return find_input(path, "model")
    _check_checkpoint(path)
    file = checkpoint_files.read(path / "checkpoint", spec_id=record.id).file
    return Input(path=str(file), digest=content_digest(file))


def run_behind(one: Input) -> RunRecord | None:
    """The record of the run with several seeds that an input is of: its checkpoint, or its policies. None if there is
    no such run, as for a file by itself."""
    path = Path(one.path)
    for folder in (path.parent, path.parent.parent):
        if (folder / "run.json").exists():
            record = RunDirectory(folder).read()
            return record if record.members else None
    return None


def _check_checkpoint(path: Path) -> None:
    if not checkpoint.exists(path / "checkpoint"):
        raise UsageError(
            f"{path}: holds no checkpoint, so no world model; run it again, or train one with --train-model"
        )


def load_run(path: str | Path, *, task: str, member: int = 0) -> TrainedModel:
    """Reads the world model of a finished (or interrupted) PWM run.

    Args:
        path: run directory.
        task: the task it must have been trained on.
        member: which seed of the population, by position.

    Raises:
        UsageError: see `open_run`.
    """
    spec, state = open_run(path, task=task, member=member)
    seeds: Sequence[int] = spec["seeds"]
    config = configs.override(Config(), spec["config"]).world_model
    model = _empty_model(state["world_model"], config, members=len(seeds))
    _load_weights(model, state["world_model"])
    norm = RunningNorm(len(seeds), 1)
    norm.load_state_dict(state["model_trainer"]["reward_norm"])
    description = {
        "run": Path(path).name,
        "member": member,
        "seed": seeds[member],
        "config": spec["config"]["world_model"],
    }
    return select_member(model, norm, config, member, description)


def open_run(path: str | Path, *, task: str, member: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The spec of a PWM run and the learner's state in its checkpoint.

    Raises:
        UsageError: not a run, of another task, of an algorithm without a world model, without a checkpoint, or without
            that member.
    """
    path = Path(path)
    record = RunDirectory(path).read()
    spec = dict(record.spec)
    if spec.get("algorithm") != "pwm":
        raise UsageError(
            f"{path}: a run of '{spec.get('algorithm', 'several tasks')}', which has no world model here; give the "
            "directory of a 'pwm' run"
        )
    if spec["task"] != task:
        raise UsageError(f"{path}: its world model is of task '{spec['task']}', not '{task}'; give a run of that task")
    seeds: Sequence[int] = spec["seeds"]
    if not 0 <= member < len(seeds):
        raise UsageError(f"member={member}: run {record.id} has members 0 to {len(seeds) - 1}")
    _check_checkpoint(path)
    return spec, checkpoint.load(path / "checkpoint", spec_id=record.id).state["job"]


def alone(module: Module, member: int, *, members: int) -> Module:
    """A copy of one member of a population's module; its parameters keep the rows that are that member's."""
    copied = copy.deepcopy(module)
    for part in copied.modules():
        for name, p in part.named_parameters(recurse=False):
            rows = p.shape[0] // members
            own = p.data[member * rows : (member + 1) * rows].clone()
            setattr(part, name, nn.Parameter(own, requires_grad=False))
        for name, buffer in part.named_buffers(recurse=False):
            rows = buffer.shape[0] // members
            setattr(part, name, buffer[member * rows : (member + 1) * rows].clone())
    return copied


def select_member(
    model: WorldModel, reward_norm: RunningNorm, config: WorldModelConfig, member: int, description: dict[str, Any]
) -> TrainedModel:
    """One member of a population's world model, with the units of its rewards."""
    scale, shift = 1.0, 0.0
    if config.reward_normalisation != "none":
        scale = float((reward_norm.var[member, 0] + reward_norm.eps).sqrt())
    if config.reward_normalisation == "moments":
        shift = float(reward_norm.mean[member, 0])
    own = alone(model, member, members=reward_norm.mean.shape[0])
    return TrainedModel(own, scale, shift, config, description)


def _empty_model(weights: Mapping[str, Tensor], config: WorldModelConfig, *, members: int) -> WorldModel:
    """A model of the sizes that these weights have."""
    try:
        first, last = (weights[f"{net}.layers.0.linear.weight"] for net in ("encoder", "dynamics"))
    except KeyError as error:
        raise UsageError(
            f"the world model holds no {error}: it was written by another version, train it anew"
        ) from None
    stream = MemberStream(range(members), "meta")  # whatever the settings say, no more memory is taken than they have
    return WorldModel(first.shape[1], last.shape[1] - config.latent_dim, config, stream=stream)


def _load_weights(model: WorldModel, weights: Mapping[str, Tensor]) -> None:
    try:
        model.load_state_dict(dict(weights), assign=True)  # each in its own precision: statistics have another one
    except RuntimeError as error:
        raise UsageError(f"the weights are not those of such a world model: {error}") from None
