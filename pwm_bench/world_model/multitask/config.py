"""The configuration of a multi-task world model: the tasks that it knows and the sizes of its networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.learning.checks import check_count, check_positive, check_unit, check_widths

__all__ = ["SIZES", "ModelConfig", "described", "sized"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """Tasks and sizes of a world model. Tuples may be given as lists, as JSON has them.

    Raises:
        UsageError: if a field is out of range or the task lists differ in length.
    """

    observation_dim: int
    """Largest observation among the tasks; smaller ones are padded with zeros at the end."""
    action_dim: int
    """Largest action among the tasks; smaller ones are padded with zeros at the end."""
    tasks: tuple[str, ...] = ("task",)
    """Names, in the order of the rows of the task embedding."""
    action_dims: tuple[int, ...] = ()
    """Components of each task's action; ``action_dim`` for all by default."""
    episode_lengths: tuple[int, ...] = ()
    """Control steps of an episode of each task, which set its discount; 500 for all by default."""
    task_dim: int = 96
    """Size of a task's embedding; 0 for a single-task model, which has none."""
    latent_dim: int = 512
    """Size of the latent; a multiple of ``simnorm_dim``."""
    encoder_hidden: tuple[int, ...] = (256,)
    """Hidden layers of the encoder."""
    hidden: tuple[int, ...] = (512, 512)
    """Hidden layers of dynamics, reward, policy prior and every Q function."""
    num_q: int = 5
    """Q functions; 0 for a model without values and policy prior (what PWM keeps of a TD-MPC2 model)."""
    simnorm_dim: int = 8
    """Size of each simplex in the latent."""
    num_bins: int = 101
    """Bins of the two-hot reward and value heads, evenly spaced in symlog units."""
    bin_limit: float = 10.0
    """The bins go from minus this to this, in symlog units (released code: ``vmin``, ``vmax``)."""
    log_std_min: float = -10.0
    """Smallest log standard deviation of the policy prior."""
    log_std_max: float = 2.0
    """Largest log standard deviation. TD-MPC2 has -10 and 2; PWM's copy of it trained with -5 and 0.5."""
    termination: bool = False
    """Whether the model predicts that an episode has ended for good (TD-MPC2's ``episodic``)."""
    dropout: float = 0.01
    """Fraction dropped in the first layer of the Q functions, while training."""

    def __post_init__(self) -> None:
        for name in ("tasks", "action_dims", "episode_lengths", "encoder_hidden", "hidden"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name, default in (("action_dims", self.action_dim), ("episode_lengths", 500)):
            if not getattr(self, name):
                object.__setattr__(self, name, (default,) * len(self.tasks))
            if len(getattr(self, name)) != len(self.tasks):
                raise UsageError(
                    f"{name}: {len(getattr(self, name))} values for {len(self.tasks)} tasks; give one a task"
                )
        for name in ("encoder_hidden", "hidden"):
            check_widths(name, getattr(self, name))
        for name in ("observation_dim", "action_dim", "latent_dim", "simnorm_dim"):
            check_count(name, getattr(self, name))
        for name in ("task_dim", "num_q"):
            check_count(name, getattr(self, name), 0)
        check_count("num_bins", self.num_bins, 2)
        check_positive("bin_limit", self.bin_limit)
        check_unit("dropout", self.dropout)
        if not self.log_std_min < self.log_std_max:
            raise UsageError(f"log_std_min={self.log_std_min}: must be less than log_std_max={self.log_std_max}")
        if len(set(self.tasks)) != len(self.tasks) or not self.tasks:
            raise UsageError("tasks: must be at least one name, each once")
        if not self.task_dim and len(self.tasks) > 1:
            raise UsageError(f"task_dim=0: {len(self.tasks)} tasks need an embedding to tell them apart")
        if self.latent_dim % self.simnorm_dim:
            raise UsageError(f"latent_dim={self.latent_dim}: must be a multiple of simnorm_dim={self.simnorm_dim}")
        if not all(1 <= dim <= self.action_dim for dim in self.action_dims):
            raise UsageError(
                f"action_dims={list(self.action_dims)}: each must be from 1 to action_dim={self.action_dim}"
            )
        if not all(length >= 1 for length in self.episode_lengths):
            raise UsageError(f"episode_lengths={list(self.episode_lengths)}: each must be at least 1")

    def task_index(self, name: str) -> int:
        """Row of a task's embedding.

        Raises:
            UsageError: the model does not know the task.
        """
        if name not in self.tasks:
            raise unknown("task", name, self.tasks)
        return self.tasks.index(name)

    @property
    def discounts(self) -> tuple[float, ...]:
        """Each task's discount: with f = T/5 for episodes of T steps, (f - 1)/f kept within [0.95, 0.995] (TD-MPC2)."""
        return tuple(min(max(1.0 - 5.0 / length, 0.95), 0.995) for length in self.episode_lengths)


def described(config: ModelConfig) -> dict[str, Any]:
    """Gives the fields that a model's weights depend on for their meaning, for the record of a run that reads it."""
    names = ("tasks", "simnorm_dim", "bin_limit", "log_std_min", "log_std_max", "termination")
    return {name: list(value) if isinstance(value := getattr(config, name), tuple) else value for name in names}


# Hidden layers of the encoder and of the others, latent, Q functions (TD-MPC2's configuration of each size).
SIZES: dict[str, dict[str, Any]] = {
    "1M": {"encoder_hidden": (256,), "hidden": (384, 384), "latent_dim": 128, "num_q": 2},
    "5M": {"encoder_hidden": (256,), "hidden": (512, 512), "latent_dim": 512, "num_q": 5},
    "19M": {"encoder_hidden": (1024,) * 2, "hidden": (1024, 1024), "latent_dim": 768, "num_q": 5},
    "48M": {"encoder_hidden": (1792,) * 3, "hidden": (1792, 1792), "latent_dim": 768, "num_q": 5},
    "317M": {"encoder_hidden": (4096,) * 4, "hidden": (4096, 4096), "latent_dim": 1376, "num_q": 8},
}
"""Released sizes. The released mt30 checkpoint of 19M has a latent of 512, and those of mt30 but 1M and 317M a task
embedding of 64; sizes of a loaded checkpoint are always read off its weights."""


def sized(size: str, *, observation_dim: int, action_dim: int, tasks: Sequence[str], **changes: Any) -> ModelConfig:
    """The configuration of a named size.

    Args:
        size: one of `SIZES`.
        observation_dim: largest observation among the tasks.
        action_dim: largest action among the tasks.
        tasks: their names.
        changes: other fields of `ModelConfig`.

    Raises:
        UsageError: no such size, or an impossible field.
    """
    if size not in SIZES:
        raise unknown("model size", size, SIZES)
    fields = SIZES[size] | {"tasks": tuple(tasks)} | changes
    return ModelConfig(observation_dim=observation_dim, action_dim=action_dim, **fields)
