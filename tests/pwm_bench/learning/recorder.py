"""A replay that is fed with observations which say where they come from."""

from __future__ import annotations

from typing import Any

import torch

from pwm_bench.learning.replay import SequenceReplay

__all__ = ["B", "N", "P", "Recorder"]

P, B = 2, 3
N = P * B


class Recorder:
    """Feeds a replay with observations that name (world, episode, step), and keeps the true history."""

    def __init__(self, length: int, seed: int, end: float, invalid: float = 0.0, **settings: Any) -> None:
        horizons = range(1, min(length, 5) + 1)
        self.replay = SequenceReplay(P, B, length * B, obs_dim=3, act_dim=1, horizons=horizons, **settings)
        self.generator = torch.Generator().manual_seed(seed)
        self.end, self.invalid = end, invalid
        self.world = torch.arange(N, dtype=torch.float32)
        self.episode, self.progress = torch.zeros(N), torch.zeros(N)
        self.history: list[dict[str, torch.Tensor]] = []

    def obs(self, step: torch.Tensor) -> torch.Tensor:
        return torch.stack((self.world, self.episode, step), dim=1)

    def run(self, steps: int) -> Recorder:
        for _ in range(steps):
            u = torch.rand(N, generator=self.generator)
            invalid = u < self.invalid
            terminated = (u < self.invalid + self.end / 2) | invalid
            done = u < self.invalid + self.end
            step = {
                "obs": self.obs(self.progress),
                "action": (self.progress * 10 + self.world).unsqueeze(1),
                "reward": self.progress + 0.5,
                "terminated": terminated,
                "done": done,
                "next_obs": self.obs(self.progress + 1),
                "invalid": invalid,
            }
            self.replay.add(**step)
            self.history.append(step)
            self.episode = torch.where(done, self.episode + 1, self.episode)
            self.progress = torch.where(done, 0.0, self.progress + 1)
        return self

    def sound_starts(self, horizon: int) -> list[set[tuple[int, int, int]]]:
        """By brute force, the (world, episode, step) of every slice that may be drawn, for each member."""
        first = max(len(self.history) - self.replay.length, 0)
        found: list[set[tuple[int, int, int]]] = [set() for _ in range(P)]
        for start in range(first, len(self.history) - horizon + 1):
            window = self.history[start : start + horizon]
            for n in range(N):
                ends = any(bool(s["done"][n]) for s in window[:-1]) or any(bool(s["invalid"][n]) for s in window)
                if not ends:
                    found[n // B].add(tuple(window[0]["obs"][n].long().tolist()))
        return found

    def finished_starts(self, horizon: int) -> list[dict[tuple[int, int], list[tuple[int, int, int]]]]:
        """By brute force, for each member: (world, episode) of every finished one of which a slice is stored -> the
        (world, episode, step) of its slices."""
        current = {(n, int(self.episode[n])) for n in range(N)}
        found: list[dict[tuple[int, int], list[tuple[int, int, int]]]] = [{} for _ in range(P)]
        for p, starts in enumerate(self.sound_starts(horizon)):
            for start in sorted(starts):
                if start[:2] not in current:
                    found[p].setdefault(start[:2], []).append(start)
        return found
