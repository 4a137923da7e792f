"""Files as TD-MPC2 and PWM's copy of it write them: names and shapes are those of their released code."""

from __future__ import annotations

import dataclasses
import os
import pickle

import numpy as np
import pytest
import torch

from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.suites import names
from pwm_bench.world_model.multitask.networks import MultitaskModel
from pwm_bench.world_model.multitask.tdmpc2_config import Told
from pwm_bench.world_model.multitask.tdmpc2_files import read_tdmpc2, write_tdmpc2
from pwm_bench.world_model.multitask.tdmpc2_format import from_tdmpc2
from tests.pwm_bench.world_model.multitask import factories
from tests.pwm_bench.world_model.multitask import reference as ref
from tests.pwm_bench.world_model.multitask.factories import (
    ACT,
    ACTION_DIMS,
    EMBEDDING,
    LATENT,
    NUM_Q,
    OBS,
    TASKS,
    TOLD,
    TOLD_OLD,
    tiny_config,
    tiny_model,
    tiny_weights,
)

MASKS = np.arange(ACT) < np.array(ACTION_DIMS)[:, None]
TOLD_OF = {"old": TOLD_OLD, "new": TOLD}
both = pytest.mark.parametrize("layout", TOLD_OF)


def _assert_equals_reference(model: MultitaskModel, weights, mask_by_task, log_std=(-10.0, 2.0), limit=10.0) -> None:
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
    assert torch.equal(model.act(z, task, n), sample.action)
    q, target = model.q_values(z, a, task), model.q_values(z, a, task, target=True)
    for k in range(rows):
        latent = ref.encode(weights, k, obs[k])
        check = lambda ours, theirs: np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=1e-5, atol=1e-6)  # noqa: E731
        check(z[k], latent)
        check(model.next(z, a, task)[k], ref.following(weights, k, latent, action[k]))
        logits = ref.reward_logits(weights, k, latent, action[k])
        check(model.reward_logits(z, a, task)[k], logits)
        check(model.reward(z, a, task)[k], ref.symexp_mean(logits, limit))
        sampled, mean, entropy = ref.policy(weights, k, latent, noise[k], mask_by_task[k], log_std)
        check(sample.action[k], sampled)
        check(sample.mean[k], mean)
        check(sample.scaled_entropy[k], entropy)
        for member in range(NUM_Q):
            check(q[member, k], ref.symexp_mean(ref.q_logits(weights, k, latent, action[k], member), limit))
            check(target[member, k], ref.symexp_mean(ref.q_logits(weights, k, latent, action[k], member, True), limit))


@both
@pytest.mark.parametrize("enc", [(12,), (12, 10, 14)])
def test_multitask_checkpoints_of_both_layouts_compute_what_the_formulas_say(tmp_path, layout, enc) -> None:
    weights = tiny_weights(enc=enc)
    factories.write_tdmpc2(tmp_path / "tiny.pt", weights, layout)
    model = read_tdmpc2(tmp_path / "tiny.pt", TOLD_OF[layout])
    assert (model.config.observation_dim, model.config.action_dim) == (OBS, ACT)
    assert (model.config.latent_dim, model.config.task_dim, model.config.num_q) == (LATENT, EMBEDDING, NUM_Q)
    assert model.config.encoder_hidden == enc
    known = layout == "new"  # only the new layout says which components a task has
    assert model.config.action_dims == (ACTION_DIMS if known else (ACT,) * TASKS)
    _assert_equals_reference(model, weights, MASKS if known else np.ones_like(MASKS))


@both
def test_single_task_checkpoints_have_no_embedding(tmp_path, layout) -> None:
    weights = tiny_weights(tasks=0)
    factories.write_tdmpc2(tmp_path / "tiny.pt", weights, layout)
    model = read_tdmpc2(tmp_path / "tiny.pt", dataclasses.replace(TOLD_OF[layout], tasks=("hopper-hop",)))
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
    model = read_tdmpc2(tmp_path / "pwm.pt", TOLD).double()
    assert model.config.num_q == 0
    obs = np.random.default_rng(2).normal(size=(1, 4, OBS))
    latent = model.encode(torch.tensor(obs), torch.tensor([2]))[0]
    np.testing.assert_allclose(latent.detach().numpy(), ref.encode(weights, 2, obs[0]), rtol=1e-5, atol=1e-6)


def _suite_weights(rows: int = 30):
    return ref.random_weights(0, obs=24, act=6, latent=16, enc=(8,), hid=8, tasks=rows, e=4, num_q=2)


@both
def test_thirty_rows_are_mt30s_tasks_in_its_order(tmp_path, layout) -> None:
    factories.write_tdmpc2(tmp_path / "mt30.pt", _suite_weights(), layout)
    told = dataclasses.replace(TOLD_OF[layout], tasks=None)
    config = read_tdmpc2(tmp_path / "mt30.pt", told).config
    assert config.tasks == names("mt30")
    assert config.action_dims[config.tasks.index("pendulum-swingup")] == 1
    assert config.discounts[0] == pytest.approx(0.99)
    assert read_tdmpc2(tmp_path / "mt30.pt", dataclasses.replace(told, tasks=names("mt30"))).config == config
    backwards = dataclasses.replace(told, tasks=names("mt30")[::-1])
    with pytest.raises(UsageError, match="task 0 is 'pendulum-spin', but TD-MPC2 has 'walker-stand' there"):
        read_tdmpc2(tmp_path / "mt30.pt", backwards)


