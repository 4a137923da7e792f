"""The limit of a learner: what its update would take if it were simulation and network products alone.

A real update is watched: the control steps that it asks of the simulator, and its matrix products, backward passes
included. Both are then done again by themselves, the products on the very operands and outside autograd. Their times
together are the limit; whatever else an update does stands between it and the limit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map
from torch.utils.flop_counter import flop_registry

from pwm_bench.bench.ledger import Value
from pwm_bench.bench.timing import interleaved
from pwm_bench.envs.simulator import Simulator, State
from pwm_bench.learning.elementwise import torch_alone
from pwm_bench.learning.graphed import GRAPHS

__all__ = ["Limit", "Watched", "measure", "watch"]

_PACKED = "_linear_pointwise"  # bfloat16 products with packed weights on a CPU


@dataclass(slots=True)
class Watched:
    """What an update asked for.

    Attributes:
        simulator: that made the steps; None if there is none.
        steps: state and control of each control step, and whether its gradient was wanted.
        products: function, arguments and options of each matrix product.
        flops: floating-point operations of the products.
    """

    simulator: Simulator | None = None
    steps: list[tuple[Tensor, Tensor, Tensor, bool]] = field(default_factory=list)
    products: list[tuple[Any, Any, Any]] = field(default_factory=list)
    flops: int = 0

    def simulate(self) -> None:
        """Makes the control steps again, each with its gradient where that was wanted."""
        assert self.simulator is not None
        for qpos, qvel, ctrl, wanted in self.steps:
            if not wanted:
                with torch.no_grad():
                    self.simulator.step(State(qpos, qvel), ctrl)
                continue
            leaves = [x.detach().requires_grad_() for x in (qpos, qvel, ctrl)]
            after = self.simulator.step(State(*leaves[:2]), leaves[2])
            torch.autograd.grad((after.qpos, after.qvel), leaves, (torch.ones_like(qpos), torch.ones_like(qvel)))

    @torch.no_grad()
    def multiply(self) -> None:
        """Computes the products again."""
        for function, args, kwargs in self.products:
            function(*args, **kwargs)


def watch(update: Callable[[], object], simulator: Simulator | None = None) -> Watched:
    """Lets an update go by and writes down its control steps and products.

    Args:
        update: what is watched; called once.
        simulator: that it steps.
    """
    seen = Watched(simulator)
    if simulator is None:
        with torch_alone(), _Products(seen):
            update()
        return seen
    step = simulator.step

    def noted(state: State, ctrl: Tensor) -> State:
        wanted = torch.is_grad_enabled() and any(x.requires_grad for x in (state.qpos, state.qvel, ctrl))
        qpos, qvel, control = (x.detach().clone() for x in (state.qpos, state.qvel, ctrl))
        seen.steps.append((qpos, qvel, control, wanted))
        return step(state, ctrl)

    simulator.step = noted  # type: ignore[method-assign]
    try:
        with torch_alone(), _Products(seen):
            update()
    finally:
        del simulator.step  # the class's own again
    return seen


class _Products(TorchDispatchMode):
    def __init__(self, seen: Watched) -> None:
        super().__init__()
        self._seen = seen

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        packet = func.overloadpacket
        if packet in flop_registry:
            self._seen.flops += int(flop_registry[packet](*args, **_sizes_only(kwargs), out_val=out))
        elif packet.__name__ == _PACKED:
            self._seen.flops += 2 * args[0].numel() * out.shape[-1]
        else:
            return out
        own = {name: tree_map(_own, value) for name, value in (kwargs or {}).items()}
        self._seen.products.append((func, tree_map(_kept, args), own))
        return out


def _sizes_only(kwargs: Any) -> dict[str, Any]:
    return {name: value for name, value in (kwargs or {}).items() if name != "out"}


def _kept(x: Any) -> Any:
    return x.detach() if isinstance(x, Tensor) else x


def _own(x: Any) -> Any:
    """Memory for a result: the learner's own stays as it is."""
    return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=x.device) if isinstance(x, Tensor) else x


@dataclass(frozen=True, slots=True)
class Limit:
    """Seconds of an update and of its parts by themselves.

    Attributes:
        update: the whole.
        simulator: its control steps.
        products: its matrix products.
        flops: floating-point operations of the products.
    """

    update: float
    simulator: float
    products: float
    flops: int

    @property
    def attained(self) -> float:
        """The fraction of the limit's speed that the update has."""
        return (self.simulator + self.products) / self.update

    def row(self) -> dict[str, Value]:
        """The parts as a row of a table."""
        rest = max(0.0, self.update - self.simulator - self.products)
        parts = {"update": self.update, "physics": self.simulator, "products": self.products, "rest": rest}
        row: dict[str, Value] = {f"{name} [ms]": 1e3 * seconds for name, seconds in parts.items()}
        row["GFLOP/s"] = self.flops / self.products / 1e9 if self.products else None
        row["of the limit [%]"] = 100.0 * self.attained
        return row


def measure(
    update: Callable[[], object],
    simulator: Simulator | None = None,
    *,
    eager: Callable[[], object] | None = None,
    device: torch.device | None = None,
    repeats: int,
    **timing: Any,
) -> Limit:
    """Times an update and its parts in turn.

    Args:
        update: of a learner that is past its beginning; called several times.
        simulator: that it steps.
        eager: the same without CUDA graphs, which is what is watched; ``update`` itself by default.
        device: where it computes; where there are CUDA graphs the products are launched as one.
        repeats: measurements of each.
        timing: further options of `interleaved`.
    """
    seen = watch(eager or update, simulator)
    works: dict[str, Callable[[], object]] = {"update": update, "products": _launched(seen.multiply, device)}
    if seen.steps:
        works["simulator"] = seen.simulate
    seconds = interleaved(works, repeats=repeats, at_least=0.0, **timing)
    return Limit(seconds["update"], seconds.get("simulator", 0.0), seconds["products"], seen.flops)


def _launched(work: Callable[[], object], device: torch.device | None) -> Callable[[], object]:
    if device is None or device.type not in GRAPHS:
        return work
    graph = GRAPHS[device.type](device)()
    with graph.warm_up():
        work()
    with graph.capture():
        work()
    return graph.replay
