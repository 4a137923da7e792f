"""Replay of contiguous slices of experience, on the device.

Every world has a ring of ``capacity / B`` control steps; all rings share one write head, because all worlds
step together. A slice of H transitions may be drawn if none but its last ends an episode and all are stored.

Sampling is exactly uniform over the slices that may be drawn, with no rejection and at a cost that does not
depend on how much is stored: whether a slice is sound is known once its last transition is written, and it
stays sound until its first transition is overwritten. Both happen in order of time, so the sound slices form
a queue (a ring of their first transitions, per member), which `add` feeds at one end and expires at the other;
`sample` picks a place in it. Each horizon that may be asked for has a queue from the beginning.

The write head, the queues and all counts are numbers on the device that change in place: an `add` or a `sample` inside
a captured CUDA graph goes on at every replay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.random import MemberStream

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


class _SliceQueue:
    """First transitions of the sound slices of one horizon, oldest first; see the module's docstring."""

    def __init__(self, horizon: int, members: int, worlds: int, length: int, device: torch.device) -> None:
        self.horizon = horizon
        self._worlds = worlds
        self._length = length
        self._size = worlds * length
        # One more place than the queue needs, where worlds without a sound slice write.
        self._places = torch.zeros(members, self._size + 1, dtype=torch.int64, device=device)
        self._oldest = torch.zeros(members, 1, dtype=torch.int64, device=device)
        self.count = torch.zeros(members, 1, dtype=torch.int64, device=device)
        self._starts_at = torch.zeros(length, members, 1, dtype=torch.int64, device=device)
        self._world = torch.arange(worlds, device=device)

    def clear(self) -> None:
        """Leaves no slice in the queue."""
        for numbers in (self._oldest, self.count, self._starts_at):
            numbers.zero_()

    def advance(self, slot: Tensor, run: Tensor) -> None:
        """Takes note of the time slot just written, int64 ``(1,)``; ``run``, shape ``(P, B)``, as stored there."""
        expired = self._starts_at.index_select(0, slot).squeeze(0)
        self._oldest += expired
        self.count -= expired
        self._starts_at.index_fill_(0, slot, 0)
        self.append(slot, run.unsqueeze(0))

    def append(self, slots: Tensor, run: Tensor) -> None:
        """Adds the slices that end in ``slots`` (int64 ``(F,)``, in order); ``run`` is ``(F, P, B)``."""
        sound = run >= self.horizon
        start = (slots - self.horizon + 1) % self._length
        self._starts_at.index_copy_(0, start, sound.sum(dim=2, keepdim=True))
        sound = sound.transpose(0, 1).flatten(1)
        rank = sound.cumsum(dim=1)
        place = torch.where(sound, (self._oldest + self.count + rank - 1) % self._size, self._size)
        first = (start.unsqueeze(1) * self._worlds + self._world).flatten()
        self._places.scatter_(1, place, first.expand_as(place))
        self.count += sound.sum(dim=1, keepdim=True)

    def draw(self, stream: MemberStream, batch: int, number: Tensor) -> tuple[Tensor, Tensor]:
        """Picks ``batch`` slices a member, of the ``number`` (int64 ``(P,)``) that are oldest.

        Returns:
            first time slot and world, int64, each ``(P, batch)``.
        """
        nth = stream.integers(number, batch)
        start = self._places.gather(1, (self._oldest + nth) % self._size)
        return start // self._worlds, start % self._worlds


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
        whole_episodes: draw nothing of an episode that still runs (TD-MPC2's buffer gets whole ones). One world a
            member: of several, one with an old episode would withhold what the others have finished since.

    Raises:
        UsageError: if not even one step of every world fits, a slice of one of the horizons does not fit, or several
            worlds are to give whole episodes.
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
        whole_episodes: bool = False,
    ) -> None:
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
        self._current = torch.zeros(rows[1], dtype=torch.int32, device=device)
        self._steps = torch.zeros(1, dtype=torch.int64, device=device)
        for horizon in horizons:
            if not 1 <= horizon <= self.length:
                raise UsageError(f"horizon={horizon}: must be between 1 and {self.length}, the steps kept per world")
        self._queues = {
            horizon: _SliceQueue(horizon, members, worlds_per_member, self.length, self.device) for horizon in horizons
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
        for name, value in row.items():
            target = self._data[name]
            target.index_copy_(0, slot, value.reshape(1, *target.shape[1:]).to(target.dtype))
        run = self._current + 1
        if invalid is not None:
            run = torch.where(invalid.flatten(), 0, run)
        self._data["run"].index_copy_(0, slot, run.unsqueeze(0))
        self._current.copy_(run).masked_fill_(done.flatten(), 0)
        self._steps += 1
        for queue in self._queues.values():
            queue.advance(slot, run.view(self.members, self.worlds))

    @property
    def stored(self) -> int:
        """Transitions stored for each member. Asks the device."""
        return self._filled * self.worlds

    @property
    def _filled(self) -> int:
        return min(int(self._steps), self.length)

    def available(self, horizon: int) -> Tensor:
        """How many different slices of ``horizon`` transitions could be drawn now, int64 ``(P,)``."""
        count = self._queue(horizon).count.squeeze(1)
        if not self.whole_episodes:
            return count
        running = (self._current.long() - (horizon - 1)).clamp(min=0)
        return (count - running).clamp(min=0)

    @torch.no_grad()
    def sample(self, stream: MemberStream, batch: int, horizon: int) -> SequenceBatch:
        """Draws slices uniformly, with replacement, from those that may be drawn.

        Where a member has none (see `available`) its slices are unspecified.

        Args:
            stream: random numbers of the P members.
            batch: S, slices a member.
            horizon: H, transitions a slice.
        """
        slot, world = self._queue(horizon).draw(stream, batch, self.available(horizon))
        world = world + torch.arange(self.members, device=self.device).unsqueeze(1) * self.worlds
        time = (slot.unsqueeze(-1) + torch.arange(horizon, device=self.device)) % self.length
        rows = time * (self.members * self.worlds) + world.unsqueeze(-1)
        flat = {name: value.flatten(0, 1) for name, value in self._data.items()}
        obs = torch.cat((flat["obs"][rows], flat["next_obs"][rows[..., -1:]]), dim=2)
        return SequenceBatch(obs, flat["action"][rows], flat["reward"][rows], flat["terminated"][rows])

    def state_dict(self) -> dict[str, Any]:
        """What is stored (no more than that), and where the write head is."""
        data = {name: value[: self._filled] for name, value in self._data.items()}
        return {"steps": int(self._steps), "current": self._current, **data}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` saved.

        Raises:
            UsageError: if it was saved by a replay of another size.
        """
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
        """Puts all sound slices of what is stored into the queues."""
        age = torch.arange(self.length, device=self.device)  # of a slot, from the oldest
        time = self._steps - self.length + age
        slots = time % self.length
        # A run that began before the oldest stored step is sound only from that step on; none where nothing is.
        longest = torch.minimum(age, time).clamp(min=-1) + 1
        run = torch.minimum(self._data["run"][slots], longest.unsqueeze(1))
        for queue in self._queues.values():
            queue.clear()
            queue.append(slots, run.unflatten(1, (self.members, self.worlds)))

    def _queue(self, horizon: int) -> _SliceQueue:
        if horizon not in self._queues:
            known = ", ".join(map(str, self._queues))
            raise UsageError(f"horizon={horizon}: this replay has horizons {known}; name it when the replay is made")
        return self._queues[horizon]
