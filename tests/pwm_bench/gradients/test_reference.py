"""References agree with each other, with the simulators' gradients, and with the model's own."""

from __future__ import annotations

import pytest
import torch

from pwm_bench import envs
from pwm_bench.envs.simulator import State
from pwm_bench.gradients.controls import ClosedLoop, Control, OpenLoop
from pwm_bench.gradients.estimators import first_order, score
from pwm_bench.gradients.jacobians import latent_jacobians, simulator_jacobians
from pwm_bench.gradients.landscape import Problem
from pwm_bench.gradients.learned import LearnedWorld
from pwm_bench.gradients.reference import finite_differences, slope_error, smoothed_reference, transition_jacobians
from pwm_bench.gradients.simulated import SimulatedWorld
from pwm_bench.gradients.starts import visited_states
from pwm_bench.learning.random import MemberStream
from pwm_bench.testing.quadratic import point_mass, quadratic_answer, quadratic_problem
from pwm_bench.world_model.config import WorldModelConfig
from pwm_bench.world_model.networks import WorldModel
from pwm_bench.world_model.trained import TrainedModel

STATES = 4


def simulated(task: str, simulator: str, *, rows: int, horizons: tuple[int, ...], noise: float = 0.0, **options):
    env = envs.make(task, simulator, num_envs=rows, dtype=torch.float64, **options)
    start = visited_states(env, STATES, seed=3)
    control = OpenLoop(horizons[-1], env.action_dim)
    theta = control.nominal(STATES, 0, torch.float64, torch.device("cpu"))
    world = SimulatedWorld(env.task, env.simulator, termination=False)
    return world, Problem(start, control, theta, horizons, env.action_dim, noise)


def relative_error(found, truth) -> torch.Tensor:
    return (found.mean - truth.mean).norm(dim=1) / truth.mean.norm(dim=1)


def test_differences_of_a_quadratic() -> None:
    problem = quadratic_problem()
    for h, found in finite_differences(point_mass(), problem).items():
        torch.testing.assert_close(found.mean, quadratic_answer(problem, h)[0], rtol=1e-8, atol=1e-9)


def test_warp_gradients_equal_differences_in_contact() -> None:
    world, problem = simulated("hopper", "warp", rows=192, horizons=(2, 4, 8, 16))
    exact, differences = first_order(world, problem, 1), finite_differences(world, problem)
    for h in problem.horizons:
        assert relative_error(exact[h], differences[h]).max() < 1e-5
    # The states are on the ground: with stiffer contacts the gradient is another.
    stiff, _ = simulated("hopper", "warp", rows=192, horizons=(16,), contact_stiffness=4e4)
    same = Problem(problem.start, problem.control, problem.theta, (16,), problem.action_dim)
    assert (relative_error(first_order(stiff, same, 1)[16], exact[16]) > 0.01).all()


@pytest.mark.slow  # compiling takes a minute or two
def test_mjx_gradients_equal_differences_in_contact() -> None:
    world, problem = simulated("hopper", "mjx", rows=64, horizons=(2, 4, 8, 16))
    exact, differences = first_order(world, problem, 1), finite_differences(world, problem)
    for h in problem.horizons:
        assert relative_error(exact[h], differences[h]).max() < 1e-5
    # And MuJoCo's own Jacobians of a step.
    model = world.simulator.model
    index = torch.arange(STATES)
    ctrl = problem.theta[:, :3]
    oracle, _ = transition_jacobians(model, problem.starts(index), ctrl, substeps=world.simulator.substeps)
    found = simulator_jacobians(world, problem.start, ctrl)
    assert ((found - oracle).flatten(1).norm(dim=1) / oracle.flatten(1).norm(dim=1)).max() < 1e-4


def test_mujoco_differences_have_no_gradient_but_a_reference() -> None:
    world, problem = simulated("cartpole", "mujoco_c", rows=32, horizons=(2, 8))
    with pytest.raises(envs.UsageError, match="no gradient"):
        world.require_gradient()
    warp, same = simulated("cartpole", "warp", rows=32, horizons=(2, 8))
    truth = finite_differences(world, problem)
    # The same smooth dynamics; integrators differ by their joint damping.
    for h, found in first_order(warp, problem, 1).items():
        assert torch.nn.functional.cosine_similarity(found.mean, truth[h].mean).min() > 0.99
    assert same.states == STATES


def test_transition_jacobians_chain_substeps() -> None:
    world, problem = simulated("hopper", "mujoco_c", rows=STATES * 12, horizons=(2,))
    state, ctrl = problem.start, problem.theta[:, :3]
    by_state, by_ctrl = transition_jacobians(
        world.simulator.model, state, ctrl, substeps=world.simulator.substeps, step=1e-7
    )
    x = torch.cat((state.qpos, state.qvel), 1)
    unit = torch.eye(12, dtype=torch.float64).repeat(STATES, 1)
    ends = []
    for sign in (1.0, -1.0):
        moved = x.repeat_interleave(12, 0) + sign * 1e-7 * unit
        after = world.simulator.step(State(moved[:, :6], moved[:, 6:]), ctrl.repeat_interleave(12, 0))
        ends.append(torch.cat((after.qpos, after.qvel), 1))
    numeric = ((ends[0] - ends[1]) / 2e-7).unflatten(0, (STATES, 12)).transpose(1, 2)
    error = (by_state - numeric).flatten(1).norm(dim=1) / numeric.flatten(1).norm(dim=1)
    assert error.median() < 1e-3  # MuJoCo's solver is not converged to the last digit, so differences of it are rough
    assert by_ctrl.shape == (STATES, 12, 3)


