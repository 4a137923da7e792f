"""The batched differentiable environment that learners use: a task on a simulator, with automatic resets."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pwm_bench.envs import random
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.faults import fault_of_task, sort_of
from pwm_bench.envs.simulator import Simulator, State, guard_gradient
from pwm_bench.envs.tasks.base import Task

if TYPE_CHECKING:
    from pwm_bench.envs.fused.step import FusedStep

_log = logging.getLogger("pwm_bench.envs")

__all__ = ["LARGEST_STATE", "DifferentiableEnv", "Step"]

_OWN = "pwm_bench.envs."  # modules of the simulators here
LARGEST_STATE = 1e6
"""A coordinate beyond this has left the physical world (the released code's threshold)."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one control step gives, for N worlds.

    Attributes:
        obs: observation after automatic resets, shape ``(N, observation_dim)``; rows that reset carry no gradient.
        reward: shape ``(N,)``; zero where ``invalid``.
        terminated: the task ended the episode (no value beyond it), bool ``(N,)``.
        truncated: the time limit ended it (bootstrap from ``final_obs``), bool ``(N,)``.
        final_obs: observation before automatic resets, with gradient, ``(N, observation_dim)``.
        invalid: the state left the finite world and was replaced by a fresh episode, bool ``(N,)``; such rows are
            also terminated.
    """

    obs: Tensor
    reward: Tensor
    terminated: Tensor
    truncated: Tensor
    final_obs: Tensor
    invalid: Tensor

    @property
    def done(self) -> Tensor:
        """Episodes that ended either way, bool ``(N,)``."""
        return self.terminated | self.truncated


class DifferentiableEnv:
    """N worlds of one task on one simulator, for a population of P members with N/P worlds each.

    Gradients flow from rewards and observations to actions and through the state over as many steps as are taken
    between two calls of `detach`. An episode that ends is followed by a fresh one at once.

    Args:
        task: observation, reward, termination and reset distribution.
        simulator: dynamics of ``task.model()``.
        seeds: one seed a member; world e belongs to member ``e // (N / P)``.
        episode_length: control steps until truncation; the task's own by default.
        fused: compute what surrounds the simulator's step by kernels generated from the task's functions
            (`pwm_bench.envs.fused`); by default where the simulator's capabilities say so and the task can be followed.

    Raises:
        UsageError: if the number of worlds is not a multiple of the number of members, or for ``fused=True`` and a
            task that cannot be followed.
    """

    def __init__(
        self,
        task: Task,
        simulator: Simulator,
        *,
        seeds: Sequence[int] = (0,),
        episode_length: int | None = None,
        fused: bool | None = None,
    ) -> None:
        worlds = simulator.num_worlds
        if not seeds or worlds % len(seeds):
            raise UsageError(f"num_envs={worlds}: must be a positive multiple of the number of seeds ({len(seeds)})")
        self.episode_length = task.episode_length if episode_length is None else episode_length
        if not isinstance(self.episode_length, int) or not 1 <= self.episode_length < 2**62:
            raise UsageError(f"episode_length={self.episode_length}: must be a whole number, at least 1")
        self.simulator = simulator
        self.num_envs = worlds
        self.num_members = len(seeds)
        self.device = simulator.device
        self._place = torch.empty(0, device=self.device).device.type
        self._has_addresses = self.device.type in ("cpu", "cuda")
        # Simulators from outside are checked at each step, which costs a tenth of a small one.
        self._trusted = type(simulator).__module__.startswith(_OWN)
        self.dtype = simulator.dtype
        self.observation_dim = task.observation_dim
        self.action_dim = task.action_dim
        self.control_dt = simulator.timestep * simulator.substeps
        self._wants_fused = fused
        self.task = task
        self.state: State
        self.obs: Tensor
        self._kept: tuple[Tensor, ...] = ()
        self.reseed(seeds)

    def reseed(self, seeds: int | Sequence[int]) -> None:
        """Starts over with other seeds, one a member, at the first episode of each world.

        Raises:
            UsageError: more or fewer seeds than members.
        """
        seeds = random.as_seeds(seeds)
        if len(seeds) != self.num_members:
            raise UsageError(f"seeds={seeds}: this environment has {self.num_members} members; give a seed for each")
        per_member = self.num_envs // self.num_members
        members = random.seed_keys(seeds, self.device).repeat_interleave(per_member)
        self._world_keys = random.fold(members, torch.arange(per_member, device=self.device).repeat(len(seeds)))
        self.invalid_count = torch.zeros(self.num_members, dtype=torch.int64, device=self.device)
        self._episode = torch.zeros(self.num_envs, dtype=torch.int64, device=self.device)
        self._progress = torch.zeros_like(self._episode)
        self._begin(self._fresh())

    def reset(self) -> Tensor:
        """Begins a new episode in every world. Returns the observation, shape ``(N, observation_dim)``."""
        self._episode = self._episode + 1
        self._progress = torch.zeros_like(self._progress)
        self._begin(self._fresh())
        return self.obs

    def step(self, action: Tensor) -> Step:
        """Advances every world by one control step.

        Args:
            action: shape ``(N, action_dim)``, clamped to [-1, 1]; not checked for being finite, which would stall a GPU
                (the gymnasium adapters do).

        Raises:
            UsageError: an action of another shape, type or device.
        """
        self._check(action)
        return self._step_by_functions(action) if self._fused is None else self._step_by_kernels(self._fused, action)

    def _step_by_kernels(self, fused: FusedStep, action: Tensor) -> Step:
        """Computes the same with all around the simulator's step in one launch before it and one after."""
        action, before, ctrl = fused.before(action, self.state)
        state = self._advance(before, ctrl)
        counters = (self._world_keys, self._episode, self._progress)
        made = fused.after(self.obs, action, state, *counters, length=self.episode_length)
        if self.device.type != "cpu" or bool(made.invalid.any()):
            self.invalid_count = self.invalid_count + made.invalid.view(self.num_members, -1).sum(1)
        self.state, self.obs = State(made.qpos, made.qvel), made.obs
        self._progress, self._episode = made.progress, made.episode
        return Step(made.obs, made.reward, made.terminated, made.truncated, made.final_obs, made.invalid)

    def _step_by_functions(self, action: Tensor) -> Step:
        action = torch.clamp(action, -1.0, 1.0)
        reward = self.task.reward(self.obs, action)
        self._check_of_task("reward", reward, ())
        control = self.task.control(action)
        self._check_of_task("control", control, (self.simulator.model.nu,))
        qpos, qvel, ctrl = guard_gradient(self.state.qpos, self.state.qvel, control)
        state = self._advance(State(qpos, qvel), ctrl)

        with torch.no_grad():
            largest = torch.maximum(state.qpos.abs().amax(1), state.qvel.abs().amax(1))
            invalid = ~(largest < LARGEST_STATE)  # also true for NaN
        progress = self._progress + 1
        next_episode = self._episode + 1
        # On a CPU asking costs nothing and saves the draw; on a GPU asking would stall the queue.
        ask = self.device.type == "cpu"
        fresh = None
        if not ask or bool(invalid.any()):
            fresh = self._fresh(next_episode)
            state = _select(invalid, fresh, state)
            reward = torch.where(invalid, torch.zeros_like(reward), reward)
        final_obs = self.task.observation(state, action)
        with torch.no_grad():
            ends = self.task.terminated(final_obs)
            self._check_of_task("terminated", ends, (), torch.bool)
            terminated = ends | invalid
            truncated = (progress >= self.episode_length) & ~terminated
            done = terminated | truncated
        obs = final_obs.view_as(final_obs)  # gradients add up in the same order whether or not a world begins anew
        if not ask or bool(done.any()):
            fresh = self._fresh(next_episode) if fresh is None else fresh
            state = _select(done, fresh, state)
            obs = torch.where(done.unsqueeze(1), self._first_observation(fresh), final_obs)
            progress = torch.where(done, torch.zeros_like(progress), progress)
            self._episode = torch.where(done, next_episode, self._episode)
            self.invalid_count = self.invalid_count + invalid.view(self.num_members, -1).sum(1)
        self._progress = progress
        self.state = state
        self.obs = obs
        return Step(obs, reward, terminated, truncated, final_obs, invalid)

    @property
    def task(self) -> Task:
        """What the worlds are to do; another task of the same sizes can take its place."""
        return self._task

    @task.setter
    def task(self, task: Task) -> None:
        sizes = (task.observation_dim, task.action_dim)
        if sizes != (self.observation_dim, self.action_dim):
            raise UsageError(
                f"task '{task.name}' has observations and actions of sizes {sizes}: this environment has "
                f"({self.observation_dim}, {self.action_dim}); build another one"
            )
        self._task = task
        self._fused = self._make_fused(task)

    def _make_fused(self, task: Task) -> FusedStep | None:
        if not (self.simulator.capabilities.fuses_tasks if self._wants_fused is None else self._wants_fused):
            return None
        from pwm_bench.envs.fused.step import FusedStep
        from pwm_bench.envs.fused.trace import UnsupportedError

        try:
            made = FusedStep(task, dtype=self.dtype, device=self.device, largest=LARGEST_STATE)
        except UnsupportedError as reason:
            if self._wants_fused:
                raise UsageError(
                    f"fused=True: task '{task.name}' cannot be followed ({reason}); leave it out"
                ) from None
            _log.info("task %s is computed by torch: its functions cannot be followed (%s)", task.name, reason)
            return None
        controls = torch.empty(self.num_envs, made.sizes.ctrl, dtype=self.dtype, device=self.device)
        self._check_of_task("control", controls, (self.simulator.model.nu,))
        return made

    @property
    def fused(self) -> bool:
        """Whether kernels compute what surrounds the simulator's step, or torch the task's functions."""
        return self._fused is not None

    def _advance(self, before: State, ctrl: Tensor) -> State:
        """The simulator's step. What one from outside gives is checked for its shape, type and device, not for its
        values: kernels and learners take these for granted."""
        after = self.simulator.step(before, ctrl)
        if not self._trusted:
            self._check_step(before, after)
        return after

    def _check_step(self, before: State, after: State) -> None:
        name = self.simulator.name
        for what in ("qpos", "qvel"):
            found, due = getattr(after, what, None), getattr(before, what)
            wanted = (due.shape, due.dtype, due.device)
            if not isinstance(found, Tensor) or (found.shape, found.dtype, found.device) != wanted:
                given = f"{sort_of(found)} for {what}" if found is not None else f"{sort_of(after)} without {what}"
                raise UsageError(
                    f"simulator '{name}': its step gave {given}; it must give a State with {sort_of(due)}, as it was "
                    "given (pwm_bench.testing.check_simulator looks for such faults)"
                )
        if self._has_addresses and after.qvel.data_ptr() == before.qvel.data_ptr():
            raise UsageError(
                f"simulator '{name}': its step gave the memory that it was given, or gave last time; what it gave then "
                "would change unseen: return a copy (clone) of its buffers"
            )

    def _check_of_task(self, what: str, found: Any, shape: tuple[int, ...], dtype: torch.dtype | None = None) -> None:
        """Refuses what a task's function gave if it has not the shape ``(N, *shape)`` or another type or device."""
        due = ((self.num_envs, *shape), dtype or self.dtype, self._place)
        if not isinstance(found, Tensor) or (tuple(found.shape), found.dtype, found.device.type) != due:
            raise UsageError(fault_of_task(self, what, found, shape, dtype))

    def _check(self, action: Tensor) -> None:
        """Refuses what isn't a tensor of this environment's shape, type and device; looks at no values."""
        wanted = (self.num_envs, self.action_dim)
        if not isinstance(action, Tensor):
            raise UsageError(f"action is a {type(action).__name__}: give a torch tensor, or use a gymnasium adapter")
        if (action.shape, action.dtype, action.device) != (wanted, self.dtype, self.obs.device):
            raise UsageError(
                f"action is {tuple(action.shape)} {action.dtype} on {action.device}: this environment takes {wanted} "
                f"{self.dtype} on {self.obs.device}"
            )

    @property
    def progress(self) -> Tensor:
        """Control steps so far in each world's episode, int64 ``(N,)``; set it to begin in the middle of episodes."""
        return self._progress

    @progress.setter
    def progress(self, steps: Tensor) -> None:
        if steps.shape != self._progress.shape:
            raise UsageError(f"progress has shape {tuple(steps.shape)}: must be {tuple(self._progress.shape)}")
        self._progress = steps.to(self._progress)

    def detach(self) -> Tensor:
        """Cuts the gradient history. Returns the current observation, shape ``(N, observation_dim)``."""
        self.state = self.state.detach()
        self.obs = self.obs.detach()
        return self.obs

    @torch.no_grad()
    def settle(self) -> Tensor:
        """Cuts the gradient history and puts the state where it was put last time, over what was there.

        An update that begins and ends so can be captured in a CUDA graph: each finds the state, and the seeds, in the
        same memory, whatever was reset, set or loaded between them.

        Returns:
            the current observation, shape ``(N, observation_dim)``.
        """
        state = (self.state.qpos, self.state.qvel, self.obs)
        now = (*state, self._episode, self._progress, self.invalid_count, self._world_keys)
        if not self._kept:
            self._kept = tuple(x.clone() for x in now)
        else:
            for kept, value in zip(self._kept, now, strict=True):
                if kept is not value:
                    kept.copy_(value)
        qpos, qvel, self.obs, self._episode, self._progress, self.invalid_count, self._world_keys = self._kept
        self.state = State(qpos, qvel)
        return self.obs

    def cut(self, worlds: Tensor) -> Tensor:
        """Cuts the gradient history of some worlds; that of the others goes on.

        Args:
            worlds: which, bool ``(N,)``.

        Returns:
            the current observation, shape ``(N, observation_dim)``.
        """
        self.state = _select(worlds, self.state.detach(), self.state)
        self.obs = torch.where(worlds.unsqueeze(1), self.obs.detach(), self.obs)
        return self.obs

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here, in memory of its own, which `settle` does not write over."""
        state = {
            "qpos": self.state.qpos,
            "qvel": self.state.qvel,
            "obs": self.obs,
            "episode": self._episode,
            "progress": self._progress,
            "invalid_count": self.invalid_count,
        }
        return {name: value.detach().clone() for name, value in state.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` saved.

        Raises:
            UsageError: if the saved worlds do not have this environment's shape.
        """
        mine = {"qpos": self.state.qpos, "obs": self.obs, "invalid_count": self.invalid_count}  # the last: (members,)
        for name, value in mine.items():
            if state[name].shape != value.shape:
                raise UsageError(
                    f"saved environment has {name} {tuple(state[name].shape)}, this one {tuple(value.shape)}: restore "
                    "it with the same task, simulator, and numbers of worlds and seeds"
                )
        self.state = State(*(state[k].to(self.device, self.dtype, copy=True) for k in ("qpos", "qvel")))
        self.obs = state["obs"].to(self.device, self.dtype, copy=True)
        self._episode, self._progress, self.invalid_count = (
            state[k].to(self.device, copy=True) for k in ("episode", "progress", "invalid_count")
        )

    def _begin(self, state: State) -> None:
        model = self.simulator.model
        if not isinstance(state, State):
            raise UsageError(f"task '{self.task.name}': reset_state gave {sort_of(state)}; it must give a State")
        for what, found, width in (("qpos", state.qpos, model.nq), ("qvel", state.qvel, model.nv)):
            self._check_of_task(f"reset_state ({what})", found, (width,))
        self.state = state
        self.obs = self._first_observation(state)
        self._check_of_task("observation", self.obs, (self.observation_dim,))

    def _fresh(self, episode: Tensor | None = None) -> State:
        key = random.fold(self._world_keys, self._episode if episode is None else episode)
        return self.task.reset_state(2.0 * random.uniform(key, self.task.noise_dim, self.dtype) - 1.0)

    def _first_observation(self, state: State) -> Tensor:
        return self.task.observation(state, state.qpos.new_zeros(self.num_envs, self.action_dim))


def _select(mask: Tensor, chosen: State, other: State) -> State:
    rows = mask.unsqueeze(1)
    return State(torch.where(rows, chosen.qpos, other.qpos), torch.where(rows, chosen.qvel, other.qvel))
