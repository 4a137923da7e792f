"""Kernels written for one model against the general ones, which are checked by all other tests of the simulator."""

from __future__ import annotations

import mujoco
import pytest
import torch
import warp as wp

from pwm_bench import envs
from pwm_bench.envs.contact import CompliantContact, CompliantLimit
from pwm_bench.envs.integrator import Integrator
from pwm_bench.envs.simulator import State
from pwm_bench.envs.tasks import load_task
from pwm_bench.envs.warp import SimulatorWarp
from tests.envs.warp.muscles import add_muscles
from tests.envs.warp.trees import random_states

WORLDS = 11  # a full group of lanes and a part of one

ROBOT = """<mujoco><default><geom contype="0" conaffinity="1"/></default><worldbody>
  <geom name="floor" type="plane" contype="1" conaffinity="0" size="1 1 1" pos="0 0 -0.4"/>
  <body name="trunk"><freejoint/><geom type="box" size="0.2 0.1 0.1"/>
    <body name="thigh" pos="0.2 0 0"><joint name="hip" type="hinge" axis="0 1 0" range="-5 5" stiffness="3"
        damping="1"/>
      <geom type="capsule" size="0.05" fromto="0 0 0 0 0 -0.3"/>
      <body name="shin" pos="0 0 -0.3"><joint type="slide" axis="0.6 0 0.8" armature="0.1" ref="0.1"/>
        <geom type="sphere" size="0.08"/></body></body>
    <body name="arm" pos="-0.2 0 0.1"><joint type="ball" stiffness="5" damping="0.5"/>
      <geom type="capsule" size="0.04" fromto="0 0 0 0.1 0.2 0"/></body>
  </body></worldbody>
  <actuator><motor joint="hip" gear="7"/></actuator></mujoco>"""

PUBLISHED = Integrator(matrix_refresh=2, damping="explicit", rotation="linear")


def muscled() -> mujoco.MjModel:
    return add_muscles(ROBOT, 3, muscles=1, cables=1)


def make(model: mujoco.MjModel, integrator: Integrator, *, worlds: int = WORLDS, **options: object) -> SimulatorWarp:
    return SimulatorWarp(
        model,
        num_worlds=worlds,
        substeps=3,
        timestep=2e-3,
        contact=CompliantContact(stiffness=2e3, damping=30.0, friction_damping=50.0, friction=0.7),
        limit=CompliantLimit(stiffness=50.0, damping=2.0),
        integrator=integrator,
        **{"dtype": torch.float64, **options},
    )


def results(simulator: SimulatorWarp, state: State, ctrl: torch.Tensor) -> list[torch.Tensor]:
    """State after two control steps, and the gradients of a function of it."""
    leaves = [x.to(simulator.dtype).requires_grad_() for x in (state.qpos, state.qvel, ctrl)]
    after = simulator.step(simulator.step(State(*leaves[:2]), leaves[2]), leaves[2])
    with torch.no_grad():
        unrecorded = simulator.step(simulator.step(State(*leaves[:2]), leaves[2]), leaves[2])
    torch.testing.assert_close(unrecorded.qvel, after.qvel, rtol=0.0, atol=0.0, equal_nan=True)
    loss = after.qpos.square().sum() + after.qvel.square().sum()
    return [after.qpos.detach(), after.qvel.detach(), *torch.autograd.grad(loss, leaves)]


def test_they_give_what_the_general_kernels_give() -> None:
    """Held matrix, linear rotations with quaternions that are not of unit length, muscles, contacts, limits."""
    model = muscled()
    state, ctrl = random_states(model, WORLDS, 0)
    state.qpos[::2, 9:] *= 1.1
    expected = results(make(model, PUBLISHED, specialised=False), state, ctrl)
    for options in ({"threads": 2}, {"recompute": True}):
        close(results(make(model, PUBLISHED, specialised=True, **options), state, ctrl), expected)


def test_a_gpus_program_gives_the_same() -> None:
    """One world a thread, numbers of 32 worlds side by side: what is compiled for a GPU, here on the CPU."""
    model = mujoco.MjModel.from_xml_string(ROBOT)
    state, ctrl = random_states(model, 40, 0)
    usual, coalesced = (make(model, Integrator(), worlds=40, specialised=on, coalesced=on) for on in (False, True))
    close(results(coalesced, state, ctrl), results(usual, state, ctrl))


def close(found: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9 * theirs.abs().max().item())


def test_a_world_does_not_depend_on_its_neighbours() -> None:
    model = muscled()
    state, ctrl = random_states(model, WORLDS, 0)
    state.qvel[2] = float("nan")
    together = results(make(model, PUBLISHED, specialised=True), state, ctrl)
    for n in (0, 3, 10):
        row = slice(n, n + 1)
        one = State(state.qpos[row].clone(), state.qvel[row].clone())
        alone = results(make(model, PUBLISHED, worlds=1, specialised=True), one, ctrl[row])
        for mine, theirs in zip(alone, together, strict=True):
            assert torch.isfinite(mine).all()
            assert torch.equal(mine, theirs[row])


def test_physical_numbers_are_not_in_the_text() -> None:
    """Models that differ in masses, stiffnesses and gears share one kernel; shapes of the tree do not."""
    model = mujoco.MjModel.from_xml_string(ROBOT)
    heavy = mujoco.MjModel.from_xml_string(
        ROBOT.replace('gear="7"', 'gear="9"').replace('stiffness="3"', 'stiffness="4"')
    )
    heavy.body_mass[:] *= 1.5
    other = mujoco.MjModel.from_xml_string(ROBOT.replace('axis="0 1 0"', 'axis="0 0 1"'))
    texts = [make(m, Integrator(), specialised=True)._kernels.texts for m in (model, heavy, other)]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


def test_who_uses_them_depends_on_what_is_simulated_alone() -> None:
    model = mujoco.MjModel.from_xml_string(ROBOT)
    assert not make(model, Integrator(), worlds=7).specialised
    assert make(model, Integrator(), worlds=8).specialised
    assert not make(model, Integrator(), worlds=8, coalesced=True).specialised  # as on a GPU


@pytest.mark.parametrize(("worlds", "specialised"), [(7, False), (8, True)])
def test_a_member_has_the_kernels_that_it_has_alone(worlds, specialised) -> None:
    for members in (1, 2, 5):
        env = envs.make("cartpole", num_envs=members * worlds, seed=list(range(members)))
        assert env.simulator.specialised == specialised


@pytest.mark.slow
@pytest.mark.parametrize("task", ["hopper", "ant"])
def test_they_compile_for_a_gpu_that_is_not_here(task: str, tmp_path, monkeypatch) -> None:
    definition, able = load_task(task), envs.capabilities("warp")
    simulator = envs.make_simulator(
        "warp",
        definition.model_for(able),
        num_worlds=32,
        specialised=True,
        substeps=definition.substeps_for(able),
        timestep=definition.control_dt / definition.substeps_for(able),
        **definition.simulator_options(able),
    )
    monkeypatch.setattr(wp.config, "kernel_cache_dir", str(tmp_path))  # after Warp has started, which sets it
    simulator.compile_for(90)
    assert len(list(tmp_path.glob("*/*.sm90.cubin"))) == 2
