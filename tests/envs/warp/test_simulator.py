"""Batching, threads, memory and precision of the Warp simulator."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import warp as wp

from pwm_bench import envs
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.simulator import State
from pwm_bench.envs.tasks import load_task
from pwm_bench.envs.warp.simulator import block_for

WORLDS = 12


def make(worlds: int = WORLDS, dtype: torch.dtype = torch.float32, device: str = "cpu", **options: object):
    task = load_task("ant")
    return envs.make_simulator(
        "warp",
        task.model(),
        num_worlds=worlds,
        substeps=16,
        timestep=task.control_dt / 16,
        dtype=dtype,
        device=device,
        **task.simulator_options(envs.capabilities("warp")),
        **options,
    )


def start(worlds: int = WORLDS, dtype: torch.dtype = torch.float32) -> tuple[State, torch.Tensor]:
    task = load_task("ant")
    generator = torch.Generator().manual_seed(0)
    noise = 2.0 * torch.rand(worlds, task.noise_dim, generator=generator, dtype=torch.float64) - 1.0
    state = task.reset_state(noise)
    ctrl = 2.0 * torch.rand(worlds, 8, generator=generator, dtype=torch.float64) - 1.0
    qpos = state.qpos.clone()
    qpos[:, 2] -= 0.2
    return State(qpos.to(dtype), state.qvel.to(dtype)), ctrl.to(dtype)


def gradients(simulator, state: State, ctrl: torch.Tensor) -> list[torch.Tensor]:
    leaves = [x.clone().requires_grad_() for x in (state.qpos, state.qvel, ctrl)]
    after = simulator.step(State(*leaves[:2]), leaves[2])
    return list(torch.autograd.grad(after.qpos.square().sum() + after.qvel.square().sum(), leaves))


def test_worlds_do_not_depend_on_their_neighbours_or_threads() -> None:
    state, ctrl = start()
    together = make(threads=1, specialised=False).step(state, ctrl)
    spread = make(threads=3, specialised=False).step(state, ctrl)
    assert torch.equal(together.qpos, spread.qpos)
    alone = make(worlds=1, specialised=False)
    reference = gradients(make(threads=2, specialised=False), state, ctrl)
    for n in (0, 5, WORLDS - 1):
        row = slice(n, n + 1)
        single = State(state.qpos[row], state.qvel[row])
        assert torch.equal(alone.step(single, ctrl[row]).qvel, together.qvel[row])
        for mine, theirs in zip(gradients(alone, single, ctrl[row]), reference, strict=True):
            assert torch.equal(mine, theirs[row])


def test_forward_is_the_same_with_and_without_gradient() -> None:
    simulator = make()
    state, ctrl = start()
    with torch.no_grad():
        cheap = simulator.step(state, ctrl)
    recorded = simulator.step(state, ctrl.clone().requires_grad_())
    assert not cheap.qpos.requires_grad
    assert recorded.qpos.requires_grad
    assert torch.equal(cheap.qpos, recorded.qpos)


def test_single_precision_gradient_is_close_to_double() -> None:
    state, ctrl = start(dtype=torch.float64)
    exact = gradients(make(dtype=torch.float64), state, ctrl)
    single = gradients(make(), State(state.qpos.float(), state.qvel.float()), ctrl.float())
    for x, y in zip(exact, single, strict=True):
        assert (x - y.double()).norm() < 1e-3 * x.norm()


def test_controls_are_clamped_without_gradient_outside() -> None:
    simulator = make()
    state, ctrl = start()
    ctrl = ctrl.index_fill(1, torch.tensor([0]), 2.0)
    clamped = ctrl.clamp(-1.0, 1.0)
    assert torch.equal(simulator.step(state, ctrl).qvel, simulator.step(state, clamped).qvel)
    grad = gradients(simulator, state, ctrl)[2]
    assert (grad[:, 0] == 0.0).all()
    assert (grad[:, 1:] != 0.0).all()


@pytest.mark.parametrize("recompute", [False, True])
def test_the_layout_for_gpus_gives_the_same(recompute: bool) -> None:
    state, ctrl = start()
    usual, coalesced = make(specialised=False), make(coalesced=True, recompute=recompute)
    with torch.no_grad():
        assert torch.equal(usual.step(state, ctrl).qpos, coalesced.step(state, ctrl).qpos)
    for mine, theirs in zip(gradients(usual, state, ctrl), gradients(coalesced, state, ctrl), strict=True):
        assert torch.equal(mine, theirs)


def test_recomputation_stores_no_trajectory() -> None:
    """Memory held for the backward pass doesn't grow with substeps."""
    held = []
    state, ctrl = start()
    for recompute in (False, True):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, s=sizes: s.append(t.numel()) or t, lambda t: t):
            make(recompute=recompute).step(state, ctrl.clone().requires_grad_())
        held.append(sum(sizes))
    assert held[1] < held[0] / 15


