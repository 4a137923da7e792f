"""The kernels that read the link tree from arrays: one compilation for all models, one world a thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import warp as wp
from torch import Tensor

from pwm_bench.envs.warp.adjoint import build_adjoint
from pwm_bench.envs.warp.forward import build_forward
from pwm_bench.envs.warp.layout import Layout, scratch_struct
from pwm_bench.envs.warp.model import LinkTree
from pwm_bench.envs.warp.runtime import stream_of, views

__all__ = ["GeneralKernels"]


class GeneralKernels:
    """Launches the general kernels, for one simulator.

    Args:
        tree: the model's links.
        layout: types of the kernels.
        model: the model's struct.
        timestep: duration of a substep [s].
        substeps: substeps of a control step.
        shares: ranges of worlds that are launched on their own, at the same time.
        device: where they compute.
        block_dim: threads of a block on a GPU.
        coalesced: memory world-fastest, with working memory for every world.
    """

    def __init__(
        self,
        tree: LinkTree,
        layout: Layout,
        model: Any,
        *,
        timestep: float,
        substeps: int,
        shares: list[tuple[int, int]],
        device: torch.device,
        block_dim: int,
        coalesced: bool,
    ) -> None:
        self.forward_kernel = build_forward(layout).control_step
        self.adjoint_kernel = build_adjoint(layout).control_step_adjoint
        self._tree, self._model = tree, model
        self._timestep, self._substeps = layout.real(timestep), substeps
        self._coalesced, self._block_dim = coalesced, block_dim
        self._device, self._dtype = device, torch.float32 if layout.real is wp.float32 else torch.float64
        # Worlds of one share run one after another on a CPU, so they can share memory that stays in the cache.
        rows = shares[-1][1] if coalesced else 1
        self._scratch = [
            scratch_struct(
                tree,
                layout,
                rows=rows,
                device=wp.device_from_torch(device),
                coalesced=coalesced,
                full_inertia=bool(model.full_inertia),
            )
            for _ in shares
        ]
        self._single_slot = self.new_trajectory(rows * len(shares), substeps=0)

    def new_trajectory(self, worlds: int, substeps: int) -> tuple[Tensor, Tensor]:
        """Uninitialised memory for states and accelerations [worlds, substeps + 1, nq + 2 nv], and for the factors of
        the mass matrices [worlds, refreshes, packed entries]; one slot each that is used again if ``substeps`` is 0."""
        refreshes = -(-max(substeps, 1) // self._model.matrix_refresh)

        def new(slots: int, size: int) -> Tensor:
            if self._coalesced:
                return torch.empty(slots, size, worlds, dtype=self._dtype, device=self._device).permute(2, 0, 1)
            return torch.empty(worlds, slots, size, dtype=self._dtype, device=self._device)

        return new(substeps + 1, self._tree.nq + 2 * self._tree.nv), new(refreshes, self._tree.num_packed)

    def forward(
        self, n: int, lo: int, hi: int, before: tuple[Tensor, ...], memory: Any, after: tuple[Tensor, ...]
    ) -> Callable[[], object]:
        """What launches the forward kernel for share ``n``, worlds lo..hi.

        Args:
            n: the share.
            lo: its first world.
            hi: the world after its last.
            before: positions, velocities and controls of all worlds.
            memory: what `new_trajectory` gave, for a pass that will be differentiated; None keeps nothing.
            after: where positions and velocities after the control step go.
        """
        stored = memory is not None
        rows = slice(lo, hi) if stored or self._coalesced else slice(n, n + 1)
        inputs = [
            *views(*before, lo=lo, hi=hi),
            self._model,
            self._scratch[n],
            *(wp.from_torch(part[rows], return_ctype=True) for part in memory or self._single_slot),
            int(self._coalesced),
            int(stored),
            self._substeps,
            self._timestep,
            *views(*after, lo=lo, hi=hi),
        ]
        return self._prepared(self.forward_kernel, hi - lo, inputs)

    def adjoint(
        self, n: int, lo: int, hi: int, before: tuple[Tensor, ...], memory: Any, gradients: tuple[Tensor, ...]
    ) -> Callable[[], object]:
        """What launches the adjoint kernel.

        Args:
            n: as for `forward`, like ``lo`` and ``hi``.
            lo: as there.
            hi: as there.
            before: positions and controls of all worlds before the control step.
            memory: what the forward pass kept.
            gradients: those by positions and velocities after the step; then where those by positions, velocities and
                controls before it go.
        """
        inputs = [
            *views(*before, lo=lo, hi=hi),
            self._model,
            self._scratch[n],
            *(wp.from_torch(part[lo:hi], return_ctype=True) for part in memory),
            int(self._coalesced),
            self._substeps,
            self._timestep,
            *views(*gradients, lo=lo, hi=hi),
        ]
        return self._prepared(self.adjoint_kernel, hi - lo, inputs)

    def _prepared(self, kernel: Any, worlds: int, inputs: list[Any]) -> Callable[[], object]:
        return partial(
            wp.launch, kernel, dim=worlds, inputs=inputs, device=wp.device_from_torch(self._device),
            stream=stream_of(self._device), block_dim=self._block_dim,
        )  # fmt: skip
