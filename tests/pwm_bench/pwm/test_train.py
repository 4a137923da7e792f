"""The whole learner on the point mass: phases, populations, resuming, learning."""

from __future__ import annotations

import copy

import pytest
import torch

from pwm_bench import envs
from pwm_bench.baselines import shac
from pwm_bench.baselines.shac.short_horizon import Rollout
from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.learner import Learner as LearnerProtocol
from pwm_bench.pwm.config import Config
from pwm_bench.pwm.recipes import recipe
from pwm_bench.pwm.train import Learner
from pwm_bench.testing.company import assert_company_changes_nothing
from pwm_bench.testing.host_sync import exempt, no_host_sync
from pwm_bench.testing.toy import toy_env
from tests.pwm_bench.pwm.factories import HORIZON, WORLDS, tiny_config, tiny_model, toy_learner

SHAC_CRITIC = {
    "critic_states": "real",
    "critic_activation": "elu",
    "critic_ensemble": 1,
    "target_critic": True,
    "tau": 0.25,
}
NOTHING = {"world_model_loss", "actor_loss", "critic_loss", "imagined_return"}


def _policy(learner: Learner) -> list[torch.Tensor]:
    return [p.detach().clone() for p in learner._policy.actor.parameters()]


def test_phases_first_collect_then_pretrain_then_everything() -> None:
    collect = 3 * HORIZON * WORLDS
    learner = toy_learner(tiny_config(pretrain_env_steps=collect, pretrain_updates=40))
    assert isinstance(learner, LearnerProtocol)
    initial = _policy(learner)
    for _ in range(3):
        metrics = learner.update()
        assert all(metrics[name].isnan().all() for name in NOTHING)
    assert learner.counters.env_steps == collect
    assert learner.counters.gradient_steps == 0

    for done in (32, 40):  # in short iterations
        metrics = learner.update()
        assert learner.counters.env_steps == collect
        assert learner.counters.gradient_steps == done
        assert metrics["world_model_loss"].isfinite().all()
        assert metrics["actor_loss"].isnan().all()
    assert all(torch.equal(p, q) for p, q in zip(initial, _policy(learner), strict=True))

    metrics = learner.update()
    assert learner.counters.env_steps == collect + HORIZON * WORLDS
    assert learner.counters.imagined_steps == HORIZON * WORLDS
    assert learner.counters.gradient_steps == 40 + 2 + 1 + 2 * 2
    assert not any(torch.equal(p, q) for p, q in zip(initial, _policy(learner), strict=True))
    assert all(value.shape == (2,) for value in metrics.values())
    assert all(metrics[name].isfinite().all() for name in NOTHING)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"start_states": "replay"},
        {"start_states": "both", "policy_updates": 2},
        {"open_loop": True, "released_bootstrap": True, "shuffle_minibatches": False},
        {"detach_policy": False, "normalize_returns": False, "critic_ensemble": 1},
        {"world_model": tiny_model(reward_normalisation="none", released_reward_scale=True)},
        {"world_model": tiny_model(termination=True, batch_size=7), "start_states": "both"},
        {"world_model": tiny_model(regularisation="spectral", encoder_hidden=())},
        {"replay_sampling": "episodes", "start_states": "both"},
        {"world_model": tiny_model(ensemble=3, termination=True), "disagreement_penalty": 0.5, **SHAC_CRITIC},
    ],
    ids=lambda changes: "-".join(changes) or "default",
)
def test_members_do_not_depend_on_their_company(changes: dict) -> None:
    """The sizes of these networks are odd: what torch leaves over at the end of a tensor lies elsewhere in company."""
    config = tiny_config(**changes)
    assert_company_changes_nothing(
        lambda seeds: toy_learner(config, seeds=seeds, dtype=torch.float32),
        (8, 7, 2),
        updates=4 if config.replay_sampling == "sequences" else 8,  # an episode has five iterations
    )


