from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
import torch

from pwm_bench.envs.errors import UsageError
from pwm_bench.world_model.multitask.files import export_tdmpc2, load_model, save_model
from pwm_bench.world_model.multitask.networks import MultitaskModel
from tests.pwm_bench.world_model.multitask import reference as ref
from tests.pwm_bench.world_model.multitask.factories import (
    ACT,
    ACTION_DIMS,
    EMBEDDING,
    LATENT,
    NUM_Q,
    OBS,
    TASKS,
    tiny_config,
    tiny_weights,
    write_tdmpc2,
)

MASKS = np.arange(ACT) < np.array(ACTION_DIMS)[:, None]


def _assert_equals_reference(model: MultitaskModel, weights, mask_by_task) -> None:
    """Every output of the model, for one batch of each task, against NumPy."""
    model = model.double()
    rng = np.random.default_rng(1)
    rows = len(model.config.tasks)
    obs, noise = rng.normal(size=(rows, 6, OBS)), rng.normal(size=(rows, 6, ACT))
    action = rng.uniform(-1, 1, size=(rows, 6, ACT))
    task = torch.arange(rows)
    o, n, a = (torch.tensor(x) for x in (obs, noise, action))
    z = model.encode(o, task)
    sample = model.policy(z, task, n)
    q, target = model.q_values(z, a, task), model.q_values(z, a, task, target=True)
    for k in range(rows):
        latent = ref.encode(weights, k, obs[k])
        check = lambda ours, theirs: np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=1e-5, atol=1e-6)  # noqa: E731
        check(z[k], latent)
        check(model.next(z, a, task)[k], ref.following(weights, k, latent, action[k]))
        logits = ref.reward_logits(weights, k, latent, action[k])
        check(model.reward_logits(z, a, task)[k], logits)
        check(model.reward(z, a, task)[k], ref.symexp_mean(logits))
        sampled, mean, log_prob = ref.policy(weights, k, latent, noise[k], mask_by_task[k])
        check(sample.action[k], sampled)
        check(sample.mean[k], mean)
        check(sample.scaled_entropy[k], -log_prob)
        for member in range(NUM_Q):
            check(q[member, k], ref.symexp_mean(ref.q_logits(weights, k, latent, action[k], member)))
            check(target[member, k], ref.symexp_mean(ref.q_logits(weights, k, latent, action[k], member, True)))


@pytest.mark.parametrize("layout", ["old", "new"])
@pytest.mark.parametrize("enc", [(12,), (12, 10, 14)])
def test_multitask_checkpoints_of_both_layouts_compute_what_the_formulas_say(tmp_path, layout, enc) -> None:
    weights = tiny_weights(enc=enc)
    write_tdmpc2(tmp_path / "tiny.pt", weights, layout)
    model = load_model(tmp_path / "tiny.pt")
    assert (model.config.observation_dim, model.config.action_dim) == (OBS, ACT)
    assert (model.config.latent_dim, model.config.task_dim, model.config.num_q) == (LATENT, EMBEDDING, NUM_Q)
    assert model.config.encoder_hidden == enc
    known = layout == "new"  # only the new layout says which components a task has
    assert model.config.action_dims == (ACTION_DIMS if known else (ACT,) * TASKS)
    _assert_equals_reference(model, weights, MASKS if known else np.ones_like(MASKS))


@pytest.mark.parametrize("layout", ["old", "new"])
def test_single_task_checkpoints_have_no_embedding(tmp_path, layout) -> None:
    weights = tiny_weights(tasks=0)
    write_tdmpc2(tmp_path / "tiny.pt", weights, layout)
    model = load_model(tmp_path / "tiny.pt", tasks=["hopper-hop"])
    assert model.config.task_dim == 0
    assert model.config.tasks == ("hopper-hop",)
    _assert_equals_reference(model, weights, np.ones((1, ACT)))


def test_pwms_subset_loads_without_values_and_policy(tmp_path) -> None:
    weights = tiny_weights()
    subset = {
        name.replace("_encoder.state.", "_encoder."): torch.tensor(value, dtype=torch.float32)
        for name, value in weights.items()
        if "_pi" not in name and "Qs" not in name
    }
    torch.save(subset, tmp_path / "pwm.pt")
    model = load_model(tmp_path / "pwm.pt").double()
    assert model.config.num_q == 0
    obs = np.random.default_rng(2).normal(size=(1, 4, OBS))
    latent = model.encode(torch.tensor(obs), torch.tensor([2]))[0]
    np.testing.assert_allclose(latent.detach().numpy(), ref.encode(weights, 2, obs[0]), rtol=1e-5, atol=1e-6)