def test_masks_tell_when_tasks_are_named_in_another_order(tmp_path) -> None:
    weights = _suite_weights(3)
    factories.write_tdmpc2(tmp_path / "three.pt", weights, "new")
    content = torch.load(tmp_path / "three.pt", weights_only=True)
    content["model"]["_action_masks"] = (torch.arange(6) < torch.tensor([[6], [1], [4]])).float()
    told = Told(tasks=("walker-run", "cartpole-swingup", "hopper-hop"), value_limit=10.0)
    assert from_tdmpc2(content, "f", told).config.action_dims == (6, 1, 4)
    with pytest.raises(UsageError, match=r"'cartpole-swingup' has actions of 1 components, but .* in its place has 6"):
        from_tdmpc2(content, "f", dataclasses.replace(told, tasks=(told.tasks[1], told.tasks[0], told.tasks[2])))
    with pytest.raises(UsageError, match=r"'hopper-hop' has actions of 4 components, but .* in its place has 6"):
        from_tdmpc2(content, "f", dataclasses.replace(told, tasks=told.tasks[::-1]))


@pytest.mark.parametrize("log_std", [(-10, 2), (-5, 0.5)])
def test_limits_of_the_prior_and_of_the_bins_are_those_of_the_training(tmp_path, log_std) -> None:
    weights = tiny_weights()
    told = dataclasses.replace(TOLD, value_limit=20.0)
    factories.write_tdmpc2(tmp_path / "new.pt", weights, "new", log_std=log_std)
    model = read_tdmpc2(tmp_path / "new.pt", told)
    assert (model.config.log_std_min, model.config.log_std_max, model.config.bin_limit) == (*log_std, 20.0)
    _assert_equals_reference(model, weights, MASKS, log_std, 20.0)
    factories.write_tdmpc2(tmp_path / "old.pt", weights, "old")
    model = read_tdmpc2(tmp_path / "old.pt", dataclasses.replace(told, log_std=log_std))
    _assert_equals_reference(model, weights, np.ones_like(MASKS), log_std, 20.0)


def test_what_neither_file_nor_owner_says_is_asked_for(tmp_path) -> None:
    for layout in TOLD_OF:
        factories.write_tdmpc2(tmp_path / f"{layout}.pt", tiny_weights(), layout, log_std=(-5, 0.5))

    def error(file: str, match: str, **told) -> None:
        with pytest.raises(UsageError, match=match):
            read_tdmpc2(tmp_path / file, dataclasses.replace(TOLD_OLD, **told))

    error("old.pt", r"old.pt: does not say .* log standard deviation lies: give --log-std LOW HIGH", log_std=None)
    error("old.pt", r"old.pt: does not say .* bins reach to: give --value-limit X", value_limit=None)
    error("old.pt", r"old.pt: names no tasks: name 3 of them .* --tasks FILE", tasks=None)
    error("old.pt", "has 3 tasks, but --tasks names 2", tasks=("a", "b"))
    error("new.pt", r"--log-std -10 2: but the file says -5 to 0.5; leave the option out")
    prior_free = {name: value for name, value in tiny_weights().items() if "_pi" not in name and "Qs" not in name}
    assert tiny_model(prior_free, TOLD).config.num_q == 0  # nothing there depends on the prior's limits


def test_a_termination_head_is_read_and_written(tmp_path) -> None:
    weights = tiny_weights(tasks=0, episodic=True)
    factories.write_tdmpc2(tmp_path / "episodic.pt", weights, "new")
    model = read_tdmpc2(tmp_path / "episodic.pt", dataclasses.replace(TOLD, tasks=("hopper",)))
    assert model.config.termination
    latent = torch.rand(1, 6, LATENT, dtype=torch.float64)
    logit = model.double().termination_logit(latent, torch.tensor([0]))
    np.testing.assert_allclose(
        logit.sigmoid()[0].detach().numpy(), ref.termination(weights, 0, latent[0].numpy()), 1e-6
    )
    with pytest.raises(UsageError, match="--layout old: the model predicts termination"):
        write_tdmpc2(tmp_path / "x.pt", model, "old")


def test_a_checkpoint_of_images_is_refused_for_its_images(tmp_path) -> None:
    content = {"model": {"_encoder.rgb.2.weight": torch.zeros(32, 9, 7, 7), "_reward.0.weight": torch.zeros(4, 4)}}
    torch.save(content, tmp_path / "rgb.pt")
    with pytest.raises(UsageError, match=r"rgb.pt: its encoder reads images .* no images here"):
        read_tdmpc2(tmp_path / "rgb.pt", TOLD)


def _same(one, other) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        if isinstance(value, torch.Tensor):
            assert value.dtype == other[name].dtype
            assert torch.equal(value, other[name]), name
        else:
            assert value == other[name]


