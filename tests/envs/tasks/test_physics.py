"""Physics of every task: dynamics against MuJoCo C, gradients through contact, energy, stability."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
import torch

from pwm_bench import envs
from pwm_bench.envs.integrator import Integrator
from pwm_bench.envs.simulator import Simulator, State
from pwm_bench.envs.tasks import TASKS, Task, load_task
from pwm_bench.envs.tasks.stiffness import touches_ground
from pwm_bench.testing.differences import directional_error, rollout_objective
from tests.envs.models import with_unit_axes

WORLDS = 4
NAMES = sorted(TASKS)
TOUCHING = [name for name in NAMES if touches_ground(load_task(name).model())]
DISABLE = mujoco.mjtDisableBit


def start(task: Task, worlds: int = WORLDS, seed: int = 0) -> State:
    generator = torch.Generator().manual_seed(seed)
    return task.reset_state(2.0 * torch.rand(worlds, task.noise_dim, generator=generator, dtype=torch.float64) - 1.0)


def controls(task: Task, steps: int, worlds: int = WORLDS, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    action = 2.0 * torch.rand(steps * worlds, task.action_dim, generator=generator, dtype=torch.float64) - 1.0
    return task.control(action).reshape(steps, worlds, -1)


def simulate(
    name: str, task: Task, model: mujoco.MjModel | None = None, integrator: Integrator | None = None
) -> Simulator:
    """The task's model in a simulator at Warp's substeps, whichever it is; with the task's integrator by default."""
    substeps = task.substeps_for(envs.capabilities("warp"))
    options = task.simulator_options(envs.capabilities("warp")) if name == "warp" else {}
    if options and integrator is not None:
        options["integrator"] = integrator
    return envs.make_simulator(
        name,
        task.model() if model is None else model,
        num_worlds=WORLDS,
        substeps=substeps,
        timestep=task.control_dt / substeps,
        dtype=torch.float64,
        **options,
    )


def without(model: mujoco.MjModel, *flags: DISABLE) -> mujoco.MjModel:
    """A copy with parts of the physics off."""
    copy = with_unit_axes(model)
    for flag in flags:
        copy.opt.disableflags |= int(flag)
    return copy


@pytest.mark.parametrize("name", NAMES)
def test_accelerations_are_mujocos(name: str) -> None:
    """Relative to the largest in the world, at moving reset states under random controls, contacts and limits off."""
    task = load_task(name)
    model = without(task.model(), DISABLE.mjDSBL_CONSTRAINT)
    model.opt.timestep = 1e-3
    state, ctrl = start(task), controls(task, 1)[0]
    state = State(state.qpos, 4.0 * state.qvel)
    simulator = envs.make_simulator("warp", model, num_worlds=WORLDS, substeps=1, timestep=1e-3, dtype=torch.float64)
    after = simulator.step(state, ctrl).qvel.numpy()
    data = mujoco.MjData(model)
    for world in range(WORLDS):
        mujoco.mj_resetData(model, data)
        data.qpos[:], data.qvel[:], data.ctrl[:] = state.qpos[world], state.qvel[world], ctrl[world]
        mujoco.mj_step(model, data)
        change = data.qvel - state.qvel[world].numpy()
        assert np.abs(after[world] - data.qvel).max() < 1e-10 * np.abs(change).max()


@pytest.mark.parametrize("name", NAMES)
def test_flights_are_mujocos(name: str) -> None:
    """Five control steps in the air, joint limits off: integrating alike, the two engines follow the same path."""
    task = load_task(name)
    model = without(task.model(), DISABLE.mjDSBL_CONTACT, DISABLE.mjDSBL_LIMIT)
    warp, reference = (simulate(simulator, task, model, Integrator()) for simulator in ("warp", "mujoco_c"))
    here = there = start(task)
    for ctrl in controls(task, 5):
        with torch.no_grad():
            here, there = warp.step(here, ctrl), reference.step(there, ctrl)
    assert (here.qpos - there.qpos).abs().max() < 1e-9
    assert (here.qvel - there.qvel).abs().max() < 1e-7


