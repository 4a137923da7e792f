"""Checks of a simulator: repeatable steps, independent worlds, right derivatives."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pwm_bench import envs
from pwm_bench.envs.simulator import Simulator, State
from pwm_bench.testing.differences import directional_error, rollout_objective
from pwm_bench.testing.host_sync import no_host_sync

__all__ = ["check_simulator"]

_ARGUMENTS = ("qpos", "qvel", "ctrl")


def check_simulator(
    simulator: str,
    task: str,
    *,
    worlds: int = 4,
    steps: int = 3,
    tolerance: float = 1e-5,
    device: str = "cpu",
    **options: Any,
) -> None:
    """Checks a simulator on a task's model: shapes, repeatability, independence of worlds, and its gradient.

    In float64, from the task's reset states under random controls: the same step twice gives the same bits; what one
    world does, even where it is not finite, changes nothing in another; directional derivatives of a few steps equal
    central differences. A simulator for GPUs that computes in torch reads nothing back from the device.

    Args:
        simulator: its name.
        task: a task that it can run.
        worlds: worlds side by side.
        steps: control steps that the gradient passes through.
        tolerance: largest relative error of a directional derivative in a world.
        device: where.
        options: options of the simulator.

    Raises:
        AssertionError: it does not conform.
        UsageError: an unknown name, or the simulator refuses the task.
    """
    able = envs.capabilities(simulator)
    env = envs.make(task, simulator, num_envs=worlds, device=device, dtype=torch.float64, **options)
    one, state = env.simulator, env.state
    assert isinstance(one, Simulator), f"{simulator}: lacks attributes or methods of pwm_bench.envs.simulator.Simulator"
    assert one.capabilities == able, f"{simulator}: its instances have other capabilities than the simulator"
    assert one.differentiable == bool(able.gradient), (
        f"{simulator}: 'differentiable' is {one.differentiable}, but capabilities.gradient is '{able.gradient}'"
    )
    generator = torch.Generator().manual_seed(0)
    shape = (steps, worlds, one.model.nu)
    controls = (1.6 * torch.rand(shape, generator=generator, dtype=torch.float64) - 0.8).to(one.device)
    _check_step(simulator, one, state, controls[0])
    if one.differentiable:
        _check_derivatives(simulator, one, state, controls[0])
    _check_independence(simulator, one, state, controls[0])
    if able.library == "torch" and "cuda" in able.devices:
        with no_host_sync():
            one.step(state, controls[0])
    single = envs.make(task, simulator, num_envs=worlds, device=device, **options)
    after = single.simulator.step(single.state, controls[0].float())
    assert after.qpos.dtype == torch.float32, f"{simulator}: a step in float32 gives {after.qpos.dtype}"
    if one.differentiable:
        for which, name in enumerate(_ARGUMENTS):
            error = directional_error(
                rollout_objective(one), (state.qpos, state.qvel, controls), which, directions=2
            ).max()
            assert error < tolerance, (
                f"{simulator}: the derivative of {steps} steps of '{task}' with respect to {name} differs from central "
                f"differences by {error:.1e} (relative, float64)"
            )


def _check_step(name: str, one: Simulator, state: State, ctrl: Tensor) -> None:
    before = [x.clone() for x in (state.qpos, state.qvel, ctrl)]
    try:
        first = one.step(state, ctrl)
    except Exception as error:
        raise AssertionError(f"{name}: a step raises {type(error).__name__}: {error}") from error
    for what, tensor, size in (("qpos", first.qpos, one.model.nq), ("qvel", first.qvel, one.model.nv)):
        got, due = tuple(tensor.shape), (one.num_worlds, size)
        assert got == due, f"{name}: a step gives {what} of the shape {got}, not {due}"
    assert first.qpos.dtype == one.dtype, f"{name}: a step in {one.dtype} gives {first.qpos.dtype}"
    assert all(torch.isfinite(x).all() for x in (first.qpos, first.qvel)), f"{name}: a step from a reset is not finite"
    assert not torch.equal(first.qvel, state.qvel), f"{name}: a step under control changes no velocity"
    unchanged = all(torch.equal(x, y) for x, y in zip(before, (state.qpos, state.qvel, ctrl), strict=True))
    assert unchanged, f"{name}: a step writes into its arguments"
    kept = first.qpos.clone(), first.qvel.clone()
    one.step(first, -ctrl)
    stays = torch.equal(first.qpos, kept[0]) and torch.equal(first.qvel, kept[1])
    assert stays, f"{name}: a step changes what an earlier step gave: return clones of the simulator's own buffers"
    again = one.step(state, ctrl)
    same = torch.equal(first.qpos, again.qpos) and torch.equal(first.qvel, again.qvel)
    assert same, f"{name}: the same step twice gives other numbers: `step` must be a pure function"


def _check_derivatives(name: str, one: Simulator, state: State, ctrl: Tensor) -> None:
    """What a step gives must depend, for autograd, on all that it was given."""
    given = [x.detach().clone().requires_grad_() for x in (state.qpos, state.qvel, ctrl)]
    after = one.step(State(*given[:2]), given[2])
    total = after.qpos.sum() + after.qvel.sum()
    found = torch.autograd.grad(total, given, allow_unused=True) if total.requires_grad else (None,) * len(given)
    lost = [what for what, gradient in zip(_ARGUMENTS, found, strict=True) if gradient is None]
    assert not lost, (
        f"{name}: a step passes no derivative on to {', '.join(lost)}: it must neither detach them nor compute under "
        "torch.no_grad(); or say in `capabilities` that the simulator is not differentiable"
    )


def _check_independence(name: str, one: Simulator, state: State, ctrl: Tensor) -> None:
    """The last world is moved, then broken; the others must not notice, in values nor in gradients."""
    rest = slice(0, one.num_worlds - 1)

    def outcome(qvel: Tensor) -> tuple[Tensor, ...]:
        u = ctrl.clone().requires_grad_(one.differentiable)
        after = one.step(State(state.qpos, qvel), u)
        found = (after.qpos.detach()[rest], after.qvel.detach()[rest])
        if not one.differentiable:
            return found
        (gradient,) = torch.autograd.grad(after.qvel.sum() + after.qpos.sum(), u)
        return (*found, gradient[rest])

    alone = outcome(state.qvel)
    for other, what in ((0.5, "moves"), (torch.nan, "is not finite")):
        qvel = state.qvel.clone()
        qvel[-1] += other
        for mine, theirs in zip(outcome(qvel), alone, strict=True):
            assert torch.allclose(mine, theirs, rtol=1e-12, atol=1e-12), (
                f"{name}: worlds are not independent: where one {what}, the others change by "
                f"{(mine - theirs).abs().max():.1e}"
            )
