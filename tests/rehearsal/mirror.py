"""A GPU made of CPU tensors: a device of its own with real values, which refuses what fails or waits on a real one.

Tensors on the device ``mirror`` hold a CPU tensor each. An operation on them computes on the CPU, so that numbers can
be compared, and takes the paths that code takes on a GPU. It raises where devices mix, and, while it is watched,
where the host would wait for the device. It counts the kernels that a GPU would launch.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

__all__ = ["DEVICE", "MirrorError", "Rehearsal", "rehearsal", "replay", "to_cpu"]

Tape = list[tuple[Any, Any, Any, Any]]
"""Operations with their arguments and results, in order."""
_NAME = "mirror"
_ROOT = Path(__file__).parents[2]
_OURS = ("pwm_bench", "envs", "baselines", "tests")
_WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero")
_INDEXES = ("index", "index_put", "index_put_", "_index_put_impl_")
_CROSSES = ("_to_copy", "copy_")
# What launches nothing: views, questions about a tensor, memory that is only taken.
_VIEWS = frozenset(
    """alias as_strided chunk detach device diagonal empty empty_like empty_strided expand is_pinned is_same_size item
    layout lift_fresh movedim narrow new_empty new_empty_strided permute select slice split split_with_sizes squeeze
    sym_numel sym_size t transpose unbind unflatten unfold unsqueeze view view_as _local_scalar_dense _reshape_alias
    _unsafe_view""".split()  # noqa: SIM905
)
# Kernels of an operation that is more than one, as torch launches them on a GPU.
_SEVERAL = {"argsort": 8, "cumsum": 2, "index_put": 6, "linalg_qr": 20, "native_layer_norm_backward": 2,
            "select_backward": 2, "slice_backward": 2, "sort": 8}  # fmt: skip
_FOREACH = 110  # tensors of a list that one launch takes


class MirrorError(AssertionError):
    """Something that a GPU would refuse, or wait for."""


class _Backend(_DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]

    def is_available(self) -> bool:
        return True

    def device_count(self) -> int:
        return 1

    def current_device(self) -> int:
        return 0


_setup_privateuseone_for_python_backend(_NAME, backend_module=_Backend())
DEVICE = torch.device(_NAME, 0)


@dataclass
class Rehearsal:
    """What is seen of the device.

    Attributes:
        watched: refuse what makes the host wait.
        launches: kernels by operation.
        copies: copies between host and device by operation.
        doubles: operations in float64 by the place in our code that asked.
        tape: operations with their arguments and results, while they are recorded.
    """

    watched: bool = False
    launches: Counter[str] = field(default_factory=Counter)
    copies: Counter[str] = field(default_factory=Counter)
    doubles: Counter[str] = field(default_factory=Counter)
    tape: Tape | None = None

    @contextlib.contextmanager
    def recording(self) -> Iterator[Tape]:
        """Writes every operation down, as the capture of a CUDA graph does."""
        self.tape = []
        try:
            yield self.tape
        finally:
            self.tape = None

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


@contextlib.contextmanager
def rehearsal() -> Iterator[Rehearsal]:
    """Makes the device known to torch's factory functions; yields what is seen of it."""
    before = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        with _Dispatch(), _Factories():
            yield _seen
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before)


def replay(tape: Tape) -> None:
    """Carries out again what was recorded, from and into the same memory, as the launch of a CUDA graph does."""
    for func, args, kwargs, out in tape:
        again = func(*args, **kwargs)
        taken = {x.untyped_storage().data_ptr() for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)}
        for old, new in zip(tree_flatten(out)[0], tree_flatten(again)[0], strict=True):
            if isinstance(old, torch.Tensor) and old.untyped_storage().data_ptr() not in taken:
                old.untyped_storage().copy_(new.untyped_storage())  # also where elements share memory


def _is_ours(device: Any) -> bool:
    return device is not None and torch.device(device).type == _NAME


def _place() -> str:
    """The line of our code that asked, or ``backward``."""
    frame = sys._getframe(2)
    while frame is not None:
        file = Path(frame.f_code.co_filename)
        inside = file.relative_to(_ROOT).parts if file.is_relative_to(_ROOT) else ("",)
        if inside[0] in _OURS and "rehearsal" not in inside:
            return f"{file.relative_to(_ROOT)}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "backward"


