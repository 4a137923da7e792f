"""The Warp simulator as a differentiable torch operation."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mujoco
import torch
import warp as wp
from torch import Tensor

from pwm_bench.envs.compiling import alone
from pwm_bench.envs.contact import CompliantContact, CompliantLimit
from pwm_bench.envs.cores import at_once, usable_cores
from pwm_bench.envs.devices import resolve_device
from pwm_bench.envs.errors import UsageError, check_count
from pwm_bench.envs.integrator import Integrator
from pwm_bench.envs.simulator import ControlClamp, State, check_inputs, model_at_timestep
from pwm_bench.envs.warp import capabilities
from pwm_bench.envs.warp.axes import WorldAxes, in_published_axes, needs_full_inertia
from pwm_bench.envs.warp.layout import layout_for, model_struct
from pwm_bench.envs.warp.model import build_link_tree
from pwm_bench.envs.warp.runtime import compile_module_for, start_warp
from pwm_bench.envs.warp.specialise.dialect import LANES
from pwm_bench.envs.warp.support import check_integrator, check_limit

if TYPE_CHECKING:
    from pwm_bench.envs.warp.general import GeneralKernels
    from pwm_bench.envs.warp.specialise.engine import SpecialisedKernels

__all__ = ["SimulatorWarp", "block_for"]

_SMALLEST_SHARE = {False: 500, True: 40_000}
"""(Links + path segments) x substeps x worlds, about 0.1 ms forward, below which a thread costs more than it saves:
with the general kernels, and with a model's own."""
_SPECIALISED_FROM = LANES  # worlds of a member: known before a run, so that it resumes to the bit, and alone or not
_BLOCKS = (32, 64, 128, 256)
_MULTIPROCESSORS = 132  # of an H100 or H200; it matters little where there are fewer


