from __future__ import annotations

import pytest
import torch

from pwm_bench.envs.errors import UsageError
from pwm_bench.learning import epilogue
from pwm_bench.learning.random import MemberStream
from pwm_bench.world_model.multitask.config import sized
from pwm_bench.world_model.multitask.frozen import TaskModel
from pwm_bench.world_model.multitask.layers import Stack
from pwm_bench.world_model.multitask.networks import MultitaskModel
from tests.pwm_bench.world_model.multitask.factories import ACT, OBS, tiny_config, tiny_model, tiny_weights

# Trainable parameters of the whole model, and of what PWM keeps of it [millions]; the names of the sizes are roundings
# of the first. Observations and actions as padded in MT30 (24, 6) and MT80 (39, 6).
COUNTS = [
    (30, "1M", {"task_dim": 96}, 1.426, 0.632),
    (30, "5M", {"task_dim": 64}, 5.24, 1.60),
    (30, "19M", {"task_dim": 64, "latent_dim": 512}, 16.03, 5.60),
    (30, "48M", {"task_dim": 64}, 48.24, 18.98),
    (30, "317M", {"task_dim": 96}, 317.3, 108.3),
    (80, "5M", {"task_dim": 96}, 5.39, 1.65),
    (80, "19M", {"task_dim": 96}, 18.97, 6.77),
    (80, "48M", {"task_dim": 96}, 48.79, 19.19),
]


@pytest.mark.parametrize(("tasks", "size", "changes", "whole", "subset"), COUNTS)
def test_parameter_counts_are_those_of_the_released_models(tasks, size, changes, whole, subset) -> None:
    obs = 24 if tasks == 30 else 39
    names = [str(k) for k in range(tasks)]
    config = sized(size, observation_dim=obs, action_dim=6, tasks=names, **changes)
    model = MultitaskModel(config, seed=None, device="meta")
    trainable = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
    kept = sum(n for name, n in trainable.items() if not name.startswith(("q_", "policy")))
    assert sum(trainable.values()) / 1e6 == pytest.approx(whole, rel=1e-3)
    assert kept / 1e6 == pytest.approx(subset, rel=2e-3)


def test_a_population_sees_what_each_member_sees_alone() -> None:
    model = MultitaskModel(tiny_config(), seed=0).double()
    obs, action = torch.randn(2, 5, OBS).double(), torch.rand(2, 5, ACT).double()
    task = torch.tensor([2, 0])
    together = model.next(model.encode(obs, task), action, task)
    for member, index in enumerate(task):
        rows = index.expand(5)
        alone = model.next(model.encode(obs[member], rows), action[member], rows)
        torch.testing.assert_close(together[member], alone)
    assert not torch.allclose(model.encode(obs[0], task[0].expand(5)), model.encode(obs[0], task[1].expand(5)))


def test_predictions_begin_at_zero_and_latents_are_simplices() -> None:
    model = MultitaskModel(tiny_config(), seed=0)
    task = torch.tensor([0, 1])
    latent = model.encode(torch.randn(2, 4, OBS), task)
    torch.testing.assert_close(latent.unflatten(-1, (-1, 8)).sum(-1), torch.ones(2, 4, 2))
    assert model.reward(latent, torch.zeros(2, 4, ACT), task).abs().max() < 1e-5
    assert model.q_values(latent, torch.zeros(2, 4, ACT), task).abs().max() < 1e-5


def test_embeddings_longer_than_one_are_scaled_and_shorter_ones_kept() -> None:
    model = MultitaskModel(tiny_config(), seed=0)
    with torch.no_grad():
        model.task_embedding[0] = 3.0
        model.task_embedding[1] = 0.1
    model.project_embedding()
    norms = model.task_embedding.norm(dim=1)
    torch.testing.assert_close(norms[:2], torch.tensor([1.0, 0.1 * 5**0.5]))


def test_dropout_acts_on_the_first_layer_of_the_q_functions_only_where_asked() -> None:
    model = MultitaskModel(tiny_config(dropout=0.5), seed=0)
    with torch.no_grad():
        model.q_networks[2].weight.normal_()
    latent, action, task = torch.rand(4, 16), torch.rand(4, ACT), torch.zeros(4, dtype=torch.int64)
    plain = model.q_logits(latent, action, task)
    assert torch.equal(plain, model.q_logits(latent, action, task))
    draws = [model.q_logits(latent, action, task, dropout=torch.Generator().manual_seed(s)) for s in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.allclose(draws[0], draws[2])
    some = model.q_logits(latent, action, task, rows=torch.tensor([3, 1]))
    torch.testing.assert_close(some, plain[[3, 1]])


@pytest.mark.parametrize("options", [{}, {"rows": torch.tensor([3, 1])}, {"fixed": True}, {"dropout": True}], ids=str)
@pytest.mark.parametrize("ensemble", [0, 4])
def test_a_layer_with_the_kernel_equals_one_without(ensemble, options, monkeypatch) -> None:
    if not ensemble and "rows" in options:
        options = {}
    stack = Stack((6, 20, 12, 3), ensemble=ensemble, dropout=0.5, stream=MemberStream([0]))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in stack.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=generator))
    x = torch.randn(5, 7, 6, generator=generator, requires_grad=True)
    results = []
    for fewest in (1, 1 << 40):
        monkeypatch.setattr(epilogue, "_FEWEST", fewest)
        if "dropout" in options:
            options = {"dropout": torch.Generator().manual_seed(1)}
        y = stack(x, **options)
        wanted = [x] if options.get("fixed") else [x, *stack.parameters()]
        results.append((y, *torch.autograd.grad(y.square().sum(), wanted, allow_unused=True)))
    assert sum(g is not None for g in results[0]) > 1
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"action_dims": (1, 2)}, "action_dims: 2 values for 3 tasks"),
        ({"action_dims": (1, 2, 9)}, "each must be from 1 to action_dim=3"),
        ({"task_dim": 0}, "3 tasks need an embedding"),
        ({"tasks": ("a", "a", "b")}, "each once"),
        ({"latent_dim": 12}, "multiple of simnorm_dim"),
    ],
)
def test_impossible_models_are_refused(changes, match) -> None:
    with pytest.raises(UsageError, match=match):
        tiny_config(**changes)


def test_a_frozen_model_in_double_precision_with_reduced_products() -> None:
    """It gives what the same model in single precision gives: bfloat16 products, the rest in the model's own."""
    model = tiny_model(tiny_weights())
    obs, task = torch.randn(1, 300, OBS, generator=torch.Generator().manual_seed(0)), torch.tensor([0])
    single = TaskModel(model, task, precision="bfloat16").encode(obs)
    double = TaskModel(model.double(), task, precision="bfloat16").encode(obs.double())
    torch.testing.assert_close(double.float(), single.float(), rtol=2e-2, atol=2e-2)


def test_an_unknown_precision_of_the_frozen_view_is_named() -> None:
    model = MultitaskModel(tiny_config(), seed=0)
    with pytest.raises(UsageError, match="unknown precision 'float16'"):
        TaskModel(model, torch.tensor([0]), precision="float16")
