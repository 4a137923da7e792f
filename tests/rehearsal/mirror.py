"""A GPU made of CPU tensors: a device of its own with real values, which refuses what fails or waits on a real one.

Tensors on the device ``mirror`` hold a CPU tensor each. An operation on them computes on the CPU, so that numbers can
be compared, and takes the paths that code takes on a GPU. It raises where devices mix, and, while it is watched,
where the host would wait for the device. It counts the kernels that a GPU would launch.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from tests.rehearsal.backend import DEVICE
from tests.rehearsal.gpu_rules import CROSSES, INDEXES, crossing_allowed, kernels_of, name_of, waits
from tests.rehearsal.recording import RecordedGraph, Recorder, present_recorder

__all__ = ["DEVICE", "MirrorError", "Rehearsal", "known", "on_device", "rehearsal", "to_cpu"]

_ROOT = Path(__file__).parents[2]
_OURS = ("pwm_bench", "envs", "baselines", "tests")


class MirrorError(AssertionError):
    """Something that a GPU would refuse, or wait for."""


@dataclass
class Rehearsal:
    """What is seen of the device.

    Attributes:
        operations: all that the device has carried out.
        watched: refuse what makes the host wait.
        launches: kernels by operation.
        copies: copies between host and device by operation.
        doubles: operations in float64 by the place in our code that asked.
    """

    operations: int = 0
    watched: bool = False
    launches: Counter[str] = field(default_factory=Counter)
    copies: Counter[str] = field(default_factory=Counter)
    doubles: Counter[str] = field(default_factory=Counter)

    @property
    def tape(self) -> RecordedGraph | None:
        """Where operations are recorded during a capture."""
        recorder = present_recorder()
        return None if recorder is None else recorder.tape

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Counts anew, and refuses what makes the host wait."""
        for counter in (self.launches, self.copies, self.doubles):
            counter.clear()
        self.watched = True
        try:
            yield
        finally:
            self.watched = False


_seen = Rehearsal()


class MirrorTensor(torch.Tensor):
    """A tensor on the device; ``held`` is where its numbers are."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, real: torch.Tensor) -> MirrorTensor:
        made = torch.Tensor._make_wrapper_subclass(
            cls, real.size(), strides=real.stride(), storage_offset=real.storage_offset(), dtype=real.dtype,
            device=DEVICE, requires_grad=False,
        )  # fmt: skip
        made.held = real
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"MirrorTensor({self.held})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        copied: Any = self.detach().clone()
        if isinstance(self, torch.nn.Parameter):
            copied = torch.nn.Parameter(copied, self.requires_grad)
        memo[id(self)] = copied
        return copied

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {})


def to_cpu(value: Any) -> Any:
    """The numbers of all tensors in a nested value, as CPU tensors."""
    return tree_map(lambda x: x.held if isinstance(x, MirrorTensor) else x, value)


def on_device(kernel: Any, *arguments: Any, launches: int = 1) -> Any:
    """Carries out on the device what torch does not know: a function of CPU tensors that gives tensors."""
    if _seen.watched:
        _seen.launches["kernel"] += launches
    _seen.operations += 1
    made: list[torch.Tensor] = []
    real = _unwrapped(arguments, made)
    if any(type(x) is not MirrorTensor for x in made):
        raise MirrorError(f"a kernel on the device gets a tensor of the CPU at {_place()}")
    out = (_call if _seen.tape is None else _seen.tape.carry_out)(kernel, real, {})
    return _wrapped(out, {})


@contextlib.contextmanager
def known() -> Iterator[None]:
    """Makes the device known to torch's factory functions in this thread."""
    with _Dispatch(), _Factories():
        yield


@contextlib.contextmanager
def rehearsal() -> Iterator[Rehearsal]:
    """Makes the device known to torch's factory functions; yields what is seen of it."""
    before = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        with known(), mock.patch.object(torch, "Generator", _Generator):
            yield _seen
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before)


class _Generators(type):
    """What makes generators of torch, and knows those that it did not make."""

    _torchs = torch.Generator

    def __call__(cls, device: Any = "cpu") -> torch.Generator:
        return cls._torchs("cpu" if _is_ours(device) else device)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls._torchs)


class _Generator(metaclass=_Generators):
    """`torch.Generator` where the device is known: it draws from generators of the CPU, whose numbers are the CPU's."""


def _is_ours(device: Any) -> bool:
    return device is not None and torch.device(device).type == DEVICE.type


def _place() -> str:
    """The line of our code that asked, or ``backward``."""
    frame = sys._getframe(2)
    while frame is not None:
        file = _our_file(frame.f_code.co_filename)
        if file:
            return f"{file}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "backward"


@functools.cache
def _our_file(name: str) -> str:
    """The path within the project; empty for what is outside, and for the rehearsal itself."""
    file = Path(name)
    inside = file.relative_to(_ROOT).parts if file.is_relative_to(_ROOT) else ("",)
    return str(file.relative_to(_ROOT)) if inside[0] in _OURS and "rehearsal" not in inside else ""


