"""Settings of TD-MPC2 learning online."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from pwm_bench.configs import LATER
from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.checks import check_at_least, check_choice, check_count, check_widths
from pwm_bench.learning.choices import Sampling
from pwm_bench.learning.precision import PRECISIONS
from pwm_bench.world_model.multitask.config import SIZES, ModelConfig
from pwm_bench.world_model.multitask.planner import PlannerConfig
from pwm_bench.world_model.multitask.recipes import TrainingConfig

__all__ = ["Config"]

_LEAST_SEED_STEPS = 1000
_SEED_EPISODES = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Settings of TD-MPC2. Everything counts per member.

    Defaults are the released ones for a single task (5M weights), but for ``replay_sampling``.

    Tuples may be given as lists, and ``training`` and ``planner`` as mappings, as JSON has them.

    Raises:
        UsageError: if a field is out of range.
    """

    num_envs: int = 1
    """Environments per member: one, as released. The buffer gets an episode when it is over, and the updates of a step
    see the episodes before it."""
    horizon: int = 25
    """Control steps in one iteration; groups work for the runner and changes nothing learned."""
    seed_steps: int | None = None
    """Control steps with uniformly random actions; after them as many updates fall due at once. None for the released
    rule: five episodes, and at least 1000."""
    updates_per_step: int = 1
    """Updates after each later control step."""
    replay_capacity: int = 1_000_000
    """Transitions kept; no more than the budget has."""
    replay_sampling: Sampling = field(default="sequences", metadata=LATER)
    """What is drawn with the same chance: "sequences" any of the episodes that are over, "episodes" one of these, and
    then a sequence in it (released). The same where all episodes are equally long."""
    episodic: bool = False
    """Whether episodes may end for good before their time: the model then learns to predict it, values end there, and
    so do plans. Where the task terminates and this is off, a termination counts as an end in time."""

    latent_dim: int = 512
    """Size of the latent."""
    encoder_hidden: tuple[int, ...] = (256,)
    """Hidden layers of the encoder."""
    hidden: tuple[int, ...] = (512, 512)
    """Hidden layers of dynamics, reward, policy prior and every Q function."""
    critic_ensemble: int = 5
    """Q functions; a random two of them value an action."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of matrix products, in updates and in plans; weights, losses and moments stay float32."""
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig(batch_size=256))
    """Losses and optimisers."""
    planner: PlannerConfig = field(default_factory=PlannerConfig)
    """The planner that acts."""

    def __post_init__(self) -> None:
        if isinstance(self.training, Mapping):
            object.__setattr__(self, "training", TrainingConfig(**({"batch_size": 256} | dict(self.training))))
        if isinstance(self.planner, Mapping):
            object.__setattr__(self, "planner", PlannerConfig(**self.planner))
        for name in ("encoder_hidden", "hidden"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            check_widths(name, getattr(self, name))
        if self.num_envs != 1:
            raise UsageError(f"num_envs={self.num_envs}: must be 1; TD-MPC2 acts in one world a member")
        check_choice("replay_sampling", self.replay_sampling, get_args(Sampling))
        check_choice("precision", self.precision, PRECISIONS)
        if self.training.precision not in ("float32", self.precision):
            raise UsageError(
                f"training.precision={self.training.precision}: set precision, which holds for updates and plans alike"
            )
        object.__setattr__(self, "training", replace(self.training, precision=self.precision))
        for name in ("horizon", "updates_per_step", "replay_capacity"):
            check_at_least(name, getattr(self, name), 1)
        for name in ("critic_ensemble", "latent_dim"):
            check_count(name, getattr(self, name))
        if self.seed_steps is not None:
            check_at_least("seed_steps", self.seed_steps, 1)
        if not self.training.learn_values:
            raise UsageError("training.learn_values=False: the planner needs values and a policy prior; leave it out")
        self.model("task", 1, 1, 1)  # checks the rest

    @property
    def scheduled(self) -> bool:
        """Whether a learning rate changes over the budget: none does."""
        return False

    def model(self, task: str, observation_dim: int, action_dim: int, episode_length: int) -> ModelConfig:
        """Gives the model's configuration for a task, whose discount follows from the length of its episodes."""
        return ModelConfig(
            tasks=(task,),
            observation_dim=observation_dim,
            action_dim=action_dim,
            episode_lengths=(episode_length,),
            task_dim=0,
            latent_dim=self.latent_dim,
            encoder_hidden=self.encoder_hidden,
            hidden=self.hidden,
            num_q=self.critic_ensemble,
            termination=self.episodic,
        )

    def random_steps(self, episode_length: int) -> int:
        """Gives the number of control steps with random actions, for episodes of ``episode_length`` steps.

        Raises:
            UsageError: ``seed_steps`` is less than an episode has, so there would be nothing to learn from.
        """
        if self.seed_steps is None:
            return max(_LEAST_SEED_STEPS, _SEED_EPISODES * episode_length)
        if self.seed_steps < episode_length:
            raise UsageError(
                f"seed_steps={self.seed_steps}: the first episode may last {episode_length} steps, and only then is "
                f"there something to learn from; set at least {episode_length}"
            )
        return self.seed_steps

    def check_replay(self, episode_length: int) -> None:
        """Checks that the replay always has something to draw from, for episodes of ``episode_length`` steps.

        Raises:
            UsageError: a finished episode may be overwritten before the next one is over.
        """
        least = 2 * episode_length + self.training.horizon
        if self.replay_capacity < least:
            raise UsageError(
                f"replay_capacity={self.replay_capacity}: only episodes that are over are drawn from, and these may "
                f"last {episode_length} steps, so it may have none to draw; set at least {least}"
            )


def sized(size: str) -> dict[str, object]:
    """Gives the fields of a `Config` for a released size of the model, one of `SIZES`."""
    fields = SIZES[size]
    return {
        "latent_dim": fields["latent_dim"],
        "encoder_hidden": fields["encoder_hidden"],
        "hidden": fields["hidden"],
        "critic_ensemble": fields["num_q"],
    }
