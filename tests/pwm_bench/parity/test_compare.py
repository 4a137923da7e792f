from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import mujoco
import numpy as np
import pytest
import torch

from pwm_bench import envs
from pwm_bench.envs.api import DifferentiableEnv
from pwm_bench.envs.integrator import Integrator
from pwm_bench.envs.simulator import State
from pwm_bench.envs.tasks import load_task
from pwm_bench.parity import compare
from pwm_bench.parity.compare import compare_angles, compare_contact, compare_in_air, compare_resets, gradients, play
from pwm_bench.parity.states import draw_actions, first_constraint, in_the_air, roll, start_states

WORLDS = 3
HORIZONS = (1, 4)


def build(
    task: str,
    name: str,
    model: mujoco.MjModel | None = None,
    dtype: torch.dtype = torch.float64,
    integrator: Integrator | None = None,
    worlds: int = WORLDS,
):
    definition = load_task(task)
    substeps = 4
    options = definition.simulator_options(envs.capabilities(name))
    return envs.make_simulator(
        name,
        definition.model() if model is None else model,
        num_worlds=worlds,
        substeps=substeps,
        timestep=definition.control_dt / substeps,
        dtype=dtype,
        **(options | {"integrator": integrator or Integrator()} if "integrator" in options else options),
    )


def heavier(task: str) -> mujoco.MjModel:
    model = load_task(task).model().__copy__()
    model.opt.gravity[2] *= 1.001
    return model


@pytest.fixture(scope="module")
def cartpoles():
    return {name: build("cartpole", name) for name in ("warp", "mjx", "mujoco_c")}


def test_a_falling_ball_is_free_until_it_lands():
    """Semi-implicit Euler falls g dt^2 n (n + 1) / 2 in n steps: 1 m in 45 steps of 10 ms."""
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><geom type='plane' size='1 1 1'/>"
        "<body pos='0 0 1.1'><freejoint/><geom size='.1'/></body></worldbody></mujoco>"
    )
    qpos = torch.from_numpy(np.stack((model.qpos0, model.qpos0 + np.array([0, 0, 9, 0, 0, 0, 0]))))
    start = State(qpos, torch.zeros(2, 6, dtype=torch.float64))
    assert first_constraint(model, 0.01, 1, start, torch.zeros(60, 2, 0)).tolist() == [45, 60]
    assert first_constraint(model, 0.01, 10, start, torch.zeros(6, 2, 0)).tolist() == [4, 6]


@pytest.mark.parametrize("task", envs.tasks())
def test_in_the_air_nothing_touches(task: str):
    definition = load_task(task)
    model, start = definition.model(), start_states(definition, WORLDS, 0)
    lifted = in_the_air(model, start)
    assert torch.equal(lifted.qvel, start.qvel)
    controls = torch.zeros(1, WORLDS, model.nu, dtype=torch.float64)
    assert first_constraint(model, 1e-3, 1, lifted, controls).tolist() == [1] * WORLDS
    if (model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE).any():
        assert (lifted.qpos - start.qpos).amax(1).min() == pytest.approx(100.0)


def test_actions_are_uniform_and_follow_the_seed():
    task = load_task("ant")
    actions = draw_actions(task, 50, 4, 0, 0.5)
    assert actions.shape == (50, 4, 8)
    assert actions.abs().max() <= 0.5
    assert actions.std().item() == pytest.approx(0.5 / 3**0.5, rel=0.05)
    assert torch.equal(actions, draw_actions(task, 50, 4, 0, 0.5))
    assert not torch.equal(actions, draw_actions(task, 50, 4, 1, 0.5))


def test_cartpole_is_the_same_in_all_three(cartpoles):
    task = load_task("cartpole")
    assert [(r.simulator, r.difference) for r in compare_resets(task, cartpoles, "mujoco_c", 0)] == [
        ("warp", 0.0), ("mjx", 0.0)
    ]  # fmt: skip
    for air in compare_in_air(task, cartpoles, "mujoco_c", steps=6, seed=0):
        assert air.agrees
        assert (air.steps, air.compared) == (6, 6 * WORLDS)
        assert max(air.position, air.velocity) < 1e-12
    for contact in compare_contact(task, cartpoles, "mujoco_c", steps=8, seed=0):
        assert [point.steps for point in contact.points] == [1, 2, 4, 8]
        assert all(point.touching == 0.0 and point.largest < 1e-12 for point in contact.points)
        assert contact.reason == "no contact or limit was active; round-off and the solver's tolerance"


