from __future__ import annotations

import pytest
import torch
from torch import nn

from pwm_bench.envs.errors import UsageError
from pwm_bench.learning import initialise, layers
from pwm_bench.learning.elementwise import activation_function
from pwm_bench.learning.layers import (
    PopulationLayerNorm,
    PopulationLinear,
    PopulationMLP,
    SimNorm,
    SpectralLinear,
)
from pwm_bench.learning.random import MemberStream
from pwm_bench.learning.threads import one_thread

SEEDS = (0, 5, 9)
INITS = {
    "torch_default": initialise.torch_default,
    "orthogonal": initialise.orthogonal(),
    "truncated_normal": initialise.truncated_normal(),
    "zeros": initialise.zeros,
}


def member(module: nn.Module, p: int) -> list[torch.Tensor]:
    return [parameter[p] for parameter in module.parameters()]


@pytest.mark.parametrize("init", INITS.values(), ids=INITS)
def test_initial_weights_are_the_same_alone_and_in_a_population(init):
    together = PopulationMLP(3, (4, 6, 2), "elu", "post", stream=MemberStream(SEEDS), init=init)
    for p, seed in enumerate(SEEDS):
        alone = PopulationMLP(1, (4, 6, 2), "elu", "post", stream=MemberStream([seed]), init=init)
        for a, b in zip(member(together, p), member(alone, 0), strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5)])
def test_orthogonal_weights(shape):
    weight, bias = initialise.orthogonal(1.5)(MemberStream(SEEDS), *shape)
    small = weight if shape[0] >= shape[1] else weight.transpose(1, 2)
    eye = torch.eye(min(shape)).expand(3, -1, -1)
    torch.testing.assert_close(small.transpose(1, 2) @ small, 1.5**2 * eye, atol=1e-5, rtol=0)
    assert not bias.any()


def test_default_and_truncated_normal_weights_have_their_spread():
    stream = MemberStream(SEEDS)
    weight, bias = initialise.torch_default(stream, 100, 50)
    assert weight.abs().max() <= 0.1
    assert weight.abs().max() > 0.099
    assert bias.abs().max() <= 0.1
    normal, _ = initialise.truncated_normal(0.02)(stream, 100, 50)
    torch.testing.assert_close(normal.std(), torch.tensor(0.02), rtol=0.03, atol=0)
    cut, _ = initialise.truncated_normal(1.0, 0.5)(stream, 100, 50)
    assert cut.abs().max() <= 0.5
    assert cut.abs().max() > 0.49


def reference_mlp(population: PopulationMLP, p: int, x: torch.Tensor, norm: str, last: str) -> torch.Tensor:
    """The same network for one member, from torch's own layers."""

    def linear(layer: PopulationLinear, x):
        return x @ layer.weight[p] + layer.bias[p, 0]

    def scale(layer: PopulationLayerNorm, x):
        return nn.functional.layer_norm(x, x.shape[-1:], layer.weight[p, 0], layer.bias[p, 0])

    for index, layer in enumerate(population.layers):
        final = index == len(population.layers) - 1
        if final and last == "linear":
            x = linear(layer, x)
        elif final and last == "simnorm":
            y = scale(layer.norm, linear(layer.linear, x))
            x = torch.cat([part.softmax(-1) for part in y.split(4, -1)], -1)
        elif norm == "pre":
            x = nn.functional.mish(scale(layer.norm, linear(layer.linear, x)))
        elif norm == "post":
            x = scale(layer.norm, nn.functional.mish(linear(layer.linear, x)))
        else:
            x = nn.functional.mish(linear(layer.linear, x))
    return x


@pytest.mark.parametrize("last", ["linear", "hidden", "simnorm"])
@pytest.mark.parametrize("norm", ["none", "pre", "post"])
@pytest.mark.parametrize("members", [1, 3])
def test_mlp_equals_torch_layers_member_by_member(members, norm, last):
    stream = MemberStream(SEEDS[:members])
    mlp = PopulationMLP(members, (5, 7, 6, 8), "mish", norm, stream=stream, last=last, simnorm_dim=4)
    for layer in mlp.parameters():  # so that scale and shift of the norms matter
        layer.data += 0.1 * torch.randn_like(layer)
    x = torch.randn(members, 2, 3, 5)
    y = mlp(x)
    assert y.shape == (members, 2, 3, 8)
    for p in range(members):
        torch.testing.assert_close(y[p], reference_mlp(mlp, p, x[p], norm, last))


def test_gradients_of_members_do_not_mix():
    mlp = PopulationMLP(3, (4, 6, 2), "elu", "post", stream=MemberStream(SEEDS))
    x = torch.randn(3, 5, 4)
    x[1] = float("nan")
    mlp(x).square().sum().backward()
    for parameter in mlp.parameters():
        assert torch.isfinite(parameter.grad[[0, 2]]).all()
        assert not torch.isfinite(parameter.grad[1]).all()


def test_simnorm_gives_simplices():
    y = SimNorm(8)(torch.randn(2, 3, 24))
    torch.testing.assert_close(y.view(2, 3, 3, 8).sum(-1), torch.ones(2, 3, 3))


