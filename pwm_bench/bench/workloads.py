"""What benchmarks run: rollouts of a task's simulator under fixed random controls, and updates as runs make them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mujoco
import mujoco.rollout
import numpy as np
import torch
from torch import Tensor

from pwm_bench import envs
from pwm_bench.envs.simulator import Simulator, State
from pwm_bench.envs.tasks import load_task
from pwm_bench.learning.graphed import graphs_of

__all__ = ["Rollout", "make_rollout", "mujoco_rollout", "shipped_mjx_rollout", "start_states", "updater"]


@dataclass(frozen=True, slots=True)
class Rollout:
    """``horizon`` control steps of ``worlds`` worlds."""

    simulator: Simulator
    start: State
    ctrl: Tensor
    """[horizon, worlds, nu]"""

    @property
    def env_steps(self) -> int:
        return self.ctrl.shape[0] * self.ctrl.shape[1]

    def forward(self) -> State:
        """Runs forward without recording anything."""
        with torch.no_grad():
            return self._run(self.ctrl)

    def gradient(self) -> Tensor:
        """Runs forward and back; gradient of the summed final state by the controls."""
        ctrl = self.ctrl.clone().requires_grad_()
        state = self._run(ctrl)
        (grad,) = torch.autograd.grad(state.qpos.sum() + state.qvel.sum(), ctrl)
        return grad

    def check(self) -> None:
        """Makes sure there is something to time: a finite, moving state and a finite, non-zero gradient."""
        state = self.forward()
        if not torch.isfinite(state.qpos).all() or torch.equal(state.qpos, self.start.qpos):
            raise RuntimeError(f"{self.simulator.name}: the rollout does not move or is not finite")
        if self.simulator.differentiable:
            grad = self.gradient()
            if not torch.isfinite(grad).all() or not grad.any():
                raise RuntimeError(f"{self.simulator.name}: the gradient is zero or not finite")

    def _run(self, ctrl: Tensor) -> State:
        state = self.start
        for u in ctrl:
            state = self.simulator.step(state, u)
        return state


def start_states(
    task: str, worlds: int, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> State:
    """Reset states with seeded noise."""
    definition = load_task(task)
    generator = torch.Generator().manual_seed(0)
    noise = 2.0 * torch.rand(worlds, definition.noise_dim, generator=generator, dtype=torch.float64) - 1.0
    state = definition.reset_state(noise)
    return State(state.qpos.to(device, dtype), state.qvel.to(device, dtype))


def make_rollout(
    task: str,
    simulator: str,
    worlds: int,
    horizon: int,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    **options: Any,
) -> Rollout:
    """A rollout of a task as its environment would run it."""
    definition = load_task(task)
    able = envs.capabilities(simulator)
    substeps = definition.substeps_for(able)
    engine = envs.make_simulator(
        simulator,
        definition.model_for(able),
        num_worlds=worlds,
        substeps=substeps,
        timestep=definition.control_dt / substeps,
        device=device,
        dtype=dtype,
        **definition.simulator_options(able),
        **options,
    )
    generator = torch.Generator().manual_seed(1)
    ctrl = 2.0 * torch.rand(horizon, worlds, engine.model.nu, generator=generator, dtype=torch.float64) - 1.0
    return Rollout(engine, start_states(task, worlds, dtype, engine.device), ctrl.to(engine.device, dtype))


def updater(learner: Any, graphed: str, device: torch.device) -> Callable[[], object]:
    """A learner's update, launched as a run launches it.

    Args:
        learner: any.
        graphed: ``"auto"``, ``"on"`` or ``"off"``; see `pwm_bench.learning.graphed.graphs_of`.
        device: where it computes.
    """
    env = getattr(learner, "env", None)
    graphs = graphs_of(learner, graphed, device, None if env is None else env.simulator.capabilities)
    update: Callable[[], object] = learner.update if graphs is None else graphs.update
    return update


def mujoco_rollout(task: str, worlds: int, steps: int, timestep: float) -> Callable[[], np.ndarray]:
    """MuJoCo C stepping the same model with its full step (constraints on) on one thread, from the same states."""
    model = load_task(task).model().__copy__()
    model.opt.timestep = timestep
    start = start_states(task, worlds, torch.float64)
    zeros = np.zeros((worlds, 1))
    initial = np.concatenate([zeros, start.qpos.numpy(), start.qvel.numpy()], axis=1)
    control = np.random.default_rng(1).uniform(-1.0, 1.0, (worlds, steps, model.nu))
    data = mujoco.MjData(model)

    def run() -> np.ndarray:
        states, _ = mujoco.rollout.rollout(
            model, data, initial, control, control_spec=int(mujoco.mjtState.mjSTATE_CTRL)
        )
        return states

    return run


def shipped_mjx_rollout(own: Rollout) -> Callable[[], object]:
    """`mjx.step` as MuJoCo ships it, under the controls of a rollout, with its model, timestep and substeps."""
    from mujoco import mjx

    from pwm_bench.envs.mjx.runtime import jax, precision

    numpy = jax.numpy
    with precision(torch.float32):
        model = mjx.put_model(own.simulator.model)
        data = jax.vmap(lambda q, v: mjx.make_data(model).replace(qpos=q, qvel=v))(
            *(numpy.asarray(x.numpy()) for x in (own.start.qpos, own.start.qvel))
        )
        controls = numpy.asarray(own.ctrl.numpy())

        def control_step(data: Any, control: Any) -> tuple[Any, None]:
            data = data.replace(ctrl=control)
            return jax.lax.fori_loop(0, own.simulator.substeps, lambda _, d: mjx.step(model, d), data), None

        rollout = jax.jit(jax.vmap(lambda d, u: jax.lax.scan(control_step, d, u)[0], in_axes=(0, 1)))

    def run() -> object:
        with precision(torch.float32):
            return jax.block_until_ready(rollout(data, controls).qpos)

    return run
