"""States and link trees turned into a world in which y is up, for models that move as published there alone.

Our models have z up, the published environments (dflex) y up. As long as quaternions have unit length, the motion is
the same. But dflex's reset of the SNU humanoid leaves ball joints with quaternions of another length c, and the first
substep uses them as they are: in the place of the rotation R stands c^2 R + (c^2 - 1) 1, whose second term does not
turn with the axes, so that the motion depends on which axis is up (`pwm_bench.envs.warp.full_inertia`).

To repeat that motion, the simulator hands the kernels of such a model (`needs_full_inertia`) the tree that
`in_published_axes` gives, and turns each state there before a control step and back after it (`WorldAxes`). No other
model is turned.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pwm_bench.envs.integrator import Integrator
from pwm_bench.envs.simulator import State
from pwm_bench.envs.warp.model import BALL, TRANSLATION, LinkTree

__all__ = ["WorldAxes", "in_published_axes", "needs_full_inertia"]

_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])  # from y up to z up: 90 degrees about x
_HALF = 0.5**0.5
# The same on quaternions w x y z: (1 + i) / sqrt(2) times a quaternion.
_UP_QUATERNION = _HALF * np.array(
    [[1.0, -1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0], [0.0, 0.0, 1.0, 1.0]]
)


def needs_full_inertia(tree: LinkTree, integrator: Integrator) -> bool:
    """Whether a model has quaternions that may not be of unit length: ball joints under linear rotations."""
    ball = (tree.kind == BALL) & (tree.kind[tree.parent] != TRANSLATION)
    return integrator.rotation == "linear" and bool(ball.any())


def in_published_axes(tree: LinkTree) -> LinkTree:
    """The same tree in a world in which y is up."""
    base = (tree.parent == 0) & (tree.kind != TRANSLATION)
    base[0] = False
    position, quaternion = tree.position.copy(), tree.quaternion.copy()
    position[base] = position[base] @ _UP
    quaternion[base] = quaternion[base] @ _UP_QUATERNION
    vias = np.where(tree.paths.via_link[:, None] == 0, tree.paths.via_position @ _UP, tree.paths.via_position)
    return replace(
        tree,
        position=position,
        quaternion=quaternion,
        paths=replace(tree.paths, via_position=vias),
        gravity=tree.gravity @ _UP,
        plane_normal=tree.plane_normal @ _UP,
        plane_position=tree.plane_position @ _UP,
    )


class WorldAxes:
    """Turns the free joints of states from our axes (z up) to those in which y is up, and back; differentiable."""

    def __init__(self, tree: LinkTree, device: torch.device, dtype: torch.dtype) -> None:
        position, velocity = np.eye(tree.nq), np.eye(tree.nv)
        for link in np.flatnonzero(tree.kind == TRANSLATION):
            q, v = tree.qpos_adr[link], tree.dof_adr[link]
            position[q : q + 3, q : q + 3] = velocity[v : v + 3, v : v + 3] = _UP.T
            position[q + 3 : q + 7, q + 3 : q + 7] = _UP_QUATERNION.T
        # Matrix products may run in reduced precision on a GPU; rows here have two entries at most.
        self._there = [_SparseRows(matrix, device, dtype) for matrix in (position, velocity)]
        self._back = [_SparseRows(matrix.T, device, dtype) for matrix in (position, velocity)]

    def there(self, state: State) -> State:
        """A state with y up."""
        return State(self._there[0](state.qpos), self._there[1](state.qvel))

    def back(self, state: State) -> State:
        """A state with z up."""
        return State(self._back[0](state.qpos), self._back[1](state.qvel))


class _SparseRows:
    """A matrix of at most two entries a row, applied to rows of a tensor."""

    def __init__(self, matrix: np.ndarray, device: torch.device, dtype: torch.dtype) -> None:
        columns = np.argsort(matrix == 0.0, axis=1, kind="stable")[:, :2]
        values = np.take_along_axis(matrix, columns, axis=1)
        self._columns = [torch.as_tensor(columns[:, n], device=device) for n in range(columns.shape[1])]
        self._values = [torch.as_tensor(values[:, n], dtype=dtype, device=device) for n in range(columns.shape[1])]

    def __call__(self, rows: Tensor) -> Tensor:
        terms = [rows.index_select(1, c) * x for c, x in zip(self._columns, self._values, strict=True)]
        return sum(terms[1:], start=terms[0])
