"""Gradient through a mass matrix that several substeps share.

Substeps n = r, r + 1, ... solve H(q_r) a_n = tau_n. With lam_n = H^-1 dL/da_n their part of the gradient by q_r is that
of -sum_n lam_n^T H(q) a_n, a linear function of H with weights that add up over the substeps,

    G_kk = sum lam_k a_k,    G_kj = sum lam_k a_j + lam_j a_k    (j an ancestor of k: H's packed entries).

So one pass over the tree serves all of them. H_kj = S_j . U_k with U_k = I_k S_k, I_k the composite inertia of dof k's
link. With W_k = sum_j G_kj S_j the sum P = sum_k W_k . U_k has the derivatives

    dP/dS_j = sum_k G_kj U_k + (I_j W_j),    dP/dI_k = W_k S_k^T symmetrised,

those by I_k summed over the dofs of a link and handed down to everything that it carries. A motion T of a subtree turns
its axes by T x S and its inertias by T x* I - I (T x); the derivative of P is T . (sum over the subtree's links of the
force on each that these give). An inertia is its mass, its first moment h and its second moment J about the reference
point; by h and J the quadratic form W . I S has the derivatives S_v x W_w - S_w x W_v and W_w S_w^T.
"""

from types import SimpleNamespace

import warp as wp

from pwm_bench.envs.company import made_once
from pwm_bench.envs.warp.kinematics import build_kinematics
from pwm_bench.envs.warp.layout import Layout
from pwm_bench.envs.warp.model import BALL
from pwm_bench.envs.warp.spatial import force_cross_angular, inertia_angular, inertia_linear

__all__ = ["build_held_matrix"]


