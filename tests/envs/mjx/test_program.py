from __future__ import annotations

import threading
import time

import jax
import numpy as np
import torch

from pwm_bench.envs.mjx.bridge import DifferentiableCall
from pwm_bench.envs.mjx.program import Program


def test_two_that_need_the_same_program_lower_it_once(tmp_path, monkeypatch):
    """The second waits for the first and finds the file. They are threads here; the lock is the same for processes."""
    monkeypatch.setenv("PWM_BENCH_CACHE", str(tmp_path))
    traced = []

    def double(x):
        traced.append(x.shape)
        time.sleep(0.3)  # long enough for the other to begin
        return (2.0 * x,)

    def make() -> Program:
        shape = jax.ShapeDtypeStruct((3,), np.float32)
        device = jax.devices("cpu")[0]
        return Program(double, [shape], name="double", content=b"", dtype=torch.float32, device=device)

    programs = [make(), make()]
    threads = [threading.Thread(target=program.compile) for program in programs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert traced == [(3,)]
    for program in programs:
        np.testing.assert_array_equal(program(np.array([1.0, 2.0, 3.0], np.float32))[0], [2.0, 4.0, 6.0])
    assert len(list(tmp_path.rglob("*.stablehlo"))) == 1


def test_strides_along_an_axis_of_one_entry_make_no_difference(tmp_path, monkeypatch):
    """One world, or one coordinate: torch may give such an axis any stride, and JAX tells layouts apart by it."""
    monkeypatch.setenv("PWM_BENCH_CACHE", str(tmp_path))
    shapes = [jax.ShapeDtypeStruct(shape, np.float32) for shape in ((1, 1), (3, 1))]
    program = Program(
        lambda x, y: (x + y,), shapes, name="sum", content=b"", dtype=torch.float32, device=jax.devices("cpu")[0]
    )
    program.compile()
    call = DifferentiableCall(program, program, num_outputs=1, dtype=torch.float32, device=torch.device("cpu"))
    x, y = torch.tensor([5.0]).as_strided((1, 1), (1, 7)), torch.tensor([1.0, 2.0, 3.0]).as_strided((3, 1), (1, 3))
    assert call(x, y)[0].tolist() == [[6.0], [7.0], [8.0]]
