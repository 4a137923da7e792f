"""Optimisation of a population: each member has its own step size, gradient norm and moments.

A parameter's leading axis is the member (or member times ensemble: P * K rows, a member's K beside each
other), so that every parameter can be seen as ``(P, n)``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from pwm_bench.envs.errors import UsageError
from pwm_bench.learning import adam_native
from pwm_bench.learning.adam_kernels import pieces

__all__ = ["PopulationAdam", "cosine_schedule", "linear_schedule", "polyak_update"]

R = TypeVar("R", float, Tensor, float | Tensor)


def linear_schedule(initial: R, final: float, progress: float) -> R:
    """Goes from ``initial``, one or one a member, to ``final`` while ``progress`` goes from 0 to 1, and stays there."""
    return initial + (final - initial) * min(max(progress, 0.0), 1.0)


def cosine_schedule(initial: R, final: float, progress: float) -> R:
    """Goes from ``initial``, one or one a member, to ``final`` along half a cosine, likewise."""
    return final + 0.5 * (initial - final) * (1.0 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))


@torch.no_grad()
def polyak_update(
    targets: Iterable[Tensor], sources: Iterable[Tensor], rate: float | Tensor, alive: Tensor | None = None
) -> None:
    """Moves target parameters towards their sources, in place: ``target <- target + rate (source - target)``.

    Args:
        targets: parameters that follow.
        sources: those they follow, in the same order.
        rate: fraction of the way, tau; one for all members, or ``(P,)``.
        alive: bool ``(P,)``; targets of other members stay. All move by default.

    Source: Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992, with a constant rate.
    """
    targets, sources = list(targets), list(sources)
    if alive is not None:
        live, members = alive.unsqueeze(1), alive.shape[0]
        targets = [t.view(members, -1) for t in targets]
        sources = [torch.where(live, s.view(members, -1), t) for s, t in zip(sources, targets, strict=True)]
    if isinstance(rate, Tensor):
        of_members = [t.view(rate.shape[0], -1) for t in targets]
        weights = [rate.to(t.dtype).unsqueeze(1).expand_as(t) for t in of_members]
        torch._foreach_lerp_(
            of_members, [s.reshape(t.shape) for s, t in zip(sources, of_members, strict=True)], weights
        )
    else:
        torch._foreach_lerp_(targets, sources, rate)


def _flags(alive: Tensor, members: int) -> Tensor:
    """Checks what kernels are told by its address."""
    if alive.dtype != torch.bool or alive.shape != (members,):
        raise UsageError(f"alive is {tuple(alive.shape)} {alive.dtype}: must be ({members},) torch.bool")
    return alive.contiguous()


class PopulationAdam:
    """Adam for a population, equal to ``torch.optim.Adam`` run on every member apart.

        m <- m + (1 - b1)(g - m);  v <- v + (1 - b2)(g^2 - v)
        p <- p - lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)

    With a weight decay w, p first shrinks to (1 - lr w) p: AdamW (Loshchilov and Hutter, "Decoupled weight decay
    regularization", ICLR 2019). Everything stays on the device and changes in place, the step count t (one a member)
    included, so a step can be captured in a CUDA graph.

    A step goes through memory once. On a GPU the kernels of `pwm_bench.learning.adam_kernels` take all parameters in
    two launches, three with `clip_grad_norm`. On a CPU, where these are several times slower, those of
    `pwm_bench.learning.adam_native` take all members and parameters in one call.

    Args:
        params: contiguous parameters with a leading member axis.
        lr: step size, one for all or one a member (shape ``(P,)``); change it with `set_lr`.
        betas: b1 and b2.
        eps: added to the denominator.
        members: P.
        weight_decay: w.

    Raises:
        UsageError: a parameter is not contiguous; or, in a step on a CPU, parameters are not all in float32 or all in
            float64.

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
    ) -> None:
        self.weight_decay = weight_decay
        self.params: Sequence[Tensor] = [p for p in params if p.requires_grad]
        self.members = members
        self.betas = betas
        self.eps = eps
        for p in self.params:
            if not p.is_contiguous():
                raise UsageError(f"a parameter of shape {tuple(p.shape)} is not contiguous: give p.contiguous()")
        device, dtype = self.params[0].device, self.params[0].dtype
        self._on_cpu = device.type == "cpu"
        self.lr = torch.empty(members, dtype=torch.float32, device=device)  # kernels are told its address alone
        self.set_lr(lr)
        self._sizes = [p.numel() // members for p in self.params]
        self._step = torch.zeros(members, dtype=torch.float64, device=device)
        self._moments = torch.zeros(2, members, sum(self._sizes), dtype=dtype, device=device)
        self._clip: Tensor | None = None
        if not self._on_cpu:
            self._table = pieces(self._sizes, device)

    def set_lr(self, lr: float | Tensor) -> None:
        """Sets the step size, one for all (a number or a scalar tensor) or one a member (shape ``(P,)``)."""
        if isinstance(lr, Tensor):
            self.lr.copy_(lr)
        else:
            self.lr.fill_(lr)

    def zero_grad(self) -> None:
        """Forgets the gradients."""
        for p in self.params:
            p.grad = None
        self._clip = None

    @torch.no_grad()
    def clip_grad_norm(self, max_norm: float | None) -> Tensor:
        """Lets the next `step` scale each member's gradient so that its norm over all parameters does not exceed a
        bound. The gradients are read here, not changed.

        Args:
            max_norm: the bound; None or infinity measures only.

        Returns:
            the norms before clipping, shape ``(P,)``; not finite where a gradient was not, or where the sum of its
            squares is beyond the largest number of its dtype (a norm of 2e19 in float32).
        """
        max_norm = math.inf if max_norm is None else max_norm
        if not self._on_cpu:
            squares = torch.ops.pwm_bench.adam_squares(
                self._gradients(), self._sizes, self._table, self.members, self._moments.dtype
            )
            norm, self._clip = self._norms(squares, max_norm)
            return norm
        dtype = self._moments.dtype
        norm, self._clip = adam_native.norms(self._gradients(), self._sizes, self.members, dtype, max_norm)
        return norm

    @torch.no_grad()
    def step(self, alive: Tensor | None = None) -> None:
        """Moves the parameters along their gradients, which stay as they are; no gradient counts as a zero one.

        Args:
            alive: bool ``(P,)``; members where it is false keep weights, moments and step count. Whatever
                their gradient is, it is not used. All members by default.
        """
        clip, self._clip = self._clip, None
        if alive is not None:
            alive = _flags(alive, self.members)
        if self._on_cpu:
            adam_native.update(
                self.params, self._gradients(), self._sizes, self._moments, self._step, self.lr, alive=alive, clip=clip,
                betas=self.betas, eps=self.eps, weight_decay=self.weight_decay,
            )  # fmt: skip
        else:
            nothing = self._step.new_empty(self.members, 0)
            factors = self._norms(nothing, math.inf)[1] if clip is None else clip
            torch.ops.pwm_bench.adam_update(
                self.params, self._gradients(), self._sizes, self._table, self._moments, self._step, factors, self.lr,
                alive, *self.betas, self.eps, self.weight_decay,
            )  # fmt: skip
        torch.autograd.graph.increment_version(self.params)  # neither kernel tells autograd

    def state_dict(self) -> dict[str, Any]:
        """Step sizes ``(P,)``, step counts ``(P,)`` and both moments, ``(2, P, n)``."""
        return {"lr": self.lr, "step": self._step, "moments": self._moments}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` saved, in place."""
        self._moments.copy_(state["moments"])
        self._step.copy_(state["step"])
        self.set_lr(state["lr"])

    def _norms(self, squares: Tensor, max_norm: float) -> tuple[Tensor, Tensor]:
        """Norms of the gradients, and what the kernel of the update needs of them and of the step count."""
        norm, factors = torch.ops.pwm_bench.adam_norms(squares, self._step, self._moments.dtype, max_norm, *self.betas)
        return norm, factors

    def _gradients(self) -> list[Tensor | None]:
        dtype = self._moments.dtype
        for p in self.params if self._on_cpu else ():  # the kernel is told addresses alone
            if p.dtype != dtype or dtype not in (torch.float32, torch.float64):
                raise UsageError(
                    f"a parameter of shape {tuple(p.shape)} in {p.dtype}: all must be in {dtype}, on a CPU float32 or "
                    "float64"
                )
        return [None if p.grad is None else p.grad.contiguous() for p in self.params]
