"""Neural-network layers of a population: parameters ``[P, ...]``, inputs ``[P, ..., features]``.

Each member multiplies its own batch by its own weights in one batched matrix product. On one thread of a CPU a member's
numbers are the same to the bit alone and in any company; where a library's shortcut for a single member would round
differently, the layers do without it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.learning.elementwise import group_softmax
from pwm_bench.learning.epilogue import Epilogue
from pwm_bench.learning.initialise import Initialiser, torch_default
from pwm_bench.learning.network import evaluate, suits
from pwm_bench.learning.network_kernels import LayerDescription
from pwm_bench.learning.precision import autocast
from pwm_bench.learning.random import MemberStream

__all__ = [
    "PopulationLayerNorm",
    "PopulationLinear",
    "PopulationMLP",
    "SimNorm",
    "SpectralLinear",
]


def _sums(x: Tensor, weight: Tensor) -> bool:
    return 1 in (x.shape[1], *weight.shape[1:]) and x.device.type == "cpu"


def _product(x: Tensor, weight: Tensor) -> Tensor:
    """Each member's product of ``(P, n, in)`` and ``(P, in, out)``, shape ``(P, n, out)``.

    BLAS multiplies a matrix and a vector by other kernels than two matrices, and takes them for a lone product only;
    so on a CPU what involves a vector is summed up here instead, alike for any P.
    """
    if _sums(x, weight):
        return (x.unsqueeze(-1) * weight.unsqueeze(1)).sum(-2)
    return torch.bmm(x, weight)


def _affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`_product` plus each member's bias, shape ``(P, 1, out)``."""
    if _sums(x, weight):
        return _product(x, weight) + bias
    return torch.baddbmm(bias, x, weight)


class PopulationLinear(nn.Module):
    """Affine map of each member: ``y = x W + b``, weight ``(P, in, out)``, bias ``(P, 1, out)``.

    Args:
        members: P; must equal ``stream.members``.
        in_features: size of the input's last axis.
        out_features: size of the output's last axis.
        stream: where the initial weights are drawn from.
        init: how; see `pwm_bench.learning.initialise`.
    """

    def __init__(
        self,
        members: int,
        in_features: int,
        out_features: int,
        *,
        stream: MemberStream,
        init: Initialiser = torch_default,
    ) -> None:
        super().__init__()
        if members != stream.members:
            raise UsageError(f"members={members}: the random stream has {stream.members} members; use as many")
        weight, bias = init(stream, in_features, out_features)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``x``, shape ``(P, ..., in)``, to shape ``(P, ..., out)``."""
        y = _affine(x.flatten(1, -2), self.matrix(), self.bias)
        return y if x.dim() == 3 else y.unflatten(1, x.shape[1:-1])

    def product(self, x: Tensor) -> Tensor:
        """The linear part alone: ``(P, n, in)`` to ``(P, n, out)``."""
        return _product(x, self.matrix())

    def matrix(self) -> Tensor:
        """W, shape ``(P, in, out)``."""
        return self.weight

    @property
    def description(self) -> LayerDescription:
        """The layer as kernels of the whole network are told of it."""
        return LayerDescription(*self.weight.shape[1:])

    @property
    def parts(self) -> list[nn.Module]:
        """Modules whose weights and biases the kernel takes."""
        return [self]

    def extra_repr(self) -> str:
        members, in_features, out_features = self.weight.shape
        return f"members={members}, in_features={in_features}, out_features={out_features}"


class SpectralLinear(PopulationLinear):
    """`PopulationLinear` whose weight is divided by its largest singular value, so that no direction is stretched.

    The singular vectors are followed by power iteration, one step in each forward pass that trains the weight, and
    count as constants in its gradient.

    Source: Miyato et al., "Spectral normalization for generative adversarial networks", ICLR 2018.
    """

    _FIRST_STEPS = 20

    def __init__(
        self,
        members: int,
        in_features: int,
        out_features: int,
        *,
        stream: MemberStream,
        init: Initialiser = torch_default,
    ) -> None:
        super().__init__(members, in_features, out_features, stream=stream, init=init)
        start = F.normalize(stream.normal(out_features, 1), dim=1)
        self.register_buffer("right", start)
        self.right: Tensor
        self._iterate(self._FIRST_STEPS)

    @torch.no_grad()
    def _iterate(self, steps: int) -> Tensor:
        """Follows the singular vectors. Returns a copy of the right one, which later passes of the same autograd graph
        leave as it is; the buffer itself stays where it is, as a captured update needs it."""
        right = self.right
        for _ in range(steps):
            left = F.normalize(_product(self.weight, right), dim=1)
            right = F.normalize(_product(self.weight.transpose(1, 2), left), dim=1)
        self.right.copy_(right)
        return right

    def matrix(self) -> Tensor:
        """The weight over its largest singular value, shape ``(P, in, out)``."""
        trains = self.training and torch.is_grad_enabled() and self.weight.requires_grad
        with autocast("float32", self.weight.device):  # in bfloat16 a GPU's products would be off by up to 0.4 %
            right = self._iterate(1) if trains else self.right
            return self.weight / _product(self.weight, right).norm(dim=1, keepdim=True)


class PopulationLayerNorm(nn.Module):
    """Layer normalisation over the last axis with a scale and shift of each member's own.

    Source: Ba, Kiros and Hinton, "Layer normalization", 2016.
    """

    def __init__(self, members: int, dim: int, *, eps: float = 1e-5, device: torch.device | str = "cpu") -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(members, 1, dim, device=device))
        self.bias = nn.Parameter(torch.zeros(members, 1, dim, device=device))

    def forward(self, x: Tensor) -> Tensor:
        """Normalises ``x``, shape ``(P, ..., dim)``."""
        dim = self.weight.shape[-1]
        shape = (-1,) + (1,) * (x.dim() - 2) + (dim,)
        return F.layer_norm(x, (dim,), eps=self.eps) * self.weight.view(shape) + self.bias.view(shape)


class SimNorm(nn.Module):
    """Simplicial normalisation: a softmax over each consecutive group of ``dim`` features.

    Source: Lavoie et al., "Simplicial embeddings", ICLR 2023; Hansen, Su and Wang, "TD-MPC2", ICLR 2024.
    """

    def __init__(self, dim: int = 8) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``x``, shape ``(..., features)``, onto ``features / dim`` simplices; the shape stays."""
        return group_softmax(x.unflatten(-1, (-1, self.dim))).flatten(-2)


