from __future__ import annotations

import numpy as np
import pytest
import torch

from pwm_bench.envs.errors import UsageError
from pwm_bench.testing.host_sync import no_host_sync
from pwm_bench.world_model.multitask.loss import percentile_range
from pwm_bench.world_model.multitask.networks import MultitaskModel
from pwm_bench.world_model.multitask.recipes import RECIPES, recipe
from pwm_bench.world_model.multitask.training import Pretrainer, model_loss
from pwm_bench.world_model.multitask.twohot import TwoHotHead
from tests.pwm_bench.world_model.multitask import reference as ref
from tests.pwm_bench.world_model.multitask.factories import (
    ACT,
    HIDDEN,
    OBS,
    tiny_config,
    tiny_model,
    tiny_weights,
)

BATCH, HORIZON = 6, 3


def _batch(seed: int = 0, dtype: torch.dtype = torch.float32):
    rng = np.random.default_rng(seed)
    arrays = (
        rng.normal(size=(BATCH, HORIZON + 1, OBS)),
        rng.uniform(-1, 1, size=(BATCH, HORIZON, ACT)),
        3.0 * rng.normal(size=(BATCH, HORIZON)),
    )
    return *(torch.tensor(x, dtype=dtype) for x in arrays), torch.tensor([0, 1, 2, 2, 1, 0])


def test_two_hot_inverse_gives_back_what_was_encoded() -> None:
    head = TwoHotHead()
    x = torch.tensor([0.0, 0.3, -7.5, 912.0, -21000.0], dtype=torch.float64)
    lower, weight = head.encode(x)
    logits = torch.full((5, 101), -torch.inf, dtype=torch.float64)
    logits.scatter_(1, lower.unsqueeze(1), (1.0 - weight).log().unsqueeze(1))
    logits.scatter_(1, lower.unsqueeze(1) + 1, weight.log().unsqueeze(1))
    torch.testing.assert_close(head.value(logits), x.clamp(min=-np.expm1(10.0)), rtol=1e-9, atol=1e-12)
    symlog_units = TwoHotHead(symlog_units=True).value(logits)
    torch.testing.assert_close(symlog_units[1], torch.tensor(np.log(1.3)))


def test_the_tdmpc2_loss_equals_its_formula_in_numpy() -> None:
    weights = tiny_weights()
    model = tiny_model(weights).double()
    model.discounts = torch.tensor([0.99, 0.95, 0.9], dtype=torch.float64)
    obs, action, reward, task = _batch(dtype=torch.float64)
    noise = torch.tensor(np.random.default_rng(5).normal(size=(BATCH, HORIZON, ACT)))
    loss = model_loss(model, obs, action, reward, task, recipe("tdmpc2"), noise=noise, rows=torch.tensor([2, 0]))

    consistency = rewards = values = 0.0
    for b, k in enumerate(task.tolist()):
        o, a, r, n = (x[b].numpy() for x in (obs, action, reward, noise))
        z = ref.encode(weights, k, o[0])
        for t in range(HORIZON):
            following, target = ref.following(weights, k, z, a[t]), ref.encode(weights, k, o[t + 1])
            proposed, _, _ = ref.policy(weights, k, target, n[t], np.ones(ACT))
            best = min(ref.symexp_mean(ref.q_logits(weights, k, target, proposed, m, True)) for m in (2, 0))
            y = r[t] + [0.99, 0.95, 0.9][k] * best
            scale = 0.5**t / HORIZON / BATCH
            consistency += 20.0 * scale * ((following - target) ** 2).mean()
            rewards += 0.1 * scale * ref.two_hot_error(ref.reward_logits(weights, k, z, a[t]), r[t])
            errors = [ref.two_hot_error(ref.q_logits(weights, k, z, a[t], m), y) for m in range(4)]
            values += 0.1 * scale * np.mean(errors)
            z = following
    parts = {"consistency": consistency, "reward": rewards, "value": values, "total": consistency + rewards + values}
    for name, expected in parts.items():
        assert getattr(loss, name).item() == pytest.approx(expected, rel=1e-5), name


def test_the_regression_compares_rewards_in_symlog_units() -> None:
    weights = tiny_weights()
    model = tiny_model(weights).double()
    obs, action, reward, task = _batch(dtype=torch.float64)
    config = recipe("pwm-regression", horizon=HORIZON)
    loss = model_loss(model, obs, action, reward, task, config)
    expected = 0.0
    for b, k in enumerate(task.tolist()):
        z = ref.encode(weights, k, obs[b, 0].numpy())
        for t in range(HORIZON):
            a, r = action[b, t].numpy(), reward[b, t].item()
            predicted = ref.symexp_mean(ref.reward_logits(weights, k, z, a))
            difference = np.sign(predicted) * np.log1p(abs(predicted)) - np.sign(r) * np.log1p(abs(r))
            expected += 0.99**t / HORIZON / BATCH * difference**2
            z = ref.following(weights, k, z, a)
    assert loss.reward.item() == pytest.approx(expected, rel=1e-5)
    assert loss.value.item() == 0.0


