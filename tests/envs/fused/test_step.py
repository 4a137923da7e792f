"""Kernels against the task's functions in torch: values, gradients, resets, devices."""

from __future__ import annotations

import dataclasses
import logging
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import warp

from pwm_bench import envs
from pwm_bench.envs.api import DifferentiableEnv
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.fused import kernels
from pwm_bench.envs.fused.generate import generate
from pwm_bench.envs.fused.kernels import Kernels
from pwm_bench.envs.fused.step import why_not
from pwm_bench.envs.simulator import State
from pwm_bench.envs.tasks import load_task
from pwm_bench.testing.toy import Aim, PointMass
from tests.envs.fused.factories import Push, push_env
from tests.rehearsal.mirror import DEVICE, rehearsal, to_cpu

STEPS = 8


def rollout(env, dtype=torch.float64):
    """Everything that some steps give, and the gradient of a function of it."""
    generator = torch.Generator().manual_seed(0)
    env.state = State(*(x.detach().clone().requires_grad_() for x in (env.state.qpos, env.state.qvel)))
    leaves = [env.state.qpos, env.state.qvel]
    total, values = torch.zeros((), dtype=dtype, device=env.device), []
    for _ in range(STEPS):
        action = 1.3 * torch.randn(env.num_envs, env.action_dim, generator=generator, dtype=torch.float64)
        leaves.append(action.to(env.device, dtype).requires_grad_())
        step = env.step(leaves[-1])
        weights = torch.linspace(-1.0, 1.0, step.obs.numel(), dtype=dtype).view(step.obs.shape).to(env.device)
        rewards = torch.linspace(1.0, 2.0, env.num_envs, dtype=dtype).to(env.device)
        total = total + (rewards * step.reward).sum()
        total = total + (weights * step.final_obs).sum() + (weights.flip(0) * step.obs).sum()
        flags = (step.terminated, step.truncated, step.invalid)
        values += [step.reward, step.obs, step.final_obs, *flags, env.state.qpos, env.progress, env.invalid_count]
    return to_cpu([x.detach() for x in values]), to_cpu(list(torch.autograd.grad(total, leaves)))


@pytest.mark.parametrize("name", ["hopper", "ant"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_kernels_compute_what_the_functions_do(name, dtype):
    task = load_task(name)
    expected, slopes = rollout(push_env(task, fused=False, dtype=dtype), dtype)
    found, gradient = rollout(push_env(task, fused=True, dtype=dtype), dtype)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    for ours, exact in zip((*found, *gradient), (*expected, *slopes), strict=True):
        torch.testing.assert_close(ours, exact, rtol=tolerance, atol=tolerance)
    assert found[5::9][2].tolist() == [False, True, False, False, False, False]
    assert found[-1].tolist() == [1, 0]
    assert sum(int(flag.sum()) for flag in (*found[3::9], *found[4::9])) > 6


@pytest.mark.parametrize("name", ["ant"])
def test_the_gradient_agrees_with_central_differences(name):
    task = load_task(name)
    generator = torch.Generator().manual_seed(1)
    action = 0.5 * torch.rand(6, task.action_dim, generator=generator, dtype=torch.float64)
    direction = torch.randn(action.shape, generator=generator, dtype=torch.float64)

    def value(action):
        env = push_env(task, fused=True, lost=-1)
        steps = [env.step(action) for _ in range(3)]
        return sum(step.reward.sum() + step.obs.sin().sum() for step in steps)

    (gradient,) = torch.autograd.grad(value(leaf := action.clone().requires_grad_()), leaf)
    size = 1e-6
    with torch.no_grad():
        difference = (value(action + size * direction) - value(action - size * direction)) / (2 * size)
    torch.testing.assert_close((gradient * direction).sum(), difference, rtol=1e-6, atol=1e-8)


def test_a_gradient_that_is_not_finite_concerns_its_world_alone():
    env = push_env(load_task("hopper"), fused=True)
    action = torch.zeros(6, 3, dtype=torch.float64, requires_grad=True)
    env.step(action)
    step = env.step(action)
    factor = torch.ones(6, dtype=torch.float64)
    factor[2] = torch.inf
    (gradient,) = torch.autograd.grad((step.final_obs.sum(1) * factor).sum(), action)
    assert not gradient[2].any()
    assert (gradient[[0, 1, 3, 4, 5]] != 0.0).all()


@pytest.mark.parametrize("name", envs.tasks())
def test_every_task_can_be_followed(name):
    """Following compares values and gradients with torch's, on other states."""
    sources = generate(load_task(name))
    assert sources.sizes.obs == load_task(name).observation_dim


def test_the_same_on_a_gpu_in_four_launches():
    task = load_task("hopper")
    expected, slopes = rollout(push_env(task, fused=True))
    with rehearsal() as seen:
        found, gradient = rollout(push_env(task, fused=True, device=DEVICE))
        counts = {}
        for fused in (False, True):
            env = push_env(task, fused=fused, device=DEVICE, lost=-1)
            action = torch.zeros(6, 3, dtype=torch.float64).to(DEVICE).requires_grad_()
            env.step(action)
            env.detach()
            with seen.watching():
                step = env.step(action)
                (step.reward.sum() + step.obs.sum()).backward()
                counts[fused] = seen.launches.total()
            kernels = seen.launches["env_kernel"]
    for ours, exact in zip((*found, *gradient), (*expected, *slopes), strict=True):
        torch.testing.assert_close(ours, exact, rtol=1e-12, atol=1e-12)
    assert kernels == 4
    assert counts == {False: 99, True: 27}  # 22 of them in the stand-in for the simulator and in the sums


def test_threads_that_build_kernels_get_their_own(monkeypatch):
    class Slow(list):
        def append(self, kernels):
            super().append(kernels)
            time.sleep(0.02)

    built = Slow()
    monkeypatch.setattr(kernels, "_texts", built)
    tasks = [PointMass(), Aim()]
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda task: Kernels(generate(task), torch.float32, 12345.0), tasks))
    texts = [built[one._handle]["after"] for one in made]
    assert len(set(texts)) == len(built) == 2


