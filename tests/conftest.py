"""Says at the head of a test run what decides which code it exercises; the device of tests that need a GPU."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from pwm_bench.envs import resolve_device
from pwm_bench.world_model.multitask.product import why_plain


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rehearse-gpu",
        action="store_true",
        help="run `gpu` tests without a GPU: torch's on the mirror device, simulators' on the CPU, both shortened",
    )


def pytest_report_header() -> str:
    """The way that bfloat16 products with constant weights take on this processor."""
    reason = why_plain(torch.bfloat16)
    return f"bfloat16 products: {f'plain ({reason})' if reason else 'packed'}, and plain where a test says `hidden`"


@pytest.fixture
def rehearsed(request: pytest.FixtureRequest) -> bool:
    """Whether there is no GPU, and tests that need one run all the same, to see that they would."""
    return bool(request.config.getoption("--rehearse-gpu"))


@pytest.fixture
def gpu(rehearsed: bool) -> Iterator[torch.device]:
    """The GPU for what is torch's alone; when rehearsed, the mirror device."""
    if not rehearsed:
        yield resolve_device("cuda")
        return
    from tests.rehearsal.mirror import DEVICE, rehearsal

    with rehearsal():
        yield DEVICE


@pytest.fixture
def gpu_of_simulators(rehearsed: bool) -> str:
    """The name of the GPU for what computes in Warp or JAX too; when rehearsed, the CPU."""
    return "cpu" if rehearsed else "cuda"
