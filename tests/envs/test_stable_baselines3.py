"""Stable-Baselines3 learns on the adapter: what others' code asks of it, beyond shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pwm_bench.envs.vector_env import GymVectorEnv

pytest.importorskip("stable_baselines3")

from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv, VecMonitor

WORLDS = 16


class Bridge(VecEnv):
    """A gymnasium vector environment with same-step resets as Stable-Baselines3's kind."""

    def __init__(self, env: GymVectorEnv) -> None:
        self.env = env
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> np.ndarray:
        return self.env.reset(seed=self._seeds[0])[0]

    def step_async(self, actions: np.ndarray) -> None:
        self.actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        obs, reward, terminated, truncated, info = self.env.step(self.actions)
        infos: list[dict[str, Any]] = [{"TimeLimit.truncated": bool(t)} for t in truncated]
        for world in np.flatnonzero(terminated | truncated):
            infos[world]["terminal_observation"] = info["final_obs"][world]
        return obs, reward.astype(np.float32), terminated | truncated, infos

    def close(self) -> None:
        self.env.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self.env, attr_name)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        setattr(self.env, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        return [getattr(self.env, method_name)(*args, **kwargs)]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs


def play(model: PPO) -> float:
    """Mean return of the deterministic policy over the first episodes of fixed worlds."""
    env = GymVectorEnv("walker2d", "mujoco_c", WORLDS)
    obs, _ = env.reset(seed=123)
    total, active = np.zeros(WORLDS), np.ones(WORLDS, bool)
    while active.any():
        obs, reward, terminated, truncated, _ = env.step(model.predict(obs, deterministic=True)[0])
        total += active * reward
        active &= ~(terminated | truncated)
    return float(total.mean())


def test_ppo_learns() -> None:
    """Measured with seeds 0, 1, 2: from about 23 to between 122 and 148 within 4096 steps."""
    torch.set_num_threads(1)
    env = VecMonitor(Bridge(GymVectorEnv("walker2d", "mujoco_c", WORLDS)))
    env.seed(0)
    model = PPO(
        "MlpPolicy",
        env,
        n_steps=32,
        batch_size=128,
        n_epochs=8,
        learning_rate=1e-3,
        gamma=0.98,
        seed=0,
        device="cpu",
        policy_kwargs={"log_std_init": -0.5},
    )
    untrained = play(model)
    model.learn(4096)
    assert model.num_timesteps == 4096
    assert len(model.ep_info_buffer) > WORLDS  # episodes ended and the monitor saw them
    assert play(model) > 2.0 * untrained
