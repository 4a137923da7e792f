"""TD-MPC2's forward pass in plain NumPy, float64, written from its formulas and reading its own new key layout."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np

Weights = Mapping[str, np.ndarray]
BINS = 101


def random_weights(
    seed: int,
    *,
    obs: int,
    act: int,
    latent: int,
    enc: tuple[int, ...],
    hid: int,
    tasks: int,
    e: int,
    num_q: int,
    episodic: bool = False,
) -> dict[str, np.ndarray]:
    """Random weights under TD-MPC2's names (new layout, without copies)."""
    rng = np.random.default_rng(seed)
    weights: dict[str, np.ndarray] = {}

    def stack(prefix: str, sizes: list[int], last_norm: bool, lead: tuple[int, ...] = ()) -> None:
        for i, (a, b) in enumerate(itertools.pairwise(sizes)):
            weights[f"{prefix}{i}.weight"] = rng.normal(size=(*lead, b, a)) / math.sqrt(a)
            weights[f"{prefix}{i}.bias"] = 0.1 * rng.normal(size=(*lead, b))
            if i < len(sizes) - 2 or last_norm:
                weights[f"{prefix}{i}.ln.weight"] = 1.0 + 0.1 * rng.normal(size=(*lead, b))
                weights[f"{prefix}{i}.ln.bias"] = 0.1 * rng.normal(size=(*lead, b))

    if tasks:
        weights["_task_emb.weight"] = 0.6 * rng.normal(size=(tasks, e)) / math.sqrt(e)
    stack("_encoder.state.", [obs + e, *enc, latent], True)
    stack("_dynamics.", [latent + e + act, hid, hid, latent], True)
    stack("_reward.", [latent + e + act, hid, hid, BINS], False)
    if episodic:
        stack("_termination.", [latent + e, hid, hid, 1], False)
    stack("_pi.", [latent + e, hid, hid, 2 * act], False)
    for prefix in ("_Qs.params.", "_target_Qs_params."):
        stack(prefix, [latent + e + act, hid, hid, BINS], False, (num_q,))
    return {name: value.astype(np.float32).astype(np.float64) for name, value in weights.items()}


def _softmax(x: np.ndarray) -> np.ndarray:
    y = np.exp(x - x.max(-1, keepdims=True))
    return y / y.sum(-1, keepdims=True)


def _mish(x: np.ndarray) -> np.ndarray:
    return x * np.tanh(np.logaddexp(0.0, x))


def _simnorm(x: np.ndarray) -> np.ndarray:
    return _softmax(x.reshape(*x.shape[:-1], -1, 8)).reshape(x.shape)


def mlp(
    weights: Weights, prefix: str, x: np.ndarray, member: int | None = None, keep: np.ndarray | float = 1.0
) -> np.ndarray:
    """Hidden layers linear, LayerNorm, Mish; a normalised last layer is linear, LayerNorm, SimNorm. ``keep`` scales
    what the first linear map gives."""
    get = (lambda key: weights[key]) if member is None else (lambda key: weights[key][member])
    count = sum(name.startswith(prefix) and name.endswith(".weight") and ".ln." not in name for name in weights)
    for i in range(count):
        x = x @ get(f"{prefix}{i}.weight").T + get(f"{prefix}{i}.bias")
        x = x * keep if i == 0 else x
        if f"{prefix}{i}.ln.weight" in weights:
            mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
            x = (x - mean) / np.sqrt(var + 1e-5) * get(f"{prefix}{i}.ln.weight") + get(f"{prefix}{i}.ln.bias")
            x = _mish(x) if i < count - 1 else _simnorm(x)
    return x


def embedding(weights: Weights, task: int) -> np.ndarray:
    """The task's row, at most of length 1; nothing for a single-task model."""
    if "_task_emb.weight" not in weights:
        return np.zeros(0)
    row = weights["_task_emb.weight"][task]
    return row / max(1.0, float(np.linalg.norm(row)))


def symexp_mean(logits: np.ndarray, limit: float = 10.0) -> np.ndarray:
    """Two-hot inverse."""
    mean = _softmax(logits) @ np.linspace(-limit, limit, BINS)
    return np.sign(mean) * (np.exp(np.abs(mean)) - 1.0)


def join(weights: Weights, task: int, first: np.ndarray, action: np.ndarray | None = None) -> np.ndarray:
    """[first, embedding, action]."""
    e = np.broadcast_to(embedding(weights, task), (*first.shape[:-1], embedding(weights, task).size))
    return np.concatenate([first, e] + ([] if action is None else [action]), -1)


def encode(weights: Weights, task: int, obs: np.ndarray) -> np.ndarray:
    """z = E(o, e)."""
    return mlp(weights, "_encoder.state.", join(weights, task, obs))


def following(weights: Weights, task: int, z: np.ndarray, a: np.ndarray) -> np.ndarray:
    """z' = D(z, e, a)."""
    return mlp(weights, "_dynamics.", join(weights, task, z, a))


def reward_logits(weights: Weights, task: int, z: np.ndarray, a: np.ndarray) -> np.ndarray:
    """R(z, e, a)."""
    return mlp(weights, "_reward.", join(weights, task, z, a))


def q_logits(
    weights: Weights,
    task: int,
    z: np.ndarray,
    a: np.ndarray,
    member: int,
    target: bool = False,
    keep: np.ndarray | float = 1.0,
) -> np.ndarray:
    """Q_k(z, e, a)."""
    return mlp(weights, "_target_Qs_params." if target else "_Qs.params.", join(weights, task, z, a), member, keep)


def termination(weights: Weights, task: int, z: np.ndarray) -> np.ndarray:
    """P(ended at z)."""
    return 1.0 / (1.0 + np.exp(-mlp(weights, "_termination.", join(weights, task, z))[..., 0]))


def policy(
    weights: Weights,
    task: int,
    z: np.ndarray,
    noise: np.ndarray,
    mask: np.ndarray,
    limits: tuple[float, float] = (-10.0, 2.0),
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sampled action, mean action, and the released "scaled entropy" with the steps of its computation."""
    mean, raw = np.split(mlp(weights, "_pi.", join(weights, task, z)), 2, -1)
    log_std = limits[0] + 0.5 * (limits[1] - limits[0]) * (np.tanh(raw) + 1.0)
    mean, log_std, noise = mean * mask, log_std * mask, noise * mask
    action = np.tanh(mean + np.exp(log_std) * noise)
    log_prob = (-0.5 * noise**2 - log_std - 0.5 * math.log(2 * math.pi)).sum(-1)
    scaled = log_prob * mask.sum()
    log_prob -= np.log(np.maximum(1.0 - action**2, 0.0) + 1e-6).sum(-1)
    return action, np.tanh(mean), -log_prob * (scaled / (log_prob + 1e-8))


def two_hot_error(logits: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Cross-entropy of logits against the two-hot x."""
    bins = np.linspace(-10.0, 10.0, BINS)
    target = np.clip(np.sign(x) * np.log1p(np.abs(x)), -10.0, 10.0)
    hot = np.maximum(0.0, 1.0 - np.abs(target[..., None] - bins) / (bins[1] - bins[0]))
    return -(hot * np.log(_softmax(logits))).sum(-1)
