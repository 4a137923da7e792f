"""What stands for a CUDA graph on a device made of CPU tensors: operations that are recorded and carried out again."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack
from torch.utils._pytree import tree_leaves

__all__ = ["RecordedGraph", "Recorder", "present_recorder"]

_at_work = threading.local()


class Recorder(TorchDispatchMode):
    """What a thread computes with, and the graph that records it; torch takes it along into the thread, which all
    share, of the thread's backward passes."""

    tape: RecordedGraph | None = None

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Context of an operation: `present_recorder` gives this one."""
        before, _at_work.recorder = getattr(_at_work, "recorder", None), self
        try:
            yield
        finally:
            _at_work.recorder = before


def present_recorder() -> Recorder | None:
    """That of the operation under way, or else of this thread."""
    recorder: Recorder | None = getattr(_at_work, "recorder", None)
    return recorder or next((one for one in _get_current_dispatch_mode_stack() if isinstance(one, Recorder)), None)


class RecordedGraph:
    """What `pwm_bench.learning.graphed` needs of a CUDA graph: operations in order, carried out on the same memory.

    As with a CUDA graph, nothing has happened after the capture: what was written is as it was before, and what was
    made in it holds nothing (NaN, -1) until the first replay. A copy between host and device is refused in it, and a
    number that the host gives to an operation stays what it was then.
    """

    def __init__(self) -> None:
        self._operations: list[tuple[Any, Any, Any, list[tuple[torch.Tensor, int]]]] = []
        self._written: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}
        self._made: dict[int, torch.UntypedStorage] = {}
        self._generators: list[torch.Generator] = []

    def draws_from(self, generator: torch.Generator) -> None:
        """Says that operations draw from a generator, which is where it was after the capture."""
        self._generators.append(generator)

    def __len__(self) -> int:
        return len(self._operations)

    def warm_up(self) -> contextlib.AbstractContextManager[None]:
        """Context of the updates before the capture."""
        return contextlib.nullcontext()

    @contextlib.contextmanager
    def capture(self) -> Iterator[None]:
        """Records every operation, and takes back what they did."""
        recorder = present_recorder()
        assert recorder is not None, "the device is not known here"
        recorder.tape = self
        drawn = [generator.get_state() for generator in self._generators]
        try:
            yield
        finally:
            recorder.tape = None
            for generator, before in zip(self._generators, drawn, strict=True):
                generator.set_state(before)
            for storage, before in self._written.values():
                storage.copy_(before)
            for storage in self._made.values():
                torch.empty(0, dtype=torch.uint8).set_(storage).fill_(255)  # type: ignore[call-overload]
            self._written.clear()

    def carry_out(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Computes an operation and records it.

        Args:
            func: operation on CPU tensors.
            args: its arguments.
            kwargs: likewise.
        """
        given = {x.untyped_storage().data_ptr() for x in _tensors((args, kwargs))}
        for x in _written(func, args, kwargs):
            storage = x.untyped_storage()
            if storage.data_ptr() not in self._made:
                self._written.setdefault(storage.data_ptr(), (storage, storage.clone()))
        out = func(*args, **kwargs)
        news = []
        for place, x in enumerate(tree_leaves(out)):
            if isinstance(x, torch.Tensor) and x.untyped_storage().data_ptr() not in given:
                self._made[x.untyped_storage().data_ptr()] = x.untyped_storage()
                news.append((x, place))
        if news or not hasattr(func, "_schema") or func._schema.is_mutable:  # a view stays one
            self._operations.append((func, args, kwargs, news))
        return out

    def replay(self) -> None:
        """Carries the operations out."""
        for func, args, kwargs, news in self._operations:
            again = func(*args, **kwargs)
            if news:
                results = tree_leaves(again)
                for made, place in news:
                    if made.is_contiguous():
                        made.copy_(results[place])
                    else:  # elements may share memory
                        made.untyped_storage().copy_(results[place].untyped_storage())


def _written(func: Any, args: Any, kwargs: Any) -> Iterator[torch.Tensor]:
    """The tensors that an operation writes to."""
    if not hasattr(func, "_schema"):
        return
    for number, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            given = args[number] if number < len(args) else kwargs.get(argument.name)
            yield from _tensors(given)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """All tensors of a nested value."""
    return (x for x in tree_leaves(value) if isinstance(x, torch.Tensor))