@pytest.mark.parametrize("name", TOUCHING)
def test_gradients_through_contact(name: str) -> None:
    """Of three control steps on the ground by positions, velocities and controls, against central differences."""
    task = load_task(name)
    simulator = simulate("warp", task)
    state, ctrl = start(task, seed=3), controls(task, 18, seed=4)
    with torch.no_grad():
        for u in ctrl[:-3]:
            state = simulator.step(state, 0.3 * u)
    free = simulate("warp", task, without(task.model(), DISABLE.mjDSBL_CONTACT))
    touched = flown = state
    with torch.no_grad():
        for u in 0.3 * ctrl[-3:]:
            touched, flown = simulator.step(touched, u), free.step(flown, u)
    pushed = (touched.qvel - flown.qvel).abs().amax(1) > 1e-3
    assert pushed.sum() >= WORLDS // 2, "the situation must be one of contact"
    for which in range(3):
        error = directional_error(
            rollout_objective(simulator),
            (state.qpos, state.qvel, 0.3 * ctrl[-3:]),
            which,
            directions=2,
            steps=(1e-5, 1e-6, 1e-7, 1e-8),  # among dozens of contact points one is always about to land
        )
        assert error.max() < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_energy_is_kept(name: str) -> None:
    """Without motors, damping, springs, contacts and limits the energy drifts by less than 1 % in a second.

    At the task's own timestep, with a fresh mass matrix in each. Robots that fly do so without gravity (free fall
    would give them so much energy that the drift of the motion within them would not show); the others swing under
    it. Relative to the largest kinetic energy.
    """
    task = load_task(name)
    model = without(
        task.model(), DISABLE.mjDSBL_CONTACT, DISABLE.mjDSBL_LIMIT, DISABLE.mjDSBL_ACTUATION, DISABLE.mjDSBL_SPRING
    )
    model.dof_damping[:] = 0.0
    model.opt.enableflags |= int(mujoco.mjtEnableBit.mjENBL_ENERGY)
    if touches_ground(task.model()):
        model.opt.gravity[:] = 0.0
    simulator = simulate("warp", task, model, Integrator())
    data = mujoco.MjData(model)

    def energy(state: State) -> np.ndarray:
        """Potential and kinetic, (WORLDS, 2)."""
        values = []
        for qpos, qvel in zip(state.qpos.numpy(), state.qvel.numpy(), strict=True):
            data.qpos[:], data.qvel[:] = qpos, qvel
            mujoco.mj_forward(model, data)
            values.append(data.energy.copy())
        return np.array(values)

    state = start(task)
    state = State(state.qpos, 4.0 * state.qvel)
    zero = torch.zeros(WORLDS, model.nu, dtype=torch.float64)
    history = [energy(state)]
    for _ in range(round(1.0 / task.control_dt)):
        with torch.no_grad():
            state = simulator.step(state, zero)
        history.append(energy(state))
    path = np.array(history)
    drift = np.abs(path[-1].sum(axis=1) - path[0].sum(axis=1)) / path[:, :, 1].max(axis=0)
    assert drift.max() < (0.05 if name == "pendulum" else 0.01)  # its substeps are the longest by far, 20 ms


def shake(name: str, worlds: int, steps: int, simulator: str = "warp") -> dict[str, float]:
    """Uniform random actions in float32. Returns the extremes; fails where a world leaves the physically possible.

    A joint can't turn faster than a few times the speed at which its damping takes all of the strongest motor's torque,
    nor (where there is hardly any damping) faster than 300 rad/s, which would tear a limb of this size off. A root of
    the mass of these robots, moved by legs of at most a metre, can't fly at 15 m/s or rise by 3 m. It can't turn at
    60 rad/s: the lightest, the walker's torso (0.07 kg m^2), takes 48 from two hips of 100 N m in a control step.
    """
    env = envs.make(name, simulator, num_envs=worlds, seed=1)
    model = env.simulator.model
    free = model.jnt_type[0] == mujoco.mjtJoint.mjJNT_FREE
    root = 6 if free else 3 if touches_ground(model) else 0
    strength = np.zeros(model.nv)
    for actuator in range(model.nu):
        if model.actuator_trntype[actuator] == mujoco.mjtTrn.mjTRN_JOINT:
            strength[model.jnt_dofadr[model.actuator_trnid[actuator, 0]]] = model.actuator_gear[actuator, 0]
    terminal = 4.0 * strength.max() / np.maximum(model.dof_damping, 1e-9)
    bound = np.where(strength > 0.0, np.minimum(terminal, 300.0), 300.0)
    bound[:root] = ([15.0] * 3 + [60.0] * 3) if free else ([15.0] * 2 + [60.0])[:root]
    generator = torch.Generator().manual_seed(0)
    fastest = torch.zeros(model.nv)
    highest = -torch.inf
    with torch.no_grad():
        for _ in range(steps):
            step = env.step(2.0 * torch.rand(worlds, env.action_dim, generator=generator) - 1.0)
            assert not step.invalid.any()
            assert torch.isfinite(step.final_obs).all()
            fastest = torch.maximum(fastest, env.state.qvel.abs().amax(0))
            if root:
                highest = max(highest, env.state.qpos[:, 2 if free else 1].max().item())
    assert (fastest.double().numpy() < bound).all(), f"{fastest.tolist()} against {bound.tolist()}"
    assert highest < 3.0 + (float(model.qpos0[2]) if free else 0.0)
    return {"fastest root": fastest[:root].max().item() if root else 0.0, "fastest joint": fastest[root:].max().item()}


@pytest.mark.parametrize("name", NAMES)
def test_random_actions_stay_in_the_world(name: str) -> None:
    shake(name, worlds=16, steps=100)


@pytest.mark.slow
@pytest.mark.timeout(3600)  # compiling and a quarter of a million steps of a humanoid in MJX on a CPU
@pytest.mark.parametrize("simulator", ["warp", "mjx"])
@pytest.mark.parametrize("name", NAMES)
def test_many_random_actions_stay_in_the_world(name: str, simulator: str) -> None:
    print(name, simulator, shake(name, worlds=256, steps=1000, simulator=simulator))
