"""DMO: its gradient against Jacobians of the model at the simulator's states, the model's loss, and the rest."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor
from torch.autograd.functional import jacobian  # torch.func does not go through our kernels

from pwm_bench import configs, testing
from pwm_bench.baselines.dmo import Config, Learner, recipe
from pwm_bench.baselines.dmo.model import DifferenceModel, gaussian_loss, softly_bounded
from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.random import MemberStream
from pwm_bench.testing import learners
from pwm_bench.testing.toy import mean_return, toy_env

SMALL = Config(
    num_envs=4, horizon=5, hidden_actor=(8,), hidden_critic=(8,), critic_iterations=2, critic_minibatches=2,
    actor_learning_rate=5e-3, critic_learning_rate=5e-3, hidden_model=(16, 8), model_batch_size=16, model_updates=3,
    initial_env_steps=30, initial_model_updates=70, replay_capacity=400,
)  # fmt: skip


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_its_gradient_is_the_chain_of_the_model_s_jacobians_at_real_states(double: None) -> None:
    """Four steps of one world; backwards by hand with the Jacobians of model, policy, reward and value."""
    config = dataclasses.replace(SMALL, num_envs=1, horizon=4)
    agent = learners.make(Learner, config, dtype=torch.float64)
    for part in (agent.actor, agent.critic, agent.target, agent.model):
        part.double()
    agent.obs_norm.update(torch.tensor([[[0.3, -0.2, 0.1, 0.5], [-1.0, 0.4, 0.2, -0.3], [0.5, 0.9, -0.7, 0.1]]]))
    noise_state = agent.noise.state_dict()
    rollout = agent.roll_out()
    loss = agent.actor_loss(rollout, agent.next_values(rollout))
    params = list(agent.actor.parameters())
    ours = torch.autograd.grad(loss.sum(), params)

    agent.noise.load_state_dict(noise_state)
    noise = agent.noise.normal(4, 1, 2, dtype=torch.float64)[0, :, 0]
    states = [*rollout.obs[:, 0, 0], rollout.final_obs[-1, 0, 0].detach()]
    assert not rollout.terminated.any()

    def policy(s: Tensor, t: int) -> Tensor:
        return agent.actor.sample(agent.normalise(s.view(1, 1, -1)), noise[t].view(1, 1, -1)).view(-1)

    def model(s: Tensor, a: Tensor) -> Tensor:
        return s + agent.model(agent.normalise(s.view(1, 1, -1)), a.view(1, 1, -1))[0].view(-1)

    def reward(s: Tensor, a: Tensor) -> Tensor:
        return agent.env.task.reward(s.view(1, -1), a.view(1, -1)).view(())

    def value(s: Tensor) -> Tensor:
        return agent.target.minimum(agent.normalise(s.view(1, 1, -1))).view(())

    adjoint = 0.99**4 * jacobian(value, states[4])
    surrogate = torch.zeros(())
    for t in reversed(range(4)):
        s, a = states[t], policy(states[t], t).detach()
        ds, da = jacobian(model, (s, a))
        rs, ra = jacobian(reward, (s, a))
        to_action = 0.99**t * ra + da.T @ adjoint
        surrogate = surrogate + (to_action.detach() * policy(s, t)).sum()
        reaction = jacobian(lambda s, t=t: policy(s, t), s)
        adjoint = (0.99**t * rs + ds.T @ adjoint + reaction.T @ to_action).detach()
    expected = torch.autograd.grad(-surrogate / 4, params)
    for mine, theirs in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)


def test_values_are_the_simulator_s() -> None:
    """Rewards and observations are those that the environment gives for the same actions, to the bit."""
    agent = learners.make(Learner, SMALL, task=learners.Narrow(), seeds=(3,))
    other = toy_env(4, (3,), task=learners.Narrow())
    other.load_state_dict(agent.env.state_dict())
    actions = []
    act = agent.act_noisily
    agent.act_noisily = lambda obs, noise: actions.append(act(obs, noise)) or actions[-1]
    for _ in range(4):
        actions.clear()
        rollout = agent.roll_out()
        for t, action in enumerate(actions):
            step = other.step(action.detach().flatten(0, 1))
            assert torch.equal(rollout.rewards[t, 0], step.reward)
            assert torch.equal(rollout.final_obs[t, 0], step.final_obs)
            assert torch.equal(rollout.terminated[t, 0], step.terminated)


def test_no_gradient_crosses_the_end_of_an_episode() -> None:
    """Of one-step episodes a reward depends on its own action alone."""
    agent = learners.make(Learner, SMALL, episode_length=1)
    actions = []
    act = agent.act_noisily
    agent.act_noisily = lambda obs, noise: actions.append(act(obs, noise)) or actions[-1]
    rollout = agent.roll_out()
    earlier, own = torch.autograd.grad(rollout.rewards[2].sum(), (actions[1], actions[2]))
    assert (earlier == 0.0).all()
    assert (own != 0.0).any()


def test_the_model_s_loss_by_hand() -> None:
    mean, log_variance = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 2.0]]])
    loss = gaussian_loss(mean, log_variance, torch.tensor([[[3.0, 1.0]]]))
    torch.testing.assert_close(loss, torch.tensor([(4.0 + 0.0 + 2.718281828**-2.0 + 2.0) / 2.0]))
    bounded = softly_bounded(torch.tensor([[-100.0, -3.0, 100.0]]), -10.0, 0.5)[0]
    torch.testing.assert_close(bounded, torch.tensor([-10.0, -3.03, 0.5]), atol=0.01, rtol=0.0)


def test_the_model_learns_the_toy_s_dynamics() -> None:
    """A step moves the mass by 0.1 v' with v' = v + 0.4 a: the Jacobian is known."""
    agent = learners.make(Learner, dataclasses.replace(SMALL, hidden_model=(64, 64), model_batch_size=128))
    for _ in range(20):
        agent.roll_out()
    first = agent._fit_model(20)["model_error"].item()
    agent._fit_model(600)
    assert agent._fit_model(20)["model_error"].item() < 0.2 * first
    action = torch.zeros(1, 1, 2)
    slope = jacobian(lambda a: agent.model(agent.normalise(torch.zeros(1, 1, 4)), a)[0].view(-1), action).view(4, 2)
    expected = torch.tensor([[0.04, 0.0], [0.0, 0.04], [0.4, 0.0], [0.0, 0.4]])
    torch.testing.assert_close(slope, expected, atol=0.15, rtol=0.0)


def test_it_first_acts_then_fits_the_model_then_learns() -> None:
    agent = learners.make(Learner, SMALL)
    weight = learners.first_weight(agent).clone()
    metrics = [agent.update() for _ in range(5)]  # 2 rollouts of 20 steps, 64 + 6 updates, one iteration
    assert agent.counters.env_steps == 60
    assert agent.counters.policy_gradient_steps == 1
    assert agent.counters.gradient_steps == 70 + 3 + 1 + 4
    assert [bool(m["model_loss"].isnan()) for m in metrics] == [True, True, False, False, False]
    assert [bool(m["actor_loss"].isnan()) for m in metrics] == [True, True, True, True, False]
    assert not torch.equal(weight, learners.first_weight(agent))


def test_it_learns_the_toy_task() -> None:
    config = dataclasses.replace(
        SMALL, num_envs=16, horizon=10, hidden_actor=(32,), hidden_critic=(32,), critic_iterations=4,
        hidden_model=(32, 32), model_batch_size=64, model_updates=8, initial_env_steps=320, initial_model_updates=256,
        replay_capacity=10_000,
    )  # fmt: skip
    agent = learners.make(Learner, config, (0, 1), budget=40 * 160)
    before = mean_return(agent, (0, 1))
    while agent.counters.env_steps < 40 * 160:
        agent.update()
    assert (mean_return(agent, (0, 1)) > 0.6 * before).all()


def test_what_every_learner_must_do() -> None:
    config = dataclasses.replace(SMALL, initial_env_steps=20, initial_model_updates=4)
    testing.check_learner("dmo", **configs.to_json(config))
    learners.assert_never_waits(Learner, config, before=3)  # when all of it learns


def test_it_needs_no_differentiable_simulator() -> None:
    env = toy_env(4)
    env.simulator.differentiable = False
    Learner(env, SMALL, seeds=(0,), total_env_steps=100).update()


def test_recipes() -> None:
    hopper, ant = recipe("hopper", "warp", "published"), recipe("ant", "mjx", "published")
    assert (hopper.num_envs, hopper.horizon, hopper.critic_learning_rate, hopper.model_batch_size) == (
        256,
        16,
        2e-4,
        256,
    )
    assert (ant.num_envs, ant.hidden_model, ant.model_batch_size, ant.model_updates) == (64, (512, 512), 512, 128)
    assert recipe("humanoid", "warp", "published").tau == 0.005
    cpu = recipe("hopper", "warp")
    assert (cpu.num_envs, cpu.horizon, cpu.critic_learning_rate, cpu.hidden_model) == (64, 16, 5e-4, (128, 128))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_model": (12,)}, "multiple of simnorm_dim"),
        ({"replay_capacity": 1}, "replay_capacity=1"),
        ({"model_updates": 0}, "model_updates"),
        ({"max_grad_norm_model": 0.0}, "max_grad_norm_model"),
    ],
)
def test_impossible_settings_are_refused(change: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        dataclasses.replace(SMALL, **change)


def test_members_of_the_model_are_apart() -> None:
    model = DifferenceModel(4, 2, (8, 8), 8, stream=MemberStream((0, 1)))
    obs, action = torch.randn(2, 3, 4), torch.randn(2, 3, 2)
    mean, _ = model(obs, action)
    grad = torch.autograd.grad(mean[0].sum(), model.last.weight)[0]
    assert (grad[1] == 0.0).all()
    assert (grad[0] != 0.0).any()
