"""Replay of contiguous slices of experience, on the device.

Every world has a ring of ``capacity / B`` control steps; all rings share one write head, because all worlds
step together. A slice of H transitions may be drawn if none but its last ends an episode and all are stored.

Draws are exact, with no rejection and at a cost that does not depend on how much is stored. The slices that may be
drawn are kept in a queue (`SliceQueue`), which `add` feeds at one end and expires at the other; `sample` picks a place
in it. Where an episode is drawn first, the queue holds the last slice alone of each episode that is over. It expires
when no slice of the episode is left, so the places in the queue are the episodes that may be drawn, partly overwritten
ones included. How far before it the slice to take begins is a second draw. Each horizon that may be asked for has a
queue from the beginning.

The write head, the queues and all counts are numbers on the device that change in place: an `add` or a `sample` inside
a captured CUDA graph goes on at every replay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor

from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.checks import check_choice
from pwm_bench.learning.choices import Sampling
from pwm_bench.learning.random import MemberStream
from pwm_bench.learning.slice_queue import SliceQueue

__all__ = ["SequenceBatch", "SequenceReplay"]


class SequenceBatch(NamedTuple):
    """S slices of H transitions for each member."""

    obs: Tensor
    """o_0 .. o_H; the last is the observation before any reset, shape ``(P, S, H+1, obs_dim)``."""
    action: Tensor
    """a_0 .. a_{H-1}, shape ``(P, S, H, act_dim)``."""
    reward: Tensor
    """r_0 .. r_{H-1}, shape ``(P, S, H)``."""
    terminated: Tensor
    """Whether the transition ended in a termination (only the last can), bool ``(P, S, H)``."""


class SequenceReplay:
    """Stores the last steps of every world and samples slices that stay within an episode.

    Args:
        members: P.
        worlds_per_member: B.
        capacity: transitions kept for each member; a multiple of B is kept (rounded down).
        obs_dim: features of an observation.
        act_dim: components of an action.
        device: where everything is stored.
        dtype: of observations, actions and rewards.
        horizons: those that `available` and `sample` may be asked for.
        sampling: "sequences" draws slices with the same chance for each. "episodes" draws an episode that is over, with
            the same chance for each of which a slice is stored, and then a slice of it (torchrl's `SliceSampler` on
            a trajectory key). An episode is over, too, where the simulator lost the world: without that step.
        whole_episodes: draw nothing of an episode that still runs (TD-MPC2's buffer gets whole ones), which "episodes"
            never does. One world a member: of several, one with an old episode would withhold what the others have
            finished since.

    Raises:
        UsageError: if not even one step of every world fits, a slice of one of the horizons does not fit, there is no
            such sampling, or several worlds are to give whole episodes.
    """

    def __init__(
        self,
        members: int,
        worlds_per_member: int,
        capacity: int,
        obs_dim: int,
        act_dim: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        horizons: Sequence[int] = (1,),
        sampling: Sampling = "sequences",
        whole_episodes: bool = False,
    ) -> None:
        check_choice("sampling", sampling, get_args(Sampling))
        self.sampling = sampling
        if whole_episodes and worlds_per_member != 1:
            raise UsageError(f"worlds_per_member={worlds_per_member}: whole_episodes needs 1")
        self.whole_episodes = whole_episodes
        self.length = capacity // worlds_per_member
        if self.length < 1:
            raise UsageError(f"capacity={capacity}: must be at least the number of worlds ({worlds_per_member})")
        self.members = members
        self.worlds = worlds_per_member
        self.device = torch.device(device)
        rows = (self.length, members * worlds_per_member)
        self._data = {
            "obs": torch.zeros(*rows, obs_dim, device=device, dtype=dtype),
            "action": torch.zeros(*rows, act_dim, device=device, dtype=dtype),
            "reward": torch.zeros(*rows, device=device, dtype=dtype),
            "next_obs": torch.zeros(*rows, obs_dim, device=device, dtype=dtype),
            "terminated": torch.zeros(rows, dtype=torch.bool, device=device),
            # Sound transitions in a row up to this one: 1 for an episode's first, 0 for an unusable one.
            "run": torch.zeros(rows, dtype=torch.int32, device=device),
        }
        if sampling == "episodes":
            self._data["done"] = torch.zeros(rows, dtype=torch.bool, device=device)
        self._current = torch.zeros(rows[1], dtype=torch.int32, device=device)
        self._steps = torch.zeros(1, dtype=torch.int64, device=device)
        for horizon in horizons:
            if not 1 <= horizon <= self.length:
                raise UsageError(f"horizon={horizon}: must be between 1 and {self.length}, the steps kept per world")
        self._queues = {
            horizon: SliceQueue(horizon, members, worlds_per_member, self.length, self.device) for horizon in horizons
        }

    @torch.no_grad()
    def add(
        self,
        obs: Tensor,
        action: Tensor,
        reward: Tensor,
        terminated: Tensor,
        done: Tensor,
        next_obs: Tensor,
        invalid: Tensor | None = None,
    ) -> None:
        """Stores one control step of all N = P * B worlds (``[N, ...]`` or ``[P, B, ...]``).

        Args:
            obs: o_t.
            action: a_t.
            reward: r_t.
            terminated: the episode ended with no value beyond it.
            done: the episode ended either way.
            next_obs: o_{t+1} before any reset.
            invalid: the simulator lost the world in this step: the transition is not used.
        """
        slot = self._steps % self.length
        row = {"obs": obs, "action": action, "reward": reward, "next_obs": next_obs, "terminated": terminated}
        if self.sampling == "episodes":
            row["done"] = done
        for name, value in row.items():
            target = self._data[name]
            target.index_copy_(0, slot, value.reshape(1, *target.shape[1:]).to(target.dtype))
        run = self._current + 1
        if invalid is not None:
            run = torch.where(invalid.flatten(), 0, run)
        self._data["run"].index_copy_(0, slot, run.unsqueeze(0))
        # Slots in which slices may end, (F,), and transitions in a row up to there, (F, N); 0 for no slice.
        slots, ends = slot, run.unsqueeze(0)
        if self.sampling == "episodes":  # the last slice of an episode stands for it
            ends = torch.where(done.flatten(), ends, 0)
            if invalid is not None:  # ends what came before it, if a slice of that is still stored
                lost = torch.where(invalid.flatten(), self._current.clamp(max=self.length - 1), 0)
                slots, ends = torch.cat(((slot - 1) % self.length, slot)), torch.cat((lost.unsqueeze(0), ends))
        self._current.copy_(run).masked_fill_(done.flatten(), 0)
        self._steps += 1
        for queue in self._queues.values():
            queue.advance(slot)
            queue.append(slots, ends.unflatten(1, (self.members, self.worlds)))

    @property
    def stored(self) -> int:
        """Transitions stored for each member. Asks the device."""
        return self._filled * self.worlds

    @property
    def _filled(self) -> int:
        return min(int(self._steps), self.length)

    def available(self, horizon: int) -> Tensor:
        """How many different slices of ``horizon`` transitions could be drawn now, or episodes that have one where
        these are drawn first; int64 ``(P,)``."""
        count = self._queue(horizon).count.squeeze(1)
        if not self.whole_episodes or self.sampling == "episodes":
            return count
        running = (self._current.long() - (horizon - 1)).clamp(min=0)
        return (count - running).clamp(min=0)

    @torch.no_grad()
    def sample(self, stream: MemberStream, batch: int, horizon: int) -> SequenceBatch:
        """Draws slices with replacement from those that may be drawn, uniformly, or after their episodes.

        Where a member has none (see `available`) its slices are unspecified.

        Args:
            stream: random numbers of the P members.
            batch: S, slices a member.
            horizon: H, transitions a slice.
        """
        slot, world = self._queue(horizon).draw(stream, batch, self.available(horizon))
        world = world + torch.arange(self.members, device=self.device).unsqueeze(1) * self.worlds
        if self.sampling == "episodes":
            slot = self._anywhere(stream, slot, world, horizon)
        time = (slot.unsqueeze(-1) + torch.arange(horizon, device=self.device)) % self.length
        rows = time * (self.members * self.worlds) + world.unsqueeze(-1)
        flat = {name: value.flatten(0, 1) for name, value in self._data.items()}
        obs = torch.cat((flat["obs"][rows], flat["next_obs"][rows[..., -1:]]), dim=2)
        return SequenceBatch(obs, flat["action"][rows], flat["reward"][rows], flat["terminated"][rows])

    def _anywhere(self, stream: MemberStream, slot: Tensor, world: Tensor, horizon: int) -> Tensor:
        """First time slots of slices drawn uniformly from episodes, given those of the last slices of these."""
        end = (slot + horizon - 1) % self.length
        run = self._data["run"].flatten()[end * (self.members * self.worlds) + world]
        since = (self._steps - 1 - end) % self.length
        stored = torch.minimum(run, self._steps.clamp(max=self.length) - since)
        return (slot - stream.integers(stored - (horizon - 1), slot.shape[1])) % self.length

    def state_dict(self) -> dict[str, Any]:
        """What is stored (no more than that), and where the write head is."""
        data = {name: value[: self._filled] for name, value in self._data.items()}
        return {"steps": int(self._steps), "current": self._current, **data}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` saved.

        Raises:
            UsageError: if it was saved by a replay of another size, or by one that did not draw episodes.
        """
        if not state.keys() >= self._data.keys():
            raise UsageError("saved replay has no ends of episodes: restore it with replay_sampling='sequences'")
        steps = int(state["steps"])
        filled = min(steps, self.length)
        for name, value in self._data.items():
            if state[name].shape != (filled, *value.shape[1:]):
                raise UsageError(
                    f"saved replay has {name} of shape {tuple(state[name].shape)}, this one "
                    f"{(filled, *value.shape[1:])}: restore it with the same capacity and number of worlds"
                )
            value[:filled] = state[name]
        self._current.copy_(state["current"])
        self._steps.fill_(steps)
        self._fill_queues()

    @torch.no_grad()
    def _fill_queues(self) -> None:
        """Puts all slices of what is stored that belong there into the queues."""
        age = torch.arange(self.length, device=self.device)  # of a slot, from the oldest
        time = self._steps - self.length + age
        slots = time % self.length
        # A run that began before the oldest stored step is sound only from that step on; none where nothing is.
        longest = torch.minimum(age, time).clamp(min=-1) + 1
        stored = self._data["run"][slots]
        run = torch.minimum(stored, longest.unsqueeze(1))
        if self.sampling == "episodes":  # in the order in which `add` found them
            done = self._data["done"][slots]
            lost = torch.zeros_like(done)
            lost[:-1] = (stored[1:] == 0) & ~done[:-1]
            run = torch.stack((torch.where(done, run, 0), torch.where(lost, run, 0)), dim=1).flatten(0, 1)
            slots = slots.repeat_interleave(2)
        for queue in self._queues.values():
            queue.clear()
            queue.append(slots, run.unflatten(1, (self.members, self.worlds)))

    def _queue(self, horizon: int) -> SliceQueue:
        if horizon not in self._queues:
            known = ", ".join(map(str, self._queues))
            raise UsageError(f"horizon={horizon}: this replay has horizons {known}; name it when the replay is made")
        return self._queues[horizon]
