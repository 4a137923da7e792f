"""Policies, models of gradients, tunings, recordings, parity records and study files, damaged: read or refused."""

from __future__ import annotations

import contextlib
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save

from pwm_bench import configs, registry
from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs.policies import PolicyFile, load_policy, save_policy
from pwm_bench.jobs.tuning import Range, Tuning, read_tuning, write_tuning
from pwm_bench.learning.expert import Expert
from pwm_bench.learning.random import MemberStream
from pwm_bench.parity.golden.file import read_golden
from pwm_bench.parity.schema import read as read_parity
from pwm_bench.parity.stored import write_record
from pwm_bench.pwm.config import Config
from pwm_bench.pwm.extraction.config import ExtractionConfig
from pwm_bench.pwm.extraction.files import acting_extractor, load_policies, save_policies
from pwm_bench.pwm.model_files import read_critic, read_model, write_models
from pwm_bench.pwm.networks import make_critic
from pwm_bench.store.seal import read_sealed
from pwm_bench.store.tensor_file import read_about, read_tensors, write_tensors
from pwm_bench.studies.file import EXAMPLE, load_file
from pwm_bench.world_model.config import WorldModelConfig
from pwm_bench.world_model.multitask.networks import MultitaskModel
from pwm_bench.world_model.networks import WorldModel
from pwm_bench.world_model.trained import TrainedModel
from tests.pwm_bench.conftest import ROOT
from tests.pwm_bench.fuzz import mutations
from tests.pwm_bench.parity.golden.recordings import GOLDEN
from tests.pwm_bench.world_model.multitask.factories import tiny_config

INPUTS = pytest.mark.parametrize("inputs", [120, pytest.param(3000, marks=pytest.mark.slow)])
PARITY = ROOT / "results" / "reference" / "parity" / "cartpole.json"
WORLD = WorldModelConfig(
    latent_dim=4, encoder_hidden=(4,), dynamics_hidden=(4,), reward_hidden=(4,), simnorm_dim=2, horizon=2
)


def check(reads: Callable[[], Any]) -> None:
    """Reads, or is refused; any other exception fails the test."""
    with contextlib.suppress(UsageError):
        reads()


def _policy(file: Path) -> None:
    package = registry.learner_package("ppo")
    recipe = package.recipe("cartpole", "mujoco_c")
    config = configs.override(recipe, {"hidden_actor": (4,), "hidden_critic": (4,)})
    about = PolicyFile(algorithm="ppo", config=configs.to_json(config), task="cartpole", simulator="mujoco_c",
                       seeds=(0, 1), observation_dim=5, action_dim=1, gradient_source="score")  # fmt: skip
    save_policy(file, package.make_policy(config, 5, 1, stream=MemberStream((0, 1))), about)


def _model(file: Path) -> None:
    models = [
        TrainedModel(WorldModel(4, 2, WORLD, stream=MemberStream((seed,))), 2.0, -0.5, WORLD, {"task": "a"})
        for seed in (0, 1)
    ]
    settings = Config(world_model=WORLD, hidden_critic=(4,))
    critic = make_critic(settings, WORLD.latent_dim, stream=MemberStream((0, 1)))
    write_models(file, models, critic=critic, config=settings)


def _read_models(file: Path) -> object:
    return [(read_model(file, member=member), read_critic(file, member=member)) for member in (0, 1)]


def _extracted(file: Path) -> None:
    model = MultitaskModel(tiny_config(), seed=0)
    config = ExtractionConfig(iterations=4, hidden_actor=(4,), hidden_critic=(4,), imitation=0.0)
    save_policies(file, acting_extractor(model, (Expert("c", 3), Expert("a", 0)), config), model_digest="ab")


def _read_extracted(file: Path) -> object:
    return load_policies(file, MultitaskModel(tiny_config(), seed=0), model_digest="ab")


TENSORS: dict[str, tuple[Callable[[Path], None], Callable[[Path], Any], str]] = {
    "policy": (_policy, load_policy, "pwm_bench.policy"),
    "world models of a task": (_model, _read_models, "model"),
    "extracted policies": (_extracted, _read_extracted, "pwm_bench.policies"),
}
"""Each with what writes it, what reads it, and the key under which it says what it is."""


