"""Resets, time limits, gradients, population independence and resuming of the batched environment."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch

from pwm_bench import envs
from pwm_bench.envs.contact import CompliantContact, CompliantLimit
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.fused.generate import generate
from pwm_bench.envs.simulator import State, guard_gradient
from pwm_bench.testing.toy import PointMass, SimulatorToy, toy_env
from tests.rehearsal import mirror


@pytest.fixture(autouse=True, params=[False, True], ids=["functions", "kernels"])
def _fused(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    able = dataclasses.replace(SimulatorToy.capabilities, fuses_tasks=request.param)
    monkeypatch.setattr(SimulatorToy, "capabilities", able)


def test_time_limit_truncates_and_restarts() -> None:
    env = toy_env(4, episode_length=3)
    first = env.reset().clone()
    for n in range(3):
        step = env.step(torch.zeros(4, 2))
        assert step.truncated.all() == (n == 2)
        assert not step.terminated.any()
    assert not torch.equal(step.obs, step.final_obs)
    assert not torch.equal(step.obs, first)  # a fresh draw
    assert torch.equal(step.obs, env.obs)


def test_termination_wins_over_truncation_and_only_resets_its_world() -> None:
    env = toy_env(3, episode_length=1000)
    qpos = env.state.qpos.clone()
    qpos[1] = 4.999
    env.state = type(env.state)(qpos, torch.full_like(qpos, 1.0))
    step = env.step(torch.ones(3, 2))
    assert step.terminated.tolist() == [False, True, False]
    assert torch.equal(step.obs[0], step.final_obs[0])
    assert step.final_obs[1, 0] > 5.0
    assert step.obs[1].abs().max() < 1.0


def test_reward_belongs_to_the_observation_before_the_step() -> None:
    env = toy_env(2)
    obs = env.reset()
    action = torch.full((2, 2), 0.5)
    assert torch.allclose(env.step(action).reward, PointMass().reward(obs, action))


def test_actions_are_clamped() -> None:
    one, two = toy_env(2), toy_env(2)
    assert torch.equal(one.step(torch.full((2, 2), 7.0)).obs, two.step(torch.ones(2, 2)).obs)


def test_gradient_flows_until_detached_and_not_through_resets() -> None:
    env = toy_env(2, episode_length=2)
    action = torch.zeros(2, 2, requires_grad=True)
    env.step(action)
    step = env.step(torch.zeros(2, 2))
    (grad,) = torch.autograd.grad(step.final_obs.sum(), action, retain_graph=True)
    assert (grad != 0.0).all()
    (through_reset,) = torch.autograd.grad(step.obs.sum(), action, allow_unused=True)
    assert through_reset is None or (through_reset == 0.0).all()
    action = torch.zeros(2, 2, requires_grad=True)
    env.step(action)
    assert not env.detach().requires_grad
    assert not env.step(torch.zeros(2, 2)).final_obs.requires_grad


def test_return_gradient_is_the_analytic_one() -> None:
    """Point mass: x2 = x0 + 2 dt v0 + dt^2 4 (2 a0 + a1), so dx2/da0 = 8 dt^2 and dx2/da1 = 4 dt^2."""
    env = toy_env(1, dtype=torch.float64)
    actions = torch.zeros(2, 1, 2, dtype=torch.float64, requires_grad=True)
    env.step(actions[0])
    final = env.step(actions[1]).final_obs
    (grad,) = torch.autograd.grad(final[0, 0], actions)
    assert torch.allclose(grad[:, 0, 0], torch.tensor([0.08, 0.04], dtype=torch.float64))


def test_a_member_does_not_depend_on_its_company() -> None:
    together, alone = toy_env(6, seeds=(3, 8, 5), episode_length=4), toy_env(2, seeds=(8,), episode_length=4)
    for _ in range(10):
        assert torch.equal(together.obs[2:4], alone.obs)
        together.step(torch.full((6, 2), 0.1))
        alone.step(torch.full((2, 2), 0.1))


@pytest.mark.parametrize("worlds", [1, 32])
def test_a_gradient_does_not_depend_on_when_other_episodes_end(worlds: int) -> None:
    """Three uses of an observation add up three gradients; their order must not depend on resets in other worlds."""

    def gradient(falls: bool) -> torch.Tensor:
        env = toy_env(2 * worlds, (4, 9))
        if falls:
            env.state.qpos[worlds:] = 6.0  # the second member's worlds leave their table in the first step
        action = torch.linspace(-0.9, 0.9, 4 * worlds).view(-1, 2).requires_grad_()
        step = env.step(action)
        reward = env.step(0.5 * torch.sin(step.obs[:, :2])).reward
        total = step.final_obs.exp().sum(1) + step.obs.cos().sum(1) + reward
        return torch.autograd.grad(total[:worlds].sum(), action)[0][:worlds]

    assert torch.equal(gradient(falls=False), gradient(falls=True))


def test_resuming_is_exact() -> None:
    env = toy_env(4, episode_length=5)
    for _ in range(7):
        env.step(torch.ones(4, 2))
    saved = {k: v.clone() for k, v in env.state_dict().items()}
    expected = [env.step(torch.full((4, 2), 0.3)).obs for _ in range(8)]
    other = toy_env(4, episode_length=5)
    other.load_state_dict(saved)
    for obs in expected:
        assert torch.equal(other.step(torch.full((4, 2), 0.3)).obs, obs)


def test_a_saved_state_stays_as_it_was() -> None:
    env = toy_env(4, episode_length=5)
    env.settle()
    saved = env.state_dict()
    before = {k: v.clone() for k, v in saved.items()}
    env.step(torch.ones(4, 2))
    env.settle()
    for name, value in before.items():
        assert torch.equal(saved[name], value), name


def test_what_moves_between_settled_steps_comes_back_to_the_same_memory() -> None:
    """The seeds too, so that what was captured on that memory goes on from there."""
    env, other = toy_env(4, episode_length=5), toy_env(4, (9,), episode_length=5)
    env.settle()
    kept = [env.state.qpos, env.state.qvel, env.obs, env.progress, env._world_keys]
    env.reseed(9)
    for each in (env, other):
        each.reset()
        each.progress = torch.tensor([3, 0, 1, 2])
        each.settle()
    now, expected = ([x.state.qpos, x.state.qvel, x.obs, x.progress, x._world_keys] for x in (env, other))
    for memory, found, value in zip(kept, now, expected, strict=True):
        assert found.data_ptr() == memory.data_ptr()
        assert torch.equal(found, value)


def test_restoring_another_shape_is_refused() -> None:
    with pytest.raises(UsageError, match=r"qpos \(2, 2\), this one \(4, 2\): restore it with the same task"):
        toy_env(4).load_state_dict(toy_env(2).state_dict())
    with pytest.raises(UsageError, match=r"invalid_count \(2,\), this one \(1,\)"):
        toy_env(4).load_state_dict(toy_env(4, seeds=(0, 1)).state_dict())


def test_guard_zeroes_rows_that_are_not_finite() -> None:
    x, y = torch.ones(3, 2, requires_grad=True), torch.ones(3, 1, requires_grad=True)
    gx, gy = guard_gradient(x, y)
    scale = torch.tensor([[1.0], [float("nan")], [2.0]])
    ((gx * scale).sum() + gy.sum()).backward()
    assert x.grad.tolist() == [[1.0, 1.0], [0.0, 0.0], [2.0, 2.0]]
    assert y.grad.tolist() == [[1.0], [0.0], [1.0]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "hoper"}, "did you mean 'hopper'"),
        ({"task": "ant", "simulator": "wrap"}, "did you mean 'warp'"),
        ({"task": "ant", "num_envs": 0}, "num_envs=0"),
        ({"task": "ant", "num_envs": 3, "seed": (0, 1)}, "num_envs=3"),
        ({"task": "ant", "substeps": 0}, "substeps=0"),
        ({"task": "ant", "dtype": torch.float16}, "float16"),
        ({"task": "ant", "episode_length": 0}, "episode_length=0"),
        ({"task": "ant", "device": "mps"}, "device=mps"),
        ({"task": "ant", "num_envs": 2.0}, "num_envs=2.0: must be a whole number"),
        ({"task": "ant", "substeps": 2.5}, "substeps=2.5: must be a whole number"),
        ({"task": "ant", "seed": 0.5}, "seed=0.5: must be a whole number, or a sequence of them"),
        ({"task": "ant", "seed": (1, "2")}, r"seed=\(1, '2'\)"),
        ({"task": "hopper", "contact": CompliantContact(), "contact_stiffness": 1e4}, "contact and contact_stiffness"),
        ({"task": "hopper", "contact": 3.0}, "contact=3.0: must be a pwm_bench.envs.contact.CompliantContact"),
        ({"task": "hopper", "integrator": "linear"}, "integrator='linear': must be a pwm_bench.envs.integrator.Int"),
        ({"task": "hopper", "limit": CompliantLimit(stiffness={"thig": 9.0})}, "limit.stiffness 'thig': did you mean"),
        ({"task": "hopper", "threads": 1.5}, "threads=1.5: must be a whole number"),
    ],
)
def test_bad_arguments_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        envs.make(**arguments)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_absent_gpu_is_refused() -> None:
    with pytest.raises(UsageError, match="--device cpu"):
        envs.make("ant", device="cuda")


def test_a_misspelt_simulator_option_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match=r"unknown option of simulator 'warp' 'treads': did you mean 'threads'\?"):
        envs.make("cartpole", num_envs=2, treads=1)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (torch.zeros(3, 2), r"action is \(3, 2\) torch.float32 on cpu: this environment takes \(4, 2\) torch.float32"),
        (torch.zeros(4, 3), r"action is \(4, 3\)"),
        (torch.zeros(4, 2, dtype=torch.float64), "torch.float64 on cpu"),
        (torch.zeros(4, 2, dtype=torch.int64), "torch.int64 on cpu"),
        (torch.zeros(4, 2, device="meta"), "on meta: this environment takes"),
        ([[0.0, 0.0]] * 4, "action is a list: give a torch tensor"),
    ],
)
def test_actions_that_do_not_fit_are_refused_by_name(action: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        toy_env(4).step(action)


def test_an_action_on_another_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with mirror.rehearsal():
        env = toy_env(4, device=mirror.DEVICE)
        monkeypatch.setattr(mirror, "DEVICE", torch.device("mirror", 1))
        action = mirror.MirrorTensor(torch.zeros(4, 2))
        with pytest.raises(UsageError, match=r"on mirror:1: this environment takes .* on mirror:0"):
            env.step(action)


def test_seeds_may_be_numpys_numbers() -> None:
    one, two = (envs.make("cartpole", "mujoco_c", num_envs=2, seed=seed) for seed in (7, np.int64(7)))
    assert torch.equal(one.obs, two.obs)


def test_reseeding_takes_a_seed_for_each_member() -> None:
    """One seed for two members of one world each gave both members the same numbers."""
    with pytest.raises(UsageError, match=r"seeds=\(5,\): this environment has 2 members"):
        toy_env(2, seeds=(0, 1)).reseed(5)


FAULTS: dict[str, tuple[Callable[[State], object], str]] = {
    "type": (
        lambda s: State(s.qpos.double(), s.qvel.double()),
        r"gave \(4, 2\) torch.float64 on cpu for qpos; it must",
    ),
    "one row": (lambda s: State(s.qpos[:1], s.qvel[:1]), r"gave \(1, 2\) torch.float32 on cpu for qpos; it must give"),
    "few velocities": (lambda s: State(s.qpos, s.qvel[:1]), r"gave \(1, 2\) torch.float32 on cpu for qvel"),
    "device": (lambda s: State(s.qpos.to("meta"), s.qvel.to("meta")), r"gave \(4, 2\) torch.float32 on meta for qpos"),
    "numpy": (lambda s: State(s.qpos.detach().numpy(), s.qvel.detach().numpy()), "gave a ndarray for qpos"),
    "tuple": (lambda s: (s.qpos, s.qvel), "gave a tuple without qpos"),
    "nothing": (lambda s: None, "gave nothing without qpos"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_simulator_that_gives_what_it_must_not_is_named(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels would read beyond the memory of a state with fewer rows."""
    spoil, message = FAULTS[fault]
    step = SimulatorToy.step
    monkeypatch.setattr(SimulatorToy, "step", lambda self, state, ctrl: spoil(step(self, state, ctrl)))
    with pytest.raises(UsageError, match=f"simulator 'toy'.*{message}"):
        toy_env(4).step(torch.zeros(4, 2, requires_grad=True))


