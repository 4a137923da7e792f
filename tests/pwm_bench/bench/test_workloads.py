"""Benchmark workloads do the work they are timed for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pwm_bench.bench.workloads import Rollout, make_rollout, mujoco_rollout, start_states


def test_start_states_are_seeded() -> None:
    first, again = start_states("hopper", 4), start_states("hopper", 4)
    assert torch.equal(first.qpos, again.qpos)
    assert first.qpos.shape == (4, 6)
    assert not torch.equal(first.qpos[0], first.qpos[1])


def test_gradient_is_that_of_the_final_state() -> None:
    rollout = make_rollout("cartpole", "warp", 2, 3, dtype=torch.float64)
    rollout.check()
    assert rollout.env_steps == 6
    grad = rollout.gradient()
    nudge = torch.zeros_like(rollout.ctrl)
    nudge[1, 0, 0] = 1e-6
    ctrl = rollout.ctrl
    up, down = (Rollout(rollout.simulator, rollout.start, ctrl + s * nudge).forward() for s in (1.0, -1.0))
    numeric = sum((getattr(up, n) - getattr(down, n))[0].sum() for n in ("qpos", "qvel")) / 2e-6
    assert grad[1, 0, 0].item() == pytest.approx(float(numeric), rel=1e-6)


def test_check_refuses_a_rollout_that_does_not_move() -> None:
    rollout = make_rollout("cartpole", "warp", 2, 1)
    still = Rollout(rollout.simulator, rollout.start, rollout.ctrl[:0])
    with pytest.raises(RuntimeError, match="does not move"):
        still.check()


def test_mujoco_rollout_steps_the_same_model() -> None:
    states = mujoco_rollout("cartpole", 3, 5, timestep=1e-3)()
    assert states.shape[:2] == (3, 5)
    assert np.allclose(states[:, -1, 0], 5e-3)  # time
    assert np.isfinite(states).all()