@pytest.mark.parametrize("members", [1, 3])
def test_runs_under_bfloat16_autocast(members):
    mlp = PopulationMLP(members, (5, 16, 8), "mish", "pre", stream=MemberStream(SEEDS[:members]), last="simnorm")
    x = torch.randn(members, 4, 5)
    with torch.autocast("cpu", torch.bfloat16):
        low = mlp(x)
    assert not torch.equal(low.float(), mlp(x))
    low.float().square().sum().backward()
    assert all(p.grad.dtype == torch.float32 and torch.isfinite(p.grad).all() for p in mlp.parameters())
    torch.testing.assert_close(low.float(), mlp(x), atol=0.02, rtol=0.05)


def test_bad_arguments_name_the_remedy():
    stream = MemberStream(SEEDS)
    with pytest.raises(UsageError, match="did you mean 'mish'"):
        activation_function("mihs")
    with pytest.raises(UsageError, match="norm"):
        PopulationMLP(3, (4, 2), norm="batch", stream=stream)
    with pytest.raises(UsageError, match="last layer"):
        PopulationMLP(3, (4, 2), last="softmax", stream=stream)
    with pytest.raises(UsageError, match="multiple of simnorm_dim"):
        PopulationMLP(3, (4, 9), last="simnorm", stream=stream)
    with pytest.raises(UsageError, match="members=2"):
        PopulationLinear(2, 4, 2, stream=stream)


def test_spectral_linear_stretches_nothing_and_follows_its_weight() -> None:
    members, size = 2, 24
    layer = SpectralLinear(members, size, size, stream=MemberStream([0, 1]))
    stream = MemberStream([2, 3])

    def stretch() -> torch.Tensor:
        rows = torch.eye(size).expand(members, -1, -1)
        return torch.linalg.matrix_norm((layer(rows) - layer.bias).detach(), ord=2)

    with torch.no_grad():
        layer.weight += stream.normal(size, size)
    for _ in range(60):  # one step of power iteration in each pass that trains
        stretch()
    torch.testing.assert_close(stretch(), torch.ones(members), rtol=1e-3, atol=0.0)
    before = layer.right
    layer.requires_grad_(False)
    stretch()
    assert layer.right is before  # a frozen layer does not move


def test_the_singular_value_is_not_one_of_reduced_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "_sums", lambda x, weight: False)  # products with vectors as a GPU computes them
    exact, reduced = (SpectralLinear(2, 48, 32, stream=MemberStream([0, 1])) for _ in range(2))
    for _ in range(5):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            matrix = reduced.matrix()
        torch.testing.assert_close(matrix, exact.matrix(), rtol=1e-6, atol=0.0)


def test_spectral_linear_gradient() -> None:
    """Singular vectors are constants in the gradient: differences of the layer with them held agree."""
    layer = SpectralLinear(1, 4, 3, stream=MemberStream([0])).double()
    x = torch.randn(1, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (layer(x) ** 2).sum().backward()
    gradient, right = layer.weight.grad.clone(), layer.right
    direction = torch.randn(layer.weight.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ends = []
    with torch.no_grad():
        for sign in (1.0, -2.0):
            layer.weight += sign * 1e-6 * direction
            ends.append((layer(x) ** 2).sum())
    assert layer.right is right
    torch.testing.assert_close((gradient * direction).sum(), (ends[0] - ends[1]) / 2e-6, rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("rows", [1, 3, 64])
@pytest.mark.parametrize("norm", ["none", "pre", "post"])
@pytest.mark.parametrize(
    ("sizes", "activation", "last"),
    [
        ((11, 64, 32, 1), "elu", "linear"),
        ((5, 13, 3), "silu", "hidden"),
        ((7, 20, 16), "mish", "simnorm"),
        ((7, 9, 16), "relu", "spectral"),
        ((1, 10, 2), "tanh", "linear"),
    ],
)
def test_a_member_has_the_same_bits_in_any_company(rows, norm, sizes, activation, last):
    """Values and all gradients: a lone matrix times a vector has kernels of its own, for one."""
    seeds = (0, 5, 9, 2, 7)

    def values_and_gradients(chosen: slice) -> list[torch.Tensor]:
        stream = MemberStream(seeds[chosen])
        net = PopulationMLP(stream.members, sizes, activation, norm, stream=stream, last=last)
        for parameter in net.parameters():  # away from zeros and ones
            parameter.data += 0.1 * stream.normal(*parameter.shape[1:])
        x = stream.normal(rows, sizes[0]).requires_grad_()
        y = net(x)
        return [y.detach(), *torch.autograd.grad(y.sin().sum(), [x, *net.parameters()])]

    with one_thread():
        together = values_and_gradients(slice(0, 5))
        for chosen in (slice(0, 1), slice(4, 5), slice(1, 3), slice(2, 5)):
            for ours, theirs in zip(values_and_gradients(chosen), together, strict=True):
                assert torch.equal(ours, theirs[chosen])