def _compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    flat: list[torch.Tensor] = []
    baked = _seen.tape is not None
    real_args = _unwrapped(args, flat, baked=baked)
    real_kwargs = {name: _unwrapped(x, flat, baked=baked) for name, x in kwargs.items()}
    mirrors = [x for x in flat if type(x) is MirrorTensor]
    host = [x for x in flat if type(x) is not MirrorTensor]
    name = name_of(func)
    made_here = _is_ours(kwargs.get("device"))
    crosses = name in CROSSES
    if mirrors and not crossing_allowed(name, host, crosses):
        raise MirrorError(f"{name}: tensors on the device and on the CPU at {_place()}")
    if _seen.watched or _seen.tape is not None:
        _watch(name, args, kwargs, mirrors, host)
    if made_here:
        real_kwargs["device"] = torch.device("cpu")
    if "pin_memory" in real_kwargs:
        real_kwargs["pin_memory"] = False
    recorded = _seen.tape is not None and (mirrors or made_here)
    out = (_seen.tape.carry_out if recorded else _call)(func, real_args, real_kwargs)
    if not _on_device(name, args, kwargs, mirrors):
        return out
    _seen.operations += 1
    if _seen.watched:
        _count(name, args, flat, out)
    return _wrapped(out, {id(x.held): x for x in mirrors})


def _unwrapped(value: Any, found: list[torch.Tensor], *, baked: bool = False) -> Any:
    """The value with the tensors that the device holds, and copies of the host's numbers where they are baked in; notes
    those that were given."""
    if isinstance(value, torch.Tensor):
        found.append(value)
        if type(value) is MirrorTensor:
            return value.held
        return value.clone() if baked and not value.dim() else value
    return type(value)(_unwrapped(x, found, baked=baked) for x in value) if type(value) in (tuple, list) else value


def _wrapped(value: Any, given: dict[int, torch.Tensor]) -> Any:
    """The value with tensors on the device; after an operation in place the tensor that was given comes back."""
    if isinstance(value, torch.Tensor):
        return given.get(id(value)) if id(value) in given else MirrorTensor(value)
    return type(value)(_wrapped(x, given) for x in value) if type(value) in (tuple, list) else value


def _on_device(name: str, args: Any, kwargs: Any, mirrors: list[Any]) -> bool:
    """Whether the result is on the device."""
    if name == "copy_":
        return isinstance(args[0], MirrorTensor)
    device = kwargs.get("device")
    return bool(mirrors) if device is None else _is_ours(device)


def _watch(name: str, args: Any, kwargs: Any, mirrors: list[Any], host: list[Any]) -> None:
    arrives = _on_device(name, args, kwargs, mirrors)
    indices = [i for i in args[1] if i is not None] if name in INDEXES else []
    if waits(name, kwargs, indices) or (name in CROSSES and mirrors and not arrives):
        raise MirrorError(f"{name}: the host waits for the device at {_place()}")
    if (name in CROSSES and host and arrives) or any(type(i) is not MirrorTensor for i in indices):
        _crossing(name)


def _crossing(name: str) -> None:
    if _seen.tape is not None:
        raise MirrorError(f"{name}: a copy between host and device in a capture at {_place()}")
    _seen.copies[name] += 1


def _call(func: Any, args: Any, kwargs: Any) -> Any:
    return func(*args, **kwargs)


def _count(name: str, args: Any, flat: list[torch.Tensor], out: Any) -> None:
    launches = kernels_of(name, args)
    if not launches:
        return
    _seen.launches[name] += launches
    made: list[torch.Tensor] = []
    _unwrapped(out, made)
    if any(x.dtype == torch.float64 and x.dim() for x in (*flat, *made)):
        _seen.doubles[_place()] += 1


class _Dispatch(Recorder):
    """What a thread computes with."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if any(issubclass(t, MirrorTensor) for t in types) or _is_ours(kwargs.get("device")):
            with self.at_work():
                return _compute(func, args, kwargs)
        return func(*args, **kwargs)


class _Factories(TorchFunctionMode):
    """`torch.tensor` and `tolist`, which torch's Python backends do not take."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor, torch.asarray):
            device = kwargs.pop("device", None)
            out = func(*args, **kwargs)
            if not _is_ours(device):
                return out if device is None else out.to(device)
            if isinstance(out, MirrorTensor):
                return out
            if _seen.watched or _seen.tape is not None:
                _crossing("tensor")
            return MirrorTensor(out.detach())
        if func in (torch.Tensor.tolist, torch.Tensor.numpy) and isinstance(args[0], MirrorTensor):
            if _seen.watched or _seen.tape is not None:
                raise MirrorError(f"{func.__name__}: the host waits for the device at {_place()}")
            return func(args[0].held)
        return func(*args, **kwargs)
