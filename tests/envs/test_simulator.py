"""What all simulators share: MuJoCo's switches of a model."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
import torch

from pwm_bench import envs
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.simulator import State

__all__ = ["difference_from_mujoco"]

_MJCF = """
<mujoco><option {option}><flag {flag}/></option><worldbody><body gravcomp="{gravcomp}">
  <joint name="hinge" axis="0 1 0" stiffness="3" springref="20" damping="0.5"/><geom size=".1" pos="0 0 .4" mass="1"/>
  <body pos="0 0 .5">
    <joint name="slide" type="slide" axis="1 0 .2" stiffness="20" damping="2"/><geom size=".1" mass=".5"/>
  </body></body></worldbody>
<actuator>
  <motor name="first" joint="hinge" gear="3" ctrllimited="true" ctrlrange="-0.5 0.5" group="1"/>
  <motor joint="slide" gear="2"/>
</actuator></mujoco>
"""
_SUBSTEPS, _TIMESTEP = 8, 0.002


def difference_from_mujoco(
    simulator: str, *, option: str = "", flag: str = "", gravity_compensation: float = 0.0
) -> float:
    """Largest difference of a state after a control step from MuJoCo's own, with controls beyond their range."""
    model = mujoco.MjModel.from_xml_string(_MJCF.format(option=option, flag=flag, gravcomp=gravity_compensation))
    qpos, qvel, ctrl = np.array([0.1, 0.05]), np.array([1.0, -2.0]), np.array([1.5, 0.7])
    made = envs.make_simulator(
        simulator, model, num_worlds=1, substeps=_SUBSTEPS, timestep=_TIMESTEP, dtype=torch.float64
    )
    after = made.step(State(*(torch.from_numpy(x)[None] for x in (qpos, qvel))), torch.from_numpy(ctrl)[None])
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:], data.ctrl[:] = qpos, qvel, ctrl
    for _ in range(_SUBSTEPS):
        mujoco.mj_step(model, data)
    return max(np.abs(after.qpos[0].numpy() - data.qpos).max(), np.abs(after.qvel[0].numpy() - data.qvel).max())


@pytest.mark.parametrize("flag", ["clampctrl", "spring", "damper", "eulerdamp", "gravity", "actuation"])
@pytest.mark.parametrize("simulator", ["warp", "mujoco_c"])
def test_what_a_model_switches_off_is_off(simulator: str, flag: str) -> None:
    assert difference_from_mujoco(simulator, flag=f"{flag}='disable'") < 1e-12


@pytest.mark.parametrize(
    ("simulator", "flag", "why"),
    [(name, "sleep", "no function of") for name in ("warp", "mjx", "mujoco_c")]
    + [(name, "override", "o_solref") for name in ("warp", "mjx")],  # MuJoCo C does what it says
)
def test_what_a_model_switches_on_and_a_simulator_would_not_do_is_refused(simulator: str, flag: str, why: str) -> None:
    model = mujoco.MjModel.from_xml_string(_MJCF.format(option="", flag=f"{flag}='enable'", gravcomp=0.0))
    with pytest.raises(UsageError, match=f"option flag {flag}='enable'.*{why}.*remove it"):
        envs.make_simulator(simulator, model, num_worlds=1, substeps=1, timestep=_TIMESTEP)


@pytest.mark.parametrize("simulator", ["warp", "mjx", "mujoco_c"])
@pytest.mark.parametrize("flag", ["energy", "fwdinv", "invdiscrete"])
def test_what_only_measures_does_not_keep_a_model_out(simulator: str, flag: str) -> None:
    model = mujoco.MjModel.from_xml_string(_MJCF.format(option="", flag=f"{flag}='enable'", gravcomp=0.0))
    made = envs.make_simulator(simulator, model, num_worlds=1, substeps=1, timestep=_TIMESTEP)
    assert made.model.opt.enableflags == model.opt.enableflags
