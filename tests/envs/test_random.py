"""Counter-based random numbers: known values, moments, independence of the batch."""

from __future__ import annotations

import pytest
import torch

from pwm_bench.envs import random_kernels  # noqa: F401 - defines the operators
from pwm_bench.envs.random import fold, normal, seed_keys, uniform


def splitmix(x: int) -> int:
    mask = (1 << 64) - 1
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    return x ^ (x >> 31)


def test_bits_are_those_of_splitmix() -> None:
    """The first draws of key 12345, against the generator in Python's unbounded integers."""
    golden = 0x9E3779B97F4A7C15
    expected = [(splitmix((12345 + golden * n) % (1 << 64)) >> 40) / (1 << 24) for n in range(1, 5)]
    assert uniform(torch.tensor(12345), 4, torch.float64).tolist() == expected


def test_moments() -> None:
    keys = fold(seed_keys([0, 1, 2]), torch.arange(3))
    u = uniform(keys, 50_000, torch.float64)
    assert torch.all((u >= 0.0) & (u < 1.0))
    assert torch.allclose(u.mean(1), torch.full((3,), 0.5, dtype=torch.float64), atol=0.01)
    z = normal(keys, 50_001, torch.float64)
    assert z.shape == (3, 50_001)
    assert torch.allclose(z.var(1), torch.ones(3, dtype=torch.float64), atol=0.03)
    assert torch.allclose(z.pow(4).mean(1), torch.full((3,), 3.0, dtype=torch.float64), atol=0.15)
    assert torch.corrcoef(z).fill_diagonal_(0.0).abs().max() < 0.02


def test_a_row_depends_on_its_own_key_only() -> None:
    alone = uniform(fold(seed_keys([7]), 3), 10)
    together = uniform(fold(seed_keys([1, 7, 9]), 3), 10)
    assert torch.equal(alone[0], together[1])
    assert not torch.equal(together[0], together[1])


def test_neighbouring_seeds_and_counters_differ() -> None:
    keys = torch.cat([fold(seed_keys(range(100)), n) for n in range(100)])
    assert keys.unique().numel() == 10_000


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_kernels_for_a_gpu_give_the_same_bits(dtype: torch.dtype) -> None:
    keys = fold(seed_keys([0, 7, 2**31 - 1]).unsqueeze(1), torch.arange(5))
    counts = torch.arange(15).view(3, 5) * 10**12
    one = torch.tensor(3)
    assert torch.equal(torch.ops.pwm_bench.hash_fold(keys, counts), fold(keys, counts))
    assert torch.equal(torch.ops.pwm_bench.hash_fold(keys, one), fold(keys, one))
    drawn = torch.ops.pwm_bench.hash_uniform(keys, 7, dtype)
    assert drawn.dtype == dtype
    assert torch.equal(drawn, uniform(keys, 7, dtype))


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_normal_numbers_of_the_kernel_for_a_gpu(dtype: torch.dtype, rounding: float) -> None:
    keys = fold(seed_keys([0, 7, 2**31 - 1]).unsqueeze(1), torch.arange(50))
    for dim in (1, 7, 8):
        drawn = torch.ops.pwm_bench.hash_normal(keys, dim, dtype)
        assert drawn.dtype == dtype
        torch.testing.assert_close(drawn, normal(keys, dim, dtype), rtol=rounding, atol=rounding)
    assert torch.ops.pwm_bench.hash_normal(keys, 0, dtype).shape == (3, 50, 0)