@INPUTS
@pytest.mark.parametrize("kind", TENSORS)
def test_tensors_that_say_what_they_are_are_read_or_refused(tmp_path, kind, inputs) -> None:
    make, read, key = TENSORS[kind]
    file, chance = tmp_path / "file.safetensors", random.Random(kind)
    make(file)
    read(file)
    whole, about, tensors = file.read_bytes(), read_about(file, key=key), read_tensors(file, key=key)
    for _ in range(inputs):
        how = chance.random()
        try:
            if how < 0.5:
                text = mutations.text(mutations.altered(about, chance), chance).decode()
                file.write_bytes(save(tensors, metadata={key: text}))
            elif how < 0.7:
                changed = mutations.altered(tensors, chance)
                changed = {name: value for name, value in changed.items() if isinstance(value, torch.Tensor)}
                write_tensors(file, changed, key=key, about=about)
            else:
                file.write_bytes(mutations.data(whole, chance))
                _unchanged_or_refused(file, key, about, tensors)
        except (SafetensorError, RecursionError, UnicodeEncodeError):  # no such file can be written
            continue
        check(lambda: read(file))


def _unchanged_or_refused(file: Path, key: str, about: Any, tensors: dict[str, torch.Tensor]) -> None:
    """A damaged file says and holds what was written, or is no such file: no number changes silently."""
    try:
        found, said = read_tensors(file, key=key), read_about(file, key=key)
    except (OSError, ValueError):
        return
    if said is not None:  # else it has lost what readers know it by
        assert said == about
        assert found.keys() == tensors.keys()
        assert all(torch.equal(found[name], value) for name, value in tensors.items())


HUGE = [65_536] * 100
"""Widths of layers that no machine has memory for."""
SETTINGS = {
    "policy": ({"seeds": list(range(1000))}, {"hidden_actor": HUGE}, {"initial_log_std": -1.0, "hidden_critic": HUGE}),
    "world models of a task": (
        {"reward_scale": [1.0] * 1000}, {"dynamics_hidden": HUGE, "ensemble": 65_536}, {"batch_size": 10**12}
    ),
    "extracted policies": (
        {"experts": [["c", 1]] * 1000}, {"critic_ensemble": 65_536, "hidden_critic": HUGE}, {"batch_size": 10**12}
    ),
}  # fmt: skip
"""By kind: what a file says of itself and of its settings that would take more memory than its weights, and settings
that what is read of it does not need."""


@pytest.mark.parametrize("kind", TENSORS)
def test_no_more_memory_is_taken_than_the_weights_have_whatever_the_settings_say(tmp_path, kind) -> None:
    make, read, key = TENSORS[kind]
    file = tmp_path / "file.safetensors"
    make(file)
    about, tensors = read_about(file, key=key), read_tensors(file, key=key)
    itself, too_large, unused = SETTINGS[kind]
    for changes, settings in ((itself, {}), ({}, too_large), (itself, too_large)) if itself else (({}, too_large),):
        write_tensors(file, tensors, key=key, about=about | changes | {"config": about["config"] | settings})
        with pytest.raises(UsageError, match=r"shape|size mismatch|overflow") as refused:
            read(file)
        assert "allocate" not in str(refused.value)
    write_tensors(file, tensors, key=key, about=about | {"config": about["config"] | unused})
    read(file)


def test_a_critic_takes_no_more_memory_than_its_weights_have(tmp_path) -> None:
    file = tmp_path / "file.safetensors"
    _model(file)
    about, tensors = read_about(file, key="model"), read_tensors(file, key="model")
    huge = {"critic_ensemble": 65_536, "hidden_critic": HUGE}
    write_tensors(file, tensors, key="model", about=about | {"critic": about["critic"] | huge})
    read_model(file)
    with pytest.raises(UsageError, match="size mismatch") as refused:
        read_critic(file)
    assert "allocate" not in str(refused.value)