def test_score_is_unbiased_on_cartpole() -> None:
    """Its mean is within 3 standard errors of the smoothed reference, parameter by parameter."""
    world, problem = simulated("cartpole", "warp", rows=2048, horizons=(2, 8, 16), noise=0.2)
    analytic = first_order(world, problem, 64)
    truth = smoothed_reference(world, problem, 2048, guess={h: e.mean for h, e in analytic.items()})
    for h, found in score(world, problem, 4096).items():
        error = (found.standard_error.square() + truth[h].standard_error.square()).sqrt()
        distance = (found.mean - truth[h].mean).abs()
        assert (distance <= 3.0 * error.clamp(min=1e-12)).all(), h
        # The reference is far more precise than the estimate, so this says something.
        assert truth[h].noise.mean() < 0.2 * found.noise.mean()
        assert relative_error(found, truth[h]).max() < 0.5


def untrained_model(detach: bool = False, termination: bool = False) -> tuple[LearnedWorld, Problem]:
    """A world model with random weights everywhere, and states of cartpole."""
    env = envs.make("cartpole", "warp", num_envs=STATES, dtype=torch.float64)
    stream = MemberStream([0])
    config = WorldModelConfig(
        latent_dim=16,
        encoder_hidden=(12,),
        dynamics_hidden=(12,),
        reward_hidden=(12,),
        termination_hidden=(8,),
        termination=termination,
    )
    model = WorldModel(env.observation_dim, env.action_dim, config, stream=stream)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.3 * stream.normal(*p.shape[1:])
    world = LearnedWorld(TrainedModel(model, 2.0, -1.0, config, {}), env.task, rows=50, detach_policy=detach)
    control: Control = OpenLoop(6, 1)
    theta = control.nominal(STATES, 0, torch.float64, torch.device("cpu"))
    return world, Problem(env.state, control, theta, (1, 3, 6), 1)


@pytest.mark.parametrize("termination", [False, True])
def test_model_gradients_equal_differences_of_the_model(termination: bool) -> None:
    world, problem = untrained_model(termination=termination)
    exact, differences = first_order(world, problem, 1), finite_differences(world, problem)
    for h in problem.horizons:
        assert relative_error(exact[h], differences[h]).max() < 1e-5
    errors = slope_error(world, problem, {h: e.mean for h, e in exact.items()})
    assert max(float(e.max()) for e in errors.values()) < 1e-5
    wrong = slope_error(world, problem, {h: 1.1 * e.mean for h, e in exact.items()})
    assert min(float(e.min()) for e in wrong.values()) > 0.05


def test_rewards_go_on_after_a_termination_where_they_are_to() -> None:
    """As in the simulator: a model that predicts terminations then does not weigh rewards by survival."""
    weighted, problem = untrained_model(termination=True)
    weighted.value = lambda z: z.sum(-1)
    unweighted = LearnedWorld(
        weighted.trained, weighted.task, rows=weighted.rows, termination=False, value=weighted.value
    )
    index = torch.zeros(weighted.rows, dtype=torch.int64)
    noise = torch.zeros(6, weighted.rows, 1, dtype=torch.float64)
    start, theta = problem.starts(index), problem.theta[index]
    short, whole = (world.rollout(start, problem.control, theta, noise) for world in (weighted, unweighted))
    _, predicted = unweighted.predict(weighted.task.observation(start, noise[0]), theta.T.unsqueeze(2))
    torch.testing.assert_close(whole.rewards, predicted)
    torch.testing.assert_close(whole.rewards[0], short.rewards[0])
    assert (whole.rewards[1:] - short.rewards[1:]).abs().min() > 1e-3
    assert (whole.beyond(6) - short.beyond(6)).abs().min() > 1e-3


def test_detaching_the_policy_changes_the_gradient_in_closed_loop() -> None:
    world, open_loop = untrained_model()
    seen = world.trained.encode(world.task.observation(open_loop.start, torch.zeros(STATES, 1, dtype=torch.float64)))
    control = ClosedLoop(seen, (4,), 1)
    theta = control.nominal(STATES, 0, torch.float64, torch.device("cpu"))
    problem = Problem(open_loop.start, control, theta, (1, 6), 1)
    full, differences = first_order(world, problem, 1), finite_differences(world, problem)
    cut = first_order(untrained_model(detach=True)[0], problem, 1)
    for h in problem.horizons:
        assert relative_error(full[h], differences[h]).max() < 1e-5
    assert relative_error(cut[1], full[1]).max() < 1e-12  # nothing to cut in one step
    assert relative_error(cut[6], full[6]).max() > 1e-3


def test_latent_jacobians() -> None:
    world, _ = untrained_model()
    latents = torch.rand(3, 16, dtype=torch.float64)
    actions = torch.zeros(3, 1, dtype=torch.float64)
    found = latent_jacobians(world, latents, actions)
    step = 1e-6 * torch.eye(16, dtype=torch.float64)
    for n in range(3):
        ends = [
            world.trained.model.next((latents[n] + s * step).unsqueeze(0), actions[:1].expand(16, -1).unsqueeze(0))[0]
            for s in (1.0, -1.0)
        ]
        torch.testing.assert_close(found[n], ((ends[0] - ends[1]) / 2e-6).T, rtol=1e-6, atol=1e-8)