def test_a_simulator_that_gives_its_own_memory_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it gave last time would change with each step: states, and observations that are parts of them."""
    step = SimulatorToy.step

    def in_place(self: SimulatorToy, state: State, ctrl: torch.Tensor) -> State:
        after = step(self, state, ctrl)
        state.qpos.copy_(after.qpos)
        state.qvel.copy_(after.qvel)
        return state

    monkeypatch.setattr(SimulatorToy, "step", in_place)
    with pytest.raises(UsageError, match=r"simulator 'toy'.*return a copy"):
        toy_env(4).step(torch.zeros(4, 2))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"reward": lambda self, o, a: -o[:, :1]}, r"reward gave \(4, 1\) torch.float32 on cpu; it must give \(4,\)"),
        ({"terminated": lambda self, o: 0.0 * o[:, 0]}, "terminated gave .* torch.float32 on cpu; .* torch.bool"),
        ({"observation_dim": 5}, r"observation gave \(4, 4\) torch.float32 on cpu; it must give \(4, 5\)"),
        ({"observation_dim": 5}, r".* on cpu: observation_dim=5 \("),
        ({"action_dim": 3}, r"control gave \(4, 3\) .*: the model has 2 controls, and action_dim=3 \("),
        ({"reward": lambda self, o, a: -o[:, 0].double()}, r"reward gave .*: types are those of the observation;"),
        ({"control": lambda self, a: a[:, :1]}, r"control gave \(4, 1\) torch.float32 on cpu; it must give \(4, 2\)"),
        ({"reset_state": lambda self, n: State(n, n[:, 2:])}, r"reset_state \(qpos\) gave \(4, 4\)"),
        ({"reset_state": lambda self, n: (n[:, :2], n[:, 2:])}, "reset_state gave a tuple; it must give a State"),
    ],
)
def test_a_task_whose_functions_give_what_they_must_not_is_named(fault: dict, message: str) -> None:
    task = type("Faulty", (PointMass,), fault)()
    with pytest.raises(UsageError, match=f"task 'point_mass': {message}"):
        toy_env(4, task=task).step(torch.zeros(4, task.action_dim))


class Still(PointMass):
    """Always begins at the same place."""

    noise_dim = 0

    def reset_state(self, noise: torch.Tensor) -> State:
        return State(noise.new_ones(len(noise), 2), noise.new_zeros(len(noise), 2))


def test_resets_without_noise_on_a_gpu() -> None:
    expected = toy_env(4, task=Still()).reset()
    with mirror.rehearsal():
        assert torch.equal(mirror.to_cpu(toy_env(4, task=Still(), device=mirror.DEVICE).reset()), expected)
    assert "z[0]," not in generate(Still()).after  # CUDA's compiler has no empty arrays
