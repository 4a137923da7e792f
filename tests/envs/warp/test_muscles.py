"""Muscles and cables on via-point paths: forces against MuJoCo's C engine, gradients against central differences."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
import torch

from pwm_bench import envs
from pwm_bench.envs.simulator import State
from pwm_bench.envs.warp import SimulatorWarp
from pwm_bench.testing.differences import directional_error, rollout_objective
from tests.envs.warp.muscles import add_muscles
from tests.envs.warp.test_dynamics import mujoco_step, step_errors
from tests.envs.warp.trees import random_states, random_tree_xml

WORLDS = 8
SEEDS = range(6)
TIMESTEP = 1e-3

LEG = """<mujoco><option gravity='0 0 -9.81'/><worldbody>
<geom name='floor' type='plane' size='5 5 1'/>
<body name='pelvis' pos='0 0 .95'><freejoint/><geom type='sphere' size='.12' mass='8' contype='0' conaffinity='0'/>
  <body name='thigh'><joint type='ball' damping='.5' stiffness='5' armature='.02'/>
    <geom type='capsule' fromto='0 0 0 0 0 -.4' size='.05' mass='4' contype='0' conaffinity='0'/>
    <body name='shank' pos='0 0 -.4'><joint axis='0 1 0' damping='.3' armature='.02'/>
      <geom type='capsule' fromto='0 0 0 0 0 -.4' size='.04' mass='2' contype='0' conaffinity='0'/>
      <body name='foot' pos='0 0 -.4'><joint axis='0 1 0' damping='.2' armature='.02'/>
        <geom type='box' size='.1 .04 .03' pos='.04 0 -.03' mass='1'/>
</body></body></body></body></worldbody>
<contact><exclude body1='shank' body2='foot'/></contact></mujoco>"""


def tree_with_muscles(seed: int) -> mujoco.MjModel:
    return add_muscles(random_tree_xml(seed, 5), seed, muscles=8, cables=2)


def simulator(model: mujoco.MjModel, dtype: torch.dtype = torch.float64, **options: object) -> SimulatorWarp:
    arguments = {"num_worlds": WORLDS, "substeps": 1, "timestep": TIMESTEP} | options
    return envs.make_simulator("warp", model, dtype=dtype, **arguments)


def reference(model: mujoco.MjModel, state: State, ctrl: torch.Tensor) -> dict[str, np.ndarray]:
    """MuJoCo's actuator length, velocity and force of the actuators on tendons, [N, na] each."""
    data = mujoco.MjData(model)
    on_tendon = model.actuator_trntype == mujoco.mjtTrn.mjTRN_TENDON
    rows: dict[str, list[np.ndarray]] = {"length": [], "velocity": [], "force": []}
    for q, v, u in zip(state.qpos.numpy(), state.qvel.numpy(), ctrl.numpy(), strict=True):
        data.qpos[:], data.qvel[:], data.ctrl[:] = q, v, u
        mujoco.mj_forward(model, data)
        for name, values in rows.items():
            values.append(getattr(data, f"actuator_{name}")[on_tendon].copy())
    return {name: np.array(values) for name, values in rows.items()}


def measured(model: mujoco.MjModel, state: State, ctrl: torch.Tensor) -> dict[str, np.ndarray]:
    """The kernel's, from its working memory (a row for each world in the coalesced layout)."""
    warp = simulator(model, coalesced=True)
    warp.step(state, ctrl)
    gear = np.array([a.gear for a in warp.tree.paths.actuators])
    scratch = warp._kernels._scratch[0]
    return {
        "length": scratch.path_length.numpy() * gear,
        "velocity": scratch.path_speed.numpy() * gear,
        "force": scratch.path_force.numpy() / gear,
    }


def pieces(model: mujoco.MjModel, lengths: np.ndarray, velocities: np.ndarray) -> set[str]:
    """Pieces of the three curves that a set of lengths and velocities visits."""
    visited = set()
    muscles = np.flatnonzero(model.actuator_gaintype == mujoco.mjtGain.mjGAIN_MUSCLE)
    first = model.nu - lengths.shape[1]
    for u in muscles:
        low, high = model.actuator_lengthrange[u]
        for kind, prm in (("active", model.actuator_gainprm[u]), ("passive", model.actuator_biasprm[u])):
            optimum = (high - low) / (prm[1] - prm[0])
            x = prm[0] + (lengths[:, u - first] - low) / optimum
            y = velocities[:, u - first] / (optimum * prm[6])
            if kind == "active":
                knots = (prm[4], 0.5 * (prm[4] + 1), 1.0, 0.5 * (1 + prm[5]), prm[5])
                visited |= {f"FL{n}" for n in np.searchsorted(knots, x)}
                visited |= {f"FV{n}" for n in np.searchsorted((-1.0, 0.0, prm[8] - 1.0), y)}
            elif model.actuator_biastype[u] == mujoco.mjtBias.mjBIAS_MUSCLE:
                visited |= {f"FP{n}" for n in np.searchsorted((1.0, 0.5 * (1 + prm[5])), x)}
    return visited


