"""The kernels of a task as differentiable operations of torch."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.fused.generate import Sources, generate
from pwm_bench.envs.fused.kernels import Kernels
from pwm_bench.envs.fused.trace import UnsupportedError
from pwm_bench.envs.simulator import State
from pwm_bench.envs.tasks.base import Task

__all__ = ["After", "FusedStep", "why_not"]


class After(NamedTuple):
    """What follows from the state that the simulator gives; the fields of `pwm_bench.envs.api.Step`, the state and the
    counters after automatic resets."""

    reward: Tensor
    final_obs: Tensor
    obs: Tensor
    qpos: Tensor
    qvel: Tensor
    terminated: Tensor
    truncated: Tensor
    invalid: Tensor
    progress: Tensor
    episode: Tensor


def why_not(task: Task) -> str:
    """What stands in the way of kernels for a task; empty if nothing does."""
    try:
        _sources(task)
    except UnsupportedError as reason:
        return str(reason)
    return ""


def _sources(task: Task) -> Sources:
    """The sources for a task as it is now.

    Raises:
        UnsupportedError: it cannot be traced.
    """
    try:
        return generate(task)
    except UnsupportedError:
        raise
    except Exception as error:  # whatever a user's function makes of one world, in double precision, on a CPU
        raise UnsupportedError(f"{type(error).__name__}: {error}") from error


class FusedStep:
    """What an environment computes before and after its simulator's step, in one launch each way.

    Values that the task's functions read from elsewhere, such as its attributes, are those of the moment when this is
    made.

    Args:
        task: observation, reward, termination and reset.
        dtype: of states and observations.
        device: where they are.
        largest: a coordinate beyond this makes a world invalid.

    Raises:
        UnsupportedError: the task's functions cannot be traced.
    """

    def __init__(self, task: Task, *, dtype: torch.dtype, device: torch.device, largest: float) -> None:
        sources = _sources(task)
        self.sizes = sources.sizes
        self.kernels = Kernels(sources, dtype, largest)
        self._dtype = dtype
        if device.type in ("cpu", "cuda"):
            self.kernels.load(device)

    def before(self, action: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """The clamped action, the state, and the controls; worlds whose gradient is not finite get none."""
        sizes = self.sizes
        self._check(action=(action, sizes.action), qpos=(state.qpos, sizes.q), qvel=(state.qvel, sizes.v))
        clamped, ctrl, qpos, qvel = _Before.apply(self, action, state.qpos, state.qvel)
        return clamped, State(qpos, qvel), ctrl

    def after(
        self, obs: Tensor, action: Tensor, state: State, key: Tensor, episode: Tensor, progress: Tensor, *, length: int
    ) -> After:
        """What follows from the state after the simulator's step.

        Args:
            obs: observation before it, ``(N, observation_dim)``.
            action: clamped, ``(N, action_dim)``.
            state: after it.
            key: keys of the worlds' random numbers, int64 ``(N,)``.
            episode: episodes begun before this one, int64 ``(N,)``.
            progress: control steps of the episode before this one, int64 ``(N,)``.
            length: control steps until truncation.
        """
        sizes = self.sizes
        self._check(obs=(obs, sizes.obs), qpos=(state.qpos, sizes.q), qvel=(state.qvel, sizes.v))
        return After(*_After.apply(self, length, obs, action, state.qpos, state.qvel, key, episode, progress))

    def _check(self, **given: tuple[Tensor, int]) -> None:
        """Refuses tensors of another precision or width: the kernels get addresses alone."""
        for name, (tensor, width) in given.items():
            if tensor.dtype != self._dtype or tensor.dim() != 2 or tensor.shape[1] != width:
                raise UsageError(
                    f"{name} is {tuple(tensor.shape)} {tensor.dtype}: this task has (num_envs, {width}) {self._dtype}; "
                    "mend the simulator or the task, or build the environment with fused=False"
                )


def _whole(*tensors: Tensor | None) -> list[Tensor | None]:
    return [None if x is None else x.contiguous() for x in tensors]


class _Before(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, step: FusedStep, action: Tensor, qpos: Tensor, qvel: Tensor) -> tuple[Tensor, ...]:
        action = action.contiguous()
        clamped, ctrl = torch.empty_like(action), action.new_empty(action.shape[0], step.sizes.ctrl)
        step.kernels.launch("before", [action], [clamped, ctrl])
        ctx.step = step
        ctx.save_for_backward(action)
        ctx.set_materialize_grads(False)
        return clamped, ctrl, qpos.view_as(qpos), qvel.view_as(qvel)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        (action,) = ctx.saved_tensors
        sizes = ctx.step.sizes
        made = [action.new_empty(action.shape[0], width) for width in (sizes.action, sizes.q, sizes.v)]
        ctx.step.kernels.launch("before_back", [action, *_whole(*grads)], made)
        return None, *made


class _After(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, step: FusedStep, length: int, *given: Tensor) -> tuple[Tensor, ...]:
        given = tuple(x.contiguous() for x in given)
        obs, _, qpos, qvel, _, episode, _ = given
        worlds = obs.shape[0]
        truths = (torch.empty(worlds, dtype=torch.bool, device=obs.device) for _ in range(3))
        made = [
            obs.new_empty(worlds), torch.empty_like(obs), torch.empty_like(obs), torch.empty_like(qpos),
            torch.empty_like(qvel), *truths, torch.empty_like(episode), torch.empty_like(episode),
        ]  # fmt: skip
        step.kernels.launch("after", given, made, length)
        ctx.step = step
        ctx.save_for_backward(*given, *made[5:8])
        ctx.mark_non_differentiable(*made[5:])
        ctx.set_materialize_grads(False)
        return tuple(made)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        made = [torch.empty_like(x) for x in saved[:4]]
        ctx.step.kernels.launch("after_back", [*saved, *_whole(*grads[:5])], made)
        return None, None, *made, None, None, None
