"""The Warp simulator as a differentiable torch operation."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import mujoco
import torch
import warp as wp
from torch import Tensor

from pwm_bench.envs.compiling import alone
from pwm_bench.envs.contact import CompliantContact, CompliantLimit
from pwm_bench.envs.cores import usable_cores
from pwm_bench.envs.devices import resolve_device
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.integrator import Integrator
from pwm_bench.envs.simulator import ControlClamp, State, model_at_timestep
from pwm_bench.envs.warp import capabilities
from pwm_bench.envs.warp.adjoint import build_adjoint
from pwm_bench.envs.warp.axes import WorldAxes, in_published_axes, needs_full_inertia
from pwm_bench.envs.warp.forward import build_forward
from pwm_bench.envs.warp.layout import layout_for, model_struct, scratch_struct
from pwm_bench.envs.warp.model import build_link_tree
from pwm_bench.envs.warp.runtime import start_warp
from pwm_bench.envs.warp.support import check_integrator

__all__ = ["SimulatorWarp"]

_SMALLEST_SHARE = (
    500  # (links + path segments) x substeps (about 0.2 ms) below which another thread costs more than it saves
)
_BLOCKS = (32, 64, 128, 256)
_MULTIPROCESSORS = 132  # of an H100 or H200; it matters little where there are fewer


class SimulatorWarp:
    """Rigid bodies in reduced coordinates with compliant ground contacts, in one kernel launch a control step.

    Dynamics are MuJoCo's (joints, armature, springs, implicit damping, motors, and muscles on via-point paths whose
    control is their activation); contacts and joint limits are springs and dampers with constants of this simulator, so
    the model's solref, solimp, friction and condim are not used. Gradients come from `pwm_bench.envs.warp.adjoint`. On
    a CPU the worlds are split over threads; on a GPU each world is a thread, memory is laid out world-fastest, nothing
    synchronises with the host and both passes can be captured in a CUDA graph.

    Args:
        model: compiled MuJoCo model; copied.
        num_worlds: worlds advanced together.
        substeps: substeps of a control step.
        timestep: duration of a substep [s].
        device: a torch device or a name, see `pwm_bench.envs.resolve_device`.
        dtype: ``torch.float32`` or ``torch.float64``.
        contact: contact constants.
        limit: joint-limit constants.
        integrator: choices in the integration; MuJoCo's by default.
        recompute: keep only the state at the start of each control step and repeat its forward pass during the
            backward pass: memory does not grow with substeps, for about a third more time.
        threads: CPU threads; all available cores by default.
        block_dim: threads of a block on a GPU; by default the fewest that occupy every multiprocessor. Kernels are
            compiled for each number.
        coalesced: lay memory out world-fastest with working memory for every world, as a GPU wants it. By default on a
            GPU only; settable so that a CPU can test that layout.

    Raises:
        UsageError: if the model has an element that this simulator can't represent.
    """

    capabilities = capabilities
    name = capabilities.name
    differentiable = True

    def __init__(
        self,
        model: mujoco.MjModel,
        *,
        num_worlds: int,
        substeps: int,
        timestep: float,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        contact: CompliantContact | None = None,
        limit: CompliantLimit | None = None,
        integrator: Integrator | None = None,
        recompute: bool = False,
        threads: int | None = None,
        block_dim: int | None = None,
        coalesced: bool | None = None,
    ) -> None:
        self.model = model_at_timestep(model, timestep, substeps, num_worlds)
        self.num_worlds = num_worlds
        self.substeps = substeps
        self.timestep = timestep
        self.device = resolve_device(device, self.name)
        self.dtype = dtype
        self.recompute = recompute
        self.integrator = integrator or Integrator()
        self.compile_seconds = 0.0
        self.tree = build_link_tree(self.model)
        check_integrator(self.model, self.integrator)
        self._on_gpu = self.device.type == "cuda"
        self._coalesced = self._on_gpu if coalesced is None else coalesced
        if threads is not None and threads < 1:
            raise UsageError(f"threads={threads}: must be at least 1")
        if block_dim is not None and block_dim not in _BLOCKS:
            raise UsageError(f"block_dim={block_dim}: must be one of {', '.join(map(str, _BLOCKS))}")
        self.block_dim = (block_dim or _block_for(num_worlds)) if self._on_gpu else 1
        work = self.tree.num_links + self.tree.paths.num_segments
        useful = num_worlds * work * substeps // _SMALLEST_SHARE
        shares = 1 if self._coalesced else max(1, min(threads or usable_cores(), num_worlds, useful))
        bounds = [num_worlds * n // shares for n in range(shares + 1)]
        self._shares = list(itertools.pairwise(bounds))
        self._pool = ThreadPoolExecutor(shares - 1, "warp") if shares > 1 else None

        start_warp()
        layout = layout_for(wp.float32 if dtype == torch.float32 else wp.float64)
        self._real = layout.real
        self._wp_device = wp.device_from_torch(self.device)
        self._forward = build_forward(layout).control_step
        self._adjoint = build_adjoint(layout).control_step_adjoint
        full_inertia = needs_full_inertia(self.tree, self.integrator)
        self._axes = WorldAxes(self.tree, self.device, dtype) if full_inertia else None
        self._model = model_struct(
            in_published_axes(self.tree) if full_inertia else self.tree,
            layout,
            timestep=timestep,
            contact=contact or CompliantContact(),
            limit=limit or CompliantLimit(),
            integrator=self.integrator,
            full_inertia=full_inertia,
            device=self._wp_device,
        )
        # Worlds of one share run one after another on a CPU, so they can share memory that stays in the cache.
        rows = num_worlds if self._coalesced else 1
        self._scratch = [
            scratch_struct(
                self.tree,
                layout,
                rows=rows,
                device=self._wp_device,
                coalesced=self._coalesced,
                full_inertia=full_inertia,
            )
            for _ in self._shares
        ]
        self._single_slot = self._new_trajectory(rows * len(self._shares), substeps=0)
        self._workspace: tuple[Tensor, Tensor] | None = None
        self._clamp = ControlClamp(self.model, self.device, dtype)

    def step(self, state: State, ctrl: Tensor) -> State:
        """Advances one control step; see `pwm_bench.envs.simulator.Simulator.step`.

        Raises:
            UsageError: if a tensor has the wrong shape, dtype or device.
        """
        for name, tensor, width in (
            ("qpos", state.qpos, self.tree.nq),
            ("qvel", state.qvel, self.tree.nv),
            ("ctrl", ctrl, self.tree.nu),
        ):
            if (
                tensor.shape != (self.num_worlds, width)
                or tensor.dtype != self.dtype
                or tensor.device.type != self.device.type
            ):
                raise UsageError(
                    f"{name} is {tuple(tensor.shape)} {tensor.dtype} on {tensor.device}: "
                    f"this simulator takes ({self.num_worlds}, {width}) {self.dtype} on {self.device}"
                )
        if self._axes is not None:
            state = self._axes.there(state)
        state = State(*_ControlStep.apply(self, state.qpos, state.qvel, self._clamp(ctrl)))
        return state if self._axes is None else self._axes.back(state)

    def compile(self, *, gradient: bool) -> float:
        """Loads the kernels, compiling them if the cache has none. Returns the seconds it took."""
        start = time.perf_counter()
        for kernel in (self._forward, self._adjoint) if gradient else (self._forward,):
            with alone(Path(wp.config.kernel_cache_dir or "") / f"{kernel.module.name}.lock"):
                wp.load_module(kernel.module, device=self._wp_device, block_dim=self.block_dim)
        seconds = time.perf_counter() - start
        self.compile_seconds += seconds
        return seconds

    def compile_for(self, arch: int) -> None:
        """Compiles both kernels for GPUs of a compute capability, none of which need be here, into the kernel cache.

        Args:
            arch: the capability, e.g. 90 for an H100 or H200.
        """
        block = self.block_dim if self._on_gpu else _block_for(self.num_worlds)
        for kernel in (self._forward, self._adjoint):
            before = kernel.module.options["block_dim"]
            wp.set_module_options({"block_dim": block}, module=kernel.module)
            try:
                wp.compile_aot_module(kernel.module, arch=arch)
            finally:
                wp.set_module_options({"block_dim": before}, module=kernel.module)

    def _new_trajectory(self, rows: int, substeps: int) -> tuple[Tensor, Tensor]:
        """Uninitialised memory for states and accelerations [rows, substeps + 1, nq + 2 nv], and for the factors of the
        mass matrices [rows, refreshes, packed entries]; one slot each that is used again if ``substeps`` is 0."""
        refreshes = -(-max(substeps, 1) // self.integrator.matrix_refresh)

        def new(slots: int, size: int) -> Tensor:
            if self._coalesced:
                return torch.empty(slots, size, rows, dtype=self.dtype, device=self.device).permute(2, 0, 1)
            return torch.empty(rows, slots, size, dtype=self.dtype, device=self.device)

        return new(substeps + 1, self.tree.nq + 2 * self.tree.nv), new(refreshes, self.tree.num_packed)

    def _run_forward(
        self, q: Tensor, v: Tensor, u: Tensor, trajectory: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        q1, v1 = torch.empty_like(q), torch.empty_like(v)
        stored = trajectory is not None
        memory = self._single_slot if trajectory is None else trajectory

        def share(n: int, lo: int, hi: int) -> None:
            rows = slice(lo, hi) if stored or self._coalesced else slice(n, n + 1)
            wp.launch(
                self._forward,
                dim=hi - lo,
                inputs=[
                    *_views(q, v, u, lo=lo, hi=hi),
                    self._model,
                    self._scratch[n],
                    *(wp.from_torch(part[rows], return_ctype=True) for part in memory),
                    int(self._coalesced),
                    int(stored),
                    self.substeps,
                    self._real(self.timestep),
                    *_views(q1, v1, lo=lo, hi=hi),
                ],
                device=self._wp_device,
                stream=self._stream(),
                block_dim=self.block_dim,
            )

        self._for_shares(share)
        return q1, v1

    def _run_adjoint(
        self, q: Tensor, u: Tensor, trajectory: tuple[Tensor, Tensor], adj_q1: Tensor, adj_v1: Tensor
    ) -> tuple[Tensor, ...]:
        adj_q, adj_v = torch.empty_like(adj_q1), torch.empty_like(adj_v1)
        adj_u = q.new_empty(self.num_worlds, self.tree.nu)

        def share(n: int, lo: int, hi: int) -> None:
            wp.launch(
                self._adjoint,
                dim=hi - lo,
                inputs=[
                    *_views(q, u, lo=lo, hi=hi),
                    self._model,
                    self._scratch[n],
                    *(wp.from_torch(part[lo:hi], return_ctype=True) for part in trajectory),
                    int(self._coalesced),
                    self.substeps,
                    self._real(self.timestep),
                    *_views(adj_q1, adj_v1, adj_q, adj_v, adj_u, lo=lo, hi=hi),
                ],
                device=self._wp_device,
                stream=self._stream(),
                block_dim=self.block_dim,
            )

        self._for_shares(share)
        return adj_q, adj_v, adj_u

    def _for_shares(self, work: Callable[[int, int, int], None]) -> None:
        if self._pool is None:
            work(0, *self._shares[0])
            return
        others = [self._pool.submit(work, n, *bounds) for n, bounds in enumerate(self._shares[1:], start=1)]
        work(0, *self._shares[0])
        wait(others)
        for other in others:
            other.result()

    def _stream(self) -> wp.Stream | None:
        return wp.stream_from_torch(torch.cuda.current_stream(self.device)) if self._on_gpu else None


def _views(*tensors: Tensor, lo: int, hi: int) -> list[Any]:
    return [wp.from_torch(t[lo:hi], return_ctype=True) for t in tensors]


class _ControlStep(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, simulator: SimulatorWarp, q: Tensor, v: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        q, v, u = (x.detach().contiguous() for x in (q, v, u))
        trajectory = None
        if any(ctx.needs_input_grad[1:]) and not simulator.recompute:
            trajectory = simulator._new_trajectory(simulator.num_worlds, simulator.substeps)
        out = simulator._run_forward(q, v, u, trajectory)
        ctx.simulator = simulator
        ctx.save_for_backward(q, u, *((v,) if trajectory is None else trajectory))
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, adj_q1: Tensor, adj_v1: Tensor) -> tuple[None, Tensor, Tensor, Tensor]:
        simulator = ctx.simulator
        if simulator.recompute:
            q, u, v = ctx.saved_tensors
            if simulator._workspace is None:
                simulator._workspace = simulator._new_trajectory(simulator.num_worlds, simulator.substeps)
            trajectory = simulator._workspace
            simulator._run_forward(q, v, u, trajectory)
        else:
            q, u, *trajectory = ctx.saved_tensors
        return None, *simulator._run_adjoint(q, u, trajectory, adj_q1.contiguous(), adj_v1.contiguous())


def _block_for(worlds: int) -> int:
    """Threads of a block: a warp where there are few worlds, so that they are spread over all multiprocessors."""
    return next((block for block in _BLOCKS if worlds <= 4 * block * _MULTIPROCESSORS), _BLOCKS[-1])
