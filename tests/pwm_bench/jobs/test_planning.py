from __future__ import annotations

import pytest
import torch

from envs.errors import UsageError
from pwm_bench.jobs.evaluate import evaluate_arms
from pwm_bench.jobs.offline import train_offline
from pwm_bench.jobs.offline_spec import ExtractionSpec, model_digest
from pwm_bench.jobs.planning import ARMS, load_experts, make_arm
from pwm_bench.pwm.extraction.config import ExtractionConfig
from pwm_bench.pwm.extraction.train import Extractor
from pwm_bench.runs.job import EvaluationResult
from pwm_bench.store.results import Results
from pwm_bench.store.verify import verify
from pwm_bench.world_model.multitask.networks import MultitaskModel
from pwm_bench.world_model.multitask.planner import PlannerConfig
from tests.pwm_bench.world_model.multitask.factories import OBS, tiny_config

TASKS, EPISODES = ("a", "c"), 2
PLANNER = PlannerConfig(samples=16, policy_samples=4, elites=4, iterations=2)


def _model(seed: int = 0) -> MultitaskModel:
    return MultitaskModel(tiny_config(), seed=seed)


def _evaluate(act) -> EvaluationResult:
    actions = torch.stack([act(torch.ones(len(TASKS), EPISODES, OBS)) for _ in range(2)])
    assert actions.abs().max() <= 1.0
    rows = actions[..., 0].mean(0).double().tolist()
    return EvaluationResult(returns=rows, lengths=[[2] * EPISODES] * 2, invalid=[0, 0], extras={"score": rows})


@pytest.fixture
def experts(tmp_path) -> tuple[Results, str]:
    config = ExtractionConfig(iterations=2, batch_size=4, horizon=4, actor_hidden=(8,), critic_hidden=(8,))
    fields = {"model": "m", "model_digest": model_digest(_model()), "data": "d", "data_digest": "0", "tasks": TASKS}
    spec = ExtractionSpec(config=config, evaluations=2, evaluation_episodes=EPISODES, **fields)
    extractor = Extractor(_model(), spec.experts, config, starts=lambda stream, batch: stream.normal(batch, OBS))
    results = Results(tmp_path)
    train_offline(spec, extractor, results, evaluate=_evaluate)
    return results, spec.id


def test_every_way_to_act_leaves_a_record_and_is_not_repeated(experts) -> None:
    results, run_id = experts
    model, begun = _model(), []
    policies = load_experts(results.run("extract", run_id).path, model)
    options = {"evaluate": _evaluate, "study": "compare", "episodes": EPISODES, "experts": policies, "planner": PLANNER}
    outcomes = evaluate_arms(model, TASKS, ARMS, results, told=begun.append, **options)
    records = {arm: outcome.record for arm, outcome in outcomes.items()}
    assert begun == list(records) == list(ARMS)
    assert {(record.kind, record.status) for record in records.values()} == {("evaluate", "ok")}
    assert all(verify(results.run("compare", record.id)) == [] for record in records.values())
    expected = _evaluate(policies.act).returns
    assert [m.final_return for m in records["pwm"].members] == pytest.approx([sum(r) / EPISODES for r in expected])
    assert records["pwm-planning"].spec["config"]["samples"] == 16
    again = evaluate_arms(model, TASKS, ARMS, results, told=begun.append, **options)
    assert len(begun) == len(ARMS)
    assert all(outcome.skipped for outcome in again.values())


def test_a_way_to_act_that_fails_leaves_a_record_and_is_tried_again(tmp_path) -> None:
    results, arms = Results(tmp_path), ("tdmpc2-prior", "tdmpc2-planning")
    options = {"study": "compare", "episodes": EPISODES, "planner": PLANNER}
    calls = []

    def fails_once(act) -> EvaluationResult:
        calls.append(act)
        if len(calls) == 1:
            raise RuntimeError("the worlds are gone")
        return _evaluate(act)

    first = evaluate_arms(_model(), TASKS, arms, results, evaluate=fails_once, **options)
    assert [outcome.record.status for outcome in first.values()] == ["failed", "ok"]
    assert "the worlds are gone" in results.run("compare", first["tdmpc2-prior"].record.id).traceback.read_text()
    again = evaluate_arms(_model(), TASKS, arms, results, evaluate=fails_once, **options)
    assert [(o.record.status, o.record.attempts, o.skipped) for o in again.values()] == [
        ("ok", 2, False),
        ("ok", 1, True),
    ]


def test_the_prior_acts_by_its_mean() -> None:
    model, tasks = _model(), torch.tensor([0, 2])
    obs = torch.randn(2, 3, OBS)
    action = make_arm("tdmpc2-prior", model, TASKS, episodes=3)(obs)
    sample = model.policy(model.encode(obs, tasks), tasks, torch.randn(2, 3, 3))
    torch.testing.assert_close(action, sample.mean)


def test_some_of_the_experts_act_as_they_do_among_all(experts) -> None:
    results, run_id = experts
    policies = load_experts(results.run("extract", run_id).path, _model())
    obs = torch.randn(2, EPISODES, OBS)
    for arm in ("pwm", "pwm-planning"):
        some = make_arm(arm, _model(), ("c",), episodes=EPISODES, experts=policies, planner=PLANNER)(obs[1:])
        swapped = make_arm(arm, _model(), ("c", "a"), episodes=EPISODES, experts=policies, planner=PLANNER)(obs.flip(0))
        torch.testing.assert_close(some, swapped[:1])


def test_experts_of_another_model_or_task_are_refused(experts) -> None:
    results, run_id = experts
    path = results.run("extract", run_id).path
    with pytest.raises(UsageError, match="trained in another world model"):
        load_experts(path, _model(1))
    with pytest.raises(UsageError, match="'pwm' needs PWM's policies"):
        make_arm("pwm", _model(), TASKS, episodes=1)
    with pytest.raises(UsageError, match="unknown task of the experts 'b'"):
        make_arm("pwm-planning", _model(), ("a", "b"), episodes=1, experts=load_experts(path, _model()))
    with pytest.raises(UsageError, match="unknown way to act"):
        make_arm("planning", _model(), TASKS, episodes=1)