class SimulatorWarp:
    """Rigid bodies in reduced coordinates with compliant ground contacts, in one kernel launch a control step.

    Dynamics are MuJoCo's (joints, armature, springs, implicit damping, motors, and muscles on via-point paths whose
    control is their activation); contacts and joint limits are springs and dampers with constants of this simulator, so
    the model's solref, solimp, friction and condim are not used. Gradients come from `pwm_bench.envs.warp.adjoint`. On
    a CPU the worlds are split over threads; on a GPU each world is a thread, memory is laid out world-fastest, nothing
    synchronises with the host and both passes can be captured in a CUDA graph. Threads may share a simulator (on a GPU
    one that computes on one stream): their passes take turns, as they share its working memory.

    Args:
        model: compiled MuJoCo model; copied.
        num_worlds: worlds advanced together.
        substeps: substeps of a control step.
        timestep: duration of a substep [s].
        device: a torch device or a name, see `pwm_bench.envs.resolve_device`.
        dtype: ``torch.float32`` or ``torch.float64``.
        members: members of a population that share the worlds evenly.
        contact: contact constants.
        limit: joint-limit constants.
        integrator: choices in the integration; MuJoCo's by default.
        recompute: keep only the state at the start of each control step and repeat its forward pass during the
            backward pass: memory does not grow with substeps, for about a third more time.
        threads: CPU threads; all available cores by default.
        coalesced: lay memory out world-fastest with working memory for every world, as a GPU wants it. By default on a
            GPU only; settable so that a CPU can test that layout.
        specialised: use kernels written for this model (`pwm_bench.envs.warp.specialise`) rather than the general ones,
            which read the links from arrays. By default on a CPU from 8 worlds a member on: below, their compilation
            costs more than it saves; on a GPU their speed is not known yet. The two agree to rounding.
        block_dim: threads of a block on a GPU; by default the fewest that occupy every multiprocessor. Kernels are
            compiled for each number.

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
        members: int = 1,
        contact: CompliantContact | None = None,
        limit: CompliantLimit | None = None,
        integrator: Integrator | None = None,
        recompute: bool = False,
        threads: int | None = None,
        coalesced: bool | None = None,
        specialised: bool | None = None,
        block_dim: int | None = None,
    ) -> None:
        self.model = model_at_timestep(model, timestep, substeps, num_worlds)
        for option, given, kind in (
            ("contact", contact, CompliantContact), ("limit", limit, CompliantLimit),
            ("integrator", integrator, Integrator),
        ):  # fmt: skip
            if not isinstance(given, kind | None):
                raise UsageError(f"{option}={given!r}: must be a {kind.__module__}.{kind.__name__}")
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
        check_limit(self.model, limit or CompliantLimit())
        self._on_gpu = self.device.type == "cuda"
        self._coalesced = self._on_gpu if coalesced is None else coalesced
        if threads is not None:
            check_count("threads", threads)
        if block_dim is not None and block_dim not in _BLOCKS:
            raise UsageError(f"block_dim={block_dim}: must be one of {', '.join(map(str, _BLOCKS))}")
        self.block_dim = (block_dim or block_for(num_worlds)) if self._on_gpu else 1
        by_default = num_worlds // members >= _SPECIALISED_FROM and not self._coalesced
        self.specialised = by_default if specialised is None else specialised
        self._shares = self._split(threads or usable_cores())

        start_warp()
        layout = layout_for(wp.float32 if dtype == torch.float32 else wp.float64)
        self._wp_device = wp.device_from_torch(self.device)
        full_inertia = needs_full_inertia(self.tree, self.integrator)
        self._axes = WorldAxes(self.tree, self.device, dtype) if full_inertia else None
        tree = in_published_axes(self.tree) if full_inertia else self.tree
        model_numbers = model_struct(
            tree,
            layout,
            timestep=timestep,
            contact=contact or CompliantContact(),
            limit=limit or CompliantLimit(),
            integrator=self.integrator,
            full_inertia=full_inertia,
            device=self._wp_device,
        )
        self._make_kernels = partial(
            _kind_of_kernels(self.specialised),
            tree,
            layout,
            model_numbers,
            timestep=timestep,
            substeps=substeps,
            shares=self._shares,
            device=self.device,
            block_dim=self.block_dim,
        )
        self._kernels: GeneralKernels | SpecialisedKernels = self._make_kernels(coalesced=self._coalesced)
        self._workspace: tuple[Tensor, Tensor] | None = None
        self._turn = threading.RLock()
        self._clamp = ControlClamp(self.model, self.device, dtype)

    def step(self, state: State, ctrl: Tensor) -> State:
        """Advances one control step; see `pwm_bench.envs.simulator.Simulator.step`.

        Raises:
            UsageError: if a tensor has the wrong shape, dtype or device.
        """
        check_inputs(self, state, ctrl)
        if self._axes is not None:
            state = self._axes.there(state)
        state = State(*_ControlStep.apply(self, state.qpos, state.qvel, self._clamp(ctrl)))
        return state if self._axes is None else self._axes.back(state)

    def compile(self, *, gradient: bool) -> float:
        """Loads the kernels, compiling them if the cache has none. Returns the seconds it took."""
        start = time.perf_counter()
        kernels = self._kernels
        for kernel in (kernels.forward_kernel, kernels.adjoint_kernel) if gradient else (kernels.forward_kernel,):
            with alone(Path(wp.config.kernel_cache_dir or "") / f"{kernel.module.name}.lock"):
                wp.load_module(kernel.module, device=self._wp_device, block_dim=self.block_dim)
        seconds = time.perf_counter() - start
        self.compile_seconds += seconds
        return seconds

    def compile_for(self, arch: int, blocks: Sequence[int] = ()) -> None:
        """Compiles both kernels for GPUs of a compute capability, none of which need be here, into the kernel cache.

        Args:
            arch: the capability, e.g. 90 for an H100 or H200.
            blocks: threads of a block, see ``block_dim``; by default what this simulator would take.
        """
        kernels = self._kernels if self._coalesced else self._make_kernels(coalesced=True)
        for block in blocks or (block_for(self.num_worlds),):
            for kernel in (kernels.forward_kernel, kernels.adjoint_kernel):
                compile_module_for(kernel.module, arch, block)

    def _split(self, threads: int) -> list[tuple[int, int]]:
        """Ranges of worlds, in whole groups of lanes, that threads advance at the same time."""
        if self._coalesced:
            return [(0, self.num_worlds)]
        work = (self.tree.num_links + self.tree.paths.num_segments) * self.substeps * self.num_worlds
        lanes = LANES if self.specialised else 1
        groups = -(-self.num_worlds // lanes)
        shares = max(1, min(threads, groups, work // _SMALLEST_SHARE[self.specialised]))
        bounds = [min(self.num_worlds, lanes * (groups * n // shares)) for n in range(shares + 1)]
        return list(itertools.pairwise(bounds))

    def _new_trajectory(self) -> tuple[Tensor, Tensor]:
        return self._kernels.new_trajectory(self.num_worlds, self.substeps)

    def _run_forward(
        self, q: Tensor, v: Tensor, u: Tensor, trajectory: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        out = torch.empty_like(q), torch.empty_like(v)

        with self._turn:
            at_once(
                *(self._kernels.forward(n, *share, (q, v, u), trajectory, out) for n, share in enumerate(self._shares))
            )
        return out

    def _run_adjoint(
        self, q: Tensor, u: Tensor, trajectory: tuple[Tensor, Tensor], adj_q1: Tensor, adj_v1: Tensor
    ) -> tuple[Tensor, ...]:
        out = torch.empty_like(adj_q1), torch.empty_like(adj_v1), q.new_empty(self.num_worlds, self.tree.nu)
        gradients = (adj_q1, adj_v1, *out)

        with self._turn:
            at_once(
                *(
                    self._kernels.adjoint(n, *share, (q, u), trajectory, gradients)
                    for n, share in enumerate(self._shares)
                )
            )
        return out


def _kind_of_kernels(specialised: bool) -> type[GeneralKernels] | type[SpecialisedKernels]:
    if specialised:
        from pwm_bench.envs.warp.specialise.engine import SpecialisedKernels

        return SpecialisedKernels
    from pwm_bench.envs.warp.general import GeneralKernels  # not needed with those, and slow to import

    return GeneralKernels


def block_for(worlds: int) -> int:
    """Threads of a block: a warp where there are few worlds, so that they are spread over all multiprocessors."""
    return next((block for block in _BLOCKS if worlds <= 4 * block * _MULTIPROCESSORS), _BLOCKS[-1])


class _ControlStep(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, simulator: SimulatorWarp, q: Tensor, v: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        q, v, u = (x.detach().contiguous() for x in (q, v, u))
        trajectory = None
        if any(ctx.needs_input_grad[1:]) and not simulator.recompute:
            trajectory = simulator._new_trajectory()
        out = simulator._run_forward(q, v, u, trajectory)
        ctx.simulator = simulator
        ctx.save_for_backward(q, u, *((v,) if trajectory is None else trajectory))
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, adj_q1: Tensor, adj_v1: Tensor) -> tuple[None, Tensor, Tensor, Tensor]:
        simulator = ctx.simulator
        adjoints = adj_q1.contiguous(), adj_v1.contiguous()
        if not simulator.recompute:
            q, u, *trajectory = ctx.saved_tensors
            return None, *simulator._run_adjoint(q, u, trajectory, *adjoints)
        q, u, v = ctx.saved_tensors
        with simulator._turn:
            if simulator._workspace is None:
                simulator._workspace = simulator._new_trajectory()
            simulator._run_forward(q, v, u, simulator._workspace)
            return None, *simulator._run_adjoint(q, u, simulator._workspace, *adjoints)
