"""The one place where whole updates become CUDA graphs: some updates to warm up, one capture, then replays.

An update of small networks is a few thousand kernels of some microseconds each, and the host needs longer to launch
them than the device to compute them. A graph launches all of them at once. What it computes is what the learner's
`compute` computes, to the bit: the same kernels on the same memory.

A *kind* of updates is all those that launch the same kernels, so that one graph serves them; its name is what the
learner's `begin` returns. SHAC has one kind; TD-MPC2's random steps, planned steps and updates that fell due at once
differ in kind. Each kind is warmed up, captured and replayed for itself. To *carry out* an update is to do what is due:
to run it eagerly, to capture it and replay the graph, or to replay it.

Where a step of the environment cannot be captured, updates run eagerly, and their *parts* between two steps are graphs.
A learner gives each part, with the name of its kind, to `StagedLearner.carry_out`, which gives both to the learner's
*carrier*. That is its `Graphed`, which carries out a part as it otherwise does an update.

The rehearsal of the tests puts a recorder of operations where `torch.cuda.CUDAGraph` is, so that this code runs without
a GPU.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor

from pwm_bench.envs.company import ONE_AT_A_TIME, capture_stream
from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.staged import Part, StagedLearner

__all__ = ["GRAPHS", "CudaGraph", "Graph", "Graphed", "graphs_of"]

_LOG = logging.getLogger("pwm_bench")

_MAX_KINDS = 16
"""Kinds of a learner that may have a graph, which keeps the memory of an update; others run eagerly."""


class Graph(Protocol):
    """Kernels that were captured and can be launched again."""

    def draws_from(self, generator: torch.Generator) -> None:
        """Says, before the capture, that kernels draw from a generator of the device: each replay draws anew."""
        ...

    def capture(self) -> Any:
        """Context in which kernels are captured and not executed."""
        ...

    def warm_up(self) -> Any:
        """Context of the updates before the capture."""
        ...

    def replay(self) -> None:
        """Launches them, on the memory that they were captured with."""
        ...


class Steps(Protocol):
    """What a learner acts in."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def graphable(self) -> bool:
        """Whether a step on a GPU can be part of a captured CUDA graph."""
        ...


class CudaGraph:
    """A `torch.cuda.CUDAGraph`, with the streams that its capture asks for.

    Args:
        device: a GPU.
        pool: memory that graphs share whose replays follow each other.
    """

    def __init__(self, device: torch.device, pool: Any = None) -> None:
        self._device, self._pool = device, pool
        self._graph = torch.cuda.CUDAGraph()
        self._side = capture_stream(device)

    def draws_from(self, generator: torch.Generator) -> None:
        """Says, before the capture, that kernels draw from a generator of the device: each replay draws anew."""
        self._graph.register_generator_state(generator)

    @contextmanager
    def warm_up(self) -> Iterator[None]:
        """Puts kernels on a stream of their own, as a capture does, and lets the present stream wait for them."""
        side = self._side
        side.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(side):
            yield
        torch.cuda.current_stream(self._device).wait_stream(side)

    @contextmanager
    def capture(self) -> Iterator[None]:
        """Context in which kernels are captured and not executed. Other threads may go on with their copies and
        updates, as long as none captures or waits for the whole device."""
        present = torch.cuda.current_stream(self._device)
        # `torch.cuda.graph` leaves its own stream in place when the capture fails.
        with (
            torch.cuda.stream(present),
            torch.cuda.graph(
                self._graph, pool=self._pool, stream=self._side, capture_error_mode="thread_local"
            ),  # by default torch captures on a stream of the device that was the first to be captured on
        ):
            yield

    def replay(self) -> None:
        """Launches them."""
        self._graph.replay()


def _cuda_graphs(device: torch.device) -> Callable[[], Graph]:
    """Makes graphs of one learner; nothing is asked of CUDA before the first."""
    pool = cache(torch.cuda.graph_pool_handle)
    return lambda: CudaGraph(device, pool())


GRAPHS: dict[str, Callable[[torch.device], Callable[[], Graph]]] = {"cuda": _cuda_graphs}
"""What makes the graphs of a device, by its type; elsewhere there are none."""


def graphs_of(learner: Any, graphed: str, device: torch.device, simulator: Steps | None = None) -> Graphed | None:
    """What carries a learner's updates out as graphs.

    Args:
        learner: any; one whose update is not in stages has none.
        graphed: ``"auto"`` (where it can be), ``"on"`` or ``"off"``.
        device: where it computes.
        simulator: what it acts in while it learns, if it does. Where its steps cannot be captured, what lies between
            them can be, if the learner computes in parts.

    Returns:
        None where `update` of the learner itself is to be called.

    Raises:
        UsageError: it is ``"on"`` where it cannot be.
    """
    obstacle, whole = None, simulator is None or simulator.graphable
    if device.type not in GRAPHS:
        obstacle = f"there are no CUDA graphs on '{device.type}'"
    elif not isinstance(learner, StagedLearner):
        obstacle = "this learner's update is not in stages (pwm_bench.learning.staged)"
    elif not whole and not learner.in_parts:
        obstacle = f"a step of simulator '{simulator.name}' cannot be captured"  # type: ignore[union-attr]
    if obstacle and graphed == "on":
        raise UsageError(f"graphed=on: {obstacle}; leave it at auto")
    return None if obstacle or graphed == "off" else Graphed(learner, GRAPHS[device.type](device), whole=whole)


