"""Steps that fit critics to targets: by autograd, or with the derivative written out where a kernel has the network's.

For values v_k of K critics on a minibatch of n, with targets y,

    L = 1 / (K n) sum_k sum_i (v_ki - y_i)^2,    dL/dv_ki = 2 (v_ki - y_i) / (K n)
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pwm_bench.envs.errors import UsageError
from pwm_bench.learning import network_kernels
from pwm_bench.learning.critic import CriticEnsemble, critic_loss
from pwm_bench.learning.optim import PopulationAdam
from pwm_bench.learning.precision import autocast

__all__ = ["Regression"]


class Regression:
    """Fits the critics of a population.

    Args:
        critic: the ensembles.
        optimiser: of all their parameters.
        max_norm: clip on the norm of a member's gradient; None for no clip.
        precision: of the matrix products.
    """

    def __init__(
        self, critic: CriticEnsemble, optimiser: PopulationAdam, *, max_norm: float | None, precision: str = "float32"
    ) -> None:
        self._critic, self._optimiser, self._max_norm = critic, optimiser, max_norm
        self._precision = precision
        parameter = next(critic.parameters())
        self._ones = torch.ones(critic.members, dtype=parameter.dtype, device=parameter.device)

    def step(self, x: Tensor, y: Tensor, alive: Callable[[Tensor, Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Takes one gradient step.

        Args:
            x: inputs, shape ``(P, n, D)``.
            y: targets, shape ``(P, n)``.
            alive: says which members move, bool ``(P,)``, from their losses and the norms of their gradients.

        Returns:
            these: losses and norms before clipping, each shape ``(P,)``.

        Raises:
            UsageError: inputs or targets of another shape.
        """
        loss = self._differentiate(x, y)
        norm = self._optimiser.clip_grad_norm(self._max_norm)
        self._optimiser.step(alive=alive(loss, norm))
        return loss, norm

    def _differentiate(self, x: Tensor, y: Tensor) -> Tensor:
        """Leaves the gradients of the losses in the parameters and returns the losses."""
        critic, optimiser = self._critic, self._optimiser
        with autocast(self._precision, x.device):
            if type(critic).forward is CriticEnsemble.forward and critic.net.suits(x):
                return self._write_out(x, y)
            values = critic(x)
        loss = critic_loss(values.to(y.dtype), y)
        optimiser.zero_grad()
        torch.autograd.backward(loss, self._ones)  # members share no parameter; a sum would be two launches more
        return loss.detach()

    @torch.no_grad()
    def _write_out(self, x: Tensor, y: Tensor) -> Tensor:
        critic = self._critic
        layers, given = critic.net.descriptions, critic.net.parameters_in_order()
        x, params = network_kernels.checked(layers, x, given, critic.ensemble)
        if y.shape != x.shape[:2]:
            raise UsageError(f"targets of shape {tuple(y.shape)}: must be {tuple(x.shape[:2])}, one for each input")
        for p in given:
            if p.grad is None or not p.grad.is_contiguous():
                p.grad = torch.empty_like(p, memory_format=torch.contiguous_format)
        values, work = network_kernels.forward(layers, x, params, critic.ensemble, keep=True)
        error = values.view(critic.members, critic.ensemble, -1) - y.unsqueeze(1)
        loss = error.square().mean(dim=(1, 2))
        slope = (2.0 / (critic.ensemble * y.shape[1]) * error).to(values.dtype)
        into = [p.grad for p in given if p.grad is not None]
        network_kernels.backward(layers, slope, x, params, work, critic.ensemble, into=into, wanted=False)
        return loss
