"""Regression of PWM's critics on a CPU, with the derivatives written out.

A member goes through all its steps before the next begins, so that its weights, moments and gradients stay in the
cache. Its gradient lies in one buffer; clipping it is part of Adam's pass. Reduced-precision weights are made once a
step. Elsewhere `pwm_bench.learning.regression` takes all members at once, with the same result within rounding.

For hidden layers y_l = a_{l-1} W_l + b_l, a_l = LayerNorm(mish(y_l)) s_l + t_l, values v = a_L w + c and the loss

    L = 1/(K n) sum_k sum_i (v_ki - target_i)^2,    dL/dv_ki = 2 (v_ki - target_i) / (K n)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pwm_bench.learning import epilogue_kernels
from pwm_bench.learning.critic import CriticEnsemble
from pwm_bench.learning.epilogue import Epilogue
from pwm_bench.learning.guards import MemberGuard
from pwm_bench.learning.optim import PopulationAdam

__all__ = ["CriticFit"]

_HIDDEN = Epilogue("mish", "post")


class CriticFit:
    """Steps critics whose hidden layers are linear, Mish, LayerNorm (``"mish"``, ``"post"``).

    Args:
        critic: the ensembles, float32, on a CPU.
        optimiser: of all their parameters, in order.
        max_norm: clip on the norm of a member's gradient.
        precision: of the matrix products, ``"float32"`` or ``"bfloat16"``.
        guard: freezes members whose loss or gradient is not finite.
    """

    def __init__(
        self,
        critic: CriticEnsemble,
        optimiser: PopulationAdam,
        *,
        max_norm: float,
        precision: str,
        guard: MemberGuard,
    ) -> None:
        self._members, self._ensemble = critic.members, critic.ensemble
        self._optimiser, self._guard, self._max_norm = optimiser, guard, max_norm
        self._dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        every = list(critic.parameters())  # weight, bias, scale, shift of each hidden layer; weight, bias of the last
        self._weights = [p.detach().unflatten(0, (self._members, self._ensemble)) for p in every]
        shapes = [p.shape[1:] for p in self._weights]
        sizes = [shape.numel() for shape in shapes]
        self._gradient = torch.zeros(sum(sizes))
        parts = self._gradient.split(sizes)
        self._gradients = [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]

    def run(
        self,
        latents: Tensor,
        targets: Tensor,
        orders: Sequence[Tensor | None],
        minibatches: int,
        iteration: int | Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Goes through the states once for each order, and steps on every part of them.

        Args:
            latents: states, shape ``(P, N, D)``.
            targets: shape ``(P, N)``.
            orders: permutations, int64 ``(P, N)``; None leaves the states as they are.
            minibatches: parts of a pass.
            iteration: recorded for members that diverge now.

        Returns:
            losses and norms of the gradients before clipping, means over the steps, each shape ``(P,)``.
        """
        results = []
        for member in range(self._members):
            x, y = latents[member].to(self._dtype), targets[member]
            steps = []
            for order in orders:
                xs, ys = (x, y) if order is None else (x.index_select(0, order[member]), y[order[member]])
                for rows, wanted in zip(xs.chunk(minibatches), ys.chunk(minibatches), strict=True):
                    steps.append(self._step(member, rows, wanted, iteration))
            results.append(torch.stack(steps).mean(0))
        losses, norms = torch.stack(results, 1)
        return losses, norms

    def _step(self, member: int, x: Tensor, y: Tensor, iteration: int | Tensor) -> Tensor:
        """One gradient step on states ``(n, D)``. Returns loss and norm, shape ``(2,)``."""
        loss = self._differentiate(member, x, y)
        norm = self._gradient.norm()
        alive = self._guard.check_member(member, iteration, loss, norm)
        clip = (self._max_norm / (norm + 1e-6)).clamp(max=1.0)
        self._optimiser.step_member(member, self._gradients, alive, clip=clip)
        return torch.stack((loss, norm))

    def _differentiate(self, member: int, x: Tensor, y: Tensor) -> Tensor:
        """Leaves the gradient of the loss in the buffer and returns the loss."""
        params = [p[member] for p in self._weights]
        products = [p.to(self._dtype) for p in params[0:-2:4]]  # a copy only in reduced precision
        biases, scales, shifts = params[1:-2:4], params[2:-2:4], params[3:-2:4]
        inputs = [x.expand(self._ensemble, -1, -1)]
        kept = []
        for weight, bias, scale, shift in zip(products, biases, scales, shifts, strict=True):
            z = _products(inputs[-1], weight)
            a, statistics = epilogue_kernels.forward(_HIDDEN.key, _HIDDEN.eps, z, bias, scale, shift)
            kept.append((z, bias, scale, shift, statistics))
            inputs.append(a)
        last = inputs.pop().float()
        error = torch.baddbmm(params[-1], last, params[-2]).squeeze(-1) - y
        loss = error.square().mean()

        slope = error.mul_(2.0 / error.numel()).unsqueeze(-1)  # dL/dv, shape (K, n, 1)
        torch.sum(slope, 1, keepdim=True, out=self._gradients[-1])
        torch.bmm(last.transpose(1, 2), slope, out=self._gradients[-2])
        grad = (slope * params[-2].transpose(1, 2)).to(self._dtype)
        for layer in reversed(range(len(kept))):
            gz, sums = epilogue_kernels.backward(_HIDDEN.key, _HIDDEN.eps, grad, *kept[layer], True)
            into = self._gradients[4 * layer : 4 * layer + 4]
            for target, column in zip(into[1:], epilogue_kernels.columns(_HIDDEN.key, gz.dtype, sums), strict=True):
                target.copy_(column)
            if self._dtype == torch.float32:
                _products(inputs[layer].transpose(1, 2), gz, out=into[0])
            else:
                into[0].copy_(_products(inputs[layer].transpose(1, 2), gz))
            if layer:
                grad = _products(gz, products[layer].transpose(1, 2))
        return loss


def _products(x: Tensor, y: Tensor, out: Tensor | None = None) -> Tensor:
    """``torch.bmm`` one by one: three products on two cores go faster in turn, and a shared ``x`` is not copied."""
    out = x.new_empty(x.shape[0], x.shape[1], y.shape[2]) if out is None else out
    for a, b, c in zip(x, y, out, strict=True):
        torch.mm(a, b, out=c)
    return out
