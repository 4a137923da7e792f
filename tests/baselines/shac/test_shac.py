"""SHAC: gradient against finite differences, learning, populations, exact resume, a poisoned member."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pwm_bench import configs, testing
from pwm_bench.baselines.shac import Config, Learner, recipe
from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.returns import segment_returns
from pwm_bench.testing import learners
from pwm_bench.testing.toy import mean_return, toy_env

SMALL = Config(
    num_envs=4,
    horizon=5,
    hidden_actor=(8,),
    hidden_critic=(8,),
    critic_iterations=2,
    critic_minibatches=2,
    actor_learning_rate=5e-3,
    critic_learning_rate=5e-3,
)


ODD = {"num_envs": 3, "hidden_actor": (13, 5), "hidden_critic": (9,), "critic_ensemble": 3}


def learner(seeds: tuple[int, ...] = (0,), config: Config = SMALL, budget: int = 10_000) -> Learner:
    env = toy_env(config.num_envs * len(seeds), seeds)
    return Learner(env, config, seeds=seeds, total_env_steps=budget)


def test_actor_gradient_is_that_of_the_objective() -> None:
    """The step's gradient, through policy, simulator, reward and value, against central differences."""
    torch.set_default_dtype(torch.float64)
    try:
        agent = learner(config=SMALL)
        agent.actor.double(), agent.target.double()
        agent.env = toy_env(SMALL.num_envs, (0,), dtype=torch.float64)
        start = {k: v.clone() for k, v in agent.env.state_dict().items()}
        noise = agent.noise.state_dict()

        def objective() -> torch.Tensor:
            agent.env.load_state_dict(start)
            agent.noise.load_state_dict(noise)
            rollout = agent.roll_out()
            values = agent.target.minimum(rollout.final_obs.transpose(0, 1)).transpose(0, 1)
            returns = segment_returns(rollout.rewards, values, rollout.terminated, rollout.truncated, gamma=0.99)
            return -returns.mean() / SMALL.horizon

        agent.config = replace(SMALL, normalize_observations=False)
        weight = agent.actor.mean.layers[0].linear.weight
        (grad,) = torch.autograd.grad(objective(), weight)
        generator = torch.Generator().manual_seed(0)
        direction = torch.randn(weight.shape, generator=generator)
        with torch.no_grad():
            weight += 1e-6 * direction
            up = objective()
            weight -= 2e-6 * direction
            down = objective()
        assert (grad * direction).sum().item() == pytest.approx(((up - down) / 2e-6).item(), rel=1e-6)
    finally:
        torch.set_default_dtype(torch.float32)


def test_it_learns_the_toy_task() -> None:
    config = replace(SMALL, num_envs=16, horizon=10, hidden_actor=(32,), hidden_critic=(32,), critic_iterations=4)
    agent = learner((0, 1), config, budget=100 * 160)
    before = mean_return(agent, (0, 1))
    for _ in range(100):
        agent.update()
    assert (mean_return(agent, (0, 1)) > 0.4 * before).all()  # returns are negative
    assert agent.counters.env_steps == 100 * 160
    assert agent.counters.gradient_steps == 100 * (1 + 4 * 2)
    assert agent.alive.all()


@pytest.mark.parametrize("changes", [{}, ODD], ids=["small", "odd sizes"])
def test_a_member_does_not_depend_on_its_company(changes: dict) -> None:
    learners.assert_population(Learner, replace(SMALL, **changes))


def test_what_every_learner_must_do() -> None:
    testing.check_learner("shac", **configs.to_json(SMALL))


def test_the_critic_of_a_diverged_member_is_frozen() -> None:
    agent = learner((0, 1))
    agent.update()
    with torch.no_grad():
        agent.actor.mean.layers[0].linear.weight[1] = float("nan")
    agent.update()
    frozen = agent.critic.net.layers[0].linear.weight[1].clone()
    agent.update()
    assert torch.equal(agent.critic.net.layers[0].linear.weight[1], frozen)


def test_ensemble_without_target_runs() -> None:
    agent = learner(config=replace(SMALL, critic_ensemble=3, target_critic=False, normalize_returns=True))
    metrics = agent.update()
    assert agent.target is agent.critic
    assert torch.isfinite(metrics["actor_loss"]).all()
    assert agent.return_norm.count.item() > 1


def test_it_needs_a_differentiable_simulator() -> None:
    env = toy_env(4)
    env.simulator.differentiable = False
    with pytest.raises(UsageError, match="gradients"):
        Learner(env, SMALL, seeds=(0,), total_env_steps=100)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"horizon": 0}, "horizon"), ({"actor_learning_rate": -1.0}, "actor_learning_rate"), ({"gamma": 2.0}, "gamma")],
)
def test_impossible_settings_are_refused(change: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Config(**change)


@pytest.mark.parametrize(
    ("task", "worlds", "layers", "rates", "tau"),
    [
        ("hopper", 1024, ((400, 200, 100),) * 2, (2e-3, 5e-4), 0.01),
        ("hopper_stiff", 1024, ((400, 200, 100),) * 2, (2e-3, 5e-4), 0.01),
        ("ant", 128, ((400, 200, 100),) * 2, (2e-3, 5e-4), 0.01),
        ("anymal", 128, ((400, 200, 100),) * 2, (2e-3, 5e-4), 0.01),
        ("humanoid", 64, ((400, 200, 100),) * 2, (2e-3, 5e-4), 0.01),
        ("snu_humanoid", 64, ((400, 200, 100),) * 2, (2e-3, 5e-4), 0.01),
        ("cheetah", 64, ((128, 64, 32), (64, 64)), (2e-3, 2e-3), 0.8),
        ("cartpole", 64, ((64, 64),) * 2, (1e-2, 1e-3), 0.8),
    ],
)
def test_published_recipes_are_those_of_the_released_configurations(
    task: str, worlds: int, layers: tuple, rates: tuple, tau: float
) -> None:
    """FoRL's, and NVlabs' for cheetah and cart-pole."""
    config = recipe(task, "warp", "published")
    assert (config.num_envs, config.horizon, config.tau) == (worlds, 32, tau)
    assert (config.hidden_actor, config.hidden_critic) == layers
    assert (config.actor_learning_rate, config.critic_learning_rate) == rates
    assert (config.critic_iterations, config.critic_minibatches, config.critic_ensemble) == (16, 4, 1)
