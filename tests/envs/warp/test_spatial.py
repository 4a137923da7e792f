"""Derivatives of rotation vectors, from small angles, where a series stands for a difference that cancels, to large."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import warp as wp

from pwm_bench.envs.warp.spatial import inverse_right_jacobian_transpose, right_jacobian_transpose

ANGLES = (0.0, 1e-8, 1e-4, 1e-3, 0.01, 0.03, 0.1, 0.2, 0.22, 0.2236, 0.2237, 0.3, 1.0, 3.0)


@wp.kernel
def _transposes(phi: wp.array(dtype=Any), g: wp.array(dtype=Any), out: wp.array2d(dtype=Any)):  # type: ignore[valid-type]
    i = wp.tid()
    out[0, i] = right_jacobian_transpose(phi[i], g[i])
    out[1, i] = inverse_right_jacobian_transpose(phi[i], g[i])


def _right_jacobian(phi: np.ndarray) -> np.ndarray:
    """J_r as the sum of (-[phi])^n / (n + 1)!, of which nothing cancels at these angles."""
    x, y, z = phi
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    total, term = np.eye(3), np.eye(3)
    for n in range(1, 40):
        term = term @ -cross / (n + 1)
        total = total + term
    return total


@pytest.mark.parametrize(("vector", "dtype", "bound"), [(wp.vec3d, np.float64, 2e-12), (wp.vec3f, np.float32, 5e-6)])
def test_jacobians_of_rotation_vectors_are_the_sums_of_their_series(vector: Any, dtype: Any, bound: float) -> None:
    draw = np.random.default_rng(0)
    axes = draw.normal(size=(len(ANGLES), 3))
    phi = np.array(ANGLES)[:, None] * axes / np.linalg.norm(axes, axis=1, keepdims=True)
    g = draw.normal(size=phi.shape)
    phi, g = phi.astype(dtype), g.astype(dtype)
    out = wp.zeros((2, len(phi)), dtype=vector, device="cpu")
    given = [wp.array(x, dtype=vector, device="cpu") for x in (phi, g)]
    wp.launch(_transposes, dim=len(phi), inputs=[*given, out], device="cpu")
    for row, (p, f) in enumerate(zip(phi.astype(np.float64), g.astype(np.float64), strict=True)):
        jacobian = _right_jacobian(p)
        wanted = np.stack([jacobian.T @ f, np.linalg.solve(jacobian.T, f)])
        assert out.numpy()[:, row] == pytest.approx(wanted, abs=bound), ANGLES[row]
