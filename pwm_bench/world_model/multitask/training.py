"""One gradient step of pre-training a multi-task world model."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from pwm_bench.learning.ahead import DrawnAhead, in_place
from pwm_bench.learning.learner import Counters
from pwm_bench.learning.precision import autocast
from pwm_bench.learning.staged import StagedLearner
from pwm_bench.world_model.multitask.loss import consistency_loss, percentile_range, policy_loss, td_target, weighted
from pwm_bench.world_model.multitask.networks import MultitaskModel
from pwm_bench.world_model.multitask.pairs import PairsOfQ
from pwm_bench.world_model.multitask.recipes import TrainingConfig

__all__ = ["ModelLoss", "Pretrainer", "Training", "model_loss"]


class ModelLoss(NamedTuple):
    """Scalars: the total, its weighted parts, and the predicted latents z_0..z_H, ``(B, H + 1, L)``."""

    total: Tensor
    consistency: Tensor
    reward: Tensor
    value: Tensor
    termination: Tensor
    latents: Tensor


def model_loss(
    model: MultitaskModel,
    obs: Tensor,
    action: Tensor,
    reward: Tensor,
    task: Tensor,
    config: TrainingConfig,
    *,
    noise: Tensor | None = None,
    rows: Tensor | None = None,
    dropout: torch.Generator | None = None,
    terminated: Tensor | None = None,
) -> ModelLoss:
    """The model's loss on sequences of H steps; see `pwm_bench.world_model.multitask.loss`.

    Args:
        model: the model.
        obs: o_0..o_H, shape ``(B, H + 1, observation_dim)``.
        action: a_0..a_{H-1}, shape ``(B, H, action_dim)``.
        reward: r_0..r_{H-1}, shape ``(B, H)``.
        task: index, int64 ``(B,)``.
        config: weights of the loss.
        noise: of the policy prior's actions at the next states, ``(B, H, action_dim)``; needed to learn values.
        rows: the two target Q functions used, int64 ``(2,)``; likewise.
        dropout: draws what the Q functions drop.
        terminated: whether each step ended the episode for good, bool ``(B, H)``; for a model that predicts it.
    """
    rho = config.temporal_weight
    with torch.no_grad():
        targets = model.encode(obs[:, 1:], task)
    latents = model.unroll(model.encode(obs[:, 0], task), action, task)
    reward_logits = model.reward_logits(latents[:, :-1], action, task)
    error = model.head.error if config.reward_loss == "cross_entropy" else model.head.squared_error
    consistency = config.consistency_coef * consistency_loss(latents[:, 1:], targets, rho)
    reward_part = config.reward_coef * weighted(error(reward_logits, reward), rho)
    value_part, termination_part = torch.zeros_like(reward_part), torch.zeros_like(reward_part)
    if config.learn_values:
        assert noise is not None
        with torch.no_grad():
            next_action = model.act(targets, task, noise)
            target_q = model.q_values(targets, next_action, task, target=True, rows=rows)
            discount = model.discounts.to(reward.dtype)[task]
            q_targets = td_target(reward, discount, target_q.to(reward.dtype), terminated)
        q_logits = model.q_logits(latents[:, :-1], action, task, dropout=dropout)
        errors = model.head.error(q_logits, q_targets.expand(q_logits.shape[:-1]))
        value_part = config.value_coef * weighted(errors, rho)
    if terminated is not None:
        ends = model.termination_logit(latents[:, 1:], task).to(reward.dtype)
        termination_part = binary_cross_entropy_with_logits(ends, terminated.to(reward.dtype))
    total = consistency + reward_part + value_part + termination_part
    return ModelLoss(total, consistency, reward_part, value_part, termination_part, latents)


class Pretrainer:
    """Takes gradient steps of the model: its optimisers, random numbers, and the scale of the policy's objective.

    Args:
        model: what to train.
        config: settings.
        seed: seed of dropout, the policy prior's noise and the choice of Q functions.

    Raises:
        RuntimeError: values are to be learned, but the model has none.
    """

    def __init__(self, model: MultitaskModel, config: TrainingConfig, *, seed: int = 0) -> None:
        if config.learn_values and model.q_networks is None:
            raise RuntimeError("learn_values=True: needs a model with Q functions; make it with num_q of 1 or more")
        self.model = model
        self.config = config
        self._device = next(model.parameters()).device
        self._generator = torch.Generator(self._device).manual_seed(seed)
        # The Q functions that value the next states, and those that the policy prior follows.
        self._pairs = PairsOfQ(model.config.num_q, seed=seed, device=self._device)
        self.scale = torch.ones((), device=self._device)
        self._skipped = torch.zeros((), dtype=torch.int64, device=self._device)
        encoder = list(model.encoder.parameters())
        rest = [*model.dynamics.parameters(), *model.reward_network.parameters()]
        if model.termination_network is not None:
            rest += model.termination_network.parameters()
        if model.task_embedding is not None:
            rest.append(model.task_embedding)
        if config.learn_values and model.q_networks is not None:
            rest += model.q_networks.parameters()
        self._params = encoder + rest
        lr = config.learning_rate
        groups = [{"params": encoder, "lr": lr * config.encoder_learning_rate}, {"params": rest, "lr": lr}]
        # On a GPU a step may be part of a CUDA graph.
        adam_options: dict[str, Any] = {"fused": True, "capturable": self._device.type != "cpu"}
        self._optimiser = torch.optim.Adam(groups, lr=lr, **adam_options)
        self._policy_params: list[Tensor] = []
        self._policy_optimiser: torch.optim.Adam | None = None
        if config.learn_values and model.policy_network is not None:
            self._policy_params = list(model.policy_network.parameters())
            self._policy_optimiser = torch.optim.Adam(self._policy_params, lr=lr, eps=1e-5, **adam_options)
        if config.compile:
            for network in (model.encoder, model.dynamics, model.reward_network, model.policy_network):
                if network is not None:
                    network.compile()

    @property
    def skipped(self) -> int:
        """Steps that changed nothing because something was not finite. Waits for the device."""
        return int(self._skipped)

    @property
    def generators(self) -> tuple[torch.Generator, ...]:
        """What dropout and the policy prior's noise are drawn from on the device."""
        return (self._generator,)

    def choose(self, steps: int = 1) -> None:
        """Chooses the Q functions of the next steps, on the host."""
        if self.config.learn_values:
            self._pairs.draw(2 * steps)

    def step(
        self,
        obs: Tensor,
        action: Tensor,
        reward: Tensor,
        task: Tensor,
        *,
        terminated: Tensor | None = None,
        alive: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Takes one gradient step, see `compute`, with Q functions of its own choice."""
        self.choose()
        return self.compute(obs, action, reward, task, terminated=terminated, alive=alive)

    def compute(
        self,
        obs: Tensor,
        action: Tensor,
        reward: Tensor,
        task: Tensor,
        *,
        terminated: Tensor | None = None,
        alive: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Takes one gradient step on sequences, shaped as for `model_loss`, with the Q functions that were chosen.

        A step whose loss or gradient is not finite changes nothing and is counted in `skipped`. The device decides
        that by itself; the host never waits.

        Args:
            obs: as the other three and ``terminated``, see `model_loss`.
            action: likewise.
            reward: likewise.
            task: likewise.
            terminated: likewise.
            alive: boolean scalar; where it is false nothing changes.

        Returns:
            scalars: losses and the norms of the gradients before clipping.
        """
        config, model = self.config, self.model
        noise = rows = None
        if config.learn_values:
            noise = self._normal(*action.shape)
            rows = self._pairs.next()
        self._optimiser.zero_grad(set_to_none=True)
        with autocast(config.precision, self._device):
            loss = model_loss(
                model,
                obs,
                action,
                reward,
                task,
                config,
                noise=noise,
                rows=rows,
                dropout=self._generator,
                terminated=terminated,
            )
        loss.total.backward()
        norm = self._clip(self._params)
        metrics = {
            "loss": loss.total.detach(),
            "consistency_loss": loss.consistency.detach(),
            "reward_loss": loss.reward.detach(),
            "value_loss": loss.value.detach(),
            "grad_norm": norm,
        }
        if terminated is not None:
            metrics["termination_loss"] = loss.termination.detach()
        sound = (norm < math.inf) & (metrics["loss"].abs() < math.inf)  # not where one is NaN
        if alive is not None:
            sound = sound & alive
        self._skipped += ~sound
        _step_where(sound, self._optimiser)
        model.project_embedding(sound)
        if config.learn_values:
            metrics |= self._step_policy(loss.latents.detach(), task, sound)
            model.update_target(config.tau * sound)
        return metrics

    def _step_policy(self, latents: Tensor, task: Tensor, sound: Tensor) -> dict[str, Tensor]:
        """Steps the policy prior if the model's own step was ``sound``. Q functions drop here too, as released."""
        config, model = self.config, self.model
        assert self._policy_optimiser is not None
        noise = self._normal(*latents.shape[:2], model.config.action_dim)
        self._policy_optimiser.zero_grad(set_to_none=True)
        with autocast(config.precision, self._device):
            sample = model.policy(latents, task, noise)
            rows = self._pairs.next()
            q = model.q_values(latents, sample.action, task, rows=rows, dropout=self._generator, fixed=True)
            q = q.float().mean(0)
        scale = self.scale.lerp(percentile_range(q.detach()[:, 0]), config.tau)
        self.scale.copy_(torch.where(sound & (scale < math.inf), scale, self.scale))
        loss = policy_loss(
            sample.scaled_entropy, q, self.scale, entropy_coef=config.entropy_coef, rho=config.temporal_weight
        )
        loss.backward()
        norm = self._clip(self._policy_params)
        _step_where(sound & (norm < math.inf), self._policy_optimiser)
        return {"policy_loss": loss.detach(), "policy_grad_norm": norm, "q_scale": self.scale.clone()}

    def _clip(self, params: Iterable[Tensor]) -> Tensor:
        """Clips the global norm of the gradients, and gives what it was before."""
        return torch.nn.utils.clip_grad_norm_(params, self.config.max_grad_norm_model, foreach=True)

    def _normal(self, *shape: int) -> Tensor:
        """Draws standard normal numbers, ``shape``."""
        return torch.randn(*shape, generator=self._generator, device=self._device)

    def state_dict(self) -> dict[str, Any]:
        """Optimisers, scale and random generators; the model's weights are the model's own."""
        state: dict[str, Any] = {
            "optimiser": self._optimiser.state_dict()["state"],
            "scale": self.scale,
            "skipped": self.skipped,
            "generator": self._generator.get_state(),
            "choice": self._pairs.get_state(),
        }
        if self._policy_optimiser is not None:
            state["policy_optimiser"] = self._policy_optimiser.state_dict()["state"]
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` saved."""
        _load_adam(self._optimiser, state["optimiser"])
        if self._policy_optimiser is not None:
            _load_adam(self._policy_optimiser, state["policy_optimiser"])
        self.scale.copy_(state["scale"])
        self._skipped.fill_(int(state["skipped"]))
        _restore_generator(self._generator, state["generator"].cpu())
        self._pairs.set_state(state["choice"])


class Training(StagedLearner):
    """Steps on batches as they come, each of which can be captured in a CUDA graph.

    Args:
        trainer: takes the steps.
        batches: gives the arguments of `Pretrainer.step`, on the device; with a state.
    """

    def __init__(self, trainer: Pretrainer, batches: DrawnAhead) -> None:
        self.trainer = trainer
        self.counters = Counters()
        self.generators = trainer.generators
        self._batches = batches
        self._batch: tuple[Tensor, ...] = ()  # the one in use, in the same memory from one step to the next

    def begin(self) -> str:
        """Puts the next batch in the place of the one in use."""
        self._batch = in_place(self._batch, next(self._batches))
        self.trainer.choose()
        return "step"

    def compute(self) -> dict[str, Tensor]:
        """Takes the step; see `Pretrainer.compute`."""
        return self.trainer.compute(*self._batch)

    def finish(self) -> None:
        """Counts it."""
        self.counters.gradient_steps += 1

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimisers, random numbers and the place in the data."""
        return {
            "model": self.trainer.model.state_dict(),
            "trainer": self.trainer.state_dict(),
            "batches": self._batches.state_dict(),
            "step": self.counters.gradient_steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` saved."""
        self.trainer.model.load_state_dict(state["model"])
        self.trainer.load_state_dict(state["trainer"])
        self._batches.load_state_dict(state["batches"])
        self.counters.gradient_steps = int(state["step"])


def _step_where(sound: Tensor, optimiser: torch.optim.Adam) -> None:
    """Takes the optimiser's step if ``sound``, a boolean on the device, holds; torch's fused Adam reads it there."""
    optimiser.found_inf = (~sound).float()  # type: ignore[attr-defined]
    optimiser.step()


def _restore_generator(generator: torch.Generator, state: Tensor) -> None:
    """Restores a saved state. One of another device has another size: it becomes a seed, for other draws."""
    if len(state) == len(generator.get_state()):
        generator.set_state(state)
    else:
        generator.manual_seed(zlib.crc32(state.numpy().tobytes()))


def _load_adam(optimiser: torch.optim.Adam, state: dict[int, Any]) -> None:
    """Restores moments and step counts, and leaves the step sizes as they are."""
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
