"""What a GPU does with an operation of torch: whether the host waits for it, and how many kernels it launches."""

from __future__ import annotations

import functools
from typing import Any

import torch

__all__ = ["CROSSES", "INDEXES", "crossing_allowed", "kernels_of", "name_of", "waits"]

# What reads a number of the device to go on: sizes of results, whether a factorisation or a distribution is sound.
_WAITS = frozenset(
    """_linalg_check_errors _linalg_eigh _local_scalar_dense _unique _unique2 allclose bincount equal histc is_nonzero
    linalg_eig linalg_eigvals linalg_lstsq masked_select multinomial nonzero unique_consecutive unique_dim
    unique_dim_consecutive""".split()  # noqa: SIM905
)
INDEXES = ("index", "index_put", "index_put_", "_index_put_impl_")
CROSSES = ("_to_copy", "copy_")
# What launches nothing: views, questions about a tensor, memory that is only taken.
_VIEWS = frozenset(
    """alias as_strided chunk detach device diagonal empty empty_like empty_strided expand is_pinned is_same_size item
    layout lift_fresh movedim narrow new_empty new_empty_strided permute select slice split split_with_sizes squeeze
    sym_numel sym_size t transpose unbind unflatten unfold unsqueeze view view_as _local_scalar_dense _reshape_alias
    _unsafe_view""".split()  # noqa: SIM905
)
# Kernels of an operation that is more than one, as torch launches them on a GPU.
_SEVERAL = {"argsort": 8, "cumsum": 2, "index_put": 6, "linalg_qr": 20, "select_backward": 2, "slice_backward": 2,
            "sort": 8}  # fmt: skip
_FOREACH = 110  # tensors of a list that one launch takes


@functools.cache
def name_of(func: Any) -> str:
    """The name of an operation, whatever its overload."""
    return func._schema.name.split("::")[1]  # type: ignore[no-any-return]


def crossing_allowed(name: str, host: list[torch.Tensor], crosses: bool) -> bool:
    """Copies may cross, and so may numbers without dimensions and indices, as on a GPU."""
    return crosses or name in INDEXES or all(x.dim() == 0 for x in host)


def waits(name: str, kwargs: Any, indices: list[Any]) -> bool:
    """Whether the host waits for an operation on the device, e.g. because its numbers decide the size of its result."""
    masked = any(i.dtype == torch.bool for i in indices)
    return name in _WAITS or masked or (name == "repeat_interleave" and kwargs.get("output_size") is None)


def kernels_of(name: str, args: Any) -> int:
    """Kernels that an operation launches; none for a view."""
    if name in _VIEWS:
        return 0
    if name.startswith("_foreach"):
        return _of_list(name, args)
    more = any(args[7][1:]) if name == "native_layer_norm_backward" else 0  # gradients of scale and shift take another
    return _SEVERAL.get(name, 1) + more


def _of_list(name: str, args: Any) -> int:
    """One launch for many tensors, unless shapes broadcast: then one a tensor, two with addcmul and addcdiv."""
    lists = [x for x in args if isinstance(x, (list, tuple))]
    rows = zip(*(x for x in lists if len(x) == len(lists[0])), strict=True)
    quick = all(len({tuple(t.shape) for t in row if isinstance(t, torch.Tensor)}) == 1 for row in rows)
    if quick:
        return 1 + len(lists[0]) // _FOREACH
    return len(lists[0]) * (2 if "addc" in name else 1)
