"""Torch tensors into compiled JAX programs and back, by dlpack, as one differentiable operation."""

from __future__ import annotations

import threading
from typing import Any

import jax
import torch
from torch import Tensor

from pwm_bench.envs.mjx.program import Program
from pwm_bench.envs.mjx.runtime import precision

__all__ = ["DifferentiableCall"]

# On a CPU, kernels of two programs that run at once can wait for each other's threads for ever (see linear.py).
_one_at_a_time = threading.Lock()


class DifferentiableCall:
    """A pair of programs, forward and backward, as one torch function.

    Memory is shared, not copied, where JAX accepts it (on a CPU: 64-byte aligned inputs). On a GPU nothing waits for
    the host: dlpack orders each side's stream after the other's, and as the results are imported on the stream on
    which torch will reuse the arguments' memory, that reuse comes after their use here. On a CPU the call returns when
    the result is there, because torch has no way to wait for it.

    Args:
        forward: maps ``inputs`` to ``num_outputs`` results and any number of arrays to keep for ``backward``.
        backward: maps the arrays kept, the last input and the results' gradients to the inputs' gradients.
        num_outputs: how many of ``forward``'s results are the function's own.
        dtype: of all tensors.
        device: of all tensors.
    """

    def __init__(
        self, forward: Program, backward: Program, *, num_outputs: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.forward = forward
        self.backward = backward
        self.num_outputs = num_outputs
        self.dtype = dtype
        self.device = device

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Runs the function; differentiable once if gradients are enabled and an input requires one."""
        if torch.is_grad_enabled() and any(t.requires_grad for t in inputs):
            return _Call.apply(self, *inputs)
        return self._export(self._run(self.forward, *inputs)[: self.num_outputs])

    def _run(self, program: Program, *arguments: Tensor | jax.Array) -> tuple[jax.Array, ...]:
        with precision(self.dtype):
            arrays = [self._import(a) if isinstance(a, Tensor) else a for a in arguments]
            if self.device.type != "cpu":
                return program(*arrays)
            with _one_at_a_time:
                return jax.block_until_ready(program(*arrays))

    @staticmethod
    def _import(tensor: Tensor) -> jax.Array:
        # Along an axis of one entry any stride is contiguous. Flat and back: the one that programs were compiled for.
        return jax.dlpack.from_dlpack(tensor.detach().contiguous().view(-1).view(tensor.shape))

    @staticmethod
    def _export(arrays: tuple[jax.Array, ...]) -> tuple[Tensor, ...]:
        return tuple(torch.from_dlpack(a) for a in arrays)


class _Call(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, call: DifferentiableCall, *inputs: Tensor) -> tuple[Tensor, ...]:
        results = call._run(call.forward, *inputs)
        ctx.call = call
        # Kept arrays stay JAX's own: no tensor shares their memory, so nothing can change them in place.
        ctx.kept = results[call.num_outputs :]
        ctx.save_for_backward(inputs[-1])
        return call._export(results[: call.num_outputs])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        call = ctx.call
        return None, *call._export(call._run(call.backward, *ctx.kept, *ctx.saved_tensors, *grads))
