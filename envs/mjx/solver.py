"""One substep of MJX, solved to convergence, and its adjoint by the implicit function theorem.

A substep of length h starts at position q, velocity v and control u. MuJoCo's acceleration a is the minimum of a
strictly convex function, so it is the root of that function's gradient::

    R(q, v, u, a) = M(q) a + c(q, v) - tau(q, v, u) - J(q)^T f(J(q) a - a_ref(q, v)) = 0

with M the joint-space inertia, c the bias force, tau the passive and actuator forces, J the Jacobian of the
constraints (contacts, limits, dry friction, equalities) and f the force that MuJoCo's soft constraint assigns to an
acceleration in constraint space. Velocity is integrated with the joint damping B taken implicitly ("eulerdamp"), that
is by another acceleration w, and position with the new velocity::

    (M + h B) w = M a        v+ = v + h w        q+ = q (+) h v+          (without damping w = a)

MJX finds a in a `while_loop`, which has no reverse mode. Cutting it after a few iterations would give one, but the
derivative of an iterate that has not converged is not that of the solution. At the root no iterate is needed: one
differentiable Newton step from it, a - H^-1 R(q, v, u, a) with H = dR/da = M - J^T f' J held constant, has the root's
value and, by the implicit function theorem, the root's derivative. Its reverse mode, for a loss gradient g with
respect to w, is two symmetric solves and one reverse pass through a scalar::

    (M + h B) mu = g        H lam = M mu
    loss gradient wrt (q, v, u) = - d/d(q, v, u) [ lam . R(q, v, u, a) + mu . M(q) (w - a) ]

with a, w, lam, mu held constant. H is never differentiated (its derivative would multiply R = 0), nor are the
composite inertia and its factor: M(q) a + c(q, v) and M(q) (w - a) are inverse dynamics (RNE), which is cheaper to
differentiate and to compile. The solver does not take part in the reverse pass at all.

Every term is computed by MJX's own stage functions, but for tendons through sites (`tendons`), springs of ball and free
joints and of tendons (`springs`), lengths of actuators that measure a rotation (`transmission`) and what `equalities`
adds.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import mujoco
from jax import Array
from jax import numpy as jnp
from mujoco import mjx

# The one name that MJX does not export: constraint forces at a given acceleration, for every cone and kind of row.
from mujoco.mjx._src.solver import Context

from pwm_bench.envs.mjx.bodies import Bodies
from pwm_bench.envs.mjx.contact import align_capsule_frames, find_box_corners, has_on_plane
from pwm_bench.envs.mjx.equalities import MovingEqualities
from pwm_bench.envs.mjx.integration import Integrator
from pwm_bench.envs.mjx.kinematics import Kinematics
from pwm_bench.envs.mjx.linear import solve_positive
from pwm_bench.envs.mjx.springs import RotationalSprings, TendonSprings
from pwm_bench.envs.mjx.tendons import Tendons
from pwm_bench.envs.mjx.transmission import Transmission

__all__ = ["Dynamics", "Substep"]


class Substep(NamedTuple):
    """What the adjoint of a substep needs of its forward pass."""

    qpos: Array
    """q, shape ``(nq,)``."""
    qvel: Array
    """v, ``(nv,)``."""
    qacc: Array
    """a, the root of R, ``(nv,)``."""
    qacc_step: Array
    """w, the acceleration that the velocity was integrated with, ``(nv,)``."""


class Dynamics:
    """Substeps of one world; map over worlds with `jax.vmap`.

    Args:
        host: the compiled model, Euler integrator.
        model: its MJX form; ``opt`` carries the solver's convergence settings.
        data: MJX data of that model, in the precision to compute in.
    """

    def __init__(self, host: mujoco.MjModel, model: mjx.Model, data: mjx.Data) -> None:
        self._joint_springs, self._tendon_springs = RotationalSprings(host), TendonSprings(host)
        self._model = self._tendon_springs.without(self._joint_springs.without(model))
        self._data = data
        self._bodies = Bodies(host)
        self._fluid = bool(host.opt.density or host.opt.viscosity)
        self._kinematics = Kinematics(host, model, data)
        self._tendons = Tendons(host)
        self._equalities = MovingEqualities(host)
        self._transmission = Transmission(host)
        self._integrate = Integrator(host)
        self._constrained = data._impl.nefc > 0
        touches = data._impl.ncon > 0
        self._capsules = touches and has_on_plane(host, mujoco.mjtGeom.mjGEOM_CAPSULE)
        self._boxes = touches and has_on_plane(host, mujoco.mjtGeom.mjGEOM_BOX)
        self._implicit_damping = bool(host.dof_damping.any()) and not (
            host.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_EULERDAMP
        )

    def substep(self, qpos: Array, qvel: Array, ctrl: Array, warm_start: Array) -> tuple[Array, Array, Substep]:
        """Advances one substep.

        Args:
            qpos: position ``(nq,)``.
            qvel: velocity ``(nv,)``.
            ctrl: control ``(nu,)``.
            warm_start: acceleration from which the solver may start, ``(nv,)``.

        Returns:
            The next position, the next velocity, and the record that `adjoint` takes.
        """
        m = self._model
        d = self._data.replace(qpos=qpos, qvel=qvel, ctrl=ctrl, qacc_warmstart=warm_start)
        d = mjx.crb(m, self._position(d))
        d = mjx.fwd_actuation(m, mjx.fwd_velocity(m, d))
        inertia = mjx.full_m(m, d)
        smooth = d.qfrc_passive + self._springs(d) - d.qfrc_bias + d.qfrc_actuator
        qacc = solve_positive(inertia, smooth)
        if self._constrained:
            qacc = mjx.solve(m, d.replace(qfrc_smooth=smooth, qacc_smooth=qacc)).qacc
        qacc_step = qacc
        if self._implicit_damping:
            qacc_step = solve_positive(self._damped(inertia), inertia @ qacc)
        next_qpos, next_qvel = self._integrate(qpos, qvel, qacc_step)
        return next_qpos, next_qvel, Substep(qpos, qvel, qacc, qacc_step)

    def adjoint(self, record: Substep, ctrl: Array, grad_qpos: Array, grad_qvel: Array) -> tuple[Array, Array, Array]:
        """Takes a loss gradient from after a substep to before it.

        Args:
            record: what `substep` returned.
            ctrl: control of the substep, ``(nu,)``.
            grad_qpos: loss gradient with respect to the next position, ``(nq,)``.
            grad_qvel: the same for the next velocity, ``(nv,)``.

        Returns:
            Loss gradient with respect to position ``(nq,)``, velocity ``(nv,)`` and control ``(nu,)``.
        """
        m = self._model
        qacc, qacc_step = record.qacc, record.qacc_step

        def balance(qpos: Array, qvel: Array, ctrl: Array) -> tuple[tuple[Array, Array], mjx.Data]:
            """R at a and M(q) (w - a), without the armature's part: that does not depend on the arguments."""
            d = self._position(self._data.replace(qpos=qpos, qvel=qvel, ctrl=ctrl))
            d = mjx.fwd_actuation(m, self._passive(d))
            at_qacc, at_step = self._bodies.inverse(d, qvel, jnp.stack((qacc, qacc_step)))
            force = d.qfrc_passive + self._springs(d) + d.qfrc_actuator + self._constraint_force(d, qacc)
            return (at_qacc - force, at_step - at_qacc), d

        _, pull_integration = jax.vjp(self._integrate, record.qpos, record.qvel, qacc_step)
        grad_qpos, grad_qvel, grad_step = pull_integration((grad_qpos, grad_qvel))
        _, pull_balance, data = jax.vjp(balance, record.qpos, record.qvel, ctrl, has_aux=True)

        inertia = self._bodies.inertia(data)
        hessian = inertia
        if self._constrained:
            hessian = inertia - jax.jacfwd(lambda acc: self._constraint_force(data, acc))(qacc)
        if self._implicit_damping:
            mu = solve_positive(self._damped(inertia), grad_step)
            lam = solve_positive(hessian, inertia @ mu)
        else:
            mu = jnp.zeros_like(grad_step)
            lam = solve_positive(hessian, grad_step)
        by_qpos, by_qvel, by_ctrl = pull_balance((-lam, -mu))
        return grad_qpos + by_qpos, grad_qvel + by_qvel, by_ctrl

    def _position(self, d: mjx.Data) -> mjx.Data:
        m = self._model
        d = self._tendons(m, mjx.com_pos(m, self._kinematics(d)))
        d = mjx.collision(m, d)
        if self._capsules:
            d = align_capsule_frames(m, d)
        if self._boxes:
            d = find_box_corners(m, d)
        return self._transmission(m, self._equalities(m, mjx.make_constraint(m, d)))

    def _springs(self, d: mjx.Data) -> Array | float:
        return self._joint_springs.force(d.qpos) + self._tendon_springs.force(d)

    def _passive(self, d: mjx.Data) -> mjx.Data:
        """What `mjx.fwd_velocity` computes, but for the bias force (which `Bodies` has)."""
        speeds = {
            "_impl.actuator_velocity": d._impl.actuator_moment @ d.qvel,
            "_impl.ten_velocity": d._impl.ten_J @ d.qvel,
        }
        d = d.tree_replace(speeds)
        return mjx.passive(self._model, mjx.com_vel(self._model, d) if self._fluid else d)

    def _constraint_force(self, d: mjx.Data, qacc: Array) -> Array:
        if not self._constrained:
            return jnp.zeros_like(qacc)
        return Context.create(self._model, d.replace(qacc=qacc), grad=False).qfrc_constraint

    def _damped(self, inertia: Array) -> Array:
        return inertia + jnp.diag(self._model.opt.timestep * self._model.dof_damping)
