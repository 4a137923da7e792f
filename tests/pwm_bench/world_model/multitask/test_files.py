from __future__ import annotations

import pytest
import torch

from pwm_bench.envs.errors import UsageError
from pwm_bench.store.inputs import content_digest
from pwm_bench.world_model.multitask.files import load_model, save_model
from pwm_bench.world_model.multitask.networks import MultitaskModel
from tests.pwm_bench.world_model.multitask.factories import tiny_config


def test_own_format_keeps_weights_and_configuration(tmp_path) -> None:
    model = MultitaskModel(tiny_config(), seed=4)
    save_model(tmp_path / "model", model)
    again = load_model(tmp_path / "model")
    assert again.config == model.config
    assert all(torch.equal(x, again.state_dict()[name]) for name, x in model.state_dict().items())


def test_damaged_own_models_are_named(tmp_path) -> None:
    with pytest.raises(UsageError, match="holds no world model"):
        load_model(tmp_path)
    save_model(tmp_path, MultitaskModel(tiny_config(), seed=0))
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(UsageError, match=r"model.safetensors: truncated or altered"):
        load_model(tmp_path)
    save_model(tmp_path, MultitaskModel(tiny_config(), seed=0))
    description = tmp_path / "model.json"
    description.write_text(description.read_text().replace('"bin_limit": 10.0', '"bin_limit": 20.0'))
    with pytest.raises(UsageError, match=r"model.json: damaged \(altered: its checksum does not match\)"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"bin_limit": 20.0},
        {"simnorm_dim": 4},
        {"log_std_min": -5.0, "log_std_max": 0.5},
        {"tasks": ("b", "a", "c")},
        {"episode_lengths": (500, 100, 500)},
    ],
)
def test_the_digest_of_a_model_covers_what_its_weights_mean(tmp_path, changes) -> None:
    for name, config in (("one", tiny_config()), ("same", tiny_config()), ("other", tiny_config(**changes))):
        save_model(tmp_path / name, MultitaskModel(config, seed=0))
    one, same, other = (content_digest(tmp_path / name) for name in ("one", "same", "other"))
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "other")]
    assert weights[0] == weights[1]
    assert one == same
    assert one != other
