"""The choices of an integrator: a held mass matrix, explicit damping, linear rotations."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pwm_bench import envs
from pwm_bench.envs.contact import CompliantContact
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.integrator import Integrator
from pwm_bench.envs.simulator import State
from pwm_bench.testing.differences import directional_error, rollout_objective
from tests.envs.warp.trees import random_states, random_tree

WORLDS = 4
SUBSTEPS = 5
TIMESTEP = 2e-3
BOUND = 1e-6
INTEGRATORS = {
    "held": Integrator(matrix_refresh=2),
    "held for the whole step": Integrator(matrix_refresh=100, damping="explicit"),
    "linear": Integrator(rotation="linear"),
    "linear and held": Integrator(matrix_refresh=3, damping="explicit", rotation="linear"),
}
integrators = pytest.mark.parametrize("integrator", INTEGRATORS.values(), ids=INTEGRATORS.keys())

CHAIN = """
<mujoco><option gravity="0 1 -9.81"/><worldbody><body pos="0 0 1">
  <joint type="slide" axis="1 0 0" damping="3" armature="0.5"/><joint type="hinge" axis="0 1 0" damping="0.4"/>
  <geom type="box" size=".1 .2 .3" contype="0" conaffinity="0"/>
  <body pos="0.1 0 -0.5"><joint type="hinge" axis="1 1 0" damping="0.7" armature="0.1"/>
    <geom type="box" size=".05 .1 .2" pos="0 0.1 -0.2" contype="0" conaffinity="0"/></body>
</body></worldbody></mujoco>"""

TUMBLER = """
<mujoco><option gravity="0 0 -9.81"/><worldbody>
  <geom type="plane" size="9 9 1"/>
  <body><freejoint/><geom type="box" size=".1 .2 .3" pos=".05 0 .1"/>
    <site name="a" pos="0 0 .3"/>
    <body pos="0 0 .4" quat=".8 .6 0 0"><joint type="ball" damping=".1" armature=".02" stiffness="3"/>
      <geom type="capsule" size=".05" fromto="0 0 0 .1 0 .4"/><site name="b" pos=".05 .05 .1"/></body>
  </body></worldbody>
  <tendon><spatial name="cable"><site site="a"/><site site="b"/></spatial></tendon>
  <actuator><general tendon="cable" gainprm="-40"/></actuator>
</mujoco>"""


def make(model: mujoco.MjModel, integrator: Integrator, **options: object) -> envs.simulator.Simulator:
    return envs.make_simulator(
        "warp",
        model,
        num_worlds=WORLDS,
        substeps=SUBSTEPS,
        timestep=TIMESTEP,
        dtype=torch.float64,
        integrator=integrator,
        **options,
    )


def errors(simulator: envs.simulator.Simulator, state: State, ctrl: Tensor) -> list[float]:
    """Relative errors of the gradients by qpos, qvel and ctrl."""
    objective = rollout_objective(simulator)
    return [
        float(directional_error(objective, (state.qpos, state.qvel, ctrl), which, directions=2).max())
        for which in range(3 if simulator.model.nu else 2)
    ]


@integrators
@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), bodies=st.integers(1, 6))
def test_gradients_of_random_trees(integrator: Integrator, seed: int, bodies: int) -> None:
    model = random_tree(seed, bodies)
    state, ctrl = random_states(model, WORLDS, seed)
    assert max(errors(make(model, integrator), state, ctrl[None])) < BOUND


@integrators
def test_gradients_in_contact_with_a_cable(integrator: Integrator) -> None:
    """Two control steps of a free body with a ball joint that lies on the ground, far from the world's origin."""
    model = mujoco.MjModel.from_xml_string(TUMBLER)
    contact = CompliantContact(stiffness=3e3, damping=1e3, friction_damping=1e2, friction=0.7)
    state, _ = random_states(model, WORLDS, 3)
    qpos = state.qpos.clone()
    qpos[:, :3] += torch.tensor([20.0, -10.0, 0.0], dtype=qpos.dtype)
    qpos[:, 2] = 0.1
    ctrl = torch.linspace(-1.0, 1.0, 2 * WORLDS, dtype=torch.float64).reshape(2, WORLDS, 1)
    simulator = make(model, integrator, contact=contact)
    above = make(model, integrator, contact=CompliantContact(stiffness=0.0, damping=0.0, friction_damping=0.0))
    touched = simulator.step(State(qpos, state.qvel), ctrl[0]).qvel - above.step(State(qpos, state.qvel), ctrl[0]).qvel
    assert (touched.abs().amax(1) > 1e-2).all()
    assert max(errors(simulator, State(qpos, state.qvel), ctrl)) < BOUND


