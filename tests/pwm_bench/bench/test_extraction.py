from __future__ import annotations

import pytest
import torch

from pwm_bench.bench import plain_extraction
from pwm_bench.bench.extraction import actor_gradient_cosine, matrix_work, measure
from pwm_bench.bench.plain_extraction import PlainExtraction, ReleasedExtraction
from pwm_bench.learning.expert import Expert
from pwm_bench.pwm.extraction.config import ExtractionConfig
from pwm_bench.pwm.extraction.train import Extractor
from pwm_bench.world_model.multitask.config import ModelConfig
from pwm_bench.world_model.multitask.networks import MultitaskModel

CONFIG = ExtractionConfig(batch_size=8, horizon=4, hidden_actor=(12, 8), hidden_critic=(10,), critic_iterations=1)
TASKS = tuple(f"task-{k}" for k in range(3))


@pytest.fixture
def model() -> MultitaskModel:
    sizes = {"latent_dim": 16, "encoder_hidden": (12,), "hidden": (24, 24), "num_q": 0, "task_dim": 4}
    model = MultitaskModel(ModelConfig(observation_dim=39, action_dim=6, tasks=TASKS, **sizes))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in (*model.encoder, *model.dynamics, *model.reward_network):
            layer.weight.normal_(std=0.3, generator=generator)
    return model


def test_the_plain_implementation_takes_the_same_actor_step(model, monkeypatch) -> None:
    obs = torch.randn(8, 39, generator=torch.Generator().manual_seed(1))
    ours = Extractor(model, [Expert("task-1", 0)], CONFIG, starts=lambda stream, batch: obs.repeat(1, batch // 8, 1))
    plain = PlainExtraction(model, 1, CONFIG)
    with torch.no_grad():
        _copy(ours.policy.actor.mean, plain.actor, 0)
        for k, critic in enumerate(plain.critics):
            _copy(ours.policy.critic.net, critic, k)
    noise = iter(torch.randn(4, 8, 6, generator=torch.Generator().manual_seed(2)))
    drawn = torch.stack(list(torch.randn(4, 8, 6, generator=torch.Generator().manual_seed(2))))
    monkeypatch.setattr(ours._stream, "normal", lambda *shape, dtype: drawn.unsqueeze(0))
    monkeypatch.setattr(plain_extraction.torch, "randn_like", lambda mean: next(noise))
    norm = ours.update()["actor_grad_norm"]
    plain.update(obs)  # it clips the gradients themselves
    gradient = torch.cat([p.grad.flatten() for p in ours.policy.actor.mean.layers[-1].parameters()])
    gradient = gradient * (CONFIG.max_grad_norm_actor / norm).clamp(max=1.0)
    other = torch.cat([plain.actor[-1].weight.grad.t().flatten(), plain.actor[-1].bias.grad])
    torch.testing.assert_close(gradient, other, rtol=1e-3, atol=1e-6)
    assert gradient.norm() > 1e-3


def test_the_released_structure_of_the_critics_changes_no_step(model) -> None:
    obs = torch.randn(8, 39, generator=torch.Generator().manual_seed(1))
    critics = []
    for kind in (PlainExtraction, ReleasedExtraction):
        torch.manual_seed(0)
        learner = kind(model, 1, CONFIG)
        learner.update(obs)
        critics.append(learner._critic_values(torch.ones(2, 16)))
    torch.testing.assert_close(*critics, rtol=1e-4, atol=1e-5)


def _copy(population, plain, row: int) -> None:
    """Writes the weights of a population's row into torch's own modules."""
    mine = {name: p[row] for name, p in population.named_parameters()}
    layers = [module for module in plain if not isinstance(module, torch.nn.Mish)]
    for index, (module, kind) in enumerate(zip(layers, ("linear.", "norm.") * len(layers), strict=False)):
        prefix = f"layers.{index // 2}." + ("" if index == len(layers) - 1 else kind)
        weight = mine[f"{prefix}weight"]
        module.weight.copy_(weight.t() if isinstance(module, torch.nn.Linear) else weight.flatten())
        module.bias.copy_(mine[f"{prefix}bias"].flatten())


def test_measuring_covers_every_workload_and_counts_its_products(model, bfloat16_products) -> None:
    seconds = measure(model, (1, 2), repeats=1, config=CONFIG)
    baselines = {("plain float32", 1), ("released float32", 1)}
    assert set(seconds) == baselines | {(p, n) for p in ("float32", "bfloat16") for n in (1, 2)}
    assert all(value > 0 for value in seconds.values())
    rows, critic, first = 8 * 4, 16 * 10 + 10, 16 * 10
    inner = 26 * 24 + 24 * 24
    products = 2 * (inner + 24 * 16 + inner + 24 * 101) + 3 * (16 * 12 + 12 * 8 + 8 * 6) + 3 * critic
    # the dynamics and reward take 16 + 4 + 6 inputs, the encoder 39 + 4
    expected = rows * products + 8 * (43 * 12 + 12 * 16) + rows * 3 * (3 * critic - first)
    assert matrix_work(model, CONFIG) == 2 * expected
    assert actor_gradient_cosine(model, CONFIG) > 0.98
