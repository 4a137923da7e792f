"""Newton's Featherstone solver on the same ant, when Newton is installed (``tox -e peers``)."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources

import numpy as np
import warp as wp

from pwm_bench.bench.workloads import start_states

__all__ = ["newton_gradient"]


def newton_gradient(
    task: str, worlds: int, horizon: int, substeps: int, timestep: float, *, mass_matrix_interval: int
) -> Callable[[], np.ndarray]:
    """Forward and backward through Newton's SolverFeatherstone by Warp's tape, on the CPU.

    Args:
        task: whose MJCF is loaded.
        worlds: copies of it.
        horizon: control steps.
        substeps: substeps of each.
        timestep: of a substep [s].
        mass_matrix_interval: substeps for which the mass matrix is held (1: as shipped).

    Returns:
        a function that runs both passes and returns the gradient by the joint forces, shape
        ``(horizon, worlds x joint coordinates)``.
    """
    import newton

    single = newton.ModelBuilder()
    single.default_shape_cfg.ke, single.default_shape_cfg.kd = 4e4, 1e4
    single.default_shape_cfg.kf, single.default_shape_cfg.mu = 3e3, 0.75
    single.add_mjcf(
        resources.files("pwm_bench.envs.assets").joinpath(f"{task}.xml").read_text(), enable_self_collisions=False
    )
    builder = newton.ModelBuilder()
    builder.replicate(single, worlds)
    builder.add_ground_plane()
    with wp.ScopedDevice("cpu"):
        model = builder.finalize(requires_grad=True)
        solver = newton.solvers.SolverFeatherstone(model, update_mass_matrix_interval=mass_matrix_interval)
        states = [model.state(requires_grad=True) for _ in range(horizon * substeps + 1)]
        controls = [model.control() for _ in range(horizon)]
        start = start_states(task, worlds)
        quaternion = start.qpos[:, [4, 5, 6, 3]]  # Newton stores x y z w
        joint_q = np.concatenate([start.qpos[:, :3].numpy(), quaternion.numpy(), start.qpos[:, 7:].numpy()], axis=1)
        states[0].joint_q.assign(joint_q.reshape(-1).astype(np.float32))
        rng = np.random.default_rng(1)
        for control in controls:
            force = rng.uniform(-1.0, 1.0, (worlds, model.joint_dof_count // worlds)) * 200.0
            force[:, :6] = 0.0
            control.joint_f = wp.array(force.reshape(-1), dtype=float, requires_grad=True)

    def run() -> np.ndarray:
        with wp.ScopedDevice("cpu"):
            tape = wp.Tape()
            with tape:
                for n in range(horizon * substeps):
                    if n % substeps == 0:
                        contacts = model.collide(states[n])
                    solver.step(states[n], states[n + 1], controls[n // substeps], contacts, timestep)
            states[-1].joint_q.grad.fill_(1.0)
            tape.backward()
            grad = np.stack([control.joint_f.grad.numpy() for control in controls])
            tape.zero()
        return grad

    return run
