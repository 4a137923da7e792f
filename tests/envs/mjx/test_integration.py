"""Integration of positions in MJX, one joint at a time, against MuJoCo C's; float64."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
import torch
from jax import numpy as jnp

from pwm_bench.envs.mjx.integration import Integrator
from pwm_bench.envs.mjx.runtime import precision


@pytest.mark.parametrize("kind", ["hinge", "slide", "ball", "free"])
def test_a_joint_alone_moves_as_in_mujoco(kind: str) -> None:
    text = f"<mujoco><worldbody><body><joint type='{kind}'/><geom size='.1'/></body></worldbody></mujoco>"
    model = mujoco.MjModel.from_xml_string(text)
    qvel, qacc = np.random.default_rng(0).normal(size=(2, model.nv))
    expected = model.qpos0.copy()
    mujoco.mj_integratePos(model, expected, qvel + model.opt.timestep * qacc, model.opt.timestep)
    with precision(torch.float64):
        qpos, velocity = Integrator(model)(jnp.asarray(model.qpos0), jnp.asarray(qvel), jnp.asarray(qacc))
    np.testing.assert_allclose(qpos, expected, rtol=0.0, atol=1e-15)
    np.testing.assert_allclose(velocity, qvel + model.opt.timestep * qacc, rtol=0.0, atol=1e-15)