@pytest.mark.parametrize("recompute", [False, True])
def test_threads_take_turns(recompute: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """They share the simulator's working memory, and get the numbers of their own."""
    simulator = make(threads=1, specialised=False, recompute=recompute)
    state, ctrl = start()
    given = [(State(state.qpos, scale * state.qvel), scale * ctrl) for scale in (1.0, 0.5)]
    expected = [gradients(simulator, *one) for one in given]
    kernels, inside = simulator._kernels, []

    def watched(prepare: Callable[..., Callable[[], object]]) -> Callable[..., Callable[[], object]]:
        def prepared(*arguments: object) -> Callable[[], object]:
            inside.append(1)
            assert len(inside) == 1
            launch = prepare(*arguments)

            def run() -> None:
                time.sleep(0.02)
                launch()
                inside.pop()

            return run

        return prepared

    for name in ("forward", "adjoint"):
        monkeypatch.setattr(kernels, name, watched(getattr(kernels, name)))
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda one: gradients(simulator, *one), given))
    for ours, theirs in zip(found, expected, strict=True):
        assert all(torch.equal(*pair) for pair in zip(ours, theirs, strict=True))


def test_a_state_on_another_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    simulator = make()
    monkeypatch.setattr(simulator, "device", torch.device("cpu", 1))
    with pytest.raises(UsageError, match=r"on cpu: this simulator takes .* on cpu:1"):
        simulator.step(*start())


def test_the_blocks_of_a_gpu() -> None:
    """Few worlds are spread over all multiprocessors; many take larger blocks."""
    assert [block_for(worlds) for worlds in (1, 4096, 16_896, 16_897, 40_000, 1_000_000)] == [32, 32, 32, 64, 128, 256]
    assert make(block_dim=64).block_dim == 1  # a CPU has none
    with pytest.raises(UsageError, match="block_dim=48: must be one of 32, 64, 128, 256"):
        make(block_dim=48)


@pytest.mark.slow
def test_kernels_are_compiled_for_a_gpu_that_is_not_here(tmp_path, monkeypatch) -> None:
    """They lie in the cache under the names by which a machine with such a GPU looks for them."""
    monkeypatch.setattr(wp.config, "kernel_cache_dir", str(tmp_path))
    simulator = make(specialised=False)
    simulator.compile_for(90)
    for kernel in (simulator._kernels.forward_kernel, simulator._kernels.adjoint_kernel):
        name = kernel.module.get_module_identifier(block_dim=32)
        assert name != kernel.module.get_module_identifier(block_dim=256)
        (found,) = tmp_path.rglob(f"{name}/{name}.sm90.cubin")  # Warp may put its version in between
        assert found.stat().st_size > 10_000


@pytest.mark.gpu
def test_gpu_agrees_with_cpu_and_captures_in_a_graph(gpu_of_simulators: str, rehearsed: bool) -> None:
    state, ctrl = start(dtype=torch.float64)
    expected = gradients(make(dtype=torch.float64), state, ctrl)
    device = envs.resolve_device(gpu_of_simulators, "warp")
    simulator = make(dtype=torch.float64, device=device, coalesced=True)
    simulator.compile(gradient=True)
    leaves = [x.to(device).requires_grad_() for x in (state.qpos, state.qvel, ctrl)]

    def run() -> list[torch.Tensor]:
        after = simulator.step(State(*leaves[:2]), leaves[2])
        return list(torch.autograd.grad(after.qpos.square().sum() + after.qvel.square().sum(), leaves))

    for mine, theirs in zip(run(), expected, strict=True):
        assert torch.allclose(mine.cpu(), theirs, rtol=1e-8, atol=1e-8)
    if rehearsed:
        return  # there is no graph on a CPU
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = run()
    graph.replay()
    for mine, theirs in zip(captured, expected, strict=True):
        assert torch.allclose(mine.cpu(), theirs, rtol=1e-8, atol=1e-8)
