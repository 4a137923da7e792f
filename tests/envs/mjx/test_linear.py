from __future__ import annotations

import jax
import numpy as np
import pytest

from pwm_bench.envs.mjx import linear

SIZE, WORLDS = 7, 5


@pytest.fixture
def systems() -> tuple[np.ndarray, np.ndarray]:
    numbers = np.random.default_rng(0)
    half = numbers.normal(size=(WORLDS, SIZE, SIZE))
    return half @ half.transpose(0, 2, 1) + np.eye(SIZE), numbers.normal(size=(WORLDS, SIZE))


@pytest.mark.parametrize("solve", [linear.solve_positive, linear._by_elimination, linear._by_cholesky])
def test_either_way_solves(solve, systems) -> None:
    matrix, vector = systems
    with jax.enable_x64(True):
        found = jax.jit(jax.vmap(solve))(matrix, vector)
        np.testing.assert_allclose(np.einsum("nij,nj->ni", matrix, found), vector, rtol=1e-12, atol=1e-12)


def test_each_processor_has_its_own_way(systems) -> None:
    """LAPACK can wait for ever on a CPU; a loop over pivots is hundreds of launches on a GPU."""
    solve = jax.jit(jax.vmap(linear.solve_positive))
    shapes = [jax.ShapeDtypeStruct(x.shape, np.float32) for x in systems]
    texts = {name: jax.export.export(solve, platforms=[name])(*shapes).mlir_module() for name in ("cpu", "cuda")}
    assert "while" in texts["cpu"]
    assert "potrf" not in texts["cpu"]
    assert "while" not in texts["cuda"]
    assert "cusolver_potrf" in texts["cuda"]
