"""How dynamics stretch: singular values of one step's Jacobian, and the growth of a perturbation over a rollout.

Along a rollout J_t = d x_{t+1} / d x_t with the action held, in tangent coordinates for a simulator (so a unit
quaternion counts as three numbers) and in latent coordinates for a world model. Reported are sigma_max(J_t) and the
growth exponent log sigma_max(J_{H-1} ... J_0) / H, a finite-time Lyapunov exponent per control step.
"""

from __future__ import annotations

import mujoco
import torch
from torch import Tensor

from pwm_bench.envs.simulator import State
from pwm_bench.gradients.landscape import Problem, batches
from pwm_bench.gradients.learned import LearnedWorld
from pwm_bench.gradients.simulated import SimulatedWorld

__all__ = ["along_rollout", "growth_exponents", "latent_jacobians", "simulator_jacobians", "tangent_basis"]


def tangent_basis(model: mujoco.MjModel, qpos: Tensor) -> Tensor:
    """G with ``dq = G(q) dx`` for tangent increments dx. Shape ``(N, nq, nv)``.

    Columns of a quaternion have length 1/2, so the inverse of that block on its range is 4 G'.
    """
    basis = qpos.new_zeros(qpos.shape[0], model.nq, model.nv)
    for joint in range(model.njnt):
        kind, q, v = (int(x[joint]) for x in (model.jnt_type, model.jnt_qposadr, model.jnt_dofadr))
        if kind in (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE)):
            basis[:, q, v] = 1.0
            continue
        if kind == int(mujoco.mjtJoint.mjJNT_FREE):
            basis[:, q : q + 3, v : v + 3] = torch.eye(3, dtype=qpos.dtype, device=qpos.device)
            q, v = q + 3, v + 3
        w, x, y, z = qpos[:, q : q + 4].unbind(1)
        rows = [torch.stack(r, 1) for r in ((-x, -y, -z), (w, -z, y), (z, w, -x), (-y, x, w))]
        basis[:, q : q + 4, v : v + 3] = 0.5 * torch.stack(rows, 1)
    return basis


def _inverse(basis: Tensor) -> Tensor:
    """Left inverse ``(N, nv, nq)``: unit columns stay, those of length 1/2 are scaled by 4."""
    return (basis / basis.square().sum(1, keepdim=True)).transpose(1, 2)


def simulator_jacobians(world: SimulatedWorld, states: State, actions: Tensor) -> Tensor:
    """J of one control step at N states, by as many vector-Jacobian products as the state has dimensions.

    Args:
        world: on a differentiable simulator.
        states: shapes ``(N, nq)`` and ``(N, nv)``.
        actions: shape ``(N, A)``.

    Returns:
        shape ``(N, 2 nv, 2 nv)``.
    """
    world.require_gradient()
    model = world.simulator.model
    nv, size, number = model.nv, 2 * model.nv, states.qpos.shape[0]
    result = states.qpos.new_empty(number * size, size)
    for rows, valid in batches(number * size, world.rows, actions.device):
        which, component = rows // size, rows % size
        qpos, qvel = (x[which].detach().requires_grad_() for x in (states.qpos, states.qvel))
        after = world.simulator.step(State(qpos, qvel), world.task.control(actions[which]))
        unit = torch.nn.functional.one_hot(component, size).to(qpos.dtype)
        back = _inverse(tangent_basis(model, after.qpos.detach()))
        cotangents = (torch.einsum("nv,nvq->nq", unit[:, :nv], back), unit[:, nv:])
        by_q, by_v = torch.autograd.grad((after.qpos, after.qvel), (qpos, qvel), cotangents)
        by_x = torch.einsum("nq,nqv->nv", by_q, tangent_basis(model, qpos.detach()))
        result[rows[:valid]] = torch.cat((by_x, by_v), 1)[:valid]
    return result.unflatten(0, (number, size))


def latent_jacobians(world: LearnedWorld, latents: Tensor, actions: Tensor) -> Tensor:
    """d z' / d z at N latents ``(N, L)`` under actions ``(N, A)``. Shape ``(N, L, L)``."""
    number, size = latents.shape
    result = latents.new_empty(number * size, size)
    for rows, valid in batches(number * size, max(world.rows, 1024), latents.device):
        which, component = rows // size, rows % size
        z = latents[which].detach().requires_grad_()
        after = world.trained.model.next(z.unsqueeze(0), actions[which].unsqueeze(0)).squeeze(0)
        unit = torch.nn.functional.one_hot(component, size).to(z.dtype)
        (found,) = torch.autograd.grad(after, z, unit)
        result[rows[:valid]] = found[:valid]
    return result.unflatten(0, (number, size))


def growth_exponents(jacobians: Tensor, horizons: tuple[int, ...]) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
    """Stretching along rollouts.

    Args:
        jacobians: shape ``(H, N, n, n)``, the last horizon's or longer.
        horizons: those wanted.

    Returns:
        for each horizon the median over its steps of sigma_max(J_t), and the growth exponent; both ``(N,)``.
    """
    finite = torch.isfinite(jacobians).all(-1).all(-1)
    clean = torch.where(finite[..., None, None], jacobians, 0.0)  # singular values of anything else raise an error
    largest = torch.where(finite, torch.linalg.matrix_norm(clean, ord=2), torch.nan)
    product = torch.eye(jacobians.shape[-1], dtype=jacobians.dtype, device=jacobians.device)
    product = product.expand(jacobians.shape[1], -1, -1)
    norms, exponents = {}, {}
    log_scale = jacobians.new_zeros(jacobians.shape[1])
    for t, jacobian in enumerate(jacobians, start=1):
        product = jacobian @ product
        scale = product.flatten(1).norm(dim=1).clamp(min=1e-300)  # keeps the product within the numbers there are
        product, log_scale = product / scale.view(-1, 1, 1), log_scale + scale.log()
        if t in horizons:
            sound = torch.isfinite(product).all(-1).all(-1)
            top = torch.linalg.matrix_norm(torch.where(sound.view(-1, 1, 1), product, 0.0), ord=2)
            exponents[t] = torch.where(sound, (log_scale + top.log()) / t, torch.nan)
            norms[t] = largest[:t].quantile(0.5, dim=0)
    return norms, exponents


def along_rollout(world: SimulatedWorld, problem: Problem, states: int) -> tuple[State, Tensor, Tensor]:
    """Noiseless rollouts of the first ``states`` start states; see `SimulatedWorld.trajectory`."""
    index = torch.arange(world.rows, device=problem.theta.device).clamp(max=states - 1)
    path, actions, seen = world.trajectory(
        problem.starts(index), problem.control, problem.theta[index], problem.longest
    )
    return State(path.qpos[:, :states], path.qvel[:, :states]), actions[:, :states], seen[:, :states]