@pytest.mark.parametrize("kind", ["multitask", "single", "episodic", "other limits"])
@both
def test_a_checkpoint_read_and_written_is_the_same_checkpoint(tmp_path, layout, kind) -> None:
    if (layout, kind) in (("old", "episodic"), ("old", "other limits")):
        pytest.skip("the old layout does not have it")
    weights = tiny_weights(tasks=3 if kind in ("multitask", "other limits") else 0, episodic=kind == "episodic")
    if "_task_emb.weight" in weights:
        weights["_task_emb.weight"] *= 0.3  # within the length of 1 that the released code cuts rows to
    log_std = (-5, 0.5) if kind == "other limits" else (-10, 2)
    factories.write_tdmpc2(tmp_path / "theirs.pt", weights, layout, log_std=log_std)
    told = TOLD_OF[layout] if "_task_emb.weight" in weights else dataclasses.replace(TOLD_OF[layout], tasks=("t",))
    model = read_tdmpc2(tmp_path / "theirs.pt", told)
    write_tdmpc2(tmp_path / "ours.pt", model, layout)
    theirs, ours = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("theirs", "ours"))
    _same(theirs["model"], ours["model"])
    again = read_tdmpc2(tmp_path / "ours.pt")  # which says everything itself
    assert again.config == model.config
    _same(again.state_dict(), model.state_dict())


def test_the_package_that_tdmpc2_uses_loads_the_new_layout_strictly(tmp_path) -> None:
    tensordict = pytest.importorskip("tensordict")
    write_tdmpc2(tmp_path / "new.pt", MultitaskModel(tiny_config(), seed=3), "new")
    written = torch.load(tmp_path / "new.pt", weights_only=True)["model"]

    class Normed(torch.nn.Linear):
        def __init__(self, features: int, out: int) -> None:
            super().__init__(features, out)
            self.ln = torch.nn.LayerNorm(out)

    def q_function() -> torch.nn.Module:
        sizes = LATENT + EMBEDDING + ACT, 24
        return torch.nn.Sequential(Normed(*sizes), Normed(24, 24), torch.nn.Linear(24, 101))

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self._Qs = torch.nn.Module()
            self._Qs.params = tensordict.from_modules(*(q_function() for _ in range(NUM_Q)), as_module=True)
            self._detach_Qs_params = tensordict.nn.TensorDictParams(self._Qs.params.data, no_convert=True)
            self._target_Qs_params = tensordict.nn.TensorDictParams(self._Qs.params.data.clone(), no_convert=True)

    model = Model()
    part = {name: value for name, value in written.items() if "Qs" in name}
    extra = {
        f"{at}params.__{what}" for at in ("_Qs.", "_detach_Qs_", "_target_Qs_") for what in ("batch_size", "device")
    }
    assert set(model.state_dict()) | extra == set(part)  # the package's version 0.15 leaves them out, 0.8 does not
    model.load_state_dict(part)
    assert torch.equal(model._Qs.params["1", "ln", "weight"], written["_Qs.params.1.ln.weight"])


class _Bomb:
    def __reduce__(self):
        return os.system, (f"touch {_Bomb.target}",)

    target = ""


def test_a_pickle_with_code_is_refused_and_nothing_runs(tmp_path) -> None:
    _Bomb.target = str(tmp_path / "ran")
    torch.save({"model": {"_encoder.state.0.weight": _Bomb()}}, tmp_path / "zip.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(_Bomb()))
    for name in ("zip.pt", "plain.pt"):
        with pytest.raises(UsageError, match=rf"{name}: refused: .* could run code"):
            read_tdmpc2(tmp_path / name, TOLD)
    assert not (tmp_path / "ran").exists()


def test_a_tensor_that_repeats_a_number_for_ever_is_refused_before_anything_computes_with_it(tmp_path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"model": {"_encoder.0.weight": torch.zeros(1).expand(10**6, 10**6)}}, path)
    assert path.stat().st_size < 10_000
    with pytest.raises(UsageError, match=r"model\.pt: holds a tensor larger than its numbers"):
        read_tdmpc2(path)


def test_wrong_files_are_named_with_what_is_wrong(tmp_path) -> None:
    def saved(change) -> None:
        factories.write_tdmpc2(tmp_path / "bad.pt", tiny_weights(), "new")
        content = torch.load(tmp_path / "bad.pt", weights_only=True)["model"]
        change(content)
        torch.save({"model": content}, tmp_path / "bad.pt")

    def error(match: str) -> None:
        with pytest.raises(UsageError, match=match):
            read_tdmpc2(tmp_path / "bad.pt", TOLD)

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
    data = (tmp_path / "bad.pt").read_bytes()
    (tmp_path / "bad.pt").write_bytes(data[: len(data) // 2])
    error("bad.pt: truncated, or not a TD-MPC2 checkpoint; fetch it again")
    torch.save({"state": {"layer.weight": torch.zeros(2)}}, tmp_path / "bad.pt")
    error("bad.pt: not a TD-MPC2 checkpoint: no name begins with '_encoder.'")
    torch.save([1, 2], tmp_path / "bad.pt")
    error("it holds a list and no named weights")
