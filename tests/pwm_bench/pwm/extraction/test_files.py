from __future__ import annotations

import pytest
import torch

from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.expert import Expert
from pwm_bench.pwm.extraction.config import ExtractionConfig
from pwm_bench.pwm.extraction.files import load_policies, read_policies, save_policies
from pwm_bench.pwm.extraction.train import Extractor
from pwm_bench.world_model.multitask.networks import MultitaskModel
from tests.pwm_bench.world_model.multitask.factories import OBS, tiny_config

CONFIG = ExtractionConfig(
    iterations=4, batch_size=4, horizon=4, hidden_actor=(8,), hidden_critic=(8,), imitation=2.0, critic_iterations=1
)
EXPERTS = (Expert("c", 3), Expert("a", 0))


@pytest.fixture
def extractor() -> Extractor:
    def examples(stream, batch):
        return stream.normal(batch, OBS), stream.uniform(batch, 3)

    model = MultitaskModel(tiny_config(), seed=0)
    trained = Extractor(model, EXPERTS, CONFIG, starts=lambda stream, n: stream.normal(n, OBS), examples=examples)
    trained.update()
    return trained


def test_policies_come_back(tmp_path, extractor) -> None:
    file = tmp_path / "policies.safetensors"
    save_policies(file, extractor, model_digest="ab")
    about = read_policies(file)
    assert (about.experts, about.config, about.model_tasks, about.model_digest) == (
        EXPERTS, CONFIG, ("a", "b", "c"), "ab",
    )  # fmt: skip
    again = load_policies(file, MultitaskModel(tiny_config(), seed=0), model_digest="ab")
    obs, latent = torch.randn(2, 5, OBS), torch.randn(2, 5, 16)
    torch.testing.assert_close(again.act(obs), extractor.act(obs), rtol=0, atol=0)
    torch.testing.assert_close(again.policy.critic.minimum(latent), extractor.policy.critic.minimum(latent))
    noise = torch.randn(2, 5, 3)
    torch.testing.assert_close(again.policy.actor.sample(latent, noise), extractor.policy.actor.sample(latent, noise))
    with pytest.raises(RuntimeError, match="not trained any further"):
        again.update()


def test_the_same_policies_give_the_same_file(tmp_path, extractor) -> None:
    for name in "ab":
        save_policies(tmp_path / name, extractor, model_digest="ab")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_cannot_be_read_is_named(tmp_path, extractor) -> None:
    file = tmp_path / "policies.safetensors"
    with pytest.raises(UsageError, match="no such file"):
        read_policies(file)
    save_policies(file, extractor, model_digest="ab")
    model = MultitaskModel(tiny_config(), seed=0)
    with pytest.raises(UsageError, match="trained in another world model"):
        load_policies(file, model, model_digest="cd")
    whole = file.read_bytes()
    for damaged in (whole[:40], b"", b"\x80\x04 a pickle", whole[:-8]):
        file.write_bytes(damaged)
        with pytest.raises(UsageError, match="holds no extracted policies"):
            load_policies(file, model, model_digest="ab")
