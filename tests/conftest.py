"""Says at the head of a test run what decides which code it exercises."""

from __future__ import annotations

import torch

from pwm_bench.world_model.multitask.product import why_plain


def pytest_report_header() -> str:
    """The way that bfloat16 products with constant weights take on this processor."""
    reason = why_plain(torch.bfloat16)
    return f"bfloat16 products: {f'plain ({reason})' if reason else 'packed'}, and plain where a test says `hidden`"
