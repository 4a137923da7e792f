"""Layers of the multi-task model: one set of weights for all tasks, or a stack of them for an ensemble.

A hidden layer is linear, (dropout,) LayerNorm, Mish; TD-MPC2 calls it NormedLinear. Parameters are named and shaped
as TD-MPC2's, ``weight (out, in)``, ``bias``, ``ln.weight`` and ``ln.bias``, with a leading ensemble axis where there
is one, so that its checkpoints load without rearranging.
Source: Hansen, Su and Wang, "TD-MPC2: scalable, robust world models for continuous control", ICLR 2024.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pwm_bench.learning.epilogue import Epilogue
from pwm_bench.learning.initialise import truncated_normal
from pwm_bench.learning.random import MemberStream

__all__ = ["HIDDEN", "Layer", "Stack"]

HIDDEN = Epilogue("mish", "pre")
"""What follows the product of a hidden layer."""


class _Norm(nn.Module):
    """Scale and shift of a layer normalisation."""

    def __init__(self, shape: tuple[int, ...], device: torch.device | str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape, device=device))
        self.bias = nn.Parameter(torch.zeros(shape, device=device))


class Layer(nn.Module):
    """One layer.

    Args:
        in_features: size of the input's last axis.
        out_features: size of the output's last axis.
        epilogue: normalisation and activation; None for a plain linear layer.
        ensemble: K, for K layers side by side; 0 for a single one without that axis.
        dropout: fraction of the linear map's outputs that training sets to zero.
        stream: where the weights are drawn from (one member): normal with standard deviation 0.02, biases zero. None
            leaves them zero, to be loaded.
        zero: all weights zero.
        device: where the weights live.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        epilogue: Epilogue | None,
        ensemble: int = 0,
        dropout: float = 0.0,
        stream: MemberStream | None = None,
        zero: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__()
        lead = (ensemble,) if ensemble else ()
        if stream is None or zero:
            weight = torch.zeros(*lead, out_features, in_features, device=device)
        else:
            initial, _ = truncated_normal(0.02)(stream, in_features, max(ensemble, 1) * out_features)
            weight = initial[0].t().reshape(*lead, out_features, in_features).contiguous().to(device)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(*lead, out_features, device=device))
        self.ln = None if epilogue is None else _Norm((*lead, out_features), device)
        self.epilogue = epilogue
        self.dropout = dropout
        self.ensemble = ensemble

    def forward(
        self, x: Tensor, *, dropout: torch.Generator | None = None, rows: Tensor | None = None, fixed: bool = False
    ) -> Tensor:
        """Maps ``(..., in)`` to ``(..., out)``, or ``(K, N, in)`` to ``(K, N, out)`` for an ensemble.

        Args:
            x: input.
            dropout: draws what is dropped; None drops nothing.
            rows: members of the ensemble to use, int64 ``(K,)``; all by default.
            fixed: collect no gradient for the weights.
        """
        weight, bias, scale, shift = self._parameters_of(rows, fixed)
        epilogue, count = self.epilogue, x[0, ..., 0].numel() if self.ensemble else x[..., 0].numel()
        if epilogue is not None and epilogue.suits(x, count, bias):
            assert scale is not None
            assert shift is not None
            lead = x.shape[:-1]
            flat = x if self.ensemble else x.reshape(1, -1, x.shape[-1])
            params = [p.view(-1, 1, p.shape[-1]) for p in (bias, scale, shift)]
            y = torch.bmm(flat, weight.transpose(1, 2)) if self.ensemble else F.linear(flat, weight)
            if dropout is not None and self.dropout:  # of the affine map, so the bias comes first
                y, params[0] = self._drop(y + params[0].to(y.dtype), dropout), torch.zeros_like(params[0])
            return epilogue(y, *params).view(*lead, y.shape[-1])
        if self.ensemble:
            y = torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))
        else:
            y = F.linear(x, weight, bias)
        if dropout is not None and self.dropout:
            y = self._drop(y, dropout)
        if scale is None or shift is None or epilogue is None:
            return y
        width = (y.shape[-1],)
        if self.ensemble:
            y = torch.addcmul(shift.unsqueeze(1), F.layer_norm(y, width, eps=epilogue.eps), scale.unsqueeze(1))
        else:
            y = F.layer_norm(y, width, scale, shift, epilogue.eps)
        return epilogue.activate(y)

    def _drop(self, y: Tensor, generator: torch.Generator) -> Tensor:
        """Drops numbers of ``y``, and scales the others so that its mean stays."""
        kept = torch.empty_like(y).bernoulli_(1.0 - self.dropout, generator=generator)
        return y * kept.div_(1.0 - self.dropout)

    def _parameters_of(self, rows: Tensor | None, fixed: bool) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Weight, bias and the normalisation's scale and shift, of some members of the ensemble."""
        params: list[Tensor] = [self.weight, self.bias]
        if self.ln is not None:
            params += [self.ln.weight, self.ln.bias]
        if fixed:
            params = [p.detach() for p in params]
        if rows is not None:
            params = [p.index_select(0, rows) for p in params]
        return params[0], params[1], *(params[2:] or (None, None))  # type: ignore[return-value]


class Stack(nn.Sequential):
    """Layers one after the other.

    Args:
        sizes: features of input, hidden layers and output.
        last: what follows the output layer's product; None for a plain linear one.
        ensemble: K, or 0; see `Layer`.
        dropout: in the first layer.
        stream: where the weights are drawn from.
        last_zero: the output layer's weights begin at zero.
        device: where the weights live.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        last: Epilogue | None = None,
        ensemble: int = 0,
        dropout: float = 0.0,
        stream: MemberStream | None = None,
        last_zero: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        pairs = list(itertools.pairwise(sizes))
        super().__init__(
            *(
                Layer(
                    i,
                    o,
                    epilogue=HIDDEN if number < len(pairs) - 1 else last,
                    ensemble=ensemble,
                    dropout=dropout if number == 0 else 0.0,
                    stream=stream,
                    zero=last_zero and number == len(pairs) - 1,
                    device=device,
                )
                for number, (i, o) in enumerate(pairs)
            )
        )
        self.ensemble = ensemble

    def forward(
        self, x: Tensor, *, dropout: torch.Generator | None = None, rows: Tensor | None = None, fixed: bool = False
    ) -> Tensor:
        """Maps ``(..., sizes[0])`` to ``(..., sizes[-1])``, with a leading K for an ensemble, which shares its input.

        The options are those of `Layer`.
        """
        count = self.ensemble if rows is None else len(rows)
        y = x.expand(count, *x.shape).flatten(1, -2) if self.ensemble else x
        for layer in self:
            y = layer(y, dropout=dropout, rows=rows, fixed=fixed)
        return y.unflatten(1, x.shape[:-1]) if self.ensemble else y
