"""Values by torch.distributions, or by hand."""

from __future__ import annotations

import math

import torch
from torch.distributions import Independent, Normal, TransformedDistribution, kl_divergence
from torch.distributions.transforms import TanhTransform

from pwm_bench.learning.gaussian import gaussian_entropy, gaussian_kl, gaussian_log_prob, squashed_log_prob


def gaussian(mean: torch.Tensor, std: torch.Tensor) -> Independent:
    return Independent(Normal(mean, std.expand_as(mean)), 1)


def test_gaussian_functions_equal_torch_distributions():
    mean, new_mean, action = torch.randn(3, 2, 5, 4).unbind()
    std, new_std = (torch.rand(2, 2, 1, 4) + 0.3).unbind()
    old, new = gaussian(mean, std), gaussian(new_mean, new_std)
    torch.testing.assert_close(gaussian_log_prob(mean, std, action), old.log_prob(action))
    torch.testing.assert_close(gaussian_entropy(std).expand(2, 5), old.entropy())
    torch.testing.assert_close(gaussian_kl(mean, std, new_mean, new_std), kl_divergence(old, new))


def test_entropy_of_a_unit_gaussian():
    expected = torch.tensor([0.5 * math.log(2 * math.pi * math.e) * 3])
    torch.testing.assert_close(gaussian_entropy(torch.ones(1, 3)), expected)


def test_squashed_log_prob_equals_torch_distributions():
    mean, u = torch.randn(2, 2, 5, 3, dtype=torch.float64).unbind()
    std = torch.rand(2, 5, 3, dtype=torch.float64) + 0.2
    squashed = TransformedDistribution(Independent(Normal(mean, std), 1), [TanhTransform()])
    torch.testing.assert_close(squashed_log_prob(mean, std, u), squashed.log_prob(u.tanh()), rtol=1e-8, atol=1e-8)


def test_squashed_densities_integrate_to_one():
    edges = torch.linspace(-1.0, 1.0, 200_001, dtype=torch.float64)
    u = (0.5 * (edges[1:] + edges[:-1])).atanh().unsqueeze(-1)
    density = squashed_log_prob(torch.tensor([0.4]).double(), torch.tensor([0.7]).double(), u).exp()
    assert abs(density.sum().item() * (edges[1] - edges[0]).item() - 1.0) < 1e-6


def test_squashed_log_prob_keeps_its_precision_where_tanh_saturates():
    """In float32 log(1 - tanh(20)^2) is log 0; the exact value is log 4 - 40 - 2 log(1 + e^-40)."""
    mean, std, u = (torch.tensor([[x]]) for x in (20.0, 0.5, 20.0))
    slope = math.log(4.0) - 40.0
    expected = -math.log(0.5) - 0.5 * math.log(2 * math.pi) - slope
    torch.testing.assert_close(squashed_log_prob(mean, std, u), torch.tensor([expected]))
    torch.testing.assert_close(squashed_log_prob(-mean, std, -u), torch.tensor([expected]))  # it is even


def test_gradients_of_a_reparameterised_log_prob_against_central_differences():
    """With u = mean + std e, as a policy draws it: only the tanh and the deviation are felt."""
    e = torch.randn(3, 4, dtype=torch.float64)

    def log_prob(mean: torch.Tensor, log_std: torch.Tensor) -> torch.Tensor:
        return squashed_log_prob(mean, log_std.exp(), mean + log_std.exp() * e).sum()

    inputs = [torch.randn(3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    grads = torch.autograd.grad(log_prob(*inputs), inputs)
    h = 1e-6
    for which, grad in enumerate(grads):
        for index in torch.cartesian_prod(torch.arange(3), torch.arange(4)):
            shift = torch.zeros(3, 4, dtype=torch.float64)
            shift[tuple(index)] = h
            up, down = (
                log_prob(*(x.detach() + s * shift * (i == which) for i, x in enumerate(inputs))) for s in (1.0, -1.0)
            )
            assert abs(grad[tuple(index)] - (up - down) / (2 * h)) < 1e-7