@made_once
def build_held_matrix(layout: Layout) -> SimpleNamespace:
    """Builds the Warp functions for one floating-point type."""
    real, vec3, mat33, Model, Scratch = layout.real, layout.vec3, layout.mat33, layout.Model, layout.Scratch
    kinematics = build_kinematics(layout)

    @wp.func
    def collect_weights(w: int, t: int, r: int, m: Model, s: Scratch, traj: wp.array3d(dtype=real)):
        """Adds a substep's lam (in ``solution``) and acceleration to the weights G."""
        for k in range(m.nv):
            adr = m.row_adr[k]
            lam = s.solution[w, k]
            a = traj[t, r, m.nq + m.nv + k]
            s.adj_matrix[w, adr] = s.adj_matrix[w, adr] + lam * a
            for n in range(1, m.row_num[k]):
                j = m.row_col[adr + n]
                s.adj_matrix[w, adr + n] = (
                    s.adj_matrix[w, adr + n] + lam * traj[t, r, m.nq + m.nv + j] + s.solution[w, j] * a
                )

    @wp.func
    def differentiate_axes_and_inertias(w: int, m: Model, s: Scratch):
        """Fills dP/dS, and dP/dI of each link's own dofs; composite inertias replace those of the links."""
        for k in range(m.nv):
            s.adj_axis_n[w, k] = vec3()
            s.adj_axis_f[w, k] = vec3()
        for ii in range(1, m.num_links):
            i = m.num_links - ii
            mass = s.mass[w, i]
            first = s.first[w, i]
            second = s.second[w, i]
            adj_first = vec3()
            adj_second = mat33()
            for kk in range(m.dof_num[i]):
                k = m.dof_adr[i] + kk
                adr = m.row_adr[k]
                sw = s.axis_w[w, k]
                sv = s.axis_v[w, k]
                un = inertia_angular(first, second, sw, sv)
                uf = inertia_linear(mass, first, sw, sv)
                ww = vec3()
                wv = vec3()
                for n in range(m.row_num[k]):
                    j = m.row_col[adr + n]
                    weight = s.adj_matrix[w, adr + n]
                    ww = ww + weight * s.axis_w[w, j]
                    wv = wv + weight * s.axis_v[w, j]
                    s.adj_axis_n[w, j] = s.adj_axis_n[w, j] + weight * un
                    s.adj_axis_f[w, j] = s.adj_axis_f[w, j] + weight * uf
                s.adj_axis_n[w, k] = s.adj_axis_n[w, k] + inertia_angular(first, second, ww, wv)
                s.adj_axis_f[w, k] = s.adj_axis_f[w, k] + inertia_linear(mass, first, ww, wv)
                adj_first = adj_first + wp.cross(sv, ww) - wp.cross(sw, wv)
                adj_second = adj_second + real(0.5) * (wp.outer(ww, sw) + wp.outer(sw, ww))
            s.adj_first[w, i] = adj_first
            s.adj_second[w, i] = adj_second
            p = m.parent[i]
            if p > 0:
                s.mass[w, p] = s.mass[w, p] + mass
                s.first[w, p] = s.first[w, p] + first
                s.second[w, p] = s.second[w, p] + second

    @wp.func
    def differentiate_matrix(w: int, t: int, r: int, m: Model, s: Scratch, traj: wp.array3d(dtype=real)):
        """Subtracts dP/dq from ``adj_q`` and clears the weights; the matrix is that of slot ``r``."""
        for i in range(1, m.num_links):
            kinematics.update_link(i, w, t, r, m, s, traj)
            kinematics.update_inertia(i, w, m, s)
            s.adj_pose_n[w, i] = vec3()
            s.adj_pose_f[w, i] = vec3()
        differentiate_axes_and_inertias(w, m, s)
        for i2 in range(1, m.num_links):
            p = m.parent[i2]
            adj_first = s.adj_first[w, i2]
            adj_second = s.adj_second[w, i2]
            if p > 0:
                adj_first = adj_first + s.adj_first[w, p]
                adj_second = adj_second + s.adj_second[w, p]
                s.adj_first[w, i2] = adj_first
                s.adj_second[w, i2] = adj_second
            kinematics.update_inertia(i2, w, m, s)
            first = s.first[w, i2]
            turning = s.second[w, i2] * adj_second
            n = wp.cross(first, adj_first) + real(2.0) * vec3(
                turning[1, 2] - turning[2, 1], turning[2, 0] - turning[0, 2], turning[0, 1] - turning[1, 0]
            )
            f = s.mass[w, i2] * adj_first + real(2.0) * (wp.trace(adj_second) * first - adj_second * first)
            s.adj_pose_n[w, i2] = s.adj_pose_n[w, i2] + n
            s.adj_pose_f[w, i2] = s.adj_pose_f[w, i2] + f
            moved = i2  # the link that carries the joint's axes along when it turns about them
            if m.linear_rotation == 1 and m.kind[i2] == BALL:
                moved = p
            if not kinematics.is_twist(i2, m) and moved > 0:
                for kk in range(m.dof_num[i2]):
                    k = m.dof_adr[i2] + kk
                    an = s.adj_axis_n[w, k]
                    af = s.adj_axis_f[w, k]
                    sw = s.axis_w[w, k]
                    s.adj_pose_n[w, moved] = s.adj_pose_n[w, moved] + force_cross_angular(sw, s.axis_v[w, k], an, af)
                    s.adj_pose_f[w, moved] = s.adj_pose_f[w, moved] + wp.cross(sw, af)
        for ii in range(1, m.num_links):
            i3 = m.num_links - ii
            gn = s.adj_pose_n[w, i3]
            gf = s.adj_pose_f[w, i3]
            kinematics.subtract_projection(i3, w, gn, gf, m, s)
            p2 = m.parent[i3]
            if p2 > 0:
                s.adj_pose_n[w, p2] = s.adj_pose_n[w, p2] + gn
                s.adj_pose_f[w, p2] = s.adj_pose_f[w, p2] + gf
        for n2 in range(m.row_adr[m.nv - 1] + m.row_num[m.nv - 1]):
            s.adj_matrix[w, n2] = real(0.0)

    return SimpleNamespace(collect_weights=collect_weights, differentiate_matrix=differentiate_matrix)
