"""Products with constant weights: both ways, whichever the processor has."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from pwm_bench.world_model.multitask import product
from pwm_bench.world_model.multitask.product import ConstantProduct, why_plain

WITHOUT_AVX512 = "mkldnn_reorder_linear_weight: bf16 path needs the cpu support avx512bw"  # what torch says there


@pytest.fixture(autouse=True)
def asked_anew():
    why_plain.cache_clear()
    yield
    why_plain.cache_clear()


def _agrees(dtype: torch.dtype, tolerance: float) -> ConstantProduct:
    """Compares both directions with the same products in float64."""
    generator = torch.Generator().manual_seed(0)
    weight, x, g = (torch.randn(*shape, generator=generator).to(dtype) for shape in ((40, 70), (2, 5, 70), (2, 5, 40)))
    made = ConstantProduct(weight)
    for ours, exact in ((made(x), x.double() @ weight.double().t()), (made.backward(g), g.double() @ weight.double())):
        assert ours.dtype == dtype
        torch.testing.assert_close(ours.double(), exact, rtol=tolerance, atol=20 * tolerance)
    return made


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_both_directions_equal_exact_products(dtype, tolerance, bfloat16_products) -> None:
    assert _agrees(dtype, tolerance).packed == (not why_plain(dtype))


def test_double_precision_is_plain_and_silent(caplog) -> None:
    with caplog.at_level("INFO"):
        assert not _agrees(torch.float64, 1e-12).packed
    assert not caplog.records


def test_hiding_the_instructions_takes_the_plain_way_and_says_so_once(monkeypatch, caplog) -> None:
    monkeypatch.setenv("PWM_BENCH_AVX512", "0")
    with caplog.at_level("INFO"):
        assert not any(_agrees(torch.bfloat16, 2e-2).packed for _ in range(2))
    (record,) = caplog.records
    assert "PWM_BENCH_AVX512=0 hides" in record.message
    assert "\n" not in record.message


def test_a_processor_where_the_operation_exists_but_does_not_work(monkeypatch, caplog) -> None:
    monkeypatch.delenv("PWM_BENCH_AVX512", raising=False)

    def refuse(weight):
        raise RuntimeError(f"{WITHOUT_AVX512}\nand a trace")

    monkeypatch.setattr(product, "_pack", refuse)
    with caplog.at_level("INFO"):
        assert not _agrees(torch.bfloat16, 2e-2).packed
    assert [record.message.count(WITHOUT_AVX512) for record in caplog.records] == [1]


def test_packed_products_that_are_wrong_are_not_used(monkeypatch) -> None:
    monkeypatch.setattr(product, "_multiply_packed", lambda x, weight: x.new_zeros(*x.shape[:-1], 20))
    monkeypatch.setattr(product, "_pack", lambda weight: weight)
    assert not _agrees(torch.float32, 1e-5).packed
    assert why_plain(torch.float32) == "its packed products are wrong"


def test_onednn_without_avx512_takes_the_plain_way() -> None:
    """oneDNN reads its own switch when it starts, so this needs a process of its own."""
    program = (
        "import torch; from pwm_bench.world_model.multitask.product import ConstantProduct as P, why_plain\n"
        "w = torch.eye(24).bfloat16(); p = P(w)\n"
        "assert torch.equal(p(w), w) and torch.equal(p.backward(w), w)\n"
        "print(p.packed, why_plain(torch.bfloat16))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True,
        text=True,
        check=True,
    )
    packed, _, reason = done.stdout.strip().partition(" ")
    assert packed == str(not reason)
    if torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512"):
        assert packed == "False"