class _Layer(nn.Module):
    """A linear map and what follows it: an activation and, before or after it, a normalisation."""

    def __init__(self, linear: PopulationLinear, norm: PopulationLayerNorm | None, epilogue: Epilogue) -> None:
        super().__init__()
        self.linear = linear
        self.norm = norm
        self._epilogue = epilogue

    @property
    def description(self) -> LayerDescription:
        """The layer as kernels of the whole network are told of it."""
        how = self._epilogue
        inputs, outputs = self.linear.weight.shape[1:]
        return LayerDescription(inputs, outputs, how.activation, how.norm, how.group, how.eps)

    @property
    def parts(self) -> list[nn.Module]:
        """Modules whose weights and biases the kernel takes."""
        return [self.linear, *([] if self.norm is None else [self.norm])]

    def forward(self, x: Tensor) -> Tensor:
        linear, norm, epilogue = self.linear, self.norm, self._epilogue
        if norm is not None and epilogue.suits(x, x.shape[1], linear.bias):
            return epilogue(linear.product(x), linear.bias, norm.weight, norm.bias)
        x = linear(x)
        if norm is None:
            return epilogue.activate(x)
        return epilogue.activate(norm(x)) if epilogue.norm == "pre" else norm(epilogue.activate(x))


class PopulationMLP(nn.Module):
    """Multi-layer perceptron of each member.

    Args:
        members: P.
        sizes: features of input, hidden layers and output.
        activation: name of the hidden layers' activation function.
        norm: layer normalisation of the hidden layers: ``"none"``; ``"pre"`` is linear, norm, activation
            (TD-MPC2's NormedLinear); ``"post"`` is linear, activation, norm (actor and critic of SHAC and
            PWM).
        last: what the last layer is: ``"linear"`` alone, ``"hidden"`` like the hidden ones, ``"simnorm"``, the
            ``"pre"`` arrangement with `SimNorm` as its activation (TD-MPC2's encoder and dynamics), or ``"spectral"``,
            like the hidden ones with a `SpectralLinear`.
        stream: where the initial weights are drawn from.
        init: how the hidden layers' weights are drawn.
        last_init: how the last layer's are; as ``init`` by default.
        simnorm_dim: features a simplex, V.

    Raises:
        UsageError: if an activation, norm or last layer of that name does not exist, or the output does not
            divide into simplices.
    """

    def __init__(
        self,
        members: int,
        sizes: Sequence[int],
        activation: str = "mish",
        norm: Literal["none", "pre", "post"] = "none",
        *,
        stream: MemberStream,
        last: Literal["linear", "hidden", "simnorm", "spectral"] = "linear",
        init: Initialiser = torch_default,
        last_init: Initialiser | None = None,
        simnorm_dim: int = 8,
    ) -> None:
        super().__init__()
        if norm not in ("none", "pre", "post"):
            raise unknown("norm", norm, ("none", "pre", "post"))
        if last not in ("linear", "hidden", "simnorm", "spectral"):
            raise unknown("last layer", last, ("linear", "hidden", "simnorm", "spectral"))
        if last == "simnorm" and sizes[-1] % simnorm_dim:
            raise UsageError(f"output size={sizes[-1]}: must be a multiple of simnorm_dim={simnorm_dim}")

        def linear(
            i: int, o: int, how: Initialiser, kind: type[PopulationLinear] = PopulationLinear
        ) -> PopulationLinear:
            return kind(members, i, o, stream=stream, init=how)

        def hidden(
            i: int,
            o: int,
            how: Initialiser,
            kind: type[PopulationLinear] = PopulationLinear,
            *,
            ends: bool = False,
        ) -> nn.Module:
            scale = None if norm == "none" else PopulationLayerNorm(members, o, device=stream.device)
            return _Layer(linear(i, o, how, kind), scale, Epilogue(activation, norm, widen=ends))

        layers: list[Any] = [hidden(i, o, init) for i, o in itertools.pairwise(sizes[:-1])]
        i, o, how = sizes[-2], sizes[-1], last_init or init
        if last == "linear":
            layers.append(linear(i, o, how))
        elif last == "hidden":
            layers.append(hidden(i, o, how, ends=True))
        elif last == "spectral":
            layers.append(hidden(i, o, how, SpectralLinear, ends=True))
        else:
            scale = PopulationLayerNorm(members, o, device=stream.device)
            layers.append(_Layer(linear(i, o, how), scale, Epilogue("softmax", "pre", simnorm_dim, widen=True)))
        self.layers = nn.ModuleList(layers)
        self._specified_layers = layers
        self.descriptions = tuple(layer.description for layer in layers)
        """The layers as kernels of the whole network are told of them."""
        # A look into modules' own dictionaries costs a tenth of asking them for an attribute.
        self._sources = [
            (part._parameters, name) for layer in layers for part in layer.parts for name in ("weight", "bias")
        ]
        linears = [layer.parts[0] for layer in layers]
        places = itertools.accumulate((layer.parameters for layer in self.descriptions[:-1]), initial=0)
        self._derived = [
            (place, linear)
            for place, linear in zip(places, linears, strict=True)
            if type(linear).matrix is not PopulationLinear.matrix
        ]

    def forward(self, x: Tensor, repeat: int = 1) -> Tensor:
        """Maps ``x``, shape ``(P, ..., sizes[0])``, to shape ``(P, ..., sizes[-1])``.

        Args:
            x: input.
            repeat: how many members, beside each other, share an input, of which there are ``P / repeat``.
        """
        if self.suits(x):
            y = evaluate(self.descriptions, x.flatten(1, -2), self.parameters_in_order(), repeat)
        else:
            y = x if repeat == 1 else x.unsqueeze(1).expand(-1, repeat, *x.shape[1:]).flatten(0, 1)
            y = y.flatten(1, -2)
            for layer in self.layers:
                y = layer(y)
        return y if x.dim() == 3 else y.unflatten(1, x.shape[1:-1])

    def suits(self, x: Tensor) -> bool:
        """Whether a kernel takes the whole network, for an input of shape ``(P, ..., sizes[0])``; it calls no hooks of
        layers."""
        if list(self.layers._modules.values()) != self._specified_layers:  # somebody has put another layer in
            return False
        owner, name = self._sources[1]
        return suits(self.descriptions, x, owner[name].dtype)

    def parameters_in_order(self) -> list[Tensor]:
        """What the kernel takes, layer by layer."""
        params = [owner[name] for owner, name in self._sources]
        for place, linear in self._derived:
            params[place] = linear.matrix()
        return params
