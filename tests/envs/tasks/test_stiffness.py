"""Other contact constants, for every simulator."""

from __future__ import annotations

import math

import mujoco
import pytest
import torch

from pwm_bench import envs
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.tasks import load_task
from pwm_bench.envs.tasks.stiffness import on_ground, touches_ground, with_contact


def test_nothing_given_is_the_task_itself() -> None:
    task = load_task("hopper")
    assert on_ground(task, None, None) is task


def test_only_what_is_given_changes() -> None:
    task = load_task("hopper")
    changed = on_ground(task, 1e5, None)
    assert (changed.contact.stiffness, changed.contact.damping) == (1e5, task.contact.damping)
    assert changed.simulator_options(envs.capabilities("warp"))["contact"] is changed.contact
    assert (task.contact.stiffness, load_task("hopper").contact.stiffness) == (2e4, 2e4)
    assert task.model().geom_solref.min() > 0.0


def test_the_option_makes_the_hopper_stiff() -> None:
    """In Warp, `hopper` with these options and `hopper_stiff` take the same path; the soft one another."""
    paths = []
    for name, options in (
        ("hopper", {"contact_stiffness": 1e5, "contact_damping": 1e4}),
        ("hopper_stiff", {}),
        ("hopper", {}),
    ):
        env = envs.make(name, "warp", num_envs=4, dtype=torch.float64, **options)
        with torch.no_grad():
            for _ in range(12):
                env.step(torch.zeros(4, 3, dtype=torch.float64))
        paths.append(env.state.qpos)
    assert torch.equal(paths[0], paths[1])
    assert (paths[0] - paths[2]).abs().max() > 1e-3


def test_the_constants_of_mujocos_contacts() -> None:
    model = load_task("hopper").model_for(envs.capabilities("mujoco_c"))
    changed = with_contact(model, load_task("hopper_stiff").contact)
    foot, ground = model.geom("foot").id, model.geom("ground").id
    weight = model.body("foot").invweight0[0]
    assert changed.geom_solref[foot].tolist() == pytest.approx([-1e5 * weight, -(1e3 + 1e4 * 0.01) * weight])
    assert (changed.geom_solref[ground] == model.geom_solref[ground]).all()
    assert changed.geom_solref[model.geom("torso").id].tolist() == model.geom_solref[foot].tolist()


def test_mujocos_damping_stays_at_most_critical() -> None:
    model = load_task("humanoid").model()
    stiffness, damping = -with_contact(model, load_task("humanoid").contact).geom_solref[model.geom("left_hand").id]
    assert damping == pytest.approx(2.0 * math.sqrt(stiffness))


def test_a_sphere_on_the_ground_bounces_at_the_given_frequency() -> None:
    """Half a period of sqrt(k_e / m), the time a ball of 2 kg stays on the ground after a fall, damping off."""
    model = mujoco.MjModel.from_xml_string(
        """<mujoco><option timestep="1e-4" gravity="0 0 0"/><worldbody><geom type="plane" size="1 1 1"/>
        <body pos="0 0 .1"><joint type="slide" axis="0 0 1"/><geom size=".1" mass="2"/></body></worldbody></mujoco>"""
    )
    assert touches_ground(model)
    ke = 2e4
    contact = load_task("hopper").contact
    changed = with_contact(model, type(contact)(stiffness=ke, damping=0.0, friction_damping=0.0))
    assert changed.geom_solref[1].tolist() == pytest.approx([-ke / 2.0, 0.0], abs=1e-8)
    assert changed.geom_solref[1, 1] < 0.0
    changed.geom_solimp[1] = [0.98, 0.98, 1e-3, 0.5, 2.0]
    data = mujoco.MjData(changed)
    data.qvel[0] = -1.0
    mujoco.mj_step(changed, data)
    while data.qpos[0] < 0.0:
        mujoco.mj_step(changed, data)
    assert data.time == pytest.approx(math.pi * math.sqrt(2.0 / (0.98 * ke)), rel=0.02)


@pytest.mark.parametrize("simulator", ["warp", "mujoco_c"])
@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("hopper", {"contact_stiffness": -1.0}, "contact_stiffness=-1.0: must be a finite positive number"),
        ("hopper", {"contact_stiffness": 0}, "contact_stiffness=0: must be"),
        ("hopper", {"contact_damping": math.nan}, "contact_damping=nan: must be a finite non-negative number"),
        ("hopper", {"contact_damping": "1e3"}, "contact_damping='1e3': must be"),
        ("hopper", {"contact_stiffness": True}, "contact_stiffness=True: must be"),
        ("cartpole", {"contact_damping": 1.0}, "contact_damping: nothing touches the ground in task 'cartpole'"),
    ],
)
def test_wrong_values_are_refused(simulator: str, task: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        envs.make(task, simulator, num_envs=1, **options)
