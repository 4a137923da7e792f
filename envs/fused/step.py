"""The kernels of a task as differentiable operations of torch."""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple

import torch
from torch import Tensor

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


_known: weakref.WeakKeyDictionary[Task, Sources | str] = weakref.WeakKeyDictionary()


def _generated(task: Task) -> Sources | str:
    """The sources for a task, or what stands in the way."""
    if task not in _known:
        try:
            _known[task] = generate(task)
        except UnsupportedError as reason:
            _known[task] = str(reason)
        except Exception as error:  # whatever a user's function makes of one world, in double precision, on a CPU
            _known[task] = f"{type(error).__name__}: {error}"
    return _known[task]


def why_not(task: Task) -> str:
    """What stands in the way of kernels for a task; empty if nothing does."""
    found = _generated(task)
    return found if isinstance(found, str) else ""


class FusedStep:
    """What an environment computes before and after its simulator's step, in one launch each way.

    Args:
        task: observation, reward, termination and reset; see `why_not`.
        episode_length: control steps until truncation.
        dtype: of states and observations.
        device: where they are.
        largest: a coordinate beyond this makes a world invalid.
    """

    def __init__(self, task: Task, *, episode_length: int, dtype: torch.dtype, device: torch.device, largest: float):
        sources = _generated(task)
        assert isinstance(sources, Sources), sources
        self.sizes = sources.sizes
        self.kernels = Kernels(sources, dtype, largest)
        self.episode_length = episode_length
        if device.type in ("cpu", "cuda"):
            self.kernels.load(device)

    def before(self, action: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """The clamped action, the state, and the controls; worlds whose gradient is not finite get none."""
        clamped, ctrl, qpos, qvel = _Before.apply(self, action, state.qpos, state.qvel)
        return clamped, State(qpos, qvel), ctrl

    def after(self, obs: Tensor, action: Tensor, state: State, key: Tensor, episode: Tensor, progress: Tensor) -> After:
        """What follows from the state after the simulator's step.

        Args:
            obs: observation before it, ``(N, observation_dim)``.
            action: clamped, ``(N, action_dim)``.
            state: after it.
            key: keys of the worlds' random numbers, int64 ``(N,)``.
            episode: episodes begun before this one, int64 ``(N,)``.
            progress: control steps of the episode before this one, int64 ``(N,)``.
        """
        return After(*_After.apply(self, obs, action, state.qpos, state.qvel, key, episode, progress))


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
    def forward(ctx: Any, step: FusedStep, *given: Tensor) -> tuple[Tensor, ...]:
        given = tuple(x.contiguous() for x in given)
        obs, _, qpos, qvel, _, episode, _ = given
        worlds = obs.shape[0]
        truths = (torch.empty(worlds, dtype=torch.bool, device=obs.device) for _ in range(3))
        made = [
            obs.new_empty(worlds), torch.empty_like(obs), torch.empty_like(obs), torch.empty_like(qpos),
            torch.empty_like(qvel), *truths, torch.empty_like(episode), torch.empty_like(episode),
        ]  # fmt: skip
        step.kernels.launch("after", given, made, step.episode_length)
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
        return None, *made, None, None, None