@pytest.mark.slow
def test_the_kernels_compile_for_a_gpu(tmp_path):
    kernels = Kernels(generate(load_task("ant")), torch.float32, 1e6)
    warp.compile_aot_module(kernels.module("cuda"), arch=90, module_dir=tmp_path)
    assert len(list(tmp_path.glob("*.cubin"))) == 1


def test_the_warp_simulator_has_kernels_and_goes_on_to_the_same_bits():
    env, other = (envs.make("hopper", num_envs=3, seed=s, episode_length=4, threads=1) for s in (1, 2))
    assert env.fused
    assert not envs.make("cartpole", "mujoco_c", num_envs=1).fused
    actions = torch.rand(9, 3, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    for action in actions[:3]:
        env.step(action)
    other.reseed(1)
    other.load_state_dict(env.state_dict())
    for action in actions[3:]:
        ours, theirs = env.step(action), other.step(action)
        assert torch.equal(ours.obs, theirs.obs)
        assert torch.equal(ours.reward, theirs.reward)


class Mixed(PointMass):
    def reward(self, observation, action):
        return super().reward(observation, action) - action.mean()


class Decides(PointMass):
    def observation(self, state, action):
        return torch.cat((state.qpos, state.qvel if state.qpos.sum() > 0 else -state.qvel), dim=1)


class Unusual(PointMass):
    def reward(self, observation, action):
        return torch.erfinv(0.1 * observation).sum(1)


class Picky(PointMass):
    def observation(self, state, action):
        if state.qpos.shape[0] == 1:
            raise ValueError("one world is none")
        return super().observation(state, action)


class _Straight(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.abs()

    @staticmethod
    def backward(ctx, grad):
        return grad


class Straight(PointMass):
    def reward(self, observation, action):
        return _Straight.apply(observation).sum(1)


class Listed(PointMass):
    """Asks NumPy: a trace would take the answer for a constant."""

    def terminated(self, observation):
        return torch.from_numpy(np.abs(observation.detach().numpy())[:, 0] > 1.3)


class Together(PointMass):
    """Ends all worlds with the first that is far off, which is rare near a reset."""

    def terminated(self, observation):
        return (observation[:, 0].abs() > 30.0).any().expand(len(observation))


class Precise(PointMass):
    """Has a constant in double precision."""

    def observation(self, state, action):
        return super().observation(state, action) + torch.ones(1, dtype=torch.float64)


class Largest(PointMass):
    def reward(self, observation, action):
        return torch.cat((observation, action), 1).amax(1)


class Bounded(PointMass):
    """Clamps to bounds that depend on the state."""

    def reward(self, observation, action):
        low = observation[:, 1] - 1.0
        return torch.clamp(0.1 * observation[:, 0], min=low).clamp(max=2.0 + observation[:, 1])


@dataclasses.dataclass
class Scaled(PointMass):
    scale: float = 1.0

    def reward(self, observation, action):
        return self.scale * super().reward(observation, action)


class Detached(PointMass):
    def reward(self, observation, action):
        return (observation * observation.detach()).sum(1) + action.clamp(min=-0.5, max=0.5).sum(1)


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (Mixed(), "reward: other values on other worlds"),
        (Decides(), "_local_scalar_dense"),
        (Unusual(), "erfinv"),
        (Picky(), "ValueError: one world is none"),
        (Straight(), "reward: other values on other worlds"),
        (Listed(), "numpy: takes numbers out of torch"),
        (Together(), "terminated: other values on other worlds"),
        (Precise(), "a result in torch.float64 for arguments in torch.float32"),
        (Largest(), "a maximum or minimum of more than two numbers"),
    ],
    ids=lambda x: type(x).__name__,
)
def test_what_cannot_be_followed_is_computed_by_torch(task, reason, caplog, monkeypatch):
    assert reason in why_not(task)
    with pytest.raises(UsageError, match=r"fused=True: task 'point_mass' cannot be followed \("):
        push_env(task, fused=True)
    monkeypatch.setattr(Push, "capabilities", dataclasses.replace(Push.capabilities, fuses_tasks=True))
    with caplog.at_level(logging.INFO, "pwm_bench.envs"):
        env = push_env(task, fused=None)
    assert not env.fused
    assert reason in caplog.text
    env.task = PointMass()
    assert env.fused


