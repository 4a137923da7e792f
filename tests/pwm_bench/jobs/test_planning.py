from __future__ import annotations

import pytest
import torch

from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs import planning
from pwm_bench.jobs.planning import make_arm
from pwm_bench.learning.expert import Expert
from pwm_bench.pwm.extraction.config import ExtractionConfig
from pwm_bench.pwm.extraction.train import Extractor
from pwm_bench.world_model.multitask.networks import MultitaskModel
from pwm_bench.world_model.multitask.planner import PlannerConfig
from tests.pwm_bench.world_model.multitask.factories import OBS, tiny_config

TASKS, EPISODES = ("a", "c"), 2
PLANNER = PlannerConfig(samples=16, policy_samples=4, elites=4, iterations=2)


def _model(seed: int = 0) -> MultitaskModel:
    return MultitaskModel(tiny_config(), seed=seed)


@pytest.fixture
def experts() -> Extractor:
    config = ExtractionConfig(iterations=2, batch_size=4, horizon=4, hidden_actor=(8,), hidden_critic=(8,))
    members = [Expert(task, 0) for task in TASKS]
    return Extractor(_model(), members, config, starts=lambda stream, batch: stream.normal(batch, OBS))


def test_the_prior_acts_by_its_mean() -> None:
    model, tasks = _model(), torch.tensor([0, 2])
    obs = torch.randn(2, 3, OBS)
    action = make_arm("tdmpc2-prior", model, TASKS, episodes=3)(obs)
    sample = model.policy(model.encode(obs, tasks), tasks, torch.randn(2, 3, 3))
    torch.testing.assert_close(action, sample.mean)


def test_policies_act_by_their_means(experts) -> None:
    obs = torch.randn(2, EPISODES, OBS)
    action = make_arm("pwm", _model(), TASKS, episodes=EPISODES, experts=experts)(obs)
    torch.testing.assert_close(action, experts.act(obs))


@pytest.mark.parametrize("arm", ["pwm-planning", "tdmpc2-prior", "tdmpc2-planning"])
def test_reduced_precision_acts_nearly_alike(experts, arm) -> None:
    model, obs = _model(), torch.randn(2, EPISODES, OBS)
    planner = PlannerConfig(samples=2, policy_samples=1, elites=2, iterations=1, temperature=1e-6, max_std=0.05)
    single, reduced = (
        make_arm(arm, model, TASKS, episodes=EPISODES, experts=experts, planner=planner, precision=precision)(obs)
        for precision in ("float32", "bfloat16")
    )
    assert not single.equal(reduced)
    torch.testing.assert_close(single, reduced.float(), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("arm", ["pwm", "pwm-planning", "tdmpc2-prior", "tdmpc2-planning"])
def test_a_task_is_acted_in_alike_whatever_stands_beside_it(experts, arm) -> None:
    obs = torch.randn(2, EPISODES, OBS)
    options = {"episodes": EPISODES, "experts": experts, "planner": PLANNER}
    some = make_arm(arm, _model(), ("c",), **options)(obs[1:])
    swapped = make_arm(arm, _model(), ("c", "a"), **options)(obs.flip(0))
    both = make_arm(arm, _model(), ("a", "c"), **options)(obs)
    torch.testing.assert_close(some, swapped[:1])
    torch.testing.assert_close(both, swapped.flip(0))


@pytest.mark.parametrize("symlog", [False, True])
def test_plans_with_policies_add_up_what_their_critics_learned_to_predict(monkeypatch, symlog) -> None:
    model, made = _model(), []
    torch.nn.init.normal_(model.reward_network[-1].weight)

    class Planner(planning.Planner):
        def __init__(self, *args, **options) -> None:
            super().__init__(*args, **options)
            made.append(self)

    monkeypatch.setattr(planning, "Planner", Planner)
    config = ExtractionConfig(gamma=0.5, symlog_rewards=symlog, hidden_actor=(8,), hidden_critic=(8,))
    experts = Extractor(model, [Expert(task, 0) for task in TASKS], config, starts=lambda stream, batch: None)
    make_arm("pwm-planning", model, TASKS, episodes=1, experts=experts, planner=PLANNER)
    latent = experts.model.encode(torch.randn(2, 5, OBS))
    actions = torch.rand(2, 5, PLANNER.horizon, 3)
    found = made[0].values(latent, actions)
    total, world = torch.zeros(2, 5), experts.model
    for t, action in enumerate(actions.unbind(2)):
        total += 0.5**t * world.reward(latent, action)
        latent = world.next(latent, action)
    total += 0.5**PLANNER.horizon * experts.policy.critic.minimum(latent)
    torch.testing.assert_close(found, total)


def test_what_cannot_act_is_refused(experts) -> None:
    with pytest.raises(UsageError, match="'pwm' needs PWM's policies"):
        make_arm("pwm", _model(), TASKS, episodes=1)
    with pytest.raises(UsageError, match="unknown task of the experts 'b'"):
        make_arm("pwm-planning", _model(), ("a", "b"), episodes=1, experts=experts)
    with pytest.raises(UsageError, match="unknown way to act"):
        make_arm("planning", _model(), TASKS, episodes=1)
