"""Comparison of a simulator's gradients with central finite differences of itself."""

from __future__ import annotations

from collections.abc import Callable

import mujoco
import torch
from torch import Tensor

from pwm_bench.envs.simulator import Simulator, State

__all__ = ["directional_error", "rollout_objective"]


def rollout_objective(simulator: Simulator, seed: int = 0) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """A random linear function of the state after each step, per world, of (qpos, qvel, controls [H, N, nu]).

    It begins on the unit quaternions of qpos, in whose tangent spaces simulators differentiate.
    """
    generator = torch.Generator().manual_seed(seed)
    model = simulator.model
    first = {int(mujoco.mjtJoint.mjJNT_FREE): 3, int(mujoco.mjtJoint.mjJNT_BALL): 0}
    quaternions = [int(model.jnt_qposadr[j]) + first[k] for j, k in enumerate(model.jnt_type.tolist()) if k in first]
    weight_q = torch.randn(model.nq, generator=generator, dtype=simulator.dtype)
    weight_v = torch.randn(model.nv, generator=generator, dtype=simulator.dtype)

    def objective(qpos: Tensor, qvel: Tensor, ctrl: Tensor) -> Tensor:
        for adr in quaternions:
            unit = torch.nn.functional.normalize(qpos[:, adr : adr + 4], dim=1)
            qpos = torch.cat((qpos[:, :adr], unit, qpos[:, adr + 4 :]), dim=1)
        state, total = State(qpos, qvel), qpos.new_zeros(qpos.shape[0])
        for u in ctrl:
            state = simulator.step(state, u)
            total = total + state.qpos @ weight_q + state.qvel @ weight_v
        return total

    return objective


def directional_error(
    objective: Callable[[Tensor, Tensor, Tensor], Tensor],
    arguments: tuple[Tensor, Tensor, Tensor],
    which: int,
    *,
    directions: int = 4,
    steps: tuple[float, ...] = (1e-4, 1e-5, 1e-6, 1e-7),
    seed: int = 0,
) -> Tensor:
    """Relative error of directional derivatives, per world, of argument ``which`` (0 qpos, 1 qvel, 2 controls).

    The smaller error of several step lengths counts, so that a difference that straddles the kink of a contact's onset
    at one length is not taken for a wrong gradient.
    """
    generator = torch.Generator().manual_seed(seed)
    leaves = [a.detach().clone().requires_grad_() for a in arguments]
    (grad,) = torch.autograd.grad(objective(*leaves).sum(), leaves[which])
    errors, scales = [], []
    for _ in range(directions):
        direction = torch.randn(grad.shape, generator=generator, dtype=grad.dtype)
        analytic = (grad * direction).sum(-1)
        analytic = analytic.sum(0) if which == 2 else analytic
        candidates = []
        for eps in steps:
            plus, minus = (
                [a.detach() + s * eps * direction if n == which else a.detach() for n, a in enumerate(arguments)]
                for s in (1.0, -1.0)
            )
            with torch.no_grad():
                numeric = (objective(*plus) - objective(*minus)) / (2.0 * eps)
            candidates.append((analytic - numeric).abs())
        errors.append(torch.stack(candidates).amin(0))
        scales.append(numeric.abs())
    return torch.stack(errors).amax(0) / torch.stack(scales).amax(0)