def test_lengths_velocities_and_forces_are_mujocos_on_every_piece_of_the_curves() -> None:
    visited = set()
    for seed in SEEDS:
        model = tree_with_muscles(seed)
        state, ctrl = random_states(model, WORLDS, seed)
        expected, actual = reference(model, state, ctrl), measured(model, state, ctrl)
        for name, values in expected.items():
            assert np.abs(actual[name] - values).max() < 1e-8 * np.abs(values).max()
            assert np.allclose(actual[name], values, rtol=1e-8, atol=1e-10)
        visited |= pieces(model, expected["length"], expected["velocity"])
    assert visited == {f"FL{n}" for n in range(6)} | {f"FV{n}" for n in range(4)} | {f"FP{n}" for n in range(3)}


@pytest.mark.parametrize("seed", SEEDS)
def test_trees_with_muscles_accelerate_as_in_mujoco(seed: int) -> None:
    """Moment arms: through the accelerations that the forces give."""
    model = tree_with_muscles(seed)
    acceleration, position = step_errors(model, seed)
    assert acceleration < 1e-10
    assert position < 1e-11
    single, _ = step_errors(model, seed, dtype=torch.float32)
    assert single < 1e-3


@pytest.mark.parametrize("seed", SEEDS)
def test_gradients_of_random_trees(seed: int) -> None:
    """Activations in [-1, 1] and forces on links, over a few substeps."""
    model = tree_with_muscles(seed)
    state, ctrl = random_states(model, WORLDS, seed)
    objective = rollout_objective(simulator(model, substeps=3))
    for which in range(3):
        error = directional_error(objective, (state.qpos, state.qvel, ctrl[None]), which, directions=2)
        assert error.max() < 1e-5


def standing(seed: int) -> tuple[mujoco.MjModel, State, torch.Tensor]:
    """A leg with a ball hip and muscles, its foot on the ground in every world."""
    model = add_muscles(LEG, seed, muscles=6)
    rng = np.random.default_rng(seed)
    qpos = np.tile(model.qpos0, (WORLDS, 1))
    for row in qpos:
        mujoco.mj_integratePos(model, row, rng.normal(size=model.nv) * 0.1, 1.0)
    data = mujoco.MjData(model)
    for row in qpos:  # lowered until the box's lowest corner is 1 to 3 cm deep
        data.qpos[:] = row
        mujoco.mj_forward(model, data)
        foot = model.ngeom - 1
        corners = np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, -1).T * model.geom_size[foot]
        lowest = (corners @ data.geom_xmat[foot].reshape(3, 3).T + data.geom_xpos[foot])[:, 2].min()
        row[2] -= lowest + rng.uniform(0.01, 0.03)
    qvel = rng.normal(size=(WORLDS, model.nv))
    ctrl = rng.uniform(-1.0, 1.0, size=(2, WORLDS, model.nu))
    return model, State(torch.from_numpy(qpos), torch.from_numpy(qvel)), torch.from_numpy(ctrl)


@pytest.mark.parametrize("which", [0, 1, 2], ids=["qpos", "qvel", "ctrl"])
def test_gradients_in_contact(which: int) -> None:
    model, state, ctrl = standing(3)
    warp = simulator(model, substeps=4)
    lifted = State(state.qpos + torch.tensor([0.0, 0.0, 1.0] + [0.0] * (model.nq - 3)), state.qvel)
    assert not torch.allclose(warp.step(state, ctrl[0]).qvel, warp.step(lifted, ctrl[0]).qvel)
    error = directional_error(rollout_objective(warp), (state.qpos, state.qvel, ctrl), which)
    assert error.max() < 1e-5


def test_layouts_recomputation_and_threads_agree() -> None:
    model, state, ctrl = standing(4)
    results = []
    for options in ({"threads": 1}, {"threads": 2}, {"coalesced": True}, {"recompute": True}):
        warp = simulator(model, substeps=100, specialised=False, **options)
        leaves = [x.clone().requires_grad_() for x in (state.qpos, state.qvel, ctrl)]
        objective = rollout_objective(warp)(*leaves)
        results.append((objective.detach(), *torch.autograd.grad(objective.sum(), leaves)))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert torch.equal(a, b)


def test_single_precision_gradients_are_close() -> None:
    model, state, ctrl = standing(5)
    grads = []
    for dtype in (torch.float64, torch.float32):
        leaves = [x.to(dtype).requires_grad_() for x in (state.qpos, state.qvel, ctrl)]
        objective = rollout_objective(simulator(model, dtype, substeps=4))(*leaves)
        grads.append([g.double() for g in torch.autograd.grad(objective.sum(), leaves)])
    for exact, single in zip(*grads, strict=True):
        assert (single - exact).norm() < 1e-3 * exact.norm()


