"""Settings of PWM on a single task, learning online."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from pwm_bench.configs import LATER
from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.checks import (
    check_at_least,
    check_betas,
    check_choice,
    check_count,
    check_positive,
    check_unit,
    check_widths,
)
from pwm_bench.learning.choices import Sampling
from pwm_bench.learning.precision import PRECISIONS
from pwm_bench.world_model.config import WorldModelConfig

__all__ = ["Config"]

_START_STATES = ("env", "replay", "both")


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """One experiment of PWM. Defaults follow the paper; what reproduces the released code instead says so.

    Everything counts per member of the population. Tuples may be given as lists and ``world_model`` as a mapping,
    as JSON has them.

    Raises:
        UsageError: if a field is out of range or its value unknown.
    """

    num_envs: int = 64
    """Worlds per member."""
    horizon: int = 16
    """H: imagined steps of one policy gradient, and environment steps per world in one iteration."""
    gamma: float = 0.99
    """Discount."""
    lam: float = 0.95
    """lambda of the critic's TD(lambda) targets."""

    world_model: WorldModelConfig = field(default_factory=WorldModelConfig)
    """Sizes and training settings of the world model."""
    world_model_updates: int = 8
    """Gradient steps on the world model in one iteration. 0 leaves it as pre-training left it, the statistics of its
    observations and rewards included: a frozen model."""
    pretrain_env_steps: int = 0
    """Environment steps taken with the initial policy before anything learns. Part of the budget. The replay needs
    ``world_model.horizon`` steps of every world before it can be sampled: fewer are rounded up to that."""
    pretrain_actions: Literal["policy", "random"] = "policy"
    """Who takes them: the initial policy, or uniformly random actions. A world draws a new one with a chance of 1/8 in
    every step, and in the first step of every iteration (with H 16 each lasts 5.6 steps on average). They see more of
    the state space and leave the worlds out of step with each other: where every episode begins and ends alike, worlds
    in step give batches of a single phase of it."""
    pretrain_updates: int = 0
    """Gradient steps on the world model between those steps and the first policy update."""
    replay_capacity: int = 1_000_000
    """Environment steps kept for training the world model."""
    replay_sampling: Sampling = field(default="sequences", metadata=LATER)
    """What is drawn from the replay with the same chance: "sequences" any that is stored, of running episodes too;
    "episodes" one that is over, and then a sequence in it (released code). Learning then begins when every member has
    an episode that is over and as long as a sequence."""

    policy_updates: int = 1
    """Rounds of one actor step and its critic steps in one iteration, each on newly imagined rollouts."""
    start_states: Literal["env", "replay", "both"] = "env"
    """Where imagined rollouts start: "env" at the environments' current observations (released code), "replay" at
    observations drawn from the replay, "both" at all of these."""
    start_batch: int = 64
    """Rollouts that start from the replay, where ``start_states`` asks for them."""
    open_loop: bool = False
    """Act as the released code does: the policy sees only the model's own latents for H steps while the environment
    executes its actions, and the rollout that trains the policy is that very one, cut where an episode ends. By
    default the policy acts on the encoded observation at every step."""
    detach_policy: bool = True
    """Stop the gradient of the policy's input, so that it flows from latent to latent through the dynamics and the
    action but not through how the policy reacts to the latent (all released settings do). Off: the full gradient."""
    released_bootstrap: bool = False
    """Discount the value at the end of a rollout by gamma^(H+1), as the released code, instead of gamma^H."""
    normalize_returns: bool = True
    """Divide the actor's objective by the running standard deviation of its returns; off: by H."""

    hidden_actor: tuple[int, ...] = (400, 200, 100)
    """Hidden layers of the actor: Linear, Mish, LayerNorm."""
    actor_learning_rate: float = 5e-4
    """Adam's learning rate for the actor, at the start of its schedule."""
    max_grad_norm_actor: float = 1.0
    """Clip on the global norm of the actor's gradient."""
    initial_log_std: float = -1.0
    """Initial logarithm of the standard deviation of actions before tanh; learnt, independent of the state."""
    min_log_std: float = -1.427
    """Floor of that logarithm (a standard deviation of 0.24)."""
    adam_betas: tuple[float, float] = (0.7, 0.95)
    """Adam's decay rates for actor and critic (the world model has the usual 0.9, 0.999)."""
    final_learning_rate: float = 1e-5
    """All learning rates fall linearly over the budget to this."""

    disagreement_penalty: float = 0.0
    """What an imagined reward loses for each unit of the model's disagreement about the next latent (see
    `WorldModel.disagreement`); needs ``world_model.ensemble`` above 1. 0 in all released settings."""

    hidden_critic: tuple[int, ...] = (400, 200)
    """Hidden layers of each critic: Linear, activation, LayerNorm."""
    critic_activation: Literal["mish", "elu"] = "mish"
    """Their activation function (SHAC has "elu")."""
    critic_states: Literal["imagined", "real"] = "imagined"
    """What the critics learn from: the imagined rollouts, or, as SHAC's do, the steps just taken in the environment:
    encoded observations and TD(lambda) targets from the rewards that it gave."""
    target_critic: bool = False
    """Take values from a slowly following copy of the critics, as SHAC, instead of from the critics themselves."""
    tau: float = 0.8
    """Fraction of the way that this copy goes towards the critics in a policy update (SHAC's)."""
    critic_ensemble: int = 3
    """Size of the critic ensemble; its minimum is the value."""
    critic_learning_rate: float = 5e-4
    """Adam's learning rate for the critics, at the start of its schedule."""
    max_grad_norm_critic: float = 100.0
    """Clip on the global norm of the gradient of the ensemble."""
    critic_iterations: int = 8
    """Passes over the imagined states in one policy update."""
    critic_minibatches: int = 4
    """Minibatches in a pass."""
    shuffle_minibatches: bool = True
    """Shuffle the imagined states before every pass. Off: contiguous blocks of time steps (released code)."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the networks' matrix products; weights, losses and optimisers stay in the environment's own."""
    compile: bool = False
    """Compile the networks' step functions with torch.compile. Pays off on a GPU over thousands of iterations."""

    def __post_init__(self) -> None:
        if isinstance(self.world_model, Mapping):
            object.__setattr__(self, "world_model", WorldModelConfig(**self.world_model))
        for name in ("hidden_actor", "hidden_critic", "adam_betas"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("hidden_actor", "hidden_critic"):
            check_widths(name, getattr(self, name))
        for name in ("num_envs", "horizon", "policy_updates", "start_batch"):
            check_at_least(name, getattr(self, name), 1)
        check_count("critic_ensemble", self.critic_ensemble)
        for name in ("critic_iterations", "critic_minibatches"):
            check_at_least(name, getattr(self, name), 1)
        for name in ("world_model_updates", "pretrain_env_steps", "pretrain_updates"):
            check_at_least(name, getattr(self, name), 0)
        for name in ("gamma", "lam", "tau"):
            check_unit(name, getattr(self, name))
        for name in ("actor_learning_rate", "critic_learning_rate", "final_learning_rate"):
            check_positive(name, getattr(self, name))
        for name in ("max_grad_norm_actor", "max_grad_norm_critic"):
            check_positive(name, getattr(self, name))
        check_betas("adam_betas", self.adam_betas)
        check_choice("replay_sampling", self.replay_sampling, get_args(Sampling))
        check_choice("start_states", self.start_states, _START_STATES)
        check_choice("pretrain_actions", self.pretrain_actions, ("policy", "random"))
        check_choice("precision", self.precision, PRECISIONS)
        check_choice("critic_activation", self.critic_activation, ("mish", "elu"))
        check_choice("critic_states", self.critic_states, ("imagined", "real"))
        check_at_least("disagreement_penalty", self.disagreement_penalty, 0.0)
        if self.disagreement_penalty and self.world_model.ensemble == 1:
            raise UsageError(
                f"disagreement_penalty={self.disagreement_penalty}: one model cannot disagree with itself; set "
                "world_model.ensemble to 2 or more, or the penalty to 0"
            )
        if not self.world_model_updates and not self.pretrain_updates:
            raise UsageError(
                "world_model_updates=0: the model would never learn; set pretrain_updates, or updates above 0"
            )
        if self.critic_states == "real" and self.open_loop:
            raise UsageError("critic_states='real': needs open_loop=False, under which every observation is encoded")
        if self.open_loop and (self.start_states != "env" or self.policy_updates != 1):
            raise UsageError(
                "open_loop=True: needs start_states='env' and policy_updates=1, one rollout acts and trains"
            )
        shortest = self.num_envs * (self.world_model.horizon + 1)
        if self.replay_capacity < shortest:
            raise UsageError(
                f"replay_capacity={self.replay_capacity}: must hold world_model.horizon + 1 steps of every world "
                f"({shortest})"
            )
        steps = self.horizon * (self.num_envs if self.critic_states == "real" else self._rollouts)
        if steps % self.critic_minibatches:
            raise UsageError(
                f"critic_minibatches={self.critic_minibatches}: must divide the {steps} {self.critic_states} steps of "
                "a policy update"
            )

    def check_replay(self, episode_length: int) -> None:
        """Makes sure that the replay keeps episodes that are over until others are, for episodes of so many steps.

        Raises:
            UsageError: whole episodes are drawn, and all may be overwritten before the next are over.
        """
        least = self.num_envs * (episode_length + self.world_model.horizon)
        if self.replay_sampling == "episodes" and self.replay_capacity < least:
            raise UsageError(
                f"replay_capacity={self.replay_capacity}: only episodes that are over are drawn from, and these may "
                f"last {episode_length} steps in each of {self.num_envs} worlds, so it may have none to draw; set at "
                f"least {least}, or replay_sampling='sequences'"
            )

    @property
    def scheduled(self) -> bool:
        """Whether a learning rate changes over the budget."""
        starts = {self.world_model.learning_rate, self.actor_learning_rate, self.critic_learning_rate}
        return starts != {self.final_learning_rate}

    @property
    def _rollouts(self) -> int:
        """Rollouts in one policy update."""
        return {"env": self.num_envs, "replay": self.start_batch}.get(
            self.start_states, self.num_envs + self.start_batch
        )
