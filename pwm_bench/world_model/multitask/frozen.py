"""The multi-task model as policies see it while they train in it: frozen, one task a member.

Gradients pass from outputs to latents and actions and never reach the weights, which saves the products that would form
the weights' gradients and the memory traffic of adding them up. What only depends on the task, its embedding's share of
every first layer, is computed once; so are the copies of the weights that the products read: in
bfloat16, transposed, in the processor's layout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.checks import check_choice
from pwm_bench.world_model.multitask.layers import Layer, Stack
from pwm_bench.world_model.multitask.networks import MultitaskModel
from pwm_bench.world_model.multitask.product import ConstantProduct
from pwm_bench.world_model.multitask.twohot import TwoHotHead

__all__ = ["TaskModel"]

P = ParamSpec("P")
R = TypeVar("R")

_DTYPES = {"float32": None, "bfloat16": torch.bfloat16}


def _without_autocast(function: Callable[P, R]) -> Callable[P, R]:
    """Keeps a caller's autocast out: these networks have a precision of their own."""
    return torch.autocast("cpu", enabled=False)(torch.autocast("cuda", enabled=False)(function))  # type: ignore[no-any-return]


class _Multiply(torch.autograd.Function):
    """x W^T for a constant W, in the precision of W."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, product: ConstantProduct) -> Tensor:
        ctx.product, ctx.dtype = product, x.dtype
        return product(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.product.backward(grad).to(ctx.dtype), None


class _FrozenLayer:
    """A `Layer` with constant weights; ``dtype`` is that of its matrix product, None for the weights' own."""

    def __init__(self, layer: Layer, weight: Tensor, bias: Tensor, dtype: torch.dtype | None) -> None:
        self._dtype = weight.dtype  # of what is not a matrix product
        self._product = ConstantProduct(weight.detach().to(dtype or weight.dtype))
        self._bias = bias.detach().view(-1, 1, bias.shape[-1])  # each member's own, or one for all
        self._norm = None if layer.ln is None else (layer.ln.weight.detach(), layer.ln.bias.detach())
        self._epilogue = layer.epilogue

    def __call__(self, x: Tensor) -> Tensor:
        """Maps ``(P, n, in)`` to ``(P, n, out)``."""
        y: Tensor = _Multiply.apply(x, self._product)
        epilogue = self._epilogue
        if self._norm is not None and epilogue is not None and epilogue.suits(y, y.shape[1], self._bias):
            return epilogue(y, self._bias.expand(y.shape[0], -1, -1), *self._norm)
        y = y.to(self._dtype) + self._bias
        if self._norm is None or epilogue is None:
            return y
        return epilogue.activate(F.layer_norm(y, (y.shape[-1],), *self._norm, epilogue.eps))


class _FrozenStack:
    """A network whose first input is followed by a task embedding, which becomes a bias of its own for each member."""

    def __init__(self, stack: Stack, before: int, embedding: Tensor | None, dtype: torch.dtype | None) -> None:
        layers = list(stack)
        first = layers[0]
        assert isinstance(first, Layer)
        weight, bias = first.weight.detach(), first.bias.detach()
        if embedding is not None:
            size = embedding.shape[-1]
            # A sum rather than a product, which BLAS would round otherwise for a single member.
            bias = bias + (embedding.unsqueeze(1) * weight[:, before : before + size]).sum(-1)
            weight = torch.cat((weight[:, :before], weight[:, before + size :]), dim=1)
        self._layers = [_FrozenLayer(first, weight, bias, dtype)]
        self._layers += [_FrozenLayer(layer, layer.weight, layer.bias, dtype) for layer in layers[1:]]  # type: ignore

    def __call__(self, x: Tensor) -> Tensor:
        """Maps ``(P, ..., in)`` to ``(P, ..., out)``."""
        y = x.flatten(1, -2)
        for layer in self._layers:
            y = layer(y)
        return y if x.dim() == 3 else y.unflatten(1, x.shape[1:-1])


class TaskModel:
    """A world model for P members, each acting in a task of its own; all share the weights.

    It is what `pwm_bench.pwm.imagination` asks of a model. Changes of the original's weights are not followed.

    Args:
        model: the multi-task model.
        tasks: task index of each member, int64 ``(P,)``.
        precision: of the matrix products, ``"float32"`` or ``"bfloat16"``.
        symlog_rewards: leave rewards in symlog units (PWM's released code) instead of the task's own.
        mask_actions: zero the components of an action that a task does not have, as in the data the model was trained
            on. PWM's released code does not.
    """

    def __init__(
        self,
        model: MultitaskModel,
        tasks: Tensor,
        *,
        precision: str = "float32",
        symlog_rewards: bool = False,
        mask_actions: bool = True,
    ) -> None:
        check_choice("precision", precision, _DTYPES)
        config, dtype = model.config, _DTYPES[precision]
        embedding = None if model.task_embedding is None else model.task_embedding.detach()[tasks]
        self.latent_dim = config.latent_dim
        self.head = TwoHotHead(config.num_bins, config.bin_limit, symlog_units=symlog_rewards)
        self._observation_dim = config.observation_dim
        self._mask = model.action_masks[tasks].unsqueeze(1) if mask_actions else None
        self._encoder = _FrozenStack(model.encoder, config.observation_dim, embedding, dtype)
        self._dynamics = _FrozenStack(model.dynamics, config.latent_dim, embedding, dtype)
        self._reward = _FrozenStack(model.reward_network, config.latent_dim, embedding, dtype)
        self.termination_network: _FrozenStack | None = None
        if model.termination_network is not None:
            self.termination_network = _FrozenStack(model.termination_network, config.latent_dim, embedding, dtype)

    @_without_autocast
    def encode(self, obs: Tensor) -> Tensor:
        """Latents of observations; observations narrower than the model's are padded with zeros.

        Raises:
            UsageError: wider ones.
        """
        missing = self._observation_dim - obs.shape[-1]
        if missing < 0:
            raise UsageError(
                f"observations have {obs.shape[-1]} features, but the world model was trained on at most "
                f"{self._observation_dim}; use the data and tasks that it was trained on"
            )
        return self._encoder(F.pad(obs, (0, missing)) if missing else obs)

    @_without_autocast
    def next(self, latent: Tensor, action: Tensor) -> Tensor:
        """Latents after one control step, shape ``(P, ..., latent_dim)``."""
        return self._dynamics(self._join(latent, action))

    @_without_autocast
    def reward(self, latent: Tensor, action: Tensor) -> Tensor:
        """Predicted rewards, shape ``(P, ...)``."""
        return self.head.value(self._reward(self._join(latent, action)))

    @_without_autocast
    def termination_logit(self, latent: Tensor) -> Tensor:
        """Logits of having ended for good, shape ``(P, ...)``.

        Raises:
            RuntimeError: the model does not predict it.
        """
        if self.termination_network is None:
            raise RuntimeError("this world model does not predict termination")
        return self.termination_network(latent).squeeze(-1)

    def parameters(self) -> Iterator[nn.Parameter]:
        """Gives nothing, as no weight can learn here."""
        return iter(())

    def _join(self, latent: Tensor, action: Tensor) -> Tensor:
        """Concatenates latents and (masked) actions; the embedding between them is in the biases already."""
        if self._mask is not None:
            action = action * self._mask.view(-1, *(1,) * (action.dim() - 2), action.shape[-1])
        return torch.cat((latent, action.to(latent.dtype)), dim=-1)
