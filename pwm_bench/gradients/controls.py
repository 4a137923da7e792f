"""What a gradient is taken with respect to: the actions themselves, or the parameters of a small policy.

Every rollout (row) has parameters of its own, so the gradient of the sum over rows is each row's own gradient.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from pwm_bench.envs import random
from pwm_bench.learning.checks import check_widths

__all__ = ["ClosedLoop", "Control", "OpenLoop", "Policy"]

Policy = Callable[[int, Tensor], Tensor]


class Control(Protocol):
    """Maps parameters, time and policy input to the mean of the action."""

    name: str
    """``"open"`` or ``"closed"``."""
    shared: bool
    """Whether all start states share one parameter vector (a policy) or each has its own (an action sequence)."""

    def size(self, horizon: int) -> int:
        """How many parameters, counted from the first, the return over ``horizon`` steps depends on."""
        ...

    def policy(self, theta: Tensor) -> Policy:
        """Takes parameters apart, once for a rollout: slices taken at every step would dominate the backward pass.

        Args:
            theta: one parameter vector a row, shape ``(N, D)``.

        Returns:
            mean actions ``(N, A)`` as a function of the step and the policy input ``(N, F)``.
        """
        ...

    def means(self, theta: Tensor, features: Tensor) -> Tensor:
        """Mean actions of all steps at once: ``(N, D)`` and ``(N, H, F)`` to ``(N, H, A)``."""
        ...

    def nominal(self, states: int, seed: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        """The parameters at which gradients are taken, one row a start state, shape ``(S, D)``."""
        ...


class OpenLoop:
    """Parameters are the action sequence itself, ``theta[s] = (a_0 .. a_{H-1})`` for each start state.

    Args:
        horizon: the longest horizon.
        action_dim: components of an action.
        scale: nominal actions are drawn uniformly from [-scale, scale].
        actions: nominal actions ``(S, horizon, A)``, instead of drawn ones.
    """

    name = "open"
    shared = False

    def __init__(self, horizon: int, action_dim: int, scale: float = 0.5, *, actions: Tensor | None = None) -> None:
        self.horizon = horizon
        self.action_dim = action_dim
        self.scale = scale
        self.actions = actions

    def size(self, horizon: int) -> int:
        """H A."""
        return horizon * self.action_dim

    def policy(self, theta: Tensor) -> Policy:
        """Reads a_t; the features are not used."""
        actions = theta.unflatten(1, (-1, self.action_dim)).unbind(1)
        return lambda t, features: actions[t]

    def means(self, theta: Tensor, features: Tensor) -> Tensor:
        """Reads as many actions as there are features."""
        steps = features.shape[1]
        return theta[:, : self.size(steps)].unflatten(1, (steps, self.action_dim))

    def nominal(self, states: int, seed: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        """The actions that were given, or uniform ones; another sequence for each start state."""
        if self.actions is not None:
            return self.actions.flatten(1).to(device, dtype)
        keys = random.fold(random.seed_keys((seed,), device), torch.arange(states, device=device))
        return (2.0 * random.uniform(keys, self.size(self.horizon), dtype) - 1.0) * self.scale


class ClosedLoop:
    """Parameters are the weights of a multi-layer perceptron with tanh units, ``mu = tanh(W_n ... tanh(W_1 x + b_1))``.

    Its input x is what the policy sees, shifted and scaled by constants.

    Args:
        examples: policy inputs ``(N, F)`` whose mean and deviation are those constants; without any, F alone.
        hidden: widths of the hidden layers.
        action_dim: components of an action.
        gain: the last layer's initial weights are scaled by it, so that initial actions are moderate.
    """

    name = "closed"
    shared = True

    def __init__(self, examples: Tensor | int, hidden: Sequence[int], action_dim: int, *, gain: float = 0.5) -> None:
        features = examples if isinstance(examples, int) else examples.shape[1]
        self._shift: Tensor | None = None
        if not isinstance(examples, int) and examples.shape[0] > 1:
            deviation = examples.std(0)
            # Coordinates that hardly vary among the examples would be blown up once they do.
            floor = 0.1 * deviation.median().clamp(min=1e-6)
            self._shift, self._scale = examples.mean(0), 1.0 / deviation.clamp(min=floor)
        check_widths("hidden", hidden)
        self.sizes = (features, *hidden, action_dim)
        self.gain = gain
        self.total = sum(i * o + o for i, o in itertools.pairwise(self.sizes))

    def size(self, horizon: int) -> int:
        """All weights, whatever the horizon."""
        return self.total

    def policy(self, theta: Tensor) -> Policy:
        """Evaluates each row's own network."""
        layers = self._layers(theta)
        return lambda t, features: self._evaluate(layers, features.unsqueeze(1)).squeeze(1)

    def means(self, theta: Tensor, features: Tensor) -> Tensor:
        """Evaluates each row's own network at all its steps."""
        return self._evaluate(self._layers(theta), features)

    def _layers(self, theta: Tensor) -> list[tuple[Tensor, Tensor]]:
        layers, at = [], 0
        for i, o in itertools.pairwise(self.sizes):
            weight, bias = theta[:, at : at + i * o], theta[:, at + i * o : at + i * o + o]
            layers.append((weight.unflatten(1, (i, o)), bias.unsqueeze(1)))
            at += i * o + o
        return layers

    def _evaluate(self, layers: list[tuple[Tensor, Tensor]], x: Tensor) -> Tensor:
        if self._shift is not None:
            x = (x - self._shift) * self._scale
        for weight, bias in layers:
            x = torch.tanh(torch.baddbmm(bias, x, weight))
        return x

    def nominal(self, states: int, seed: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Normal weights of variance 1 / fan-in, zero biases; the same row for every start state."""
        parts: list[Tensor] = []
        keys = random.seed_keys((seed,), device)
        for n, (i, o) in enumerate(itertools.pairwise(self.sizes)):
            last = n == len(self.sizes) - 2
            weight = random.normal(random.fold(keys, n), i * o, dtype) * ((self.gain if last else 1.0) / math.sqrt(i))
            parts += [weight, weight.new_zeros(1, o)]
        return torch.cat(parts, 1).expand(states, -1)
