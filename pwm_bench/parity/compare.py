"""The comparisons of a parity record, each a function of simulators of one task."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from pwm_bench import envs
from pwm_bench.envs import random
from pwm_bench.envs.api import DifferentiableEnv
from pwm_bench.envs.integrator import Integrator
from pwm_bench.envs.simulator import Simulator, State
from pwm_bench.envs.tasks.base import Task
from pwm_bench.parity.schema import Air, Angle, Contact, ContactPoint, Gradients, NormPoint, Reset, Returns
from pwm_bench.parity.states import draw_actions, first_constraint, in_the_air, placed, roll, start_states
from pwm_bench.statistics import bootstrap_interval, mean
from pwm_bench.store.files import finite_or_none

__all__ = [
    "AIR_TOLERANCE",
    "compare_angles",
    "compare_contact",
    "compare_in_air",
    "compare_resets",
    "gradients",
    "integrates_otherwise",
    "play",
]

AIR_TOLERANCE = 1e-8
"""Bound on differences in the air, in float64. The simulators compute accelerations by different algorithms, equal to
about 1e-14 in each substep, and the motion amplifies that."""
_AIR_SCALE, _GROUND_SCALE = 0.1, 0.5  # of the actions: in the air small, so that joints stay off their limits


def compare_resets(task: Task, simulators: Mapping[str, Simulator], reference: str, seed: int) -> list[Reset]:
    """Whether episodes begin alike."""

    def starts(simulator: Simulator) -> Tensor:
        env = DifferentiableEnv(task, simulator, seeds=(seed,))
        rows = []
        for _ in range(2):
            rows += [env.state.qpos.flatten(), env.state.qvel.flatten(), env.obs.flatten()]
            env.reset()
        return torch.cat(rows).cpu()

    expected = starts(simulators[reference])
    differences = {
        name: (starts(simulator) - expected).abs().max().item()
        for name, simulator in simulators.items()
        if name != reference
    }
    return [Reset(simulator=name, difference=value, agrees=value == 0.0) for name, value in differences.items()]


@torch.no_grad()
def play(task: Task, simulator: Simulator, policy: str, *, seed: int, episode_length: int | None) -> Returns:
    """Returns of the random or the zero policy in one simulator."""
    env = DifferentiableEnv(task, simulator, seeds=(seed,), episode_length=episode_length)
    worlds = torch.arange(env.num_envs, device=env.device)
    key = random.fold(random.fold(random.seed_keys([seed], env.device), 2), worlds)
    total = torch.zeros(env.num_envs, dtype=torch.float64, device=env.device)
    length, invalid = torch.zeros_like(total), torch.zeros_like(total, dtype=torch.bool)
    active = ~invalid
    action = torch.zeros(env.num_envs, env.action_dim, dtype=env.dtype, device=env.device)
    for t in range(env.episode_length):
        if policy == "random":
            action = 2.0 * random.uniform(random.fold(key, t), env.action_dim, env.dtype) - 1.0
        step = env.step(action)
        total += active * step.reward
        length += active
        invalid |= active & step.invalid
        active &= ~step.done
        if not active.any():
            break
    low, high = bootstrap_interval([total.cpu().numpy()], mean, np.random.default_rng(seed))
    return Returns(
        simulator=simulator.name,
        policy=policy,
        mean=total.mean().item(),
        low=finite_or_none(low),
        high=finite_or_none(high),
        length=length.mean().item(),
        episodes=env.num_envs,
        invalid=int(invalid.sum()),
    )


def compare_in_air(
    task: Task, simulators: Mapping[str, Simulator], reference: str, *, steps: int, seed: int
) -> list[Air]:
    """Trajectories without contact, from equal states under equal actions.

    The simulators must have equal substeps and MuJoCo's integrator, so that nothing but round-off tells them apart.
    """
    base = simulators[reference]
    model = task.model()
    start = in_the_air(model, start_states(task, base.num_worlds, seed))
    actions = draw_actions(task, steps, base.num_worlds, seed, _AIR_SCALE)
    free = first_constraint(model, base.timestep, base.substeps, start, task.control(actions.flatten(0, 1)).view(
        steps, base.num_worlds, -1))  # fmt: skip
    counted = torch.arange(steps + 1).unsqueeze(1) <= torch.from_numpy(free)
    counted[0] = False  # the start itself is equal
    qpos, qvel, _ = roll(base, task, start, actions)
    scale = qvel.abs().amax(2).clamp(min=1.0)
    results = []
    for name, simulator in simulators.items():
        if name == reference:
            continue
        other_qpos, other_qvel, _ = roll(simulator, task, start, actions)
        position = torch.where(counted, (other_qpos - qpos).abs().amax(2), 0.0).max().item()
        velocity = torch.where(counted, (other_qvel - qvel).abs().amax(2) / scale, 0.0).max().item()
        compared = int(counted.sum())
        results.append(
            Air(
                simulator=name,
                steps=int(free.max()),
                compared=compared,
                position=position,
                velocity=velocity,
                tolerance=AIR_TOLERANCE,
                agrees=compared > 0 and max(position, velocity) <= AIR_TOLERANCE,  # false for NaN too
            )
        )
    return results


def compare_contact(
    task: Task, simulators: Mapping[str, Simulator], reference: str, *, steps: int, seed: int
) -> list[Contact]:
    """Trajectories from reset states under equal actions, each simulator as the task runs in it."""
    base = simulators[reference]
    start = start_states(task, base.num_worlds, seed)
    actions = draw_actions(task, steps, base.num_worlds, seed, _GROUND_SCALE)
    controls = task.control(actions.flatten(0, 1)).view(steps, base.num_worlds, -1)
    substeps = task.substeps_for(envs.capabilities("mujoco_c"))
    free = first_constraint(task.model(), task.control_dt / substeps, substeps, start, controls)
    before = torch.arange(steps + 1).unsqueeze(1) <= torch.from_numpy(free)
    qpos, _, rewards = roll(base, task, start, actions)
    results = []
    for name, simulator in simulators.items():
        if name == reference:
            continue
        other, _, other_rewards = roll(simulator, task, start, actions)
        distance = (other - qpos).square().mean(2).sqrt()
        gain = (other_rewards - rewards).cumsum(0).mean(1)
        points = [
            ContactPoint(
                steps=k,
                touching=float((free < k).mean()),
                position=finite_or_none(distance[k].quantile(0.5).item()),
                largest=finite_or_none(distance[k].max().item()),
                returns=finite_or_none(gain[k - 1].item()),
            )
            for k in _powers(steps)
        ]
        results.append(
            Contact(
                simulator=name,
                points=points,
                before=finite_or_none(torch.where(before, distance, 0.0).max().item()),
                reason=_reason(simulator, base, touched=bool((free < steps).any())),
            )
        )
    return results


def gradients(
    task: Task, simulator: Simulator, *, horizons: tuple[int, ...], seed: int
) -> tuple[Gradients, dict[int, Tensor]]:
    """Gradients of the return with respect to the action sequence, world by world.

    The return over a horizon H is that of H actions and of the state they lead to,
    J_H = sum_{t < H} r(s_t, a_t) + r(s_H, 0): the rewards here are functions of the state before the action.

    Returns:
        The norms, and for each horizon the gradient, shape ``(N, H * action_dim)`` on the CPU.
    """
    start = placed(simulator, start_states(task, simulator.num_worlds, seed))
    drawn = draw_actions(task, max(horizons), simulator.num_worlds, seed, _GROUND_SCALE)
    drawn = drawn.to(simulator.device, simulator.dtype)
    norms, found = [], {}
    for horizon in horizons:
        actions = drawn[:horizon].clone().requires_grad_()
        state: State = start
        obs = task.observation(state, torch.zeros_like(drawn[0]))
        total = torch.zeros_like(obs[:, 0])
        for action in actions:
            total = total + task.reward(obs, action)
            state = simulator.step(state, task.control(action))
            obs = task.observation(state, action)
        total = total + task.reward(obs, torch.zeros_like(drawn[0]))
        (gradient,) = torch.autograd.grad(total.sum(), actions)
        found[horizon] = gradient.transpose(0, 1).flatten(1).cpu()
        size = torch.linalg.vector_norm(found[horizon], dim=1).numpy()
        finite = size[np.isfinite(size)]
        low, middle, high = np.percentile(finite, [25, 50, 75]).tolist() if finite.size else (None, None, None)
        norms.append(NormPoint(horizon=horizon, low=low, median=middle, high=high, finite=finite.size / size.size))
    return Gradients(simulator=simulator.name, norms=norms), found


def compare_angles(found: Mapping[str, Mapping[int, Tensor]]) -> list[Angle]:
    """Cosines between each two simulators' gradients, horizon by horizon."""
    angles = []
    for first, second in combinations(found, 2):
        for horizon, a in found[first].items():
            b = found[second][horizon]
            cosine = (
                (a * b).sum(1) / (torch.linalg.vector_norm(a, dim=1) * torch.linalg.vector_norm(b, dim=1))
            ).numpy()
            cosine = cosine[np.isfinite(cosine)]
            low, middle, high = np.percentile(cosine, [25, 50, 75]).tolist() if cosine.size else (None, None, None)
            angles.append(Angle(first=first, second=second, horizon=horizon, cosine=middle, low=low, high=high))
    return angles


def _powers(most: int) -> list[int]:
    return [k for k in (2**i for i in range(most.bit_length())) if k <= most]


def integrates_otherwise(simulator: Simulator) -> bool:
    """Whether a simulator integrates by choices of the task that are not MuJoCo's."""
    return getattr(simulator, "integrator", Integrator()) != Integrator()


def _reason(simulator: Simulator, base: Simulator, *, touched: bool) -> str:
    mine, theirs = (s.capabilities.contact for s in (simulator, base))
    reasons = [f"contact model: {mine} against {theirs}"] if touched and mine != theirs else []
    if simulator.substeps != base.substeps:
        reasons.append(f"substeps: {simulator.substeps} against {base.substeps}")
    if integrates_otherwise(simulator) != integrates_otherwise(base):
        reasons.append("integrator: the task's own against MuJoCo's")
    if not reasons:
        reasons.append("round-off and the solver's tolerance")
    return "; ".join(reasons if touched else ["no contact or limit was active", *reasons])
