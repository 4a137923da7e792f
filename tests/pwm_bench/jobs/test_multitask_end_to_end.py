"""From data to policies: two linear systems that want the first coordinate high (right) or low (left)."""

from __future__ import annotations

import torch

from pwm_bench.jobs.kinds import carry_out
from pwm_bench.jobs.pretrain import PretrainSpec
from pwm_bench.learning.expert import Expert
from pwm_bench.pwm.extraction.config import ExtractionConfig
from pwm_bench.pwm.extraction.train import Extractor
from pwm_bench.store.inputs import find_input
from pwm_bench.store.results import Results
from pwm_bench.world_model.dataset import Dataset, ObservationSampler
from pwm_bench.world_model.multitask.files import load_model
from tests.pwm_bench.world_model.multitask.datasets import write_linear_data

SIZE = {"latent_dim": 64, "encoder_hidden": (64,), "hidden": (64, 64), "num_q": 0, "task_dim": 4}


def test_experts_learn_from_data_alone_what_each_task_wants(tmp_path) -> None:
    write_linear_data(tmp_path / "data")
    data = Dataset(tmp_path / "data")
    changes = {"learning_rate": 3e-3, "encoder_learning_rate": 1.0, "reward_coef": 1.0, "learn_values": False}
    spec = PretrainSpec.create(
        data=[find_input(tmp_path / "data", "data")],
        sizes=SIZE,
        changes={"horizon": 2, "batch_size": 64, **changes},
        gradient_steps=400,
        evaluations=2,
        device="cpu",
    )
    record = carry_out(spec, Results(tmp_path)).record
    model = find_input(Results(tmp_path).run(spec.study, record.id).path, "model")
    config = ExtractionConfig(
        iterations=40,
        batch_size=16,
        horizon=4,
        hidden_actor=(32,),
        hidden_critic=(32,),
        critic_iterations=2,
        actor_learning_rate=1e-2,
        critic_learning_rate=3e-3,
    )
    experts = [Expert("left", 0), Expert("right", 0)]
    extractor = Extractor(load_model(model.open()), experts, config, starts=ObservationSampler(data, ["left", "right"]))
    for _ in range(config.iterations):
        extractor.update()
    action = extractor.act(torch.randn(2, 64, 4, generator=torch.Generator().manual_seed(0)))[..., 0]
    assert action[0].mean() < -0.7
    assert action[1].mean() > 0.7