@pytest.mark.parametrize(("iterations", "sampling"), [(1, "sequences"), (4, "sequences"), (8, "episodes")])
def test_resuming_from_a_state_dict_is_exact(iterations: int, sampling: str) -> None:
    config = tiny_config(
        start_states="both",
        pretrain_env_steps=2 * HORIZON * WORLDS,
        pretrain_updates=3,
        replay_sampling=sampling,
    )
    straight = toy_learner(config, dtype=torch.float32)
    for _ in range(iterations):
        straight.update()
    saved = copy.deepcopy(straight.state_dict())
    resumed = toy_learner(config, dtype=torch.float32)
    resumed.update()  # something to be overwritten
    resumed.load_state_dict(saved)
    for _ in range(3):
        want, got = straight.update(), resumed.update()
        for name, value in want.items():
            assert torch.equal(value.nan_to_num(-1.0), got[name].nan_to_num(-1.0)), name
    assert straight.counters == resumed.counters


def test_a_frozen_model_stays_as_it_was_and_the_policy_learns_in_it() -> None:
    collect = 3 * HORIZON * WORLDS
    frozen = {"world_model_updates": 0, "pretrain_env_steps": collect, "pretrain_updates": 4}
    learner = toy_learner(tiny_config(**frozen, world_model=tiny_model(normalize_observations=True)))
    for _ in range(4):
        learner.update()
    assert learner.counters.gradient_steps == 4
    model, rewards = (copy.deepcopy(x.state_dict()) for x in (learner.world_model, learner._model_trainer.reward_norm))
    assert model["observation_norm.count"].min() >= collect
    policy = _policy(learner)
    for _ in range(2):
        metrics = learner.update()
    assert metrics["world_model_loss"].isnan().all()
    for state, part in ((model, learner.world_model), (rewards, learner._model_trainer.reward_norm)):
        assert all(torch.equal(value, state[name]) for name, value in part.state_dict().items())
    assert not any(torch.equal(p, q) for p, q in zip(policy, _policy(learner), strict=True))