def _compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    flat, _ = tree_flatten((args, kwargs))
    mirrors = [x for x in flat if isinstance(x, MirrorTensor)]
    host = [x for x in flat if isinstance(x, torch.Tensor) and not isinstance(x, MirrorTensor)]
    name = func._schema.name.split("::")[1]
    made_here = _is_ours(kwargs.get("device"))
    crosses = name in _CROSSES
    if mirrors and not crossing_allowed(name, host, crosses):
        raise MirrorError(f"{name}: tensors on the device and on the CPU at {_place()}")
    if _seen.watched:
        _watch(name, args, mirrors, host, crosses, made_here)
    real_args, real_kwargs = to_cpu(args), to_cpu(dict(kwargs))
    if made_here:
        real_kwargs["device"] = torch.device("cpu")
    if "pin_memory" in real_kwargs:
        real_kwargs["pin_memory"] = False
    out = func(*real_args, **real_kwargs)
    if _seen.tape is not None and (mirrors or made_here):
        _seen.tape.append((func, real_args, real_kwargs, out))
    leaves = kwargs.get("device") is not None and not made_here
    inside = isinstance(args[0], MirrorTensor) if name == "copy_" else made_here or (bool(mirrors) and not leaves)
    if not inside:
        return out
    if _seen.watched:
        _count(name, args, flat, out)
    given = {id(x.held): x for x in mirrors}  # in place: the wrapper that was given comes back

    def wrapped(x: Any) -> Any:
        if not isinstance(x, torch.Tensor):
            return x
        return given[id(x)] if id(x) in given else MirrorTensor(x)

    return tree_map(wrapped, out)


def crossing_allowed(name: str, host: list[torch.Tensor], crosses: bool) -> bool:
    """Copies may cross, and so may numbers without dimensions and indices, as on a GPU."""
    return crosses or name in _INDEXES or all(x.dim() == 0 for x in host)


def _watch(name: str, args: Any, mirrors: list[Any], host: list[Any], crosses: bool, made_here: bool) -> None:
    masked = name in _INDEXES and any(i is not None and i.dtype == torch.bool for i in args[1])
    if name in _WAITS or masked or (crosses and mirrors and not made_here and name == "_to_copy" and not _stays(args)):
        raise MirrorError(f"{name}: the host waits for the device at {_place()}")
    if crosses and host and (mirrors or made_here):
        _seen.copies[name] += 1


def _stays(args: Any) -> bool:
    """Whether a conversion is of the type alone."""
    return isinstance(args[0], MirrorTensor)


def _count(name: str, args: Any, flat: list[Any], out: Any) -> None:
    if name in _VIEWS:
        return
    launches = _SEVERAL.get(name, 1)
    if name.startswith("_foreach"):
        launches = _of_list(name, args)
    _seen.launches[name] += launches
    outs, _ = tree_flatten(out)
    if any(isinstance(x, torch.Tensor) and x.dtype == torch.float64 and x.dim() for x in (*flat, *outs)):
        _seen.doubles[_place()] += 1


def _of_list(name: str, args: Any) -> int:
    """One launch for many tensors, unless shapes broadcast: then one a tensor, two with addcmul and addcdiv."""
    lists = [x for x in args if isinstance(x, (list, tuple))]
    rows = zip(*(x for x in lists if len(x) == len(lists[0])), strict=True)
    quick = all(len({tuple(t.shape) for t in row if isinstance(t, torch.Tensor)}) == 1 for row in rows)
    if quick:
        return 1 + len(lists[0]) // _FOREACH
    return len(lists[0]) * (2 if "addc" in name else 1)


class _Dispatch(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if any(issubclass(t, MirrorTensor) for t in types) or _is_ours(kwargs.get("device")):
            with _disable_current_modes():
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
            if _seen.watched:
                _seen.copies["tensor"] += 1
            return out if isinstance(out, MirrorTensor) else MirrorTensor(out.detach())
        if func in (torch.Tensor.tolist, torch.Tensor.numpy) and isinstance(args[0], MirrorTensor):
            if _seen.watched:
                raise MirrorError(f"{func.__name__}: the host waits for the device at {_place()}")
            return func(args[0].held)
        return func(*args, **kwargs)
