"""Gradients where a trained policy goes: its states, its actions, and comparisons at them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

import pwm_bench as pb
from pwm_bench.cli.main import main
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.simulator import State
from pwm_bench.gradients.comparison import ComparisonWork
from pwm_bench.gradients.controls import OpenLoop
from pwm_bench.gradients.simulated import SimulatedWorld
from pwm_bench.gradients.spec import POLICY, Comparison
from pwm_bench.gradients.starts import actions_taken, visited_states
from pwm_bench.gradients.values import ValueTraining, fit_value
from pwm_bench.jobs.gradients import ComparisonJob
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.jobs.policies import load_policy
from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.store.inputs import Input, find_input
from pwm_bench.store.results import Results
from pwm_bench.testing.toy import PointMass, SimulatorToy, toy_env
from tests.pwm_bench.gradients.carrying import TINY


def brake(obs: Tensor) -> Tensor:
    """Pulls the mass to the origin and slows it down."""
    return (-0.2 * obs[:, :2] - 0.2 * obs[:, 2:]).clamp(-1.0, 1.0)


def still(obs: Tensor) -> Tensor:
    return torch.zeros_like(obs[:, :2])


def test_states_are_those_of_the_policy_s_episodes() -> None:
    """Nothing pushes the mass: it is t steps from where its episode began, for any t of the episode."""
    start = visited_states(toy_env(200, dtype=torch.float64), 200, seed=3, act=still)
    began = toy_env(200, dtype=torch.float64)
    began.reset()  # as `visited_states` does
    first = (start.qvel - began.state.qvel).abs().amax(1) < 1e-12  # the last step leads to another episode
    assert 0.9 < first.double().mean() < 1.0
    qpos, from_, speed = start.qpos[first], began.state.qpos[first], start.qvel[first] * PointMass.control_dt
    steps = ((qpos - from_) / speed).round()
    torch.testing.assert_close(qpos, from_ + steps * speed)
    assert steps[:, 0].unique().tolist() == list(range(1, PointMass.episode_length))


def test_a_policy_s_noise_moves_its_states() -> None:
    quiet, again, loud = (
        visited_states(toy_env(50, dtype=torch.float64), 50, seed=1, act=brake, noise=noise)
        for noise in (0.0, 0.0, 0.5)
    )
    assert torch.equal(quiet.qpos, again.qpos)
    assert (loud.qpos - quiet.qpos).abs().max() > 0.01


def test_actions_are_those_that_the_policy_takes_from_there() -> None:
    """Eight worlds serve three start states; by hand, each goes its own way."""
    task = PointMass()
    world = SimulatedWorld(task, SimulatorToy(task.model(), num_worlds=8, dtype=torch.float64))
    generator = torch.Generator().manual_seed(0)
    start = State(*(torch.randn(3, 2, generator=generator, dtype=torch.float64) for _ in range(2)))
    found = actions_taken(world, start, brake, 5)
    assert found.shape == (3, 5, 2)
    position, velocity = start.qpos, start.qvel
    for t in range(5):
        action = brake(torch.cat((position, velocity), 1))
        torch.testing.assert_close(found[:, t], action, rtol=0.0, atol=1e-14)
        velocity = velocity + PointMass.control_dt * 4.0 * action
        position = position + PointMass.control_dt * velocity
    nominal = OpenLoop(5, 2, actions=found).nominal(3, 0, torch.float64, torch.device("cpu"))
    assert torch.equal(nominal.unflatten(1, (5, 2)), found)


def test_the_fitted_value_is_the_policy_s() -> None:
    """A mass that brakes is worth more than one that is left alone, and its parameters say nothing."""
    training = ValueTraining(env_steps=4800, num_envs=16, rounds=20, batch_size=64)
    values = []
    for act in (still, brake):
        env = toy_env(16, dtype=torch.float64)
        value = fit_value(training, env, OpenLoop(2, 2), torch.zeros(1, 4, dtype=torch.float64), act=act, discount=0.9)
        assert value.description["explained_variance"] > 0.8
        env.reseed(7)
        values.append(value(env.obs).mean())
    assert values[1] > values[0] + 1.0


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The directory of a finished PPO run of two members in cartpole."""
    results = Results(tmp_path_factory.mktemp("ppo"))
    spec = RunSpec.create(
        task="cartpole", simulator="warp", algorithm="ppo", env_steps=256, seeds=(4, 9), evaluations=2,
        evaluation_episodes=2, device="cpu", overrides={"num_envs": 8, "horizon": 16, "minibatches": 2},
    )  # fmt: skip
    assert carry_out(spec, results).record.status == "ok"
    return results.run(spec.study, spec.id).path


