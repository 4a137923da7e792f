"""Launches the kernels of one model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import warp as wp
from torch import Tensor

from pwm_bench.envs.warp.layout import Layout
from pwm_bench.envs.warp.model import LinkTree
from pwm_bench.envs.warp.runtime import prepared
from pwm_bench.envs.warp.specialise.dialect import LANES, Dialect
from pwm_bench.envs.warp.specialise.entry import adjoint_kernel, forward_kernel
from pwm_bench.envs.warp.specialise.stored import Recorded, stored

__all__ = ["SpecialisedKernels"]

_COALESCED_BLOCK = 32  # worlds whose numbers lie side by side on a GPU: a warp


class SpecialisedKernels:
    """Launches specialised kernels, for one simulator; the arguments are those of `GeneralKernels`."""

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
        self._block = _COALESCED_BLOCK if coalesced else LANES
        self.lanes = 1 if coalesced else LANES
        dialect = Dialect(lanes=self.lanes, block=self._block)

        def record() -> Recorded:
            from pwm_bench.envs.warp.specialise.kernels import record  # what is in the cache does without it

            return record(tree, layout, model, timestep=timestep, dialect=dialect)

        numbers = {name: getattr(model, name) for name in layout.Model.vars}
        made = stored((tree, numbers, layout.real, timestep, dialect), record)
        self.texts = made.forward, made.adjoint
        self.forward_kernel = forward_kernel(made.forward)
        self.adjoint_kernel = adjoint_kernel(made.adjoint)
        self._tree, self._substeps, self._coalesced = tree, substeps, coalesced
        self._refreshes = -(-substeps // model.matrix_refresh)
        self._block_dim = block_dim
        self._device, self._dtype = device, torch.float32 if layout.real is wp.float32 else torch.float64
        self._numbers = torch.as_tensor(made.parameters, dtype=self._dtype, device=device)
        self._adjoint_numbers = torch.as_tensor(made.adjoint_parameters, dtype=self._dtype, device=device)
        self._single_slots = [self.new_trajectory(shares[-1][1] if coalesced else 1, substeps=0) for _ in shares]

    def new_trajectory(self, worlds: int, substeps: int) -> tuple[Tensor, Tensor]:
        """Uninitialised memory for states and accelerations [blocks, substeps + 1, nq + 2 nv, block], and for the
        factors of the mass matrices [blocks, refreshes, packed entries, block]; one slot each if ``substeps`` is 0."""
        blocks = -(-worlds // self._block)

        def new(slots: int, size: int) -> Tensor:
            return torch.empty(blocks, slots, size, self._block, dtype=self._dtype, device=self._device)

        size, packed = self._tree.nq + 2 * self._tree.nv, self._tree.num_packed
        return new(substeps + 1, size), new(self._refreshes if substeps else 1, packed)

    def forward(
        self, n: int, lo: int, hi: int, before: tuple[Tensor, ...], memory: Any, after: tuple[Tensor, ...]
    ) -> Callable[[], object]:
        """What launches the forward kernel for share ``n``, worlds lo..hi."""
        stored = memory is not None
        slots = _rows(lo // self._block, *memory) if stored else _rows(0, *self._single_slots[n])
        arrays = [self._numbers.data_ptr(), *_rows(lo, *before), *slots, *_rows(lo, *after)]
        own = self._coalesced and not stored
        return self._prepared(self.forward_kernel, hi - lo, arrays, int(stored), int(own))

    def adjoint(
        self, n: int, lo: int, hi: int, before: tuple[Tensor, ...], memory: Any, gradients: tuple[Tensor, ...]
    ) -> Callable[[], object]:
        """What launches the adjoint kernel."""
        slots = _rows(lo // self._block, *memory)
        arrays = [self._adjoint_numbers.data_ptr(), *_rows(lo, *before), *slots, *_rows(lo, *gradients)]
        return self._prepared(self.adjoint_kernel, hi - lo, arrays)

    def _prepared(self, kernel: Any, worlds: int, arrays: list[int], *more: int) -> Callable[[], object]:
        numbers = [*arrays, worlds, self._substeps, self._refreshes, *more]
        threads = -(-worlds // self.lanes)
        return prepared(kernel, threads, numbers, device=self._device, block=self._block_dim)


def _rows(first: int, *arrays: Tensor) -> list[int]:
    """Addresses of a row of contiguous tensors."""
    return [x.data_ptr() + first * x.stride(0) * x.element_size() for x in arrays]
