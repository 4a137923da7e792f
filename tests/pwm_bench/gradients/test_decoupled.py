"""The simulator's values with the model's Jacobians, against the chain of these worked out backwards."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.functional import jacobian

from pwm_bench.envs.simulator import State
from pwm_bench.gradients.controls import ClosedLoop, OpenLoop
from pwm_bench.gradients.decoupled import DecoupledWorld
from pwm_bench.gradients.learned import LearnedWorld
from pwm_bench.gradients.offered import ESTIMATORS
from pwm_bench.gradients.simulated import SimulatedWorld
from pwm_bench.learning.random import MemberStream
from pwm_bench.testing.toy import PointMass, SimulatorToy
from pwm_bench.world_model.config import WorldModelConfig
from pwm_bench.world_model.networks import WorldModel
from pwm_bench.world_model.trained import TrainedModel

ROWS, STEPS = 3, 4
CONFIG = WorldModelConfig(
    latent_dim=8, encoder_hidden=(12,), dynamics_hidden=(12,), reward_hidden=(12,), simnorm_dim=4, horizon=2
)


def worlds(value=None) -> tuple[SimulatedWorld, LearnedWorld]:
    task = PointMass()
    model = WorldModel(4, 2, CONFIG, stream=MemberStream((0,)))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():  # the reward's last layer begins at zero
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    trained = TrainedModel(model, 2.0, -0.5, CONFIG, {})
    learned = LearnedWorld(trained, task, rows=ROWS, value=value)
    simulator = SimulatorToy(task.model(), num_worlds=ROWS, dtype=torch.float64)
    return SimulatedWorld(task, simulator, encoder=learned.trained.encode, value=value), learned


def start() -> State:
    return State(*torch.linspace(-0.9, 0.8, 2 * ROWS * 2, dtype=torch.float64).view(2, ROWS, 2))


def noise() -> Tensor:
    return 0.2 * torch.linspace(-1.0, 1.0, STEPS * ROWS * 2, dtype=torch.float64).view(STEPS, ROWS, 2)


def test_values_are_the_simulator_s() -> None:
    def value(z: Tensor) -> Tensor:
        return z.square().sum(-1)

    real, learned = worlds(value)
    control = OpenLoop(STEPS, 2, 0.3)
    theta = control.nominal(ROWS, 0, torch.float64, torch.device("cpu"))
    truth = real.rollout(start(), control, theta, noise())
    ours = DecoupledWorld(real, learned).rollout(start(), control, theta, noise())
    assert torch.equal(ours.rewards, truth.rewards)
    assert torch.equal(ours.features, truth.features)
    for horizon in (1, STEPS):
        assert torch.equal(ours.beyond(horizon), truth.beyond(horizon))


def test_its_gradient_is_the_chain_of_the_model_s_jacobians() -> None:
    """A closed-loop policy over four steps, float64: backwards with the Jacobians of D, R and the policy."""
    real, learned = worlds()
    trained = learned.trained
    control = ClosedLoop(torch.zeros(ROWS, 8, dtype=torch.float64), (4,), 2)
    theta = control.nominal(ROWS, 0, torch.float64, torch.device("cpu")).requires_grad_()
    rollout = DecoupledWorld(real, learned).rollout(start(), control, theta, noise())
    (ours,) = torch.autograd.grad(rollout.rewards.sum(), theta)
    latents = rollout.features.detach()

    def policy(t: int, z: Tensor, parameters: Tensor) -> Tensor:
        return torch.clamp(control.policy(parameters)(t, z) + noise()[t], -1.0, 1.0)

    def step(z: Tensor, a: Tensor) -> Tensor:
        return trained.model.next(z.unsqueeze(0), a.unsqueeze(0)).squeeze(0)

    def reward(z: Tensor, a: Tensor) -> Tensor:
        return 2.0 * trained.model.reward(z.unsqueeze(0), a.unsqueeze(0)).squeeze(0)

    for row in range(ROWS):
        adjoint = torch.zeros(8, dtype=torch.float64)
        expected = torch.zeros_like(theta[row])
        for t in reversed(range(STEPS)):
            z, a = latents[t], policy(t, latents[t], theta).detach()
            (rz, ra), (dz, da) = (jacobian(f, (z, a)) for f in (reward, step))
            to_action = ra[row, row] + da[row, :, row].T @ adjoint
            pz, pt = jacobian(lambda z, parameters, t=t: policy(t, z, parameters), (z, theta.detach()))
            expected += pt[row, :, row].T @ to_action
            adjoint = rz[row, row] + dz[row, :, row].T @ adjoint + pz[row, :, row].T @ to_action
        torch.testing.assert_close(ours[row], expected, rtol=1e-10, atol=1e-12)


def test_it_is_offered_by_name() -> None:
    one = ESTIMATORS.load("decoupled")
    assert one.needs == {"model"}
    assert one().differentiates(None) is None