@dataclass(slots=True)
class _Kind:
    """A kind of updates, or of parts, and how far it has come."""

    graph: Graph
    eager: int = 0
    """How many have run eagerly, before a capture."""
    captured: bool = False
    """Whether the graph can be replayed."""
    refused: bool = False
    """Whether the capture failed: they run eagerly."""
    metrics: dict[str, Tensor] = field(default_factory=dict)
    """What the captured one returned: each replay writes there."""
    counts: dict[str, int] = field(default_factory=dict)
    """How much one of them adds to each of the learner's counters."""


class Graphed:
    """Carries out a learner's updates, as graphs once they repeat.

    The first updates of a kind run eagerly, as warm-up, and are updates like any other. The next is captured, which
    computes nothing, and the graph is replayed, for it and for all that follow. Where an update cannot be captured, a
    warning says so, the learner gets back the state that it had before, and updates of its kind run eagerly from then
    on. While another run of this process captures, or compiles, updates run eagerly too: nobody waits.

    Args:
        learner: whose updates.
        graph: makes an empty graph; that of the learner's GPU.
        warm_up: eager updates of a kind before its capture, at least 1: libraries take their workspaces in them.
        whole: whether an update is one graph, or each of its parts is one.
    """

    def __init__(
        self, learner: StagedLearner, graph: Callable[[], Graph], *, warm_up: int = 3, whole: bool = True
    ) -> None:
        self._learner = learner
        self._whole = whole
        self._warm_up = warm_up
        self._new_graph = graph
        self._kinds: dict[Hashable, _Kind] = {}
        if not whole:
            learner.carrier = self._carry_out

    @property
    def captured(self) -> int:
        """How many kinds of updates, or of parts of updates, have a graph."""
        return sum(kind.captured for kind in self._kinds.values())

    @property
    def refused(self) -> int:
        """How many of them could not be captured and go on without."""
        return sum(kind.refused for kind in self._kinds.values())

    def update(self) -> dict[str, Tensor]:
        """Runs one iteration. Returns metrics, each of shape ``(P,)``, left on the device."""
        learner = self._learner
        name = learner.begin()
        if self._whole:
            metrics = self._carry_out(name, learner.compute)
        else:
            metrics = learner.compute()
        learner.finish()
        return metrics

    def forget(self) -> None:
        """Drops all graphs, after something has put the learner's state elsewhere."""
        self._kinds.clear()

    def _carry_out(self, name: Hashable, compute: Part) -> dict[str, Tensor]:
        """Runs, captures or replays an update or a part, as its kind has come to."""
        learner = self._learner
        if name is None or (name not in self._kinds and len(self._kinds) == _MAX_KINDS):
            return compute()
        kind = self._kinds.setdefault(name, _Kind(self._new_graph()))
        if not (kind.captured or kind.refused or (kind.eager >= self._warm_up and self._capture(kind, compute))):
            kind.eager += 1
            with kind.graph.warm_up():
                return compute()
        if kind.refused:
            return compute()
        counters = learner.counters
        counters.load_state_dict({count: now + kind.counts[count] for count, now in asdict(counters).items()})
        kind.graph.replay()
        return {name: metric.clone() for name, metric in kind.metrics.items()}  # the next replay writes over them

    def _capture(self, kind: _Kind, compute: Part) -> bool:
        """Captures an update. Returns whether it was tried: not while another run of this process captures or compiles,
        since a run that waited would be at no work of its own."""
        if not ONE_AT_A_TIME.acquire(blocking=False):
            return False
        try:
            self._try(kind, compute)
        finally:
            ONE_AT_A_TIME.release()
        return True

    def _try(self, kind: _Kind, compute: Part) -> None:
        """Captures an update, which changes nothing on the device, and notes by how much it raises the counters."""
        learner = self._learner
        before, held = asdict(learner.counters), learner.state_dict()
        for generator in learner.generators:
            kind.graph.draws_from(generator)
        try:
            with kind.graph.capture():
                kind.metrics = compute()
        except RuntimeError as error:  # what CUDA says of an operation that cannot be captured
            kind.refused = True
            # The learner points at memory that was made in the capture and never computed; what it held is unchanged.
            learner.load_state_dict(held)
            self._kinds = {name: other for name, other in self._kinds.items() if other.refused}
            cause = error.__context__ or error  # the end of a capture that has failed raises an error of its own
            _LOG.warning("updates go on without CUDA graphs, since one could not be captured: %s", cause)
            return
        kind.counts = {name: value - before[name] for name, value in asdict(learner.counters).items()}
        learner.counters.load_state_dict(before)
        kind.captured = True
