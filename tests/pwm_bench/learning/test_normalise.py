from __future__ import annotations

import numpy as np
import pytest
import torch

from pwm_bench.learning.normalise import RunningNorm

P, DIM = 2, 3


def batches(seed: int = 0) -> list[torch.Tensor]:
    rng = np.random.default_rng(seed)
    return [torch.tensor(rng.normal(5, 2, (P, n, DIM)), dtype=torch.float32) for n in (40, 1, 7, 300)]


def test_equals_mean_and_variance_of_everything_seen():
    norm = RunningNorm(P, DIM)
    for batch in batches():
        norm.update(batch)
    everything = torch.cat(batches(), dim=1).double().numpy()
    # The prior (mean 0, variance 1) weighs 1e-4 of 348 values.
    np.testing.assert_allclose(norm.mean, everything.mean(1), rtol=1e-6)
    np.testing.assert_allclose(norm.var, everything.var(1), rtol=1e-5)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_many_small_batches_lose_no_precision(offset):
    norm = RunningNorm(1, 1)
    x = torch.randn(1, 20_000, 1, generator=torch.Generator().manual_seed(0)) + offset
    for part in x.split(4, dim=1):
        norm.update(part)
    x = x.double()
    prior = 1e-4 / (20_000 + 1e-4)  # share of the initial value at mean 0
    expected = x.var(correction=0) + prior * (1 - prior) * x.mean() ** 2
    torch.testing.assert_close(norm.var[0, 0], expected, rtol=1e-6, atol=1e-7)


def test_normalises_clips_and_inverts():
    norm = RunningNorm(P, DIM)
    batch = batches()[3]
    norm.update(batch)
    y = norm.normalise(batch)
    np.testing.assert_allclose(y.mean(1), np.zeros((P, DIM)), atol=1e-5)
    np.testing.assert_allclose(y.std(1, correction=0), np.ones((P, DIM)), atol=1e-4)
    torch.testing.assert_close(norm.denormalise(norm.normalise(batch, clip=None)), batch)
    assert norm.normalise(batch + 1e6, clip=3.0).max() == 3.0
    torch.testing.assert_close(norm.std, batch.std(1, correction=0), rtol=1e-4, atol=1e-4)


def test_accepts_any_number_of_batch_axes_and_passes_gradients():
    norm = RunningNorm(P, DIM)
    x = batches()[3].unflatten(1, (30, 10)).requires_grad_()
    norm.update(x)
    norm.normalise(x, clip=None).sum().backward()
    expected = (1 / norm.std).view(P, 1, 1, DIM).expand_as(x)
    torch.testing.assert_close(x.grad, expected)


def test_starts_as_the_identity():
    x = torch.randn(P, 4, DIM)
    torch.testing.assert_close(RunningNorm(P, DIM).normalise(x), x.clamp(-5, 5), rtol=1e-4, atol=1e-5)


def test_state_dict_restores():
    norm, other = RunningNorm(P, DIM), RunningNorm(P, DIM)
    norm.update(batches()[0])
    other.load_state_dict(norm.state_dict())
    assert torch.equal(norm.normalise(batches()[1]), other.normalise(batches()[1]))


def test_statistics_stay_in_float64_whatever_the_module_around_them_is_converted_to() -> None:
    norm = RunningNorm(P, DIM)
    for batch in batches():
        norm.update(batch)
    before = {name: value.clone() for name, value in norm.named_buffers()}
    module = torch.nn.Sequential(torch.nn.Linear(DIM, DIM), norm)
    for converted in (module.to(torch.float32), module.half(), module.double()):
        assert converted[1] is norm
        for name, value in norm.named_buffers():
            assert value.dtype == torch.float64
            assert torch.equal(value, before[name])
    assert module[0].weight.dtype == torch.float64
    assert module.to("meta")[1].mean.device.type == "meta"


def test_the_statistics_of_members_that_are_not_alive_stay() -> None:
    norm, all_alive = RunningNorm(2, 3), RunningNorm(2, 3)
    first, second = torch.rand(2, 2, 7, 3)
    for each in (norm, all_alive):
        each.update(first)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    second[1] = float("nan")
    norm.update(second, alive=torch.tensor([True, False]))
    all_alive.update(second)
    for name, value in norm.state_dict().items():
        assert torch.equal(value[1], before[name][1]), name
        assert torch.equal(value[0], all_alive.state_dict()[name][0]), name
