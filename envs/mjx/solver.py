"""One substep of MJX run to convergence, and its adjoint by the implicit function theorem.

A substep of length h starts at position q, velocity v and control u. MuJoCo's acceleration a is the minimum of a
strictly convex function, so it is the root of that function's gradient::

    R(q, v, u, a) = M(q) a + c(q, v) - tau(q, v, u) - J(q)^T f(J(q) a - a_ref(q, v)) = 0

with M the joint-space inertia, c the bias force, tau the passive and actuator forces, J the Jacobian of the active
constraints and f the force that MuJoCo's soft constraint assigns to a constraint-space acceleration. Velocity is then
integrated with damping B taken implicitly ("eulerdamp"), by the acceleration w, and position with the new velocity::

    (M + h B) w = M a        v+ = v + h w        q+ = q (+) h v+

(without damping w = a). MJX's solver finds a with a `while_loop`, which has no reverse mode. Cutting the loop after a
few iterations would give one, but the derivative of an unconverged iterate, which is another vector altogether. At the
root the derivative needs no iterate: one differentiable Newton step ``a - H^-1 R(q, v, u, a)`` from the root, where
``H = dR/da = M - J^T f' J``, has the root's value and, by the implicit function theorem, its derivative. So given the
loss gradient g with respect to w, the adjoint is two symmetric solves and one reverse pass through R::

    (M + h B) mu = g         H lam = M mu
    loss gradient wrt (q, v, u)  =  - d/d(q, v, u) S,     S = lam . R(q, v, u, a) + mu . M(q) (w - a)

with a, w, lam, mu held constant: the total derivative of both equations, contracted. H itself is never differentiated
(its derivative would multiply R = 0), nor is the composite inertia: M(q) a + c(q, v) and M(q) (w - a) are
inverse-dynamics passes (RNE), cheaper to differentiate and to compile than M and its factor.

Every term is computed by MJX's own public stage functions; nothing in MJX is replaced.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import mujoco
import numpy as np
from jax import Array
from jax import numpy as jnp
from mujoco import mjx

from envs.mjx.integration import Integrator

__all__ = ["Dynamics", "Substep"]


class Substep(NamedTuple):
    """What the adjoint of a substep needs of its forward pass: O(nv) numbers, the solver's work not among them."""

    qpos: Array
    qvel: Array
    qacc: Array
    """a, the root of R, shape ``(nv,)``."""
    qacc_step: Array
    """w, the acceleration that velocity is integrated with, ``(nv,)``."""


class Dynamics:
    """Substeps of one world of an MJX model; map over worlds with `jax.vmap`.

    Args:
        model: MJX model whose ``opt`` carries the solver's convergence settings.
        data: MJX data of that model, in the same precision.
    """

    def __init__(self, model: mjx.Model, data: mjx.Data, host_model) -> None:
        self._model = model
        self._data = data
        self._integrate = Integrator(host_model)
        self._damping = self._implicit_damping()

    def substep(self, qpos: Array, qvel: Array, ctrl: Array, warm_start: Array) -> tuple[Array, Array, Substep]:
        """Advances one substep.

        Args:
            qpos, qvel, ctrl: state and control, shapes ``(nq,)``, ``(nv,)``, ``(nu,)``.
            warm_start: acceleration from which the solver may start, ``(nv,)``.

        Returns:
            next position, next velocity, and the record for `adjoint`.
        """
        m = self._model
        d = self._data.replace(qpos=qpos, qvel=qvel, ctrl=ctrl, qacc_warmstart=warm_start)
        d = self._position(d)
        d = mjx.factor_m(m, mjx.crb(m, d))
        d = mjx.fwd_acceleration(m, mjx.fwd_actuation(m, mjx.fwd_velocity(m, d)))
        qacc = mjx.solve(m, d).qacc if d._impl.efc_J.size else d.qacc_smooth
        qacc_step = qacc
        if self._damping is not None:
            inertia = mjx.full_m(m, d)
            qacc_step = _solve(inertia + jnp.diag(self._damping), inertia @ qacc)
        new_qpos, new_qvel = self._integrate(qpos, qvel, qacc_step)
        return new_qpos, new_qvel, Substep(qpos, qvel, qacc, qacc_step)

    def adjoint(self, record: Substep, ctrl: Array, grad_qpos: Array, grad_qvel: Array) -> tuple[Array, Array, Array]:
        """Turns the loss gradient after a substep into that before it.

        Args:
            record: from `substep`.
            ctrl: control of the substep, ``(nu,)``.
            grad_qpos, grad_qvel: loss gradient with respect to the substep's results.

        Returns:
            loss gradient with respect to qpos ``(nq,)``, qvel ``(nv,)`` and ctrl ``(nu,)``.
        """
        m = self._model
        _, pull_integration = jax.vjp(self._integrate, record.qpos, record.qvel, record.qacc_step)
        grad_qpos, grad_qvel, grad_acc = pull_integration((grad_qpos, grad_qvel))

        def balance(qpos: Array, qvel: Array, ctrl: Array):
            d = self._data.replace(qpos=qpos, qvel=qvel, ctrl=ctrl, qacc=record.qacc)
            d = self._position(d)
            d = mjx.fwd_actuation(m, mjx.passive(m, mjx.com_vel(m, self._actuator_velocity(d))))
            force = self._constraint_force(d, record.qacc) + d.qfrc_passive + d.qfrc_actuator
            if self._damping is None:
                return (mjx.rne(m, d, flg_acc=True).qfrc_bias - force, None), d
            inverse = jax.vmap(lambda acc: mjx.rne(m, d.replace(qacc=acc), flg_acc=True).qfrc_bias)
            at_a, at_w = inverse(jnp.stack((record.qacc, record.qacc_step)))
            return (at_a - force, at_w - at_a), d

        _, pull, d = jax.vjp(balance, record.qpos, record.qvel, ctrl, has_aux=True)
        inertia = mjx.full_m(m, mjx.crb(m, d))
        hessian = inertia
        if d._impl.efc_J.size:
            hessian = inertia - jax.jacfwd(lambda acc: self._constraint_force(d, acc))(record.qacc)
        mu = None
        if self._damping is not None:
            mu = -_solve(inertia + jnp.diag(self._damping), grad_acc)
            lam = _solve(hessian, inertia @ mu)
        else:
            lam = -_solve(hessian, grad_acc)
        dq, dv, du = pull((lam, mu))
        return grad_qpos + dq, grad_qvel + dv, du

    def _position(self, d: mjx.Data) -> mjx.Data:
        m = self._model
        d = mjx.com_pos(m, mjx.kinematics(m, d))
        if m.ntendon:
            d = mjx.tendon(m, d)
        return mjx.transmission(m, mjx.make_constraint(m, mjx.collision(m, d)))

    def _actuator_velocity(self, d: mjx.Data) -> mjx.Data:
        return d.tree_replace({'_impl.actuator_velocity': d._impl.actuator_moment @ d.qvel,
            '_impl.ten_velocity': d._impl.ten_J @ d.qvel})

    def _constraint_force(self, d: mjx.Data, qacc: Array) -> Array:
        from mujoco.mjx._src.inverse import inv_constraint
        return inv_constraint(self._model, d.replace(qacc=qacc)).qfrc_constraint

    def _implicit_damping(self):
        m = self._model
        if m.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_EULERDAMP or not np.any(np.asarray(m.dof_damping)):
            return None
        return m.opt.timestep * m.dof_damping


def _solve(matrix: Array, vector: Array) -> Array:
    factor = jax.scipy.linalg.cho_factor(matrix, lower=True)
    return jax.scipy.linalg.cho_solve(factor, vector)
