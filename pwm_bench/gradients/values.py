"""A value at the end of the horizon: what the return beyond H steps is worth, the same for all estimators.

With a value function V the objective becomes

    f_H(theta; s_0, e) = sum_{t<H} gamma^t r_t + gamma^H V(x_H)

where x is what the policy sees: the latent where there is a world model, so V(E(o_H)) in the simulator and V(z_H) in
the model; else the observation. V is zero after a termination. It is one function, held while gradients are taken and
the same for all estimators: with it learned dynamics differ from the true ones by their x_H alone.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pwm_bench import configs
from pwm_bench.envs.api import DifferentiableEnv
from pwm_bench.envs.errors import UsageError
from pwm_bench.gradients.controls import Control, OpenLoop
from pwm_bench.gradients.starts import Act
from pwm_bench.learning.checks import check_at_least, check_positive, check_unit, check_widths
from pwm_bench.learning.critic import CriticEnsemble
from pwm_bench.learning.optim import PopulationAdam
from pwm_bench.learning.random import MemberStream
from pwm_bench.learning.returns import td_lambda
from pwm_bench.pwm.model_files import read_critic
from pwm_bench.world_model.trained import TrainedModel

__all__ = ["ValueFunction", "ValueTraining", "critic_of_model", "fit_value"]

_HELD_OUT = 8  # one world in so many is kept out of the fit, to say how good it is


@dataclass(frozen=True, kw_only=True, slots=True)
class ValueTraining:
    """A small value network to be fitted for a comparison, by TD(lambda) on the behaviour that is compared.

    In closed loop that is the policy with its exploration noise; in open loop it is the trained policy with noise, if
    there is one, else actions drawn as the nominal ones are.

    Raises:
        UsageError: if a field is out of range.
    """

    env_steps: int = 20_000
    """Environment steps of experience."""
    num_envs: int = 32
    """Worlds that gather it; every eighth is kept out of the fit."""
    rounds: int = 30
    """Passes over the experience; targets are computed anew before each."""
    hidden: tuple[int, ...] = (64, 64)
    """Hidden layers: linear, Mish (smooth, so that the objective is), LayerNorm."""
    batch_size: int = 256
    """States in a gradient step."""
    learning_rate: float = 1e-3
    """Adam's."""
    lam: float = 0.95
    """lambda of the targets."""
    seed: int = 0
    """What initial weights, actions and batches are drawn from."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        check_widths("hidden", self.hidden)
        for name, least in (("env_steps", 1), ("num_envs", 2), ("rounds", 1), ("batch_size", 1)):
            check_at_least(name, getattr(self, name), least)
        check_at_least("seed", self.seed, 0)
        check_positive("learning_rate", self.learning_rate)
        check_unit("lam", self.lam)
        if self.env_steps < 2 * self.num_envs:
            raise UsageError(f"env_steps={self.env_steps}: {self.num_envs} worlds need at least 2 steps each")


@dataclass(frozen=True, slots=True)
class ValueFunction:
    """V(x) = scale * min_k net_k((x - centre) / spread) + shift, in the task's units.

    Attributes:
        net: ensemble of one member.
        scale: see above.
        shift: see above.
        centre: shape ``(F,)``, or a number.
        spread: likewise.
        description: for records.
    """

    net: CriticEnsemble
    scale: float = 1.0
    shift: float = 0.0
    centre: Tensor | float = 0.0
    spread: Tensor | float = 1.0
    description: dict[str, Any] = field(default_factory=dict)

    def __call__(self, features: Tensor) -> Tensor:
        """Values of ``(N, F)``, shape ``(N,)``."""
        x = (features - self.centre) / self.spread
        return self.scale * self.net.minimum(x.unsqueeze(0)).squeeze(0) + self.shift

    def to(self, dtype: torch.dtype, device: torch.device) -> ValueFunction:
        """A copy in another precision or place, with frozen weights."""
        net = copy.deepcopy(self.net).to(device, dtype).requires_grad_(False)
        centre, spread = (x.to(device, dtype) if isinstance(x, Tensor) else x for x in (self.centre, self.spread))
        return ValueFunction(net, self.scale, self.shift, centre, spread, self.description)

    def state_dict(self) -> dict[str, Any]:
        """All that a fitted value is."""
        fields = ("scale", "shift", "centre", "spread", "description")
        return {"net": self.net.state_dict(), **{name: getattr(self, name) for name in fields}}

    @classmethod
    def from_state(cls, training: ValueTraining, state: Mapping[str, Any]) -> ValueFunction:
        """The value that was fitted so and described by `state_dict`, on the CPU."""
        centre = state["centre"]
        net = _make_net(training, centre.shape[0], MemberStream((training.seed,))).to(centre.dtype)
        net.load_state_dict(state["net"])
        return cls(net.requires_grad_(False), **{name: value for name, value in state.items() if name != "net"})


def critic_of_model(path: Path, trained: TrainedModel, *, member: int, discount: float) -> ValueFunction:
    """The critic of a PWM run, on the latents of its own world model, in the task's units.

    A run whose rewards are normalised to (r - m)/s has critics of V' = E sum_{k<T} gamma^k (r_k - m)/s, where the
    episode terminates after T steps. The value in the task's units is

        V = s V' + m E sum_{k<T} gamma^k = s V' + m (1 - E gamma^T) / (1 - gamma)

    and this function gives ``s V' + m / (1 - gamma)``: V itself where episodes never terminate or m = 0 (only
    ``reward_normalisation="moments"`` subtracts a mean). Elsewhere it exceeds V by m E gamma^T / (1 - gamma), most
    shortly before a termination, and its slope is that of V', which PWM's policy followed, rather than that of V.

    Args:
        path: the file of the world model.
        trained: the same member's world model, whose ``reward_scale`` is s and whose ``reward_shift`` is m.
        member: which seed, by position.
        discount: gamma of the comparison.

    Raises:
        UsageError: no such file or member, a world model without a critic, or a critic of another discount.
    """
    net, config = read_critic(path, member=member)
    if abs(config.gamma - discount) > 1e-9:
        raise UsageError(
            f"discount={discount}: the critic of {path} was trained for gamma={config.gamma}; compare with that "
            "discount, or fit a value instead"
        )
    shift = trained.reward_shift / (1.0 - discount) if discount < 1.0 else 0.0
    return ValueFunction(net, trained.reward_scale, shift, description={"critic": path.parent.name, "member": member})


def fit_value(
    training: ValueTraining,
    env: DifferentiableEnv,
    control: Control,
    theta: Tensor,
    *,
    encoder: Callable[[Tensor], Tensor] | None = None,
    act: Act | None = None,
    noise: float = 0.0,
    discount: float = 0.99,
    termination: bool = True,
    progress: Callable[[int], None] | None = None,
) -> ValueFunction:
    """Gathers experience of the behaviour that is compared, and fits its value.

    Args:
        training: how.
        env: ``training.num_envs`` worlds of the task.
        control: meaning of the parameters.
        theta: the parameters, shape ``(S, D)``.
        encoder: what a policy sees of an observation; the observation itself by default.
        act: the trained policy that acts instead of parameters, if any.
        noise: deviation of the exploration noise.
        discount: gamma.
        termination: nothing follows a termination. Off: what follows is worth V.
        progress: told after each pass.

    Raises:
        RuntimeError: the fit is not finite.
    """
    data = _gather(training, env, control, theta, encoder or (lambda x: x), act, noise)
    ended = data.terminated & data.lost if not termination else data.terminated
    cut = data.done & ~ended
    features = data.features.flatten(0, 1)
    spread = features.std(0)
    spread = spread.clamp(min=0.1 * float(spread.median().clamp(min=1e-6)))
    stream = MemberStream((training.seed,), env.device, name="gradients/value")
    net = _make_net(training, features.shape[1], stream).to(env.device, theta.dtype)

    def targets(value: Callable[[Tensor], Tensor], lam: float) -> Tensor:
        with torch.no_grad():
            beyond = value(data.after.flatten(0, 1)).unflatten(0, data.rewards.shape)
        return td_lambda(data.rewards, beyond, ended, cut, gamma=discount, lam=lam)

    first = targets(lambda x: x.new_zeros(x.shape[0]), 1.0)
    scale, shift = float(first.std().clamp(min=1e-6)), float(first.mean())
    value = ValueFunction(net, scale, shift, features.mean(0), spread)
    kept = torch.arange(env.num_envs, device=env.device) % _HELD_OUT == _HELD_OUT - 1
    if not bool(kept.any()):
        kept[-1] = True
    x = data.features[:, ~kept].flatten(0, 1)
    parameters = list(net.parameters())
    optimiser = PopulationAdam(parameters, training.learning_rate, members=1)
    size = min(training.batch_size, x.shape[0])
    for _ in range(training.rounds):
        y = targets(value, training.lam)[:, ~kept].flatten()
        order = stream.uniform(x.shape[0])[0].argsort()
        for rows in order[: x.shape[0] // size * size].view(-1, size):
            optimiser.zero_grad()
            ((value(x[rows]) - y[rows]) / scale).square().mean().backward()
            optimiser.step()
        if progress is not None:
            progress(1)
    with torch.no_grad():
        truth, found = targets(value, 1.0)[:, kept], value(data.features[:, kept].flatten(0, 1))
        explained = 1.0 - float((truth.flatten() - found).var() / truth.var().clamp(min=1e-300))
    if not all(bool(torch.isfinite(p).all()) for p in parameters):
        raise RuntimeError("the value at the end of the horizon diverged as it was fitted: lower its learning_rate")
    description = {"fitted": configs.to_json(training), "explained_variance": explained}
    return ValueFunction(net, scale, shift, value.centre, value.spread, description).to(theta.dtype, env.device)


def _make_net(training: ValueTraining, features: int, stream: MemberStream) -> CriticEnsemble:
    return CriticEnsemble(1, 1, features, training.hidden, activation="mish", stream=stream)


@dataclass(frozen=True, slots=True)
class _Experience:
    """T steps of N worlds; features ``(T, N, F)`` before and after each step, the rest ``(T, N)``."""

    features: Tensor
    after: Tensor
    rewards: Tensor
    terminated: Tensor
    lost: Tensor
    done: Tensor


@torch.no_grad()
def _gather(
    training: ValueTraining,
    env: DifferentiableEnv,
    control: Control,
    theta: Tensor,
    encode: Callable[[Tensor], Tensor],
    act: Act | None,
    noise: float,
) -> _Experience:
    worlds, dtype = env.num_envs, theta.dtype
    stream = MemberStream((training.seed,), env.device, name="gradients/value/experience")
    policy = control.policy(theta[:1].expand(worlds, -1))
    columns: list[list[Tensor]] = [[] for _ in range(6)]
    for t in range(training.env_steps // training.num_envs):
        seen = encode(env.obs.to(dtype))
        if act is not None:
            mean = act(env.obs).to(dtype)
        elif isinstance(control, OpenLoop):
            mean = control.scale * (2.0 * stream.uniform(worlds, env.action_dim, dtype=dtype)[0] - 1.0)
        else:
            mean = policy(t, seen)
        action = torch.clamp(mean + noise * stream.normal(worlds, env.action_dim, dtype=dtype)[0], -1.0, 1.0)
        step = env.step(action.to(env.dtype))
        found = (
            seen,
            encode(step.final_obs.to(dtype)),
            step.reward.to(dtype),
            step.terminated,
            step.invalid,
            step.done,
        )
        for column, item in zip(columns, found, strict=True):
            column.append(item)
    return _Experience(*(torch.stack(column) for column in columns))