def test_gradients_of_cartpole_are_the_same_and_right(cartpoles):
    task = load_task("cartpole")
    found = {}
    for name in ("warp", "mjx"):
        curve, found[name] = gradients(task, cartpoles[name], horizons=HORIZONS, seed=1)
        for point in curve.norms:
            sizes = found[name][point.horizon].norm(dim=1).numpy()
            assert [point.low, point.median, point.high] == pytest.approx(np.percentile(sizes, [25, 50, 75]))
            assert point.finite == 1.0
    for horizon in HORIZONS:
        assert torch.allclose(found["warp"][horizon], found["mjx"][horizon], rtol=1e-8, atol=1e-12)
    assert [a.cosine for a in compare_angles(found)] == pytest.approx([1.0] * len(HORIZONS), abs=1e-12)

    horizon = HORIZONS[-1]
    env = DifferentiableEnv(task, cartpoles["warp"])
    actions = draw_actions(task, horizon, WORLDS, 1, 0.5)

    def value(sequence: torch.Tensor) -> torch.Tensor:
        env.state = start_states(task, WORLDS, 1)
        env.obs = task.observation(env.state, torch.zeros(WORLDS, 1, dtype=torch.float64))
        with torch.no_grad():
            steps = [env.step(a).reward for a in (*sequence, torch.zeros(WORLDS, 1, dtype=torch.float64))]
        return torch.stack(steps).sum(0)

    for t in range(horizon):
        nudge = torch.zeros_like(actions)
        nudge[t] = 1e-5
        slope = (value(actions + nudge) - value(actions - nudge)) / 2e-5
        assert torch.allclose(slope, found["warp"][horizon][:, t], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("task", ["cartpole", "hopper"])
def test_another_gravity_is_found_out(task: str):
    """One part in a thousand; in the air all bodies fall alike, so the hopper shows it in its height."""
    simulators = {"warp": build(task, "warp", heavier(task)), "mujoco_c": build(task, "mujoco_c")}
    (air,) = compare_in_air(load_task(task), simulators, "mujoco_c", steps=8, seed=0)
    assert not air.agrees
    assert air.position > 1e-5


def test_an_engine_that_gives_nan_does_not_agree():
    class Broken(SimpleNamespace):
        def step(self, state: State, ctrl: torch.Tensor) -> State:
            return State(state.qpos * float("nan"), state.qvel)

    good = build("cartpole", "mujoco_c")
    about = {"name": "warp", "capabilities": envs.capabilities("warp")}
    broken = Broken(**about, num_worlds=WORLDS, device=good.device, dtype=good.dtype, substeps=4)
    (air,) = compare_in_air(load_task("cartpole"), {"warp": broken, "mujoco_c": good}, "mujoco_c", steps=2, seed=0)
    assert not air.agrees
    contact = compare_contact(load_task("cartpole"), {"warp": broken, "mujoco_c": good}, "mujoco_c", steps=2, seed=0)
    assert contact[0].points[-1].position is None


def test_the_distance_is_the_median_of_an_even_number_of_worlds_too(monkeypatch):
    task, distances = load_task("cartpole"), torch.tensor([0.0, 1.0, 2.0, 5.0], dtype=torch.float64)
    simulators = {name: build("cartpole", name, worlds=4) for name in ("warp", "mujoco_c")}

    def roll(simulator, task, start, actions):
        away = distances if simulator is simulators["warp"] else 0.0 * distances
        return away[:, None].expand(3, -1, 2), None, torch.zeros(2, len(distances))

    monkeypatch.setattr(compare, "roll", roll)
    (contact,) = compare_contact(task, simulators, "mujoco_c", steps=2, seed=0)
    assert contact.points[-1].position == pytest.approx(1.5)


def test_resets_in_another_precision_do_not_agree():
    simulators = {"warp": build("hopper", "warp", dtype=torch.float32), "mujoco_c": build("hopper", "mujoco_c")}
    (reset,) = compare_resets(load_task("hopper"), simulators, "mujoco_c", 0)
    assert not reset.agrees
    assert 0.0 < reset.difference < 1e-6


def test_hopper_agrees_in_the_air_and_differs_on_the_ground():
    task = load_task("hopper")
    simulators = {name: build("hopper", name) for name in ("warp", "mujoco_c")}
    (air,) = compare_in_air(task, simulators, "mujoco_c", steps=8, seed=0)
    assert air.agrees
    assert air.compared == 8 * WORLDS
    (contact,) = compare_contact(task, simulators, "mujoco_c", steps=32, seed=0)
    assert contact.points[-1].touching == 1.0
    assert contact.points[-1].position > 1e-3
    assert contact.before < 1e-10  # equal substeps: all of the difference is contact
    assert contact.reason == "contact model: compliant, ground plane against MuJoCo constraints"
    native = {"warp": build("hopper", "warp", integrator=task.integrator), "mujoco_c": simulators["mujoco_c"]}
    (air,) = compare_in_air(task, native, "mujoco_c", steps=8, seed=0)
    assert not air.agrees  # a held mass matrix and explicit damping
    assert 1e-5 < air.position < 1e-2


def test_returns_are_those_of_the_first_episodes():
    task, simulator = load_task("hopper"), build("hopper", "mujoco_c")
    zero = play(task, simulator, "zero", seed=5, episode_length=40)
    env = DifferentiableEnv(task, simulator, seeds=(5,), episode_length=40)
    total, active = torch.zeros(WORLDS, dtype=torch.float64), torch.ones(WORLDS, dtype=torch.bool)
    length = 0.0
    for _ in range(40):
        step = env.step(torch.zeros(WORLDS, 3, dtype=torch.float64))
        total += torch.where(active, step.reward, 0.0)
        length += active.double().mean().item()
        active &= ~step.done
    assert zero.mean == pytest.approx(total.mean().item())
    assert zero.length == pytest.approx(length)
    assert total.min() <= zero.low <= zero.mean <= zero.high <= total.max()
    drawn = [play(task, simulator, "random", seed=5, episode_length=40) for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert drawn[0].mean != zero.mean


def test_roll_does_not_reset():
    task, simulator = load_task("hopper"), build("hopper", "mujoco_c")
    start = start_states(task, WORLDS, 0)
    fallen = dataclasses.replace(start, qpos=start.qpos + torch.tensor([0, -0.6, 0, 0, 0, 0], dtype=torch.float64))
    qpos, qvel, rewards = roll(simulator, task, fallen, draw_actions(task, 2, WORLDS, 0, 0.1))
    assert qpos.shape == (3, WORLDS, 6)
    assert qvel.shape == (3, WORLDS, 6)
    assert rewards.shape == (2, WORLDS)
    assert (qpos[1, :, 1] < -0.3).all()  # resets are within 0.05 of zero
