"""Optimisation of a population: each member has its own step size, gradient norm and moments.

A parameter's leading axis is the member (or member times ensemble: P * K rows, a member's K beside each
other), so that every parameter can be seen as ``(P, n)``.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["PopulationAdam", "clip_grad_norm", "linear_schedule", "polyak_update"]


def linear_schedule(initial: float, final: float, progress: float) -> float:
    """Goes from ``initial`` to ``final`` while ``progress`` goes from 0 to 1, and stays there."""
    return initial + (final - initial) * min(max(progress, 0.0), 1.0)


@torch.no_grad()
def clip_grad_norm(params: Iterable[Tensor], max_norm: float, members: int) -> Tensor:
    """Scales each member's gradient so that its norm over all parameters does not exceed ``max_norm``.

    Args:
        params: parameters whose ``grad`` is scaled in place; those without one are passed over.
        max_norm: largest norm.
        members: P.

    Returns:
        the norms before clipping, shape ``(P,)``; not finite where a gradient was not.
    """
    grads = [p.grad.view(members, -1) for p in params if p.grad is not None]
    if members == 1:  # in one call, with the same bits: each norm is a sum over one row
        norms = torch.stack(torch._foreach_norm(grads)).unsqueeze(0)
    else:
        norms = torch.stack([torch.linalg.vector_norm(g, dim=1) for g in grads], dim=1)
    norm = norms.norm(dim=1)
    scale = (max_norm / (norm + 1e-6)).clamp(max=1.0)
    torch._foreach_mul_(grads, scale.squeeze() if members == 1 else [scale.unsqueeze(1)] * len(grads))
    return norm


@torch.no_grad()
def polyak_update(
    targets: Iterable[Tensor], sources: Iterable[Tensor], rate: float, alive: Tensor | None = None
) -> None:
    """Moves target parameters towards their sources, in place: ``target <- target + rate (source - target)``.

    Args:
        targets: parameters that follow.
        sources: those they follow, in the same order.
        rate: fraction of the way, tau.
        alive: bool ``(P,)``; targets of other members stay. All move by default.

    Source: Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992, with a constant rate.
    """
    targets, sources = list(targets), list(sources)
    if alive is not None:
        live, members = alive.unsqueeze(1), alive.shape[0]
        targets = [t.view(members, -1) for t in targets]
        sources = [torch.where(live, s.view(members, -1), t) for s, t in zip(sources, targets, strict=True)]
    torch._foreach_lerp_(targets, sources, rate)


class PopulationAdam:
    """Adam for a population, equal to ``torch.optim.Adam`` run on every member apart.

        m <- m + (1 - b1)(g - m);  v <- v + (1 - b2)(g^2 - v)
        p <- p - lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)

    With a weight decay w, p first shrinks to (1 - lr w) p: AdamW (Loshchilov and Hutter, "Decoupled weight decay
    regularization", ICLR 2019). Everything stays on the device and changes in place, the step count t (one a member)
    included, so a step can be captured in a CUDA graph.

    Args:
        params: parameters with a leading member axis.
        lr: step size, one for all or one a member (shape ``(P,)``); change it with `set_lr`.
        betas: b1 and b2.
        eps: added to the denominator.
        members: P.
        weight_decay: w.
        fused: on a CPU, update each member's weights in one pass over memory instead of ten; equal within rounding.
            Elsewhere it changes nothing.

    Source: Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float | Tensor,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        *,
        members: int,
        weight_decay: float = 0.0,
        fused: bool = False,
    ) -> None:
        self.weight_decay = weight_decay
        self.params: Sequence[Tensor] = [p for p in params if p.requires_grad]
        self.members = members
        self.betas = betas
        self.eps = eps
        device = self.params[0].device
        self._fused = fused and device.type == "cpu"
        self.lr = torch.empty(members, device=device)
        self.set_lr(lr)
        self._step = torch.zeros(members, dtype=torch.float64, device=device)
        self._first = [torch.zeros_like(self._rows(p)) for p in self.params]
        self._second = [torch.zeros_like(self._rows(p)) for p in self.params]

    def set_lr(self, lr: float | Tensor) -> None:
        """Sets the step size, one for all or one a member (shape ``(P,)``)."""
        if isinstance(lr, Tensor):
            self.lr.copy_(lr)
        else:
            self.lr.fill_(lr)
        if self.lr.device.type == "cpu":  # torch's single-pass kernel wants numbers, rounded as `state_dict` has them
            self._rates: list[float] = lr.tolist() if isinstance(lr, Tensor) else [float(np.float32(lr))] * self.members

    def zero_grad(self) -> None:
        """Forgets the gradients."""
        for p in self.params:
            p.grad = None

    @torch.no_grad()
    def step(self, alive: Tensor | None = None) -> None:
        """Moves the parameters along their gradients; no gradient counts as a zero one.

        Args:
            alive: bool ``(P,)``; members where it is false keep weights, moments and step count. Whatever
                their gradient is, it is not used. All members by default.
        """
        if self._fused:
            self._step_fused(alive)
            return
        b1, b2 = self.betas
        params = [self._rows(p) for p in self.params]
        grads = [
            torch.zeros_like(r) if p.grad is None else self._rows(p.grad)
            for p, r in zip(self.params, params, strict=True)
        ]
        if alive is None:
            self._step += 1
            torch._foreach_lerp_(self._first, grads, 1.0 - b1)
            torch._foreach_mul_(self._second, b2)
            torch._foreach_addcmul_(self._second, grads, grads, 1.0 - b2)
        else:
            live = alive.unsqueeze(1)
            self._step += alive
            grads = [torch.where(live, g, 0.0) for g in grads]
            weight = live.to(grads[0].dtype) * (1.0 - b1)
            for m, g in zip(self._first, grads, strict=True):
                m.lerp_(g, weight)
            decay = 1.0 - live.to(grads[0].dtype) * (1.0 - b2)
            torch._foreach_mul_(self._second, [decay] * len(grads))
            torch._foreach_addcmul_(self._second, grads, grads, 1.0 - b2)
        # 1 - b^t; torch's power has other last bits for the first members of many than for few.
        first, second = (-torch.expm1(self._step * math.log(max(b, sys.float_info.min))) for b in (b1, b2))
        size = self.lr / first.clamp(min=1e-12)
        root = second.sqrt().clamp(min=1e-12)
        size, root = (x.to(params[0].dtype).unsqueeze(1) for x in (size, root))
        if alive is not None:
            size = size * live
        if self.weight_decay:
            shrink = (self.lr * self.weight_decay).to(params[0].dtype).unsqueeze(1)
            kept = 1.0 - (shrink if alive is None else shrink * live)
            torch._foreach_mul_(params, [kept] * len(params))
        denominator = torch._foreach_sqrt(self._second)
        if self.members == 1:
            torch._foreach_div_(denominator, root.view(()))
        else:
            torch._foreach_div_(denominator, [root] * len(params))
        torch._foreach_add_(denominator, self.eps)
        update = torch._foreach_div(self._first, denominator)
        if self.members == 1:
            torch._foreach_mul_(update, size.view(()))
        else:
            torch._foreach_mul_(update, [size] * len(params))
        torch._foreach_sub_(params, update)

    def _step_fused(self, alive: Tensor | None) -> None:
        """The same by torch's single-pass kernel, member by member (their rows are contiguous)."""
        grads = [self._rows(torch.zeros_like(p) if p.grad is None else p.grad) for p in self.params]
        for member in range(self.members):
            self.step_member(member, [g[member] for g in grads], None if alive is None else alive[member])

    @torch.no_grad()
    def step_member(
        self, member: int, grads: Sequence[Tensor], alive: Tensor | None = None, *, clip: Tensor | None = None
    ) -> None:
        """Moves one member's parameters by torch's single-pass kernel, on a CPU.

        Args:
            member: which.
            grads: a gradient for each parameter; scaled in place by ``clip``.
            alive: boolean scalar; where it is false nothing changes.
            clip: scalar that the gradients are multiplied by first.
        """
        stopped = None if alive is None else (~alive).float()
        step = self._step[member]
        count = (step + 1.0).float()
        torch._fused_adamw_(
            [self._rows(p)[member] for p in self.params],
            [g.view(-1) for g in grads],
            [m[member] for m in self._first],
            [v[member] for v in self._second],
            [],
            [count] * len(grads),
            lr=self._rates[member],
            beta1=self.betas[0],
            beta2=self.betas[1],
            weight_decay=self.weight_decay,
            eps=self.eps,
            amsgrad=False,
            maximize=False,
            grad_scale=None if clip is None else clip.reciprocal(),
            found_inf=stopped,
        )
        step += 1.0 if alive is None else alive

    def state_dict(self) -> dict[str, Any]:
        """Step sizes, step counts and moments."""
        return {"lr": self.lr, "step": self._step, "first": list(self._first), "second": list(self._second)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` saved, in place."""
        self.set_lr(state["lr"])
        self._step.copy_(state["step"])
        for name, own in (("first", self._first), ("second", self._second)):
            for mine, saved in zip(own, state[name], strict=True):
                mine.copy_(saved)

    def _rows(self, tensor: Tensor) -> Tensor:
        return tensor.view(self.members, -1)