def _tuning(file: Path) -> None:
    space = {"gamma": Range(low=0.5, high=1.0), "rate": Range(low=1e-4, high=1e-2, scale="log")}
    values = {"gamma": (0.6, 0.7), "rate": (1e-3, 2e-3)}
    write_tuning(file, Tuning(task="a", simulator="warp", algorithm="ppo", space=space, values=values, seeds=(0, 1),
                              scores=(1.5, None), env_steps=10))  # fmt: skip


JSONS: dict[str, tuple[Callable[[Path], object], Callable[[Path], Any]]] = {
    "tuning": (_tuning, read_tuning),
    "parity": (lambda file: write_record(file, read_parity(PARITY)), read_parity),
}


@INPUTS
@pytest.mark.parametrize("kind", JSONS)
def test_descriptions_are_read_or_refused(tmp_path, kind, inputs) -> None:
    make, read = JSONS[kind]
    file, chance = tmp_path / "file.json", random.Random(kind)
    make(file)
    sound, whole = read(file), file.read_bytes()
    for _ in range(inputs):
        if chance.random() < 0.6:  # as of someone who has no checksum
            file.write_bytes(mutations.text(mutations.altered(read_sealed(whole), chance), chance))
            check(lambda: read(file))
        else:
            file.write_bytes(mutations.data(whole, chance))
            with contextlib.suppress(UsageError):
                assert read(file) == sound


@INPUTS
def test_recordings_of_another_simulator_are_read_or_refused(tmp_path, inputs) -> None:
    whole, chance = (GOLDEN / "cartpole.npz").read_bytes(), random.Random(7)
    with np.load(io.BytesIO(whole)) as archive:
        arrays = {name: archive[name] for name in archive.files}
    meta = json.loads(str(arrays["meta"]))
    for _ in range(inputs):
        changed, how = dict(arrays), chance.random()
        name = chance.choice(list(arrays))
        if name != "meta" and arrays[name].dtype.kind == "U" and 0.3 <= how < 0.6:
            changed[name] = arrays[name].reshape(1, -1)
        elif how < 0.3:
            changed["meta"] = np.array(mutations.text(mutations.altered(meta, chance), chance).decode())
        elif how < 0.6:
            changed[name] = chance.choice([
                lambda a: np.atleast_1d(a)[:0], lambda a: a[None], lambda a: a.astype("S8"),
                lambda a: a.astype(complex), lambda a: np.full(a.shape, np.nan), lambda a: np.full(a.shape, 10**9),
                lambda a: np.array(1),
            ])(arrays[name]) if name != "meta" else np.array(chance.choice([1, "[]", "null", "{", ""]))  # fmt: skip
        elif how < 0.7:
            del changed[name]
        if how < 0.7:
            np.savez(tmp_path / "file.npz", **changed)
        else:
            (tmp_path / "file.npz").write_bytes(mutations.data(whole, chance))
        check(lambda: read_golden(tmp_path / "file.npz"))


@INPUTS
def test_study_files_are_read_or_refused(tmp_path, inputs) -> None:
    chance, text = random.Random(8), EXAMPLE.read_text()
    odd = ["-1", "0", "1e308", "inf", "nan", "[]", "{}", '""', "true", "[[0]]", "2000-01-01", "99999999999999999999",
           '"\\u001b[2J"', '["a", 1]', "{ path = '/dev/zero' }", "[0, 0]", "1e15"]  # fmt: skip
    lines = text.replace("# [[", "[[").replace("# ", "").splitlines()  # the groups that it shows in comments, too
    for _ in range(inputs):
        changed = list(lines if chance.random() < 0.3 else text.splitlines())
        for _change in range(chance.choice([1, 1, 2, 5])):
            place = chance.randrange(len(changed))
            key, equals, _ = changed[place].partition("=")
            if equals and chance.random() < 0.7:
                changed[place] = f"{key}= {chance.choice(odd)}"
            else:
                changed.insert(place, chance.choice([changed[place], "[[runs]]", "[defaults]", "x = 1", ""]))
        content = "\n".join(changed).encode()
        content = mutations.data(content, chance) if chance.random() < 0.3 else content
        (tmp_path / "study.toml").write_bytes(content)
        check(lambda: load_file(tmp_path / "study.toml"))