def test_names_come_from_the_suite_with_as_many_tasks(tmp_path) -> None:
    write_tdmpc2(
        tmp_path / "mt30.pt",
        ref.random_weights(0, obs=24, act=6, latent=16, enc=(8,), hid=8, tasks=30, e=4, num_q=2),
        "old",
    )
    config = load_model(tmp_path / "mt30.pt").config
    assert config.tasks[0] == "walker-stand"
    assert config.action_dims[config.tasks.index("pendulum-swingup")] == 1
    assert config.discounts[0] == pytest.approx(0.99)


@pytest.mark.parametrize("layout", ["old", "new"])
def test_export_is_read_back_and_has_tdmpc2s_names(tmp_path, layout) -> None:
    model = MultitaskModel(tiny_config(), seed=3)
    export_tdmpc2(tmp_path / "out.pt", model, layout)
    written = torch.load(tmp_path / "out.pt", weights_only=True)["model"]
    expected = {
        "old": {"_Qs.params.9": (NUM_Q, 101), "_target_Qs.params.2": (NUM_Q, 24), "_encoder.state.0.ln.weight": (12,)},
        "new": {
            "_Qs.params.2.bias": (NUM_Q, 101),
            "_detach_Qs_params.0.ln.weight": (NUM_Q, 24),
            "_pi.2.weight": (6, 24),
        },
    }[layout]
    assert {name: tuple(written[name].shape) for name in expected} == expected
    again = load_model(tmp_path / "out.pt", tasks=["a", "b", "c"])
    assert all(torch.equal(x, again.state_dict()[name]) for name, x in model.state_dict().items())


def test_own_format_keeps_weights_and_configuration(tmp_path) -> None:
    model = MultitaskModel(tiny_config(), seed=4)
    save_model(tmp_path / "model", model)
    again = load_model(tmp_path / "model")
    assert again.config == model.config
    assert all(torch.equal(x, again.state_dict()[name]) for name, x in model.state_dict().items())


class _Bomb:
    def __reduce__(self):
        return os.system, (f"touch {_Bomb.target}",)

    target = ""


def test_a_pickle_with_code_is_refused_and_nothing_runs(tmp_path) -> None:
    _Bomb.target = str(tmp_path / "ran")
    torch.save({"model": {"_encoder.state.0.weight": _Bomb()}}, tmp_path / "zip.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(_Bomb()))
    for name in ("zip.pt", "plain.pt"):
        with pytest.raises(UsageError, match=rf"{name}: refused, .* could run code"):
            load_model(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_wrong_files_are_named_with_what_is_wrong(tmp_path) -> None:
    def saved(change) -> None:
        write_tdmpc2(tmp_path / "bad.pt", tiny_weights(), "new")
        content = torch.load(tmp_path / "bad.pt", weights_only=True)["model"]
        change(content)
        torch.save({"model": content}, tmp_path / "bad.pt")

    def error(match: str, **options) -> None:
        with pytest.raises(UsageError, match=match):
            load_model(tmp_path / "bad.pt", **options)

    error("bad.pt: no such file")
    saved(lambda m: m.pop("_dynamics.1.ln.weight"))
    error(r"bad.pt: lacks '_dynamics.1.ln.weight', shape \(24,\)")
    saved(lambda m: m.pop("_reward.0.weight"))
    error(r"bad.pt: lacks '_reward.0.weight'")
    saved(lambda m: m.pop("_pi.0.bias"))
    error(r"bad.pt: lacks '_pi.0.bias'")
    saved(lambda m: m.update({"_reward.1.weight": torch.zeros(30, 24)}))
    error(r"'_reward.1.weight' has shape \(30, 24\), but .* has \(24, 24\)")
    saved(lambda m: m.update({"_pi.0.bias": torch.full((24,), torch.nan)}))
    error(r"'_pi.0.bias' holds numbers that are not finite")
    saved(lambda m: None)
    error(r"'_task_emb.weight' has 3 rows, but 2 tasks were named", tasks=["a", "b"])
    data = (tmp_path / "bad.pt").read_bytes()
    (tmp_path / "bad.pt").write_bytes(data[: len(data) // 2])
    error("bad.pt: truncated, or not a checkpoint")
    torch.save({"state": {"layer.weight": torch.zeros(2)}}, tmp_path / "bad.pt")
    error("bad.pt: not a TD-MPC2 checkpoint: no name begins with '_encoder.'")
    torch.save([1, 2], tmp_path / "bad.pt")
    error("it holds a list and no named weights")


def test_damaged_own_models_are_named(tmp_path) -> None:
    with pytest.raises(UsageError, match="holds no world model"):
        load_model(tmp_path)
    save_model(tmp_path, MultitaskModel(tiny_config(), seed=0))
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(UsageError, match=r"model.safetensors: missing or truncated"):
        load_model(tmp_path)