def hinge(path: str) -> mujoco.MjModel:
    """An arm on a hinge at the origin along y, 1 m along x, with sites on it and in the world."""
    return mujoco.MjModel.from_xml_string(
        f"""<mujoco><option gravity='0 0 0'/><worldbody><site name='top' pos='0 0 1'/><site name='pin' pos='.5 0 0'/>
        <body><joint axis='0 1 0'/><geom type='capsule' fromto='0 0 0 1 0 0' size='.05'/>
        <site name='root' pos='0 0 0'/><site name='middle' pos='.5 0 0'/><site name='tip' pos='1 0 0'/></body>
        </worldbody><tendon><spatial name='t'>{"".join(f"<site site='{s}'/>" for s in path.split())}</spatial></tendon>
        <actuator><motor tendon='t'/></actuator></mujoco>"""
    )


def one(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


def test_a_cable_pulls_as_worked_out_by_hand() -> None:
    """From (0, 0, 1) to the tip at (1, 0, 0), then along the arm: only the first segment does work.

    Its length is sqrt(2); raising the tip by turning about +y by -dq shortens it: dL/dq = 1 / sqrt(2) (the tip moves by
    -z, along the segment's direction (1, 0, -1) / sqrt(2)). A force F along the path gives the torque F / sqrt(2).
    """
    model = hinge("top tip middle")
    values = measured_alone(model, one(0.0), one(2.0), one(-3.0))
    assert np.allclose(values, [np.sqrt(2.0) + 0.5, 2.0 / np.sqrt(2.0), -3.0])
    warp = simulator(model, num_worlds=1)
    assert warp.tree.paths.num_segments == 1
    after = warp.step(State(one(0.0), one(0.0)), one(-3.0))
    inertia = 1.0 / model.dof_invweight0[0]
    assert np.isclose(after.qvel.item(), -3.0 / np.sqrt(2.0) / inertia * TIMESTEP, rtol=1e-9)


def measured_alone(model: mujoco.MjModel, *arguments: torch.Tensor) -> list[float]:
    warp = simulator(model, num_worlds=1, coalesced=True)
    warp.step(State(*arguments[:2]), arguments[2])
    scratch = warp._kernels._scratch[0]
    return [getattr(scratch, f"path_{name}").numpy().item() for name in ("length", "speed", "force")]


def test_a_segment_of_no_length_is_harmless() -> None:
    """'pin' and 'middle' coincide at q = 0: values are MuJoCo's, the gradient is finite and right beside it."""
    model = hinge("pin middle tip root")
    state, ctrl = State(one(0.0), one(1.0)), one(2.0)
    after = simulator(model, num_worlds=1).step(state, ctrl)
    expected = mujoco_step(_at(model), state, ctrl)
    assert torch.allclose(after.qvel, expected.qvel, rtol=1e-12)
    q = state.qpos.clone().requires_grad_()
    simulator(model, num_worlds=1).step(State(q, state.qvel), ctrl).qvel.sum().backward()
    assert torch.isfinite(q.grad).all()


def _at(model: mujoco.MjModel) -> mujoco.MjModel:
    model = model.__copy__()
    model.opt.timestep = TIMESTEP
    return model


def test_activation_is_clamped_only_where_the_model_says_so() -> None:
    """With a control range of [0, 1] a negative activation counts as none; without one it pushes."""
    for limited in (True, False):
        model, state, ctrl = standing(6)
        model.actuator_ctrllimited[:], model.actuator_ctrlrange[:] = limited, (0.0, 1.0)
        warp = simulator(model)
        negative, none = (warp.step(state, torch.full_like(ctrl[0], u)) for u in (-0.5, 0.0))
        assert torch.equal(negative.qvel, none.qvel) == limited


def test_a_model_without_actuation_has_no_paths() -> None:
    model, state, ctrl = standing(7)
    model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_ACTUATION)
    warp = simulator(model)
    u = ctrl[0].clone().requires_grad_()
    after = warp.step(state, u)
    assert torch.equal(after.qvel, warp.step(state, torch.zeros_like(u)).qvel)
    assert torch.equal(torch.autograd.grad(after.qvel.sum(), u)[0], torch.zeros_like(u))


@pytest.mark.gpu
def test_a_gpu_agrees_with_the_cpu(gpu_of_simulators: str) -> None:
    model, state, ctrl = standing(8)
    results = []
    for device in (envs.resolve_device(name, "warp") for name in ("cpu", gpu_of_simulators)):
        warp = simulator(model, substeps=8, device=device)
        leaves = [x.to(device).requires_grad_() for x in (state.qpos, state.qvel, ctrl[0])]
        after = warp.step(State(*leaves[:2]), leaves[2])
        grads = torch.autograd.grad(after.qpos.square().sum() + after.qvel.square().sum(), leaves)
        results.append([x.detach().cpu() for x in (after.qpos, after.qvel, *grads)])
    for mine, theirs in zip(*results, strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-8, atol=1e-8)