@pytest.mark.parametrize("refresh", [1, 2, 100])
def test_held_matrix_and_explicit_damping_of_a_chain(refresh: int) -> None:
    """Against the mass matrix and the bias forces of MuJoCo C, put together here."""
    model = mujoco.MjModel.from_xml_string(CHAIN)
    state, _ = random_states(model, WORLDS, 1)
    new = make(model, Integrator(matrix_refresh=refresh, damping="explicit")).step(
        state, torch.zeros(WORLDS, 0).double()
    )
    data = mujoco.MjData(model)
    for w in range(WORLDS):
        data.qpos[:], data.qvel[:] = state.qpos[w].numpy(), state.qvel[w].numpy()
        matrix = np.zeros((model.nv, model.nv))
        for n in range(SUBSTEPS):
            mujoco.mj_forward(model, data)
            if n % refresh == 0:
                for k, column in enumerate(np.eye(model.nv)):
                    mujoco.mj_mulM(model, data, matrix[k], column)
            data.qvel += TIMESTEP * np.linalg.solve(matrix, data.qfrc_passive - data.qfrc_bias)
            data.qpos += TIMESTEP * data.qvel
        np.testing.assert_allclose(new.qpos[w], data.qpos, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(new.qvel[w], data.qvel, rtol=1e-12, atol=1e-12)


def test_a_free_body_is_integrated_as_a_twist_about_the_world_origin() -> None:
    """Against the equations in coordinates of the world's origin: I V' + V x* I V = 0, r' = (r + dt/2 (0, w) r)/|.|."""
    xml = (
        "<mujoco><option gravity='0 0 0'/><worldbody><body><freejoint/><geom type='box' size='.1 .2 .3' pos='.3 .1 0'/>"
        "</body></worldbody></mujoco>"
    )
    model = mujoco.MjModel.from_xml_string(xml)
    state, _ = random_states(model, WORLDS, 5)
    new = make(model, Integrator(rotation="linear")).step(state, torch.zeros(WORLDS, 0).double())

    def skew(a: np.ndarray) -> np.ndarray:
        return np.array([[0, -a[2], a[1]], [a[2], 0, -a[0]], [-a[1], a[0], 0]])

    def matrix(quaternion: np.ndarray) -> np.ndarray:
        out = np.zeros(9)
        mujoco.mju_quat2Mat(out, quaternion)
        return out.reshape(3, 3)

    mass, local = model.body_mass[1], matrix(model.body_iquat[1])
    principal = local @ np.diag(model.body_inertia[1]) @ local.T
    for world in range(WORLDS):
        p, r = state.qpos[world, :3].numpy().copy(), state.qpos[world, 3:].numpy().copy()
        omega = matrix(r) @ state.qvel[world, 3:].numpy()
        v = state.qvel[world, :3].numpy() - np.cross(omega, p)
        for _ in range(SUBSTEPS):
            rotation = matrix(r)
            c = skew(p + rotation @ model.body_ipos[1])
            inertia = np.block(
                [
                    [rotation @ principal @ rotation.T - mass * c @ c, mass * c],
                    [-mass * c, mass * np.eye(3)],
                ]
            )
            cross = np.block([[skew(omega), np.zeros((3, 3))], [skew(v), skew(omega)]])
            twist = np.concatenate((omega, v))
            acceleration = np.linalg.solve(inertia, cross.T @ inertia @ twist)
            omega, v = np.split(twist + TIMESTEP * acceleration, 2)
            p = p + TIMESTEP * (v + np.cross(omega, p))
            rate = np.zeros(4)
            mujoco.mju_mulQuat(rate, np.concatenate(([0.0], omega)), r)
            r = r + 0.5 * TIMESTEP * rate
            r /= np.linalg.norm(r)
        np.testing.assert_allclose(new.qpos[world], np.concatenate((p, r)), rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(new.qvel[world, :3], v + np.cross(omega, p), rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(new.qvel[world, 3:], matrix(r).T @ omega, rtol=1e-11, atol=1e-11)


@integrators
def test_choices_agree_as_the_substep_shrinks(integrator: Integrator) -> None:
    """All of them are first order: a tenth of the substep leaves about a tenth of the difference from MuJoCo's.

    (Without the ball joint's spring, which is another one where rotations are linear.)
    """
    model = mujoco.MjModel.from_xml_string(TUMBLER.replace('stiffness="3"', ""))
    model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_CONTACT)
    state, ctrl = random_states(model, WORLDS, 2)
    gaps = []
    for substeps in (20, 200):
        ends = []
        for choice in (Integrator(), integrator):
            simulator = envs.make_simulator(
                "warp",
                model,
                num_worlds=WORLDS,
                substeps=substeps,
                timestep=0.02 / substeps,
                dtype=torch.float64,
                integrator=Integrator(
                    matrix_refresh=min(choice.matrix_refresh, 4), damping=choice.damping, rotation=choice.rotation
                ),
            )
            ends.append(simulator.step(state, ctrl).qvel)
        gaps.append(float((ends[1] - ends[0]).abs().max()))
    assert gaps[0] > 1e-6
    assert 5.0 < gaps[0] / gaps[1] < 20.0


def test_recomputing_gives_the_same_gradient() -> None:
    model = mujoco.MjModel.from_xml_string(TUMBLER)
    state, _ = random_states(model, WORLDS, 4)
    grads = []
    for recompute in (False, True):
        simulator = make(model, INTEGRATORS["linear and held"], recompute=recompute)
        ctrl = torch.full((2, WORLDS, 1), 0.4, dtype=torch.float64, requires_grad=True)
        rollout_objective(simulator)(state.qpos, state.qvel, ctrl).sum().backward()
        grads.append(ctrl.grad)
    assert torch.equal(*grads)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"matrix_refresh": 0}, "integrator.matrix_refresh=0"),
        ({"matrix_refresh": True}, "integrator.matrix_refresh=True"),
        ({"damping": "none"}, "integrator.damping='none': must be one of implicit, explicit"),
        ({"rotation": "cayley"}, "integrator.rotation='cayley'"),
    ],
)
def test_other_choices_are_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Integrator(**options)


def test_armature_of_a_free_joint_is_refused_where_it_has_no_meaning() -> None:
    body = "<body><joint name='root' type='free' armature='1'/><geom size='.1'/></body>"
    model = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{body}</worldbody></mujoco>")
    with pytest.raises(UsageError, match="armature on free joint 'root'"):
        make(model, INTEGRATORS["linear"])