def at(run: Path, **fields) -> Comparison:
    given = {"task": "cartpole", "estimators": ("analytic", "score"), "inputs": {POLICY: find_input(run, POLICY)}}
    return Comparison(**(given | TINY | fields))


def test_a_comparison_takes_place_where_the_policy_goes(run: Path, tmp_path: Path) -> None:
    spec = at(run, policy_member=1)
    outcome = carry_out(spec, Results(tmp_path))
    assert outcome.record.status == "ok", outcome.record.reason
    assert outcome.record.details["policy"] == {"algorithm": "ppo", "simulator": "warp", "seed": 9}
    assert spec.label == "cartpole · warp · open loop · where a policy goes"
    job = ComparisonJob(spec)
    work = job.work
    assert isinstance(work, ComparisonWork)
    (measurement,) = work.measurements
    job.advance()  # the start states
    _, policy = load_policy(run / "policy.safetensors", members=[1])
    obs = measurement.env.task.observation(measurement.start, torch.zeros(4, 1, dtype=torch.float64))
    taken = policy(obs.float().unsqueeze(0)).squeeze(0).double()
    theta = measurement.problem.theta
    assert theta.shape == (4, 5)
    torch.testing.assert_close(theta[:, :1], taken, rtol=0.0, atol=1e-6)
    assert theta.std() > 1e-3


def test_two_simulators_take_the_first_one_s_actions(run: Path) -> None:
    job = ComparisonJob(at(run, simulators=("warp", "mjx")))
    assert isinstance(job.work, ComparisonWork)
    first, second = job.work.measurements
    for one in (first, second):
        one.start = one.find_start()
    assert torch.equal(first.problem.theta, second.problem.theta)


def test_the_id_is_of_the_policy_and_its_member(run: Path) -> None:
    one, plain = at(run), at(run, inputs={})
    assert len({one.id, one.replace(policy_member=1).id, plain.id}) == 3
    assert "policy_member" not in one.to_dict()  # earlier records have no such field
    assert Comparison.from_dict(one.replace(policy_member=1).to_dict()).policy_member == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"loop": "closed"}, "loop=closed: where a trained policy goes"),
        ({"policy_member": -1}, "policy_member=-1: must be a whole number of at least 0"),
        ({"inputs": {}, "policy_member": 1}, "policy_member=1: names a seed of a run"),
        ({"inputs": {"polcy": Input(path="p", digest="1")}}, "unknown input 'polcy': did you mean 'policy'"),
        ({"estimators": ("model",)}, "needs a world model"),
    ],
)
def test_impossible_requests_are_refused(run: Path, fields: dict, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        at(run, **fields)
    assert message in str(caught.value)


def test_other_policies_are_refused(run: Path) -> None:
    with pytest.raises(UsageError, match=r"policy_member=2: .* has members 0 to 1"):
        ComparisonJob(at(run, policy_member=2))
    with pytest.raises(UsageError, match="policies of task 'cartpole', not 'hopper'"):
        ComparisonJob(at(run, task="hopper"))


def test_the_command(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["gradients", "cartpole", "--results", str(tmp_path), "--no-figures"]
    sizes = ["--states", "3", "--samples", "4", "--reference-samples", "8", "--horizons", "2", "--worlds", "12"]
    given = ["--estimators", "analytic", "--policy", str(run)]
    assert main([*base, *sizes, *given, "--member", "1"]) == 0
    assert "where a policy goes" in capsys.readouterr().out
    assert main([*base, *sizes, *given, "--member", "0", "1"]) == 0
    assert "1 done before, 1 to do now" in capsys.readouterr().out
    settings = [json.loads(x.read_text())["spec"]["setting"] for x in (tmp_path / "runs").glob("*/*/run.json")]
    assert sorted(settings, key=str) == [{"run": run.name, "model_seed": 4}, {"run": run.name, "model_seed": 9}]
    assert main(["table", "gradients-cartpole", "--results", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert f"run={run.name}, 2 seeds" in out
    assert "Means over seeds have" in out
    for wrong, message in ((["--member", "1"], "give --model or --policy"), ([*given, "--member", "2"], "member=2")):
        assert main([*base, *wrong]) == 2
        assert message in capsys.readouterr().err


def test_from_python_a_policy_is_the_directory_of_its_run(run: Path, tmp_path: Path) -> None:
    table = pb.compare_gradients(
        "cartpole", estimators=("analytic",), policy=run, members=(1,), results=tmp_path, **TINY
    )
    record = next((tmp_path / "runs" / table.title).glob("*/run.json"))
    assert json.loads(record.read_text())["details"]["policy"]["seed"] == 9
