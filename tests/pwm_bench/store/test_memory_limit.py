from __future__ import annotations

import pytest
import torch
from torch import nn

from pwm_bench.store.memory_limit import MemoryLimit

MIB = 1 << 20


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.empty(1 << 44),
        lambda: torch.zeros(2, 1 << 20),
        lambda: torch.randn(1 << 21, generator=torch.Generator().manual_seed(0)),
        lambda: torch.ones(1).expand(1 << 21).contiguous(),
        lambda: torch.arange(1 << 20),
        lambda: nn.Linear(1 << 11, 1 << 10),
        lambda: [torch.ones(1 << 16) for _ in range(17)],
        lambda: torch.ones(1 << 10).outer(torch.ones(1 << 10)),
    ],
)
def test_what_would_take_more_is_not_made(make):
    with pytest.raises(ValueError, match="take more than 4 MiB"), MemoryLimit(4 * MIB):
        make()


def test_what_is_let_go_counts_no_longer_and_views_count_once():
    with MemoryLimit(4 * MIB):
        for _ in range(5):
            kept = torch.ones(3 * MIB // 4)
            views = [kept[n:] for n in range(10)]
            del kept, views
        made = nn.Linear(500, 1000)
        assert made.weight.abs().max().item() > 0.0
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(3)
        alone = torch.randn(8)
        torch.manual_seed(3)
        with MemoryLimit(MIB):
            assert torch.equal(torch.randn(8), alone)