def test_a_critic_of_real_steps_gets_the_targets_of_shac() -> None:
    """The function that SHAC calls, on its own rollout of the same steps; V is the target critic on latents."""
    learner = toy_learner(tiny_config(**SHAC_CRITIC, critic_iterations=3))
    while not learner._ready():
        learner.update()
    learner.update()  # the target critic no longer equals the critic
    chunk = learner._collect()
    while not any((step[2] | step[3]).any() for step in chunk.experience):
        chunk = learner._collect()
    got = learner._experience(chunk)
    latents, targets = learner._policy._real_targets(got)

    def raw(field: int) -> torch.Tensor:  # as SHAC keeps it, [T, P, B, ...]
        return torch.stack([step[field] for step in chunk.experience]).unflatten(1, (2, WORLDS))

    scale = (learner._model_trainer.reward_norm.var + learner._model_trainer.reward_norm.eps).sqrt()
    mean = learner._model_trainer.reward_norm.mean
    rewards = ((raw(1).movedim(1, 0) - mean.unsqueeze(-1)) / scale.unsqueeze(-1)).clamp(-5.0, 5.0).movedim(0, 1)
    rollout = Rollout(raw(0), rewards, raw(2), raw(3), raw(4))
    config = shac.Config(num_envs=WORLDS, horizon=HORIZON, tau=0.25)
    agent = shac.Learner(toy_env(2 * WORLDS, seeds=(0, 1)), config, seeds=(0, 1), total_env_steps=1)
    agent.target, agent.normalise = learner._policy.target, learner.world_model.encode
    with torch.no_grad():
        wanted = agent.value_targets(rollout, agent.next_values(rollout)).transpose(0, 1).flatten(1)
        encoded = agent.normalise(rollout.obs.transpose(0, 1)).flatten(1, 2)
    torch.testing.assert_close(targets, wanted, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(latents, encoded)


def test_the_target_critic_goes_a_fraction_of_the_way() -> None:
    learner = toy_learner(tiny_config(**SHAC_CRITIC))
    while not learner._ready():
        learner.update()
    before = [p.detach().clone() for p in learner._policy.target.parameters()]
    learner.update()
    trainer = learner._policy
    for old, new, source in zip(before, trainer.target.parameters(), trainer.critic.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.25 * (source.detach() - old))
        assert not torch.equal(new, old)


def test_open_loop_acts_on_predicted_latents_and_trains_on_the_same_rollout() -> None:
    learner = toy_learner(tiny_config(open_loop=True), seeds=(0,))
    while not learner._ready():
        learner.update()
    start = learner.env.detach().clone().unflatten(0, (1, WORLDS))
    stream = copy.deepcopy(learner._stream)
    model, actor = copy.deepcopy(learner.world_model), copy.deepcopy(learner._policy.actor)
    first = int(learner._replay._steps)
    learner.update()
    taken = learner._replay._data["action"][first : first + HORIZON]
    done = learner._replay._data["run"][first : first + HORIZON]

    noise = stream.normal(HORIZON, WORLDS, 2, dtype=torch.float64)
    with torch.no_grad():
        latent = model.encode(start)
        going = torch.ones(WORLDS, dtype=torch.bool)
        for t in range(HORIZON):
            action = actor.sample(latent, noise[:, t])
            torch.testing.assert_close(taken[t][going], action[0][going])
            latent = model.next(latent, action)
            if t + 1 < HORIZON:
                going &= done[t + 1] != 1  # a run of one transition begins a new episode
    assert going.any()


@pytest.mark.parametrize("open_loop", [False, True])
def test_an_environment_computes_in_its_own_precision(open_loop: bool) -> None:
    learner = toy_learner(tiny_config(open_loop=open_loop, precision="bfloat16"), dtype=torch.float32)
    step, reduced = learner.env.step, []

    def watched(action: torch.Tensor):
        reduced.append(torch.is_autocast_enabled("cpu"))
        return step(action)

    learner.env.step = watched
    for _ in range(3):
        metrics = learner.update()
    assert metrics["actor_loss"].isfinite().all()
    assert not any(reduced)


@pytest.mark.parametrize(
    "changes",
    [{}, {"world_model": tiny_model(ensemble=2, normalize_observations=True), **SHAC_CRITIC}],
    ids=["", "variant"],
)
def test_a_diverged_member_is_frozen_and_the_other_goes_on(changes: dict) -> None:
    learner = toy_learner(tiny_config(**changes))
    for _ in range(2):
        learner.update()
    with torch.no_grad():
        next(learner._policy.actor.parameters())[0] = torch.nan
    frozen = [p[0].clone() for p in learner._policy.critic.parameters()]
    before = [p.clone() for p in learner._policy.actor.parameters()]
    learner.update()
    policy = {name: x.clone() for name, x in learner.policy.state_dict().items()}
    learner.update()
    assert learner.alive.tolist() == [False, True]
    now = learner.policy.state_dict()
    assert all(torch.equal(now[name][0].nan_to_num(), x[0].nan_to_num()) for name, x in policy.items())
    after = list(learner._policy.actor.parameters())
    assert all(torch.isfinite(p[1]).all() and not torch.equal(p[1], q[1]) for p, q in zip(after, before, strict=True))
    assert all(torch.isfinite(p).all() for p in learner.world_model.parameters())
    for p, q in zip(learner._policy.critic.parameters(), frozen, strict=True):
        assert torch.equal(p[0], q)


def test_learning_rate_falls_over_the_budget() -> None:
    learner = toy_learner(total_env_steps=4 * HORIZON * WORLDS)
    rates = [learner.update()["learning_rate"][0].item() for _ in range(6)]
    config = tiny_config()
    assert rates[0] == pytest.approx(config.actor_learning_rate)
    assert rates[2] == pytest.approx((config.actor_learning_rate + config.final_learning_rate) / 2)
    assert rates[5] == pytest.approx(config.final_learning_rate)


def test_whole_episodes_are_drawn_once_one_is_over() -> None:
    """An episode of the point mass has 20 steps, which are five iterations; what is drawn lies in it."""
    learner = toy_learner(tiny_config(replay_sampling="episodes", world_model=tiny_model(horizon=3)))
    for n in range(7):
        assert learner._ready() == (n >= 5)
        metrics = learner.update()
        assert metrics["world_model_loss"].isfinite().all() == (n >= 5)
    assert learner._replay.available(3).tolist() == [WORLDS, WORLDS]  # 28 steps on, the first episode of each alone


def test_a_horizon_that_no_episode_reaches_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """An episode of the point mass has 20 steps."""
    for horizon, told in ((20, 0), (21, 1)):
        caplog.clear()
        config = tiny_config(world_model=tiny_model(horizon=horizon))
        learner = toy_learner(config, total_env_steps=15 * HORIZON * WORLDS)
        for _ in range(15):
            learner.update()
        assert [record.levelname for record in caplog.records] == ["WARNING"] * told
        assert (learner.counters.gradient_steps > 0) == (not told)
    assert "world_model.horizon=21 steps yet; choose a shorter horizon" in caplog.text


def test_published_settings_draw_episodes_and_have_some_left_in_every_task() -> None:
    for task in envs.TASKS:
        published = recipe(task, "warp", "published")
        published.check_replay(envs.TASKS.load(task).episode_length)
        assert published.replay_sampling == "episodes"
        assert recipe(task, "warp").replay_sampling == "sequences"


def test_a_replay_that_may_have_no_episode_is_refused() -> None:
    least = WORLDS * (20 + HORIZON)
    toy_learner(tiny_config(replay_sampling="episodes", replay_capacity=least))
    toy_learner(tiny_config(replay_capacity=least - 1))
    with pytest.raises(UsageError, match=f"replay_capacity={least - 1}: .* set at least {least}"):
        toy_learner(tiny_config(replay_sampling="episodes", replay_capacity=least - 1))
    with pytest.raises(UsageError, match="unknown replay_sampling 'places'"):
        tiny_config(replay_sampling="places")


def test_an_environment_of_other_size_is_refused() -> None:
    with pytest.raises(UsageError, match="need 12 worlds"):
        Learner(toy_env(10, seeds=(0, 1)), tiny_config(), seeds=(0, 1), total_env_steps=1)


def _evaluate(learner: Learner, seeds: tuple[int, int] = (50, 51), worlds: int = 32) -> torch.Tensor:
    env = toy_env(2 * worlds, seeds=seeds)
    obs, total = env.reset(), torch.zeros(2 * worlds)
    finished = torch.zeros(2 * worlds, dtype=torch.bool)
    for _ in range(env.episode_length):
        step = env.step(learner.act(obs.view(2, worlds, -1)).flatten(0, 1))
        total += torch.where(finished, 0.0, step.reward)
        finished |= step.done
        obs = step.obs
    return total.view(2, worlds).mean(1)


def test_learns_to_stop_the_point_mass() -> None:
    model = tiny_model(
        latent_dim=64,
        encoder_hidden=(64,),
        dynamics_hidden=(64,),
        reward_hidden=(64,),
        batch_size=64,
        horizon=8,
        learning_rate=1e-3,
    )
    config = Config(
        num_envs=16,
        horizon=8,
        world_model=model,
        world_model_updates=4,
        pretrain_env_steps=1024,
        pretrain_updates=100,
        replay_capacity=50_000,
        hidden_actor=(64, 64),
        hidden_critic=(64, 64),
        actor_learning_rate=2e-3,
        critic_learning_rate=1e-3,
        critic_iterations=4,
        critic_minibatches=2,
    )
    budget = 120 * 16 * 8
    learner = toy_learner(config, dtype=torch.float32, total_env_steps=budget)
    untrained = _evaluate(learner)
    losses = []
    while learner.counters.env_steps < budget:
        metrics = learner.update()
        losses.append(metrics["dynamics_loss"] + metrics["reward_loss"])
    losses = torch.stack([x for x in losses if x.isfinite().all()])
    trained = _evaluate(learner)
    assert (losses[-5:].mean(0) < losses[:1].mean(0) / 2).all(), (losses[:1], losses[-5:])
    # Over six seeds, and over roundings, what is left of the costs lay between 0.1 and 0.6 of those at the beginning.
    left = trained / untrained
    assert left.mean() < 0.5, left
    assert left.max() < 0.8, left


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"start_states": "both", "world_model": tiny_model(termination=True)},
        {"start_states": "both", "replay_sampling": "episodes"},
    ],
)
def test_an_update_never_makes_the_host_wait(changes: dict) -> None:
    learner = toy_learner(tiny_config(**changes), dtype=torch.float32)
    while not learner._ready():  # asks the device until there is enough data
        learner.update()
    learner.env.step = exempt(learner.env.step)
    with no_host_sync():
        learner.update()
        with pytest.raises(AssertionError, match="_local_scalar_dense"):
            float(learner.alive.sum())