@pytest.mark.parametrize("name", list(RECIPES))
def test_training_lowers_the_loss_on_one_batch(name) -> None:
    model = MultitaskModel(tiny_config(), seed=0)
    trainer = Pretrainer(model, recipe(name, horizon=HORIZON, learning_rate=3e-3), seed=0)
    batch = _batch()
    history = [trainer.step(*batch) for _ in range(60)]
    assert history[-1]["reward_loss"] < 0.8 * history[0]["reward_loss"]
    assert all(torch.isfinite(value) for value in history[-1].values())
    assert ("policy_loss" in history[-1]) == recipe(name).learn_values


def test_targets_follow_slowly_and_the_policy_step_leaves_the_model_alone() -> None:
    model = MultitaskModel(tiny_config(), seed=0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    Pretrainer(model, recipe("tdmpc2", horizon=HORIZON), seed=0).step(*_batch())
    online, target = model.q_networks[2].weight, model.target_q_networks[2].weight
    start = before["q_networks.2.weight"]
    torch.testing.assert_close(target - start, 0.01 * (online - start), rtol=1e-4, atol=1e-9)
    # Adam's first step is the learning rate in every component that has a gradient: 0.3 of it in the encoder.
    moved = (model.encoder[0].bias - before["encoder.0.bias"]).abs().max().item()
    assert moved == pytest.approx(0.3 * 3e-4, rel=1e-2)
    moved = (model.dynamics[0].bias - before["dynamics.0.bias"]).abs().max().item()
    assert moved == pytest.approx(3e-4, rel=1e-2)


def test_q_functions_drop_in_the_policy_step_too() -> None:
    """The loss by numpy, with the masks that the trainer's generator draws after the noise of the actions."""
    weights, share = tiny_weights(), 0.5
    model = tiny_model(weights)
    model.q_networks[0].dropout = share
    trainer = Pretrainer(model, recipe("tdmpc2", horizon=HORIZON), seed=3)
    draws, choice = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    latents, task = torch.rand(BATCH, HORIZON + 1, model.config.latent_dim), torch.tensor([0, 1, 2, 2, 1, 0])
    trainer.choose()
    trainer._pairs.next()  # values next states
    got = trainer._step_policy(latents, task, torch.tensor(True))

    noise = torch.randn(BATCH, HORIZON + 1, ACT, generator=draws).numpy()
    _, rows = (torch.randperm(4, generator=choice)[:2].tolist() for _ in range(2))
    keep = torch.empty(2, BATCH * (HORIZON + 1), HIDDEN).bernoulli_(1.0 - share, generator=draws)
    keep = keep.view(2, BATCH, HORIZON + 1, HIDDEN).numpy() / (1.0 - share)
    q, entropy = np.zeros((BATCH, HORIZON + 1)), np.zeros((BATCH, HORIZON + 1))
    for b, k in enumerate(task.tolist()):
        for t in range(HORIZON + 1):
            z = latents[b, t].double().numpy()
            proposed, _, entropy[b, t] = ref.policy(weights, k, z, noise[b, t], np.ones(ACT))
            for mine, row in zip(keep[:, b, t], rows, strict=True):
                q[b, t] += ref.symexp_mean(ref.q_logits(weights, k, z, proposed, row, keep=mine)) / 2.0
    scale = 1.0 + 0.01 * (max(np.percentile(q[:, 0], 95) - np.percentile(q[:, 0], 5), 1.0) - 1.0)
    loss = -np.mean([0.5**t * (1e-4 * entropy[:, t] + q[:, t] / scale).mean() for t in range(HORIZON + 1)])
    assert got["policy_loss"].item() == pytest.approx(loss, rel=1e-4)


def test_a_step_that_is_not_finite_changes_nothing() -> None:
    model = MultitaskModel(tiny_config(), seed=0)
    trainer = Pretrainer(model, recipe("tdmpc2", horizon=HORIZON), seed=0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    obs, action, reward, task = _batch()
    reward[0, 0] = torch.nan
    trainer.step(obs, action, reward, task)
    assert trainer.skipped == 1
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    state = trainer.state_dict()
    for optimiser in ("optimiser", "policy_optimiser"):
        for moments in state[optimiser].values():
            assert all(torch.equal(value, torch.zeros_like(value)) for value in moments.values())
    assert state["scale"] == 1.0
    trainer.step(*_batch())
    assert trainer.skipped == 1
    assert any(not torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_steps_that_are_not_finite_are_counted_through_a_resume() -> None:
    trainer = Pretrainer(MultitaskModel(tiny_config(), seed=0), recipe("tdmpc2", horizon=HORIZON), seed=0)
    obs, action, reward, task = _batch()
    trainer.step(obs * torch.nan, action, reward, task)
    resumed = Pretrainer(MultitaskModel(tiny_config(), seed=0), recipe("tdmpc2", horizon=HORIZON), seed=0)
    resumed.load_state_dict(torch.load(_roundtrip(trainer.state_dict()), weights_only=True))
    resumed.step(obs, action, reward * torch.nan, task)
    assert resumed.skipped == 2


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_step_never_makes_the_host_wait(precision) -> None:
    model = MultitaskModel(tiny_config(), seed=0)
    trainer = Pretrainer(model, recipe("pwm", horizon=HORIZON, precision=precision), seed=0)
    before = model.dynamics[0].weight.clone()
    batch = _batch()
    with no_host_sync():
        trainer.step(*batch)
    assert not torch.equal(model.dynamics[0].weight, before)


def test_the_range_of_values_is_between_interpolated_percentiles() -> None:
    q = torch.randn(7, 11, generator=torch.Generator().manual_seed(0)) * 5.0
    low, high = torch.quantile(q, torch.tensor([0.05, 0.95]))
    torch.testing.assert_close(percentile_range(q), high - low)
    assert percentile_range(q * 1e-3) == 1.0
    q[3, 4] = torch.nan
    assert torch.isnan(percentile_range(q))


def test_resuming_continues_exactly() -> None:
    def fresh() -> tuple[MultitaskModel, Pretrainer]:
        model = MultitaskModel(tiny_config(dropout=0.3), seed=0)
        return model, Pretrainer(model, recipe("tdmpc2", horizon=HORIZON), seed=1)

    model, trainer = fresh()
    for step in range(4):
        if step == 2:
            saved = {"model": model.state_dict(), "trainer": trainer.state_dict()}
            saved = torch.load(_roundtrip(saved), weights_only=True)
        trainer.step(*_batch(step))
    again, resumed = fresh()
    again.load_state_dict(saved["model"])
    resumed.load_state_dict(saved["trainer"])
    for step in (2, 3):
        resumed.step(*_batch(step))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())


def test_what_another_device_drew_from_becomes_a_seed() -> None:
    """A GPU's generator has a state of 16 bytes."""
    trainers = [Pretrainer(MultitaskModel(tiny_config(), seed=0), recipe("tdmpc2"), seed=n) for n in range(3)]
    for trainer, last in zip(trainers, (1, 1, 2), strict=True):
        theirs = torch.zeros(16, dtype=torch.uint8)
        theirs[-1] = last
        trainer.load_state_dict(trainer.state_dict() | {"generator": theirs})
    first, second, third = (trainer._normal(4) for trainer in trainers)
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def _roundtrip(state):
    import io

    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return buffer


def test_reduced_precision_computes_nearly_the_same_loss() -> None:
    batch = _batch()
    losses = []
    for precision in ("float32", "bfloat16"):
        model = MultitaskModel(tiny_config(), seed=0)
        losses.append(Pretrainer(model, recipe("pwm", horizon=HORIZON, precision=precision), seed=0).step(*batch))
    for name in ("loss", "consistency_loss", "reward_loss", "value_loss"):
        assert losses[1][name].item() == pytest.approx(losses[0][name].item(), rel=0.03), name


def test_reduced_precision_trains_every_network() -> None:
    """Targets are encoded without history first; torch before 2.11 then gave the encoder no gradient in bfloat16."""
    gradients = []
    for precision in ("float32", "bfloat16"):
        model = MultitaskModel(tiny_config(), seed=0)
        Pretrainer(model, recipe("pwm", horizon=HORIZON, precision=precision), seed=0).step(*_batch())
        networks = {name: getattr(model, name) for name in ("encoder", "dynamics", "reward_network")}
        gradients.append({k: torch.cat([p.grad.flatten() for p in n.parameters()]) for k, n in networks.items()})
    for name, exact in gradients[0].items():
        assert torch.cosine_similarity(gradients[1][name], exact, dim=0) > 0.99, name


def test_unknown_recipes_and_settings_are_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'tdmpc2'"):
        recipe("tdmpc")
    with pytest.raises(UsageError, match="unknown training setting 'horizn'"):
        recipe("pwm", horizn=3)
    with pytest.raises(UsageError, match="temporal_weight=2"):
        recipe("pwm", temporal_weight=2.0)