@pytest.mark.parametrize("task", [Aim(), Detached()], ids=lambda x: type(x).__name__)
def test_a_task_of_ones_own_is_followed(task):
    expected, slopes = rollout(push_env(task, fused=False))
    found, gradient = rollout(push_env(task, fused=True))
    for ours, exact in zip((*found, *gradient), (*expected, *slopes), strict=True):
        torch.testing.assert_close(ours, exact, rtol=1e-12, atol=1e-12)


def test_bounds_that_depend_on_the_state_have_a_gradient():
    results = []
    for fused in (True, False):
        env = push_env(Bounded(), fused=fused, lost=-1)
        obs = torch.zeros_like(env.obs)
        obs[:, 1] = torch.tensor([-3.0, 0.0, 3.0, -3.0, 0.0, 3.0])
        env.obs = obs.requires_grad_()
        reward = env.step(torch.zeros(6, env.action_dim, dtype=torch.float64)).reward
        results += [reward.detach(), *torch.autograd.grad(reward.sum(), obs)]
    torch.testing.assert_close(results[:2], results[2:], rtol=0, atol=1e-14)
    assert results[1][:3, 1].tolist() == [1.0, 0.0, 1.0]


def test_what_changes_between_environments_or_steps_is_heeded():
    task = Scaled()  # a dataclass that is compared by value has no hash
    action = torch.ones(6, 2, dtype=torch.float64)
    first = push_env(task, fused=True, lost=-1).step(action).reward
    task.scale = 10.0
    env = push_env(task, fused=True, lost=-1)
    torch.testing.assert_close(env.step(action).reward, 10.0 * first, rtol=1e-14, atol=0)
    env.episode_length = 2
    assert env.step(action).truncated.all()
    env.episode_length = 2**40
    assert not env.step(action).truncated.any()
    task.scale = 1.0
    env.task = task
    again = push_env(task, fused=False, lost=-1)
    again.state, again.obs = env.state, env.obs
    torch.testing.assert_close(env.step(action).reward, again.step(action).reward, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_an_environment_for_evaluation_has_them_too(mode):
    with mode():
        assert push_env(load_task("hopper"), fused=True).fused


def test_tensors_that_kernels_cannot_take_are_refused():
    class Wide(PointMass):
        observation_dim = 6

    env = push_env(PointMass(), fused=True)
    with pytest.raises(UsageError, match=r"observations and actions of sizes \(6, "):
        env.task = Wide()
    action = torch.zeros(6, env.action_dim, dtype=torch.float64)
    for state in (State(env.state.qpos.float(), env.state.qvel), State(env.state.qpos[:, :1], env.state.qvel)):
        env = push_env(PointMass(), fused=True)
        env.simulator.step = lambda *_, state=state: state
        with pytest.raises(UsageError, match=r"simulator 'push': its step gave \(6, .* for qpos"):
            env.step(action)
    for length in (0, 2.5, float("inf")):
        with pytest.raises(UsageError, match=r"episode_length=.*: must be a whole number"):
            DifferentiableEnv(PointMass(), env.simulator, episode_length=length)
