"""`pwm-bench bench peers` measures what is installed, and names what is not."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

from pwm_bench.bench import brax_ppo, peers
from pwm_bench.envs.tasks import load_task


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert peers._against_newton(True) == [{"what": "Newton: not installed (tox run -e peers)"}]
    assert peers._stable_baselines3(True) == [{"what": "Stable-Baselines3: not installed (tox run -e peers)"}]
    assert peers._brax(True) == [{"what": "Brax: not installed (tox run -e peers)"}]


def test_the_reward_for_brax_is_the_hoppers() -> None:
    observation = torch.randn(8, 11, generator=torch.Generator().manual_seed(0))
    action = torch.rand(8, 3, generator=torch.Generator().manual_seed(1))
    expected = load_task("hopper").reward(observation, action)
    found = [float(brax_ppo.hopper_reward(o, a)) for o, a in zip(observation.numpy(), action.numpy(), strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert expected.min() < -1.0  # both sides of the height's condition are met
    assert expected.max() > 0.0


def test_mujoco_beside_ours() -> None:
    rows = peers._against_mujoco(True)
    assert [(row["task"], row["pass"]) for row in rows] == [
        (task, "forward") for task in ("hopper", "hopper", "ant", "ant")
    ]
    assert rows[0]["ours is faster by"] == 1.0
    for row in rows:
        assert float(row["env steps/s"]) > 0.0


def test_learners_of_stable_baselines3_train_on_our_worlds() -> None:
    pytest.importorskip("stable_baselines3")
    rows = peers._stable_baselines3(True)
    assert [str(row["what"]).partition(",")[0] for row in rows] == ["PPO", "SAC"]
    assert all(float(row["env steps/s"]) > 0.0 for row in rows)
