"""Agents in files as PWM's released code saves them, and what they compute, from its names, shapes and formulas."""

from __future__ import annotations

import itertools
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

LATENT, ENSEMBLE, ACTOR, CRITIC = 16, 3, (12, 10), (14,)


def _tensor(generator: torch.Generator, *shape: int, scale: float = 0.3) -> Tensor:
    return scale * torch.randn(*shape, generator=generator)


def _normed(generator: torch.Generator, prefix: str, sizes: tuple[int, ...], last_norm: bool) -> dict[str, Tensor]:
    weights = {}
    for i, (a, b) in enumerate(itertools.pairwise(sizes)):
        weights |= {f"{prefix}{i}.weight": _tensor(generator, b, a), f"{prefix}{i}.bias": _tensor(generator, b)}
        if last_norm or i < len(sizes) - 2:
            weights[f"{prefix}{i}.ln.weight"] = 1.0 + _tensor(generator, b)
            weights[f"{prefix}{i}.ln.bias"] = _tensor(generator, b)
    return weights


def agent(observation_dim: int, action_dim: int, *, seed: int = 0, tasks: int = 0, rms: Any = None) -> dict[str, Any]:
    """The content of a file.

    Args:
        observation_dim: features.
        action_dim: components.
        seed: of all weights.
        tasks: rows of the task embedding; 0 for an agent of one task.
        rms: what stands for the reward's normaliser, see `statistics`.
    """
    g, e = torch.Generator().manual_seed(seed), 4 if tasks else 0
    actor: dict[str, Tensor] = {"logstd": torch.full((action_dim,), -1.2)}
    for i, (a, b) in enumerate(itertools.pairwise((LATENT, *ACTOR, action_dim))):
        actor |= {f"mu_net.{3 * i}.weight": _tensor(g, b, a), f"mu_net.{3 * i}.bias": _tensor(g, b)}
        if i < len(ACTOR):
            actor |= {f"mu_net.{3 * i + 2}.weight": 1.0 + _tensor(g, b), f"mu_net.{3 * i + 2}.bias": _tensor(g, b)}
    critic: list[Tensor] = []
    for i, (a, b) in enumerate(itertools.pairwise((LATENT, *CRITIC, 1))):
        critic += [_tensor(g, ENSEMBLE, b, a), _tensor(g, ENSEMBLE, b)]
        if i < len(CRITIC):
            critic += [1.0 + _tensor(g, ENSEMBLE, b), _tensor(g, ENSEMBLE, b)]
    world = _normed(g, "_encoder.", (observation_dim + e, 12, LATENT), True)
    world |= _normed(g, "_dynamics.", (LATENT + e + action_dim, 20, 20, LATENT), True)
    world |= _normed(g, "_reward.", (LATENT + e + action_dim, 20, 20, 101 if tasks else 1), False)
    if tasks:
        world["_task_emb.weight"] = _tensor(g, tasks, e, scale=0.1)
    optimiser = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 5e-4, "betas": (0.7, 0.95)}]}
    return {
        "actor": actor,
        "critic": {f"params.{n}": value for n, value in enumerate(critic)},
        "world_model": world,
        "obs_rms": None,
        "rew_rms": rms,
        "ret_rms": rms,
        "actor_opt": optimiser,
        "critic_opt": optimiser,
        "world_model_opt": optimiser,
    }


@contextmanager
def statistics(mean: float, var: float, *, name: str = "pwm.utils.running_mean_std") -> Iterator[Any]:
    """An object as the released code keeps its running statistics in, while its module seems to be installed."""
    module = types.ModuleType(name)
    kind = type("RunningMeanStd", (), {"__module__": name})
    module.RunningMeanStd = kind  # type: ignore[attr-defined]
    value = kind()
    value.shape, value.count = (1,), 1000.0001  # type: ignore[attr-defined]
    value.mean, value.var = torch.tensor([mean]), torch.tensor([var])  # type: ignore[attr-defined]
    parts = name.split(".")
    places = {".".join(parts[:n]): types.ModuleType(parts[n - 1]) for n in range(1, len(parts))} | {name: module}
    sys.modules.update(places)
    try:
        yield value
    finally:
        for place in places:
            del sys.modules[place]


def write_agent(path: Path, observation_dim: int, action_dim: int, **options: Any) -> dict[str, Any]:
    """Writes a file with a normaliser of rewards in it (mean 0.5, variance 4), and gives its content."""
    with statistics(0.5, 4.0) as rms:
        content = agent(observation_dim, action_dim, rms=rms, **options)
        torch.save(content, path)
    return content


def _stack(weights: dict[str, Tensor], prefix: str, x: Tensor) -> Tensor:
    """Linear, LayerNorm, Mish; a normalised last layer ends in SimNorm."""
    count = sum(name.startswith(prefix) and name.count(".") == 2 and name.endswith(".weight") for name in weights)
    for i in range(count):
        x = F.linear(x, weights[f"{prefix}{i}.weight"], weights[f"{prefix}{i}.bias"])
        if f"{prefix}{i}.ln.weight" in weights:
            x = F.layer_norm(x, x.shape[-1:], weights[f"{prefix}{i}.ln.weight"], weights[f"{prefix}{i}.ln.bias"])
            x = F.mish(x) if i < count - 1 else x.unflatten(-1, (-1, 8)).softmax(-1).flatten(-2)
    return x


def encode(content: dict[str, Any], obs: Tensor) -> Tensor:
    """z = E(o)."""
    return _stack(content["world_model"], "_encoder.", obs)


def following(content: dict[str, Any], z: Tensor, a: Tensor) -> Tensor:
    """z' = D(z, a)."""
    return _stack(content["world_model"], "_dynamics.", torch.cat((z, a), -1))


def reward(content: dict[str, Any], z: Tensor, a: Tensor) -> Tensor:
    """R(z, a), in normalised units."""
    return _stack(content["world_model"], "_reward.", torch.cat((z, a), -1))[..., 0]


def act(content: dict[str, Any], z: Tensor) -> Tensor:
    """tanh(mu(z)): linear, Mish, LayerNorm."""
    weights = content["actor"]
    for i in range(len(ACTOR)):
        z = F.mish(F.linear(z, weights[f"mu_net.{3 * i}.weight"], weights[f"mu_net.{3 * i}.bias"]))
        z = F.layer_norm(z, z.shape[-1:], weights[f"mu_net.{3 * i + 2}.weight"], weights[f"mu_net.{3 * i + 2}.bias"])
    last = 3 * len(ACTOR)
    return F.linear(z, weights[f"mu_net.{last}.weight"], weights[f"mu_net.{last}.bias"]).tanh()


def values(content: dict[str, Any], z: Tensor) -> Tensor:
    """V_k(z), shape ``(K, ...)``."""
    p, result = content["critic"], []
    for k in range(ENSEMBLE):
        x = z
        for i in range(len(CRITIC)):
            x = F.mish(F.linear(x, p[f"params.{4 * i}"][k], p[f"params.{4 * i + 1}"][k]))
            x = F.layer_norm(x, x.shape[-1:], p[f"params.{4 * i + 2}"][k], p[f"params.{4 * i + 3}"][k])
        last = 4 * len(CRITIC)
        result.append(F.linear(x, p[f"params.{last}"][k], p[f"params.{last + 1}"][k])[..., 0])
    return torch.stack(result)
